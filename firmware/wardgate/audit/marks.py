"""How far each repository is: one small file beside the spool, replaced durably."""

from __future__ import annotations

import json
import os
from typing import Final

from wardgate.custody.files import read_file, sync_directory, write_durably

_NAME: Final = "marks.json"
_MAX_BYTES: Final = 65536


class Marks:
    """Positions by repository: the number of the first message that it may not have had."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, _NAME)
        self._kept: dict[str, int] = {}
        self.unreadable = False  # there was a file, and it is of no use: everything is sent again

    def load(self) -> dict[str, int]:
        """Return what was kept."""
        try:
            found = json.loads(read_file(self._path, _MAX_BYTES))
            if not isinstance(found, dict) or not all(type(value) is int and value >= 0 for value in found.values()):
                raise ValueError
        except FileNotFoundError:
            found = {}
        except (OSError, ValueError):
            found, self.unreadable = {}, True
        self._kept = found
        return dict(found)

    def keep(self, positions: dict[str, int]) -> None:
        """Make these durable, if they changed. Raises `OSError`."""
        if positions != self._kept:
            write_durably(self._path, json.dumps(positions).encode("ascii"))
            sync_directory(os.path.dirname(self._path))
            self._kept = dict(positions)
