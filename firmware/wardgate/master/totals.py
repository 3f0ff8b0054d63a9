"""Adds the status of several workers up. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_LIST = 200


def add(left: Any, right: Any) -> Any:
    """Return the sum: tables word by word, numbers added, lists joined; of anything else the left one stays."""
    if isinstance(left, dict) and isinstance(right, dict):
        return {
            key: add(left[key], right[key]) if key in left and key in right else left.get(key, right.get(key)) for key in {**left, **right}
        }
    if isinstance(left, bool) or isinstance(right, bool):
        return left
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left + right
    if isinstance(left, list) and isinstance(right, list):
        return (left + right)[-_MAX_LIST:]
    return left


# What says something about one worker only.
_OWN = frozenset({"generation", "worker", "pid", "rss_bytes", "answers", "associations"})


def shared(status: dict[str, Any]) -> dict[str, Any]:
    """Return what of a worker's status may be added to that of others; `associations` stands in the links too."""
    return {key: value for key, value in status.items() if key not in _OWN}


def without_now(status: Any) -> Any:
    """Return the status of a worker that is gone: nothing of it is there `now`."""
    if isinstance(status, dict):
        return {key: 0 if key == "now" else without_now(value) for key, value in status.items()}
    return status
