"""A wall clock of a process that a test can set."""

import platform
import shutil
from pathlib import Path


class Clock:
    """A wall clock that can be set; monotonic time does not change, as with a real clock."""

    def __init__(self, path: Path) -> None:
        assert shutil.which("faketime"), "faketime is not installed; scripts/install-system-packages.sh faketime"
        library = f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketime.so.1"
        self._path = path
        self.set(0)
        self.environment = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Let it differ from the true time by `seconds` from now on."""
        draft = self._path.with_suffix(".draft")
        draft.write_text(f"{seconds:+d}s\n")
        draft.replace(self._path)  # no process reads half of it

    @property
    def prefix(self) -> tuple[str, ...]:
        """The prefix of a command that uses this clock."""
        return ("env", *(f"{name}={value}" for name, value in self.environment.items()))
