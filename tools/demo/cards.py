"""What a demo of cards runs on: a pcscd of its own in a folder of its own, both gone at the end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from _pytest.outcomes import Skipped

from demo.report import Report
from support.pcscd import Pcscd


def on_cards(report: Report, demo: Callable[[Path, Pcscd, Report], None]) -> None:
    """Run `demo`; where it stops short, or lacks something, the report says so."""
    with tempfile.TemporaryDirectory(prefix="wg-") as name:
        folder = Path(name)
        pcscd = Pcscd(folder).start()
        os.environ.update(pcscd.environment)
        try:
            demo(folder, pcscd, report)
        except (AssertionError, Skipped) as error:
            report.check(False, str(error))
        finally:
            pcscd.stop()
