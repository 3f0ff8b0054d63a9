"""How a process that has an account and a unit of its own reads the policy at its start: words of its command line, exit statuses."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final, NamedTuple

from wardgate.policy import load
from wardgate.policy.mistakes import ConfigErrors

if TYPE_CHECKING:
    from wardgate.policy.model import Config

GATEWAY: Final = "wardgate"  # whose processes speak to it
NOT_WANTED: Final = 77  # the policy has no such process: the unit is not started again for it
UNUSABLE: Final = 3  # the policy cannot be used, which is told where it is loaded first


class Start(NamedTuple):
    """What was asked for. `caller`: the gateway's account; `file`: the policy's."""

    caller: str
    file: str
    config: Config


def read(program: str, words: list[str]) -> Start:
    """Return what `python -m program WORDS` is to start with. Raises `SystemExit`: 2 for wrong usage, `UNUSABLE`."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}")
    parser.add_argument("--caller", default=GATEWAY, help="the gateway's account")
    parser.add_argument("-c", dest="config", required=True, metavar="FILE")
    options = parser.parse_args(words)
    try:
        return Start(options.caller, options.config, load(options.config, check_files=False))
    except ConfigErrors:
        raise SystemExit(UNUSABLE) from None
