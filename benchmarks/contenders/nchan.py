"""nginx with nchan: a C server whose EventSource subscribers get what is POSTed to a channel. Its memory store.

One message is kept per channel, so that a newcomer gets the present price, as with us.
"""

import getpass
import resource
import shutil
from pathlib import Path
from typing import Any

from benchmarks.contenders.base import Absent, Contender, first_line

MODULES = (
    Path("/usr/lib/nginx/modules/ngx_nchan_module.so"),
    Path("/usr/share/nginx/modules/ngx_nchan_module.so"),
    Path("/usr/lib64/nginx/modules/ngx_nchan_module.so"),
)
# Well above the watchers: nginx begins to close idle connections when less than a sixteenth of these are free.
CONNECTIONS = 32_768
CONFIGURATION = """
load_module {module};
daemon off;
user {user};
worker_processes 1;
worker_rlimit_nofile {descriptors};
pid {directory}/nginx.pid;
error_log {directory}/error.log error;
events {{ worker_connections {connections}; use epoll; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    nchan_shared_memory_size 256M;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ ^/publish/(.+)$ {{
            nchan_publisher;
            nchan_channel_id $1;
            nchan_message_buffer_length 1;
        }}
        location ~ ^/auctions/(.+)/stream$ {{
            nchan_subscriber eventsource;
            nchan_channel_id $1;
            nchan_subscriber_first_message oldest;
            nchan_eventsource_ping_interval {ping_seconds};
            nchan_eventsource_ping_event hb;
            nchan_eventsource_ping_data 1;
        }}
    }}
}}
"""


def debian_version(package: str) -> str:
    """A blank and the version of a Debian package, or nothing where that is not known."""
    if shutil.which("dpkg-query") is None:
        return ""
    answer = first_line("dpkg-query", "--show", "--showformat=${Version}", package)
    return "" if answer.startswith("dpkg-query") else f" {answer}"


class Nchan(Contender):
    name = "nchan"
    title = "nginx + nchan"

    @classmethod
    def version(cls) -> str:
        version = first_line("nginx", "-v").rpartition(": ")[2]
        if not any(each.exists() for each in MODULES):
            raise Absent("the nchan module of nginx is not installed")
        return f"{version} with nchan{debian_version('libnginx-mod-nchan')}, memory store, 1 worker"

    def command(self) -> list[str]:
        configuration = self.directory / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(
                module=next(each for each in MODULES if each.exists()),
                user=getpass.getuser(),
                directory=self.directory,
                connections=CONNECTIONS,
                descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
                port=self.port,
                ping_seconds=self.settings.get("PING_SECONDS", "0"),
            )
        )
        return ["nginx", "-p", str(self.directory), "-c", str(configuration), "-e", str(self.directory / "error.log")]

    def target(self) -> dict[str, Any]:
        return {"kind": "http", "port": self.port}
