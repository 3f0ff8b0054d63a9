"""The audit sender under an account of its own: `python -m wardgate.audit.service -c FILE`, by the unit wardgate-audit.

It reads the policy and becomes `wardgate.audit.apart`, which has none of the reader in its memory and the
`OPENSSL_CONF` that a B.13 repository needs. Exit status 77: the policy has no such sender (`audit.socket`), 2: wrong usage, 3: the
policy cannot be used, which is told where it is loaded first.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from wardgate.audit.stamp import stamp
from wardgate.mentions import NOT_WANTED, mentions

if TYPE_CHECKING:
    from wardgate.policy.model import Config


def command(config: Config, policy: str, was: tuple[int, ...], caller: str) -> tuple[list[str], dict[str, str]]:
    """Return command line and environment of the sender. Raises `KeyError` for an account that is not there."""
    import pwd

    from wardgate.policy.model import to_json
    from wardgate.transport.process import in_memory, openssl_conf

    environment = dict(os.environ)
    text = openssl_conf(config)
    if text is not None:
        environment["OPENSSL_CONF"] = f"/proc/self/fd/{in_memory('openssl.cnf', text)}"
    words = [sys.executable, "-P", "-m", "wardgate.audit.apart", "--config-fd", str(in_memory("policy", to_json(config)))]
    return [
        *words,
        "--policy",
        os.path.abspath(policy),
        "--policy-was",
        ",".join(map(str, was)),
        "--uids",
        str(pwd.getpwnam(caller).pw_uid),
    ], environment


def main(words: list[str]) -> int:
    """Become the sender."""
    if not mentions(words, b"socket"):
        return NOT_WANTED
    from wardgate.policy.apart import read

    # Before it is read: what changes from here on, also while this becomes another program, is seen when the master asks.
    was = stamp(words[words.index("-c") + 1]) if "-c" in words[:-1] else ()
    caller, file, config = read("wardgate.audit.service", words)
    if config.audit is None or not config.audit.socket:
        return NOT_WANTED
    argv, environment = command(config, file, was, caller)
    os.execve(argv[0], argv, environment)  # noqa: S606 - it is this program's own interpreter
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
