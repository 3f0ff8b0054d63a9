"""What a link allows: the configuration's schema, its checked form, and the decision about each association.

`wardgate.policy.load(path)` is loaded late: it needs `tomllib`, which the long-running processes do without.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from wardgate.policy.model import Config


def load(path: str | Path, check_files: bool = True) -> Config:
    """Read, check and return the configuration. Raises `wardgate.policy.mistakes.ConfigErrors` with every mistake."""
    from wardgate.policy.loader import load_config

    return load_config(path, check_files)
