"""How a process that has an account and a unit of its own reads the policy at its start: words of its command line, exit statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wardgate.pairs import pairs
from wardgate.policy import load
from wardgate.policy.mistakes import ConfigErrors

if TYPE_CHECKING:
    from wardgate.policy.model import Config

GATEWAY: Final = "wardgate"  # whose processes speak to it
UNUSABLE: Final = 3  # the policy cannot be used, which is told where it is loaded first


class Start(NamedTuple):
    """What was asked for. `caller`: the gateway's account; `file`: the policy's."""

    caller: str
    file: str
    config: Config


def read(program: str, words: list[str]) -> Start:
    """Return what `python -m program WORDS` is to start with. Raises `SystemExit`: 2 for wrong usage, `UNUSABLE`."""
    options = pairs(program, words, ("-c",), ("--caller",))
    try:
        return Start(options.get("--caller", GATEWAY), options["-c"], load(options["-c"], check_files=False))
    except ConfigErrors:
        raise SystemExit(UNUSABLE) from None
