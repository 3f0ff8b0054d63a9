"""The `updates` table in its checked form: from which hawkBit server the box takes updates, and when it starts into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from wardgate.policy.endpoint import Endpoint, parse_endpoint


class Updates(NamedTuple):
    """Where updates come from. `restart_hours`: `HH:MM-HH:MM` UTC, empty for any time."""

    server: Endpoint
    anchors: Path
    token: Path
    device: str
    tenant: str = "DEFAULT"
    restart_hours: str = ""
    restart_patience_seconds: int = 3600
    retry_seconds: int = 60


def build_updates(data: dict[str, Any], box: str) -> Updates:
    """Make the table from checked data, complete. `box`: the box's name."""
    paths = {"anchors": Path(data["anchors"]), "token": Path(data["token"])}
    return Updates(**{**data, **paths, "server": parse_endpoint(data["server"]), "device": data["device"] or box})
