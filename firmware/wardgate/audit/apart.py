"""The audit sender under an account of its own: `python -m wardgate.audit.apart`, what `audit.service` becomes.

The service manager keeps it. It takes events from the gateway's account (SO_PEERCRED), and from it no other word but to look whether
the policy is another one: nobody but the service manager ends it. When the policy has changed it leaves, to be started with the new one.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wardgate.audit.lists import Lists
from wardgate.audit.sender import Sender
from wardgate.audit.stamp import stamp
from wardgate.codes import Code
from wardgate.notify import Notifier
from wardgate.pairs import pairs
from wardgate.policy.model import build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wardgate.policy.model import Config


class Apart(Sender):
    """One that the service manager keeps."""

    def __init__(self, config: Config, policy: Path, uids: Sequence[int], was: tuple[int, ...]) -> None:
        """`policy`: the file of `config`, which `was` so before it was read; `uids`: accounts that may call."""
        self._began = was, *look(config, policy)[1:]  # before anything else is read
        lists = config.audit_socket.parent / "crl"
        super().__init__(config, lists, uids)
        self._notifier = Notifier()
        self._fetching = Lists(config, policy)
        self._policy = policy
        self._loop.each_tick(self._turn)

    def _serves(self) -> None:
        self._notifier.settled()
        self._notifier.status("serves")

    def _turn(self) -> None:
        now = time.monotonic()
        self._notifier.turned(now)
        self._fetching.turn(now)

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        if question.get("do") != "policy":
            return super()._answer(question)
        leaves = look(self._config, self._policy) != self._began
        if leaves:
            self._log.event(Code.STOPPING)
            self.stop()
        return {"ok": True, "leaves": leaves}


def look(config: Config, policy: Path) -> tuple[tuple[int, ...], ...]:
    """Return what would be another if the policy, or a file that its repositories name, had been changed."""
    assert config.audit is not None
    paths = [policy]
    for repository in config.audit.repositories:
        tls = repository.tls
        keys = [Path(pair.key) for pair in tls.certificates if isinstance(pair.key, Path)]
        paths += [*(pair.chain for pair in tls.certificates), *keys, tls.anchors, *tls.crls]
    return tuple(stamp(path) for path in paths)


def main(words: list[str]) -> int:
    """Serve until SIGTERM, or until the policy is another one.

    `--config-fd`: the checked policy, JSON; `--policy`: the file that it came from; `--policy-was`: its `stamp` before that;
    `--uids`: accounts that may call; numbers with commas.
    """
    options = pairs("wardgate.audit.apart", words, ("--config-fd", "--policy", "--policy-was", "--uids"))
    with open(int(options["--config-fd"]), "rb") as file:
        file.seek(0)
        config = build(json.load(file))
    uids, was = ([int(word) for word in options[name].split(",") if word] for name in ("--uids", "--policy-was"))
    sender = Apart(config, Path(options["--policy"]), uids, tuple(was))
    signal.signal(signal.SIGTERM, lambda *_: sender.stop())
    sender.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
