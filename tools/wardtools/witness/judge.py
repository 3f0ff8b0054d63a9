"""Decides on a submitted checkpoint, makes the decision durable, then signs (tlog-witness, "add-checkpoint")."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from wardgate.custody.checkpoint import open_checkpoint
from wardgate.custody.cosignature import WitnessKey, cosignature_line, message
from wardgate.custody.note import NoteError, UnknownKey, VerifierKey
from wardgate.custody.tree import EMPTY_ROOT, ProofError, check_consistency
from wardtools.witness.request import Answer, BadRequest, Request, read_request
from wardtools.witness.state import LogState, StateDirectory, StateError


class Witness:
    """One witness. `sign` makes an Ed25519 signature; `tell(line)` gets what the operator should read."""

    def __init__(
        self,
        states: StateDirectory,
        key: WitnessKey,
        sign: Callable[[bytes], bytes],
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._states = states
        self._key = key
        self._sign = sign
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()  # the old size is compared and the new one kept as one step

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer one add-checkpoint call."""
        try:
            request = read_request(body)
        except BadRequest as error:
            return Answer(400, f"{error}\n")
        with self._lock:
            try:
                state = self._states.load(request.checkpoint.origin)
            except FileNotFoundError:
                return Answer(404, "this witness does not know the log\n")
            except (StateError, OSError) as error:
                self._tell(f"ERROR {request.checkpoint.origin}: {error}")
                return Answer(500, "the state of the log cannot be read here\n")
            return self._judge(request, state)

    def _judge(self, request: Request, state: LogState) -> Answer:
        new, head = request.checkpoint, state.head
        try:
            _check_signature(request.note, state.keys)
        except NoteError as error:
            return Answer(403, f"{error}\n")
        if request.old > new.size:
            return Answer(400, "the old size is above that of the checkpoint\n")
        if request.old != head.size:
            if new.size < head.size:
                self._tell(f"WARN {new.origin}: shows {new.size} records, {head.size} were signed: rolled back, or late")
            return Answer(409, f"{head.size}\n", "text/x.tlog.size")
        problem = _contradiction(request, state)
        if problem:
            try:
                kept = f"kept in {self._states.keep_evidence(new.origin, request.note)}"
            except OSError as error:
                kept = f"it could not be kept ({error}): {request.note!r}"
            self._tell(f"ERROR {new.origin}: {problem}; the log signed two histories, or sent a wrong proof: {kept}")
            return Answer(422, f"{problem}\n")
        try:
            if request.note != state.note:
                self._states.save(state._replace(note=request.note))
        except OSError as error:
            self._tell(f"ERROR {new.origin}: the state cannot be kept: {error}")
            return Answer(500, "the state cannot be kept\n")
        seconds = max(1, int(self._clock()))
        return Answer(200, cosignature_line(self._key, seconds, self._sign(message(request.text, seconds))))


def _check_signature(note: bytes, keys: tuple[VerifierKey, ...]) -> None:
    """Raise `NoteError` unless a key of the log signed, and every signature under one of its keys is good."""
    signed = False
    for key in keys:
        try:
            open_checkpoint(note, key)
            signed = True
        except UnknownKey:
            continue
    if not signed:
        raise NoteError("no signature of a key of this log")


def _contradiction(request: Request, state: LogState) -> str:
    new, head = request.checkpoint, state.head
    if new.size == 0 and new.root != EMPTY_ROOT:
        return "an empty tree with another root"
    if head.size == 0:
        return "a proof from an empty tree" if request.proof else ""
    try:
        check_consistency(head.size, head.root, new.size, new.root, request.proof)
    except ProofError as error:
        return f"{head.size} to {new.size}: {error}"
    return ""
