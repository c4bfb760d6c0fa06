#!/bin/sh
# Installs what the benchmarks compare us with: nginx with nchan, a C compiler, and socket.io for Node.
# Usage: scripts/install-benchmark-peers.sh
# System packages come from apt, socket.io into build/benchmarks (or $SSE_AUCTION_BENCH_CACHE), outside of git.
# What cannot be installed is said; the benchmarks then report that peer as absent, and go on.
set -eu
cd "$(dirname "$0")/.."

cache="${SSE_AUCTION_BENCH_CACHE:-$PWD/build/benchmarks}"
PATH="$PATH:/usr/sbin:/sbin"

packages=""
command -v nginx >/dev/null 2>&1 || packages="$packages nginx-light"
ls /usr/lib/nginx/modules/ngx_nchan_module.so /usr/share/nginx/modules/ngx_nchan_module.so \
    /usr/lib64/nginx/modules/ngx_nchan_module.so 2>/dev/null | grep -q . || packages="$packages libnginx-mod-nchan"
command -v gcc >/dev/null 2>&1 || packages="$packages gcc libc6-dev"
command -v node >/dev/null 2>&1 || packages="$packages nodejs"
command -v npm >/dev/null 2>&1 || packages="$packages npm"

install_packages() {
    command -v apt-get >/dev/null 2>&1 || return 1
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || return 1
        as_root="sudo -n"
    fi
    echo "installing$packages"
    $as_root apt-get update -qq || return 1
    # Debian starts a server that it installs; these are for the benchmarks alone, which start their own.
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends $packages >/dev/null
}

if [ -n "$packages" ] && ! install_packages; then
    echo "These could not be installed, so their peers will be absent:$packages" >&2
fi

if [ ! -d "$cache/node/node_modules/socket.io" ] || [ ! -d "$cache/node/node_modules/ioredis" ]; then
    mkdir -p "$cache/node"
    echo "installing socket.io and ioredis into $cache/node"
    npm install --prefix "$cache/node" --no-audit --no-fund --loglevel=error socket.io@4 ioredis@5 \
        || echo "npm could not install socket.io: that peer will be absent" >&2
fi
