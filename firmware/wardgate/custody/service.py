"""The custody writer under an account of its own: `python -m wardgate.custody.service -c FILE`, by the unit wardgate-custody.

It reads the policy and becomes `wardgate.hold.writer`, which then has no policy in its memory. Exit status 77: the policy has no such
writer (`custody.socket`), 2: wrong usage, 3: the policy cannot be used, which is told where it is loaded first.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wardgate.custody.arguments import CONTROL, arguments
from wardgate.mentions import NOT_WANTED, mentions

if TYPE_CHECKING:
    from wardgate.policy.model import Config


def command(config: Config, callers: Sequence[str]) -> list[str]:
    """Return the writer's command line. `callers`: accounts that may speak to it. Raises `KeyError` for one that is not there."""
    from wardgate.policy.model import as_data

    words = [sys.executable, "-P", "-m", "wardgate.hold.writer", *arguments(as_data(config))]
    uids = ",".join(str(pwd.getpwnam(name).pw_uid) for name in callers)
    return [*words, "--control", config.custody.socket + CONTROL, "--uids", uids]


def main(words: list[str]) -> int:
    """Become the writer."""
    if not mentions(words, b"socket"):
        return NOT_WANTED
    from wardgate.policy.apart import read

    caller, _, config = read("wardgate.custody.service", words)
    if not config.custody.socket:
        return NOT_WANTED
    argv = command(config, [caller])
    os.execv(argv[0], argv)  # noqa: S606 - it is this program's own interpreter
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
