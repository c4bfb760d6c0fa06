"""The floor: `floor.c`, compiled when it is first needed."""

import subprocess
from pathlib import Path
from typing import Any

from benchmarks.contenders.base import PEERS, Contender, first_line

SOURCE = Path(__file__).with_name("floor.c")
PROGRAM = PEERS / "floor"


class Floor(Contender):
    name = "floor"
    title = "the C floor"

    @classmethod
    def version(cls) -> str:
        compiler = first_line("gcc", "--version")
        if not PROGRAM.exists() or PROGRAM.stat().st_mtime < SOURCE.stat().st_mtime:
            PEERS.mkdir(parents=True, exist_ok=True)
            subprocess.run(["gcc", "-O2", "-o", PROGRAM, SOURCE], check=True)
        return f"epoll and one send() per watcher, {compiler}, -O2"

    def command(self) -> list[str]:
        return [str(PROGRAM), str(self.port), str(self.directory / "lines.sock")]

    def target(self) -> dict[str, Any]:
        return {"kind": "line", "path": str(self.directory / "lines.sock")}
