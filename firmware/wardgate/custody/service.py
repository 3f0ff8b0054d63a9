"""The custody writer under an account of its own: `python -m wardgate.custody.service -c FILE`, by the unit wardgate-custody.

It reads the policy and becomes `wardgate.hold.writer`, which then has no policy in its memory. Exit status 77: the policy has no such
writer (`custody.socket`), 2: wrong usage, 3: the policy cannot be used, which is told where it is loaded first.
"""

from __future__ import annotations

import argparse
import os
import pwd
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from wardgate.custody.arguments import CONTROL, arguments

if TYPE_CHECKING:
    from wardgate.policy.model import Config

GATEWAY: Final = "wardgate"  # whose processes give records
NOT_WANTED: Final = 77  # the unit is not started again for it


def command(config: Config, callers: Sequence[str]) -> list[str]:
    """Return the writer's command line. `callers`: accounts that may speak to it. Raises `KeyError` for one that is not there."""
    from wardgate.policy.model import as_data

    words = [sys.executable, "-P", "-m", "wardgate.hold.writer", *arguments(as_data(config))]
    uids = ",".join(str(pwd.getpwnam(name).pw_uid) for name in callers)
    return [*words, "--control", config.custody.socket + CONTROL, "--uids", uids]


def main(words: list[str]) -> int:
    """Become the writer."""
    parser = argparse.ArgumentParser(prog="python -m wardgate.custody.service")
    parser.add_argument("--caller", default=GATEWAY, help="the gateway's account")
    parser.add_argument("-c", dest="config", required=True, metavar="FILE")
    options = parser.parse_args(words)
    from wardgate.policy import load
    from wardgate.policy.mistakes import ConfigErrors

    try:
        config = load(options.config, check_files=False)
    except ConfigErrors:
        return 3
    if not config.custody.socket:
        return NOT_WANTED
    argv = command(config, [options.caller])
    os.execv(argv[0], argv)  # noqa: S606 - it is this program's own interpreter
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
