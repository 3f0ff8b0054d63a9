"""Releases with steps, for the image tests: the product has none. Laid over the root, read by the units that migrate."""

from __future__ import annotations

from typing import Final

STATE_FILE: Final = "/state/wardtest/memory"
VAULT_FILE: Final = "/var/lib/wardgate/wardtest"
_FOLDER: Final = "usr/lib/wardgate-test/steps"
# Python reads it before anything else; the release's own list of steps is replaced.
_STEPS: Final = """\
import os
from wardgate.migration import disk, steps
from wardgate.migration.areas import Area
from wardgate.migration.steps import Step


def adding(path, number):
    return lambda files: {path: (files[path] or b"") + b"format %d\\n" % number}


steps.STEPS = tuple(
    Step(area, number, f"to {number}", (path,), adding(path, number))
    for area, path in ((Area.STATE, "wardtest/memory"), (Area.VAULT, "wardtest"))
    for number in range(2, NEWEST + 1)
)
"""
# The file is replaced already, and the number not yet.
_HALFWAY: Final = """

def move(old, new, real=disk.move):
    if new.endswith("/migration/format") and os.path.basename(old).startswith("to"):
        raise OSError(5, "the disk fails halfway", new)
    real(old, new)


disk.move = move
"""


def release(newest: int, *, fails_halfway: bool = False) -> dict[str, str]:
    """Return what is laid over the root of a release whose newest format of both areas is `newest`."""
    laid = {f"{_FOLDER}/sitecustomize.py": _STEPS.replace("NEWEST", str(newest)) + (_HALFWAY if fails_halfway else "")}
    laid["usr/share/wardgate/migrates"] = "\n"
    for unit in ("wardgate-migrate", "wardgate-migrate-vault"):
        laid[f"etc/systemd/system/{unit}.service.d/steps.conf"] = f"[Service]\nEnvironment=PYTHONPATH=/{_FOLDER}\n"
    return laid
