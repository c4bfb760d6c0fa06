"""One run of one scenario."""

import asyncio
import tempfile
import traceback
from pathlib import Path

from tests.faults.chaos.scenarios import SCENARIOS
from tests.faults.chaos.stage import FULL, SHORT, Report


def play(name: str, seed: int, *, short: bool) -> Report:
    """Run one scenario in a directory of its own; whatever goes wrong is in the report."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        try:
            return asyncio.run(SCENARIOS[name](seed, SHORT if short else FULL, Path(directory)))
        except Exception as error:  # noqa: BLE001  # any exception is a finding; other scenarios continue
            return Report(violations=["".join(traceback.format_exception(error)[-3:])])
