"""Puts a stand-in for `os` under all that a migration does with the disk: one that counts, traces, fails or ends with the power."""

from __future__ import annotations

from typing import Any

import pytest

from wardgate.custody import files
from wardgate.migration import disk


def lay_under(patch: pytest.MonkeyPatch, layer: Any) -> None:
    """Have the modules that touch the disk call `layer` until `patch` is undone."""
    for module in (disk, files):
        patch.setattr(module, "os", layer)
