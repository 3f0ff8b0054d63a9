"""Shows the newest checkpoint to the witnesses and keeps what they sign: `python -m wardgate.custody.witnessing CONFIG`.

A short-lived program that the master starts every now and then, beside the writer, or a timer once a minute where the log has an account of
its own (`--apart`: it is for such a log, and does it when `witness_seconds` have passed). It reads the log as anybody may, and writes the
file `cosigned` (checkpoint with cosignatures; which older ones stay too: `cosigned.py`) and `witness.json` (what each witness said) in
the log directory.
C2SP tlog-witness, tlog-cosignature.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from wardgate.codes import Code
from wardgate.custody import cosigned
from wardgate.custody.checkpoint import Checkpoint, open_checkpoint
from wardgate.custody.cosignature import WitnessKey, check_cosignatures, parse_witness_key, signature_line
from wardgate.custody.cosigned import Cosigned
from wardgate.custody.files import read_file, write_durably
from wardgate.custody.note import MAX_NOTE, NoteError, VerifierKey, parse_key, split_note
from wardgate.custody.tiles import MAX_BUNDLE, TileError, TileTree
from wardgate.custody.tree import ProofError, consistency_proof
from wardgate.custody.witnesscall import Reply, WitnessUnreachable, encode_request, post
from wardgate.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wardgate.policy.model import CustodyWitness

STATUS: Final = "witness.json"
_EARLY_SECONDS: Final = 30
MOST_AT_ONCE: Final = 8
EACH_SECONDS: Final = 45.0  # for all that one witness is asked: one that hangs costs no other its turn
_TRIES: Final = 4  # the witness may sign for another copy of us between its 409 and our next try


class Seen(Enum):
    """What came of showing a checkpoint to a witness."""

    COSIGNED = "cosigned"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    ROLLED_BACK = "rolled-back"
    FORKED = "forked"


_CODES: Final = {
    Seen.COSIGNED: Code.WITNESS_COSIGNED,
    Seen.UNREACHABLE: Code.WITNESS_UNREACHABLE,
    Seen.REFUSED: Code.WITNESS_REFUSED,
    Seen.ROLLED_BACK: Code.WITNESS_ROLLED_BACK,
    Seen.FORKED: Code.WITNESS_FORKED,
}


class Outcome(NamedTuple):
    """What a witness did with a checkpoint. `line`: its signature line; `size`: records that it has signed, as far as it said so."""

    seen: Seen
    line: str = ""
    size: int = 0
    detail: str = ""


class Shown(NamedTuple):
    """The log as it is shown: the checkpoint, its note, and the tree to make proofs from."""

    checkpoint: Checkpoint
    note: bytes
    tree: TileTree


def open_log(directory: str) -> Shown:
    """Return the log at its newest checkpoint, which its own key signed. Raises `OSError`, `NoteError`."""
    key: VerifierKey = parse_key(read_file(os.path.join(directory, "vkey"), 4096).decode("utf-8", "replace"))
    note = read_file(os.path.join(directory, "checkpoint"), MAX_NOTE)
    checkpoint = open_checkpoint(note, key)
    return Shown(checkpoint, note, _tree(directory, checkpoint.size))


def _tree(directory: str, size: int) -> TileTree:
    return TileTree(lambda path: read_file(os.path.join(directory, path), MAX_BUNDLE), size)


def show(log: Shown, key: WitnessKey, old: int, send: Callable[[bytes], Reply]) -> Outcome:
    """Show the checkpoint to one witness, which signed `old` records as far as we know."""
    size = log.checkpoint.size
    old = min(old, size)
    for _ in range(_TRIES):
        try:
            proof = consistency_proof(log.tree.subtree, old, size) if 0 < old < size else []
        except (TileError, ProofError, OSError) as error:
            return Outcome(Seen.REFUSED, size=old, detail=f"no proof from {old} to {size} records can be made: {error}")
        try:
            reply = send(encode_request(old, proof, log.note))
        except WitnessUnreachable as error:
            return Outcome(Seen.UNREACHABLE, size=old, detail=str(error))
        if reply.status == 200:
            return _cosigned(log, key, reply.body)
        if reply.status == 409 and (known := reply.size()) is not None and known != old:
            if known > size:
                return Outcome(Seen.ROLLED_BACK, size=known, detail=f"the witness signed {known} records, the log has {size}")
            old = known
            continue
        seen = Seen.FORKED if reply.status == 422 else Seen.REFUSED
        return Outcome(seen, size=old, detail=f"status {reply.status}: {reply.text}")
    return Outcome(Seen.REFUSED, size=old, detail="the witness names another size each time")


class _Asking:
    """One witness, asked in a thread of its own: nothing of it is waited for longer than `EACH_SECONDS`."""

    def __init__(self, directory: str, log: Shown, key: WitnessKey, witness: CustodyWitness, old: int) -> None:
        self._log = log._replace(tree=_tree(directory, log.checkpoint.size))
        self._key, self._witness, self._old = key, witness, old
        self._deadline = time.monotonic() + EACH_SECONDS
        self._outcome = Outcome(Seen.UNREACHABLE, size=old, detail=f"no answer in {EACH_SECONDS:.0f} s")
        self._thread = threading.Thread(target=self._run, daemon=True, name=key.name)  # a resolver that hangs does not keep the program
        self._thread.start()

    def _run(self) -> None:
        self._outcome = show(self._log, self._key, self._old, self._send)

    def _send(self, body: bytes) -> Reply:
        return post(self._witness.url, self._witness.anchors, body, self._deadline)

    def outcome(self) -> Outcome:
        """Return what came of it."""
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        return self._outcome


def _ask(directory: str, log: Shown, asked: list[tuple[WitnessKey, CustodyWitness, int]]) -> list[Outcome]:
    """Show the checkpoint to all, side by side, a few at a time."""
    outcomes: list[Outcome] = []
    for first in range(0, len(asked), MOST_AT_ONCE):
        askings = [_Asking(directory, log, *one) for one in asked[first : first + MOST_AT_ONCE]]
        outcomes += [asking.outcome() for asking in askings]
    return outcomes


def _cosigned(log: Shown, key: WitnessKey, body: bytes) -> Outcome:
    """Check the signature lines of an answer; those of other keys are passed over (tlog-witness)."""
    try:
        split_note(log.note + body)
        for line in body.decode("utf-8").splitlines(keepends=True):
            text, _ = split_note(log.note)
            found = check_cosignatures(f"{text}\n{line}".encode(), [key])
            if found:
                return Outcome(Seen.COSIGNED, line, log.checkpoint.size)
    except (NoteError, UnicodeDecodeError) as error:
        return Outcome(Seen.REFUSED, detail=f"its signature cannot be used: {error}")
    return Outcome(Seen.REFUSED, detail=f"no signature of {key.name} with key id {key.key_id.hex()} in the answer")


def keep(directory: str, log: Shown, lines: list[str], keys: list[WitnessKey]) -> None:
    """Keep the checkpoint with its cosignatures, beside those of `keys` that are kept and good. Raises `OSError`, `NoteError`."""

    def good(one: Cosigned) -> Cosigned:
        """Leave out what was damaged on the disk."""
        for key in keys:
            data = one.witnesses.get((key.name, key.key_id))
            try:
                if data is not None:
                    check_cosignatures(f"{one.text}\n{signature_line(key.name, key.key_id, data)}".encode(), [key])
            except NoteError:
                del one.witnesses[key.name, key.key_id]
        return one

    cosigned.keep(directory, log.note + "".join(lines).encode(), good)


def run(directory: Path, witnesses: tuple[CustodyWitness, ...], log: Log) -> bool:
    """Show the checkpoint to every witness once, side by side; return whether all signed it."""
    place = os.fspath(directory)
    before = read_status(place)
    try:
        opened = open_log(place)
    except FileNotFoundError:
        return True  # nothing is signed yet
    except (OSError, NoteError) as error:
        log.event(Code.WITNESS_NO_CHECKPOINT, detail=error)
        return False
    now = {}
    lines = []
    keys = [parse_witness_key(witness.key) for witness in witnesses]
    sizes = [before.get(key.name, {}).get("size") for key in keys]
    asked = [(key, witness, size if isinstance(size, int) else 0) for key, witness, size in zip(keys, witnesses, sizes, strict=True)]
    for (key, witness, _size), outcome in zip(asked, _ask(place, opened, asked), strict=True):
        known = before.get(key.name, {})
        entry = {**known, "url": witness.url, "state": outcome.seen.value, "asked": int(time.time()), "detail": outcome.detail[:200]}
        if outcome.seen is Seen.COSIGNED:
            lines.append(outcome.line)
            entry |= {"size": outcome.size, "cosigned": int(time.time())}
        elif outcome.size:
            entry["size"] = outcome.size
        now[key.name] = entry
        if entry["state"] != known.get("state") or outcome.seen in (Seen.ROLLED_BACK, Seen.FORKED):
            log.event(_CODES[outcome.seen], key.name, size=outcome.size, detail=outcome.detail or "-")
    try:
        if lines:
            keep(place, opened, lines, keys)
        write_durably(os.path.join(place, STATUS), json.dumps(now).encode())
    except (OSError, NoteError) as error:
        log.event(Code.WITNESS_NOT_KEPT, detail=error)
        return False
    return len(lines) == len(witnesses)


def read_status(directory: str) -> dict[str, dict[str, object]]:
    """Return what each witness said last, by name; nothing when there is no such file."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(read_file(os.path.join(directory, STATUS), 1 << 20))
        if isinstance(found, dict):
            return {name: entry for name, entry in found.items() if isinstance(entry, dict)}
    return {}


def is_due(said: dict[str, dict[str, object]], seconds: int, now: float) -> bool:
    """Have `seconds` passed since a witness was asked, or was none ever? Half a minute early counts: the next look comes a minute later."""
    asked = [at for entry in said.values() if isinstance(at := entry.get("asked"), int)]
    return not asked or not 0 <= now - max(asked) < seconds - _EARLY_SECONDS


def main(arguments: list[str]) -> int:
    """Run once; return 0 when every witness signed, 1 when not, 2 on wrong usage."""
    apart = arguments[:1] == ["--apart"]
    if len(arguments) != 1 + apart or arguments[-1].startswith("-"):
        sys.stderr.write("usage: python -m wardgate.custody.witnessing [--apart] CONFIG\n")
        return 2
    from wardgate.policy import load

    custody = load(arguments[-1], check_files=False).custody
    if apart and (
        not custody.socket or not custody.witness or not is_due(read_status(os.fspath(custody.log)), custody.witness_seconds, time.time())
    ):
        return 0
    return 0 if run(custody.log, custody.witness, Log("witness")) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
