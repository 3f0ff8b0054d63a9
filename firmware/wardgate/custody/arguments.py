"""The custody writer's words from the configuration, for whoever starts it: the master, or the unit of an account of its own."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONTROL = ".control"  # behind the path of `custody.socket`: where the master calls a writer that is not its child


def socket_of(config: dict[str, Any]) -> str:
    """Return where the writer takes records."""
    return str(config["custody"].get("socket") or os.path.join(config["box"]["run_dir"], "custody.sock"))


def arguments(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the writer's command line options (`custody.options`) that the configuration gives."""
    custody = config["custody"]
    words: list[str] = ["--socket", socket_of(config)]
    for name in ("log", "origin", "key", "durable", "checkpoint_seconds", "checkpoint_records", "unsigned_records"):
        words += [f"--{name.replace('_', '-')}", str(custody[name])]
    words += ["--keys-socket", str(config["keys"]["socket"])]
    if config.get("hold"):
        words += ["--queue", str(config["hold"]["directory"])]
    return tuple(words)
