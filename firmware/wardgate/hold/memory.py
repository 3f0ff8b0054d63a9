"""What a destination accepted when it was last seen, for each pair of AE titles: one small file a pair.

The relay path and the forwarder teach it. What a called side refuses is forgotten again.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable
from typing import Final, NamedTuple

from wardgate.hold.files import Files
from wardgate.upperlayer.pdu import AssociateAC, AssociateRQ
from wardgate.upperlayer.terms import ContextResult

MAX_BYTES: Final = 1 << 20
MAX_CLASSES: Final = 1024
MAX_SYNTAXES: Final = 64  # of one class

Accepted = dict[str, list[str]]  # abstract syntax -> transfer syntaxes


class Pair(NamedTuple):
    """Who calls whom over which link."""

    link: str
    peer: str
    calling: str
    called: str


class Answer(NamedTuple):
    """What a called side said to one proposed context. `chosen`: the transfer syntax, empty when it refused."""

    abstract_syntax: str
    proposed: tuple[str, ...]
    result: int
    chosen: str


def answers(request: AssociateRQ, answer: AssociateAC) -> list[Answer]:
    """Return what the A-ASSOCIATE-AC says to each context of the A-ASSOCIATE-RQ."""
    asked = {context.id: context for context in request.contexts}
    found = []
    for context in answer.contexts:
        proposal = asked.get(context.id)
        if proposal is not None:
            chosen = context.transfer_syntax if context.accepted else ""
            found.append(Answer(proposal.abstract_syntax, proposal.transfer_syntaxes, context.result, chosen))
    return found


def learn(known: Accepted, told: Iterable[Answer]) -> Accepted:
    """Return what is known after an association was answered. Pure; `known` is not changed."""
    after = {name: list(syntaxes) for name, syntaxes in known.items()}
    for one in told:
        syntaxes = after.get(one.abstract_syntax, [])
        if one.chosen in one.proposed:
            if one.chosen not in syntaxes and len(syntaxes) < MAX_SYNTAXES:
                syntaxes.append(one.chosen)
        elif one.result == ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED:
            syntaxes = []
        else:
            syntaxes = [syntax for syntax in syntaxes if syntax not in one.proposed]
        if syntaxes and (one.abstract_syntax in after or len(after) < MAX_CLASSES):
            after[one.abstract_syntax] = syntaxes
        else:
            after.pop(one.abstract_syntax, None)
    return after


class ContextMemory:
    """The folder of those files. `teach` may wait for the disk: not on the loop."""

    def __init__(self, directory: str, files: Files) -> None:
        self._directory = directory
        self._files = files
        self._lock = threading.Lock()

    def recall(self, pair: Pair) -> Accepted:
        """Return what is known of a pair; empty when it was never seen or its file cannot be read."""
        try:
            with open(self._path(pair), "rb") as file:
                found = json.loads(file.read(MAX_BYTES))
        except (OSError, ValueError):
            return {}
        accepted = found.get("accepted") if isinstance(found, dict) and found.get("pair") == list(pair) else None
        if not isinstance(accepted, dict):
            return {}
        return {
            name: [syntax for syntax in syntaxes if isinstance(syntax, str)]
            for name, syntaxes in accepted.items()
            if isinstance(name, str) and isinstance(syntaxes, list)
        }

    def teach(self, pair: Pair, told: list[Answer]) -> bool:
        """Take in what a called side answered; durable when it returns. Returns whether that was news. Raises `OSError`."""
        with self._lock:
            known = self.recall(pair)
            after = learn(known, told)
            if after == known:
                return False
            data = json.dumps({"pair": list(pair), "accepted": after}, indent=1).encode("ascii")
            if len(data) <= MAX_BYTES:
                self._files.write_whole(self._path(pair), data)
            return True

    def _path(self, pair: Pair) -> str:
        name = hashlib.sha256("\0".join(pair).encode("utf-8", "backslashreplace")).hexdigest()[:32]
        return os.path.join(self._directory, f"{name}.json")
