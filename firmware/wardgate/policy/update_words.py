"""The words of `[updates]`, and what contradicts among them."""

from __future__ import annotations

from typing import Any, Final

from wardgate.codes import Code
from wardgate.policy.endpoint import parse_endpoint
from wardgate.policy.mistakes import Mistake
from wardgate.policy.schema import REQUIRED, Kind, Word

UPDATES_SCHEMA: Final[dict[str, tuple[Word, ...]]] = {
    "updates": (
        Word("server", Kind.ENDPOINT, REQUIRED, "hawkBit server, over TLS; its certificate must be for this name or address"),
        Word("anchors", Kind.PATH, REQUIRED, "trust anchor(s) of the server, PEM; no other authority is believed"),
        Word("token", Kind.PATH, REQUIRED, "file with the security token of this device, one line, mode 0600"),
        Word("tenant", Kind.NAME, "DEFAULT", "tenant on the server"),
        Word("device", Kind.NAME, "", "name of the box on the server (controller id); without it `box.name`"),
        Word(
            "restart_hours",
            Kind.HOURS,
            "",
            "the box starts into an update between these times of the day only, UTC; without it at any time",
        ),
        Word(
            "restart_patience_seconds",
            Kind.INTEGER,
            3600,
            "so long a restart waits for a moment without associations, seconds; those that run then have `limits.drain_seconds`",
            0,
            604800,
        ),
        Word("retry_seconds", Kind.INTEGER, 60, "wait before the server is asked again after a failure, seconds", 5, 86400),
    ),
}


def check_updates(data: dict[str, Any], mistakes: list[Mistake]) -> None:
    """Add what contradicts itself or the plant."""
    server = (data.get("updates") or {}).get("server")
    if not server:
        return
    if parse_endpoint(server).port == 0:
        mistakes.append(Mistake("updates.server", "a port from 1 to 65535", server, Code.CONFIG_BOUNDS))
    plant = data.get("plant", {})
    if plant.get("ports", "none") != "none" and server not in plant.get("management", {}).get("reach", []):
        expected = "an endpoint of plant.management.reach: with the plant the box itself calls nothing else"
        mistakes.append(Mistake("updates.server", expected, server, Code.CONFIG_CONTRADICTION))
