"""How a worker hands messages of storage commitment on to the forwarder: one small file each, durable before the message is answered.

    commitment/inbox/TIME-ID.json    removed by the forwarder when what it says is in the journal

Read twice after a crash, a message changes nothing the second time: its name is remembered.
"""

from __future__ import annotations

import json
import os
import re
import time
from enum import StrEnum
from typing import Any, Final, NamedTuple

from wardgate.dimse.commitment import Reference, Report
from wardgate.hold.files import Files
from wardgate.hold.memory import Pair

FOLDER: Final = "commitment"
MAX_WAITING: Final = 1024  # files; then no further message is taken, and no request from half of them on: reports make room
MAX_BYTES: Final = 16 << 20
_NAME: Final = re.compile(r"[0-9]{20}-[0-9a-f]{16}\.json")


class Kind(StrEnum):
    """What a message is."""

    ACTION = "action"  # N-ACTION of the modality
    EVENT = "event"  # N-EVENT-REPORT of the destination
    TOLD = "told"  # a report of ours was answered on the association that had asked


class Message(NamedTuple):
    """One message. `number`: of the queue, when it came; `worker`: socket on which the association can be told more; `status`: of TOLD."""

    kind: Kind
    pair: Pair
    transaction: str
    references: tuple[tuple[str, str, int], ...] = ()
    number: int = 0
    worker: str = ""
    name: str = ""  # of the file; of TOLD: of the request

    def report(self) -> Report:
        """Return it as it was on the wire."""
        return Report(self.transaction, tuple(Reference(*each) for each in self.references))


class Inbox:
    """The folder. `put` may wait for the disk: not on the loop. Raises `OSError`."""

    def __init__(self, directory: str, files: Files) -> None:
        parent = os.path.join(directory, FOLDER)
        self._folder = os.path.join(parent, "inbox")
        self._files = files
        for path in (parent, self._folder):
            files.make_directory(path)

    def full(self, kind: Kind) -> bool:
        """Does so much wait that no more of this kind is taken?"""
        return len(os.listdir(self._folder)) >= (MAX_WAITING // 2 if kind is Kind.ACTION else MAX_WAITING)

    def put(self, message: Message) -> str:
        """Make a message durable; return its name."""
        name = f"{time.time_ns():020d}-{os.urandom(8).hex()}.json"
        self._files.write_whole(os.path.join(self._folder, name), json.dumps(message._asdict()).encode("ascii"))
        return name

    def names(self) -> list[str]:
        """Return what waits, oldest first."""
        return sorted(name for name in os.listdir(self._folder) if _NAME.fullmatch(name))

    def get(self, name: str) -> Message | None:
        """Return a message; None for one that is none: it was not durable, so nobody was answered. Raises `OSError`."""
        try:
            with open(os.path.join(self._folder, name), "rb") as file:
                found: Any = json.loads(file.read(MAX_BYTES))
            references = tuple((str(sop_class), str(uid), int(reason)) for sop_class, uid, reason in found["references"])
            kind, pair, number = Kind(found["kind"]), Pair(*found["pair"]), int(found["number"])
            return Message(kind, pair, str(found["transaction"]), references, number, str(found["worker"]), str(found["name"]) or name)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return None

    def remove(self, name: str) -> None:
        """What it says is in the journal."""
        self._files.unlink(os.path.join(self._folder, name))
