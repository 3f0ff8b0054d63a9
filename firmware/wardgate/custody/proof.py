"""C2SP tlog-proof: one entry, its place, its audit path and the signed checkpoint in one file. Sans-IO.

The entry itself is the `extra` line: the file proves itself to whoever has the log's public key.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final, NamedTuple

from wardgate.custody.checkpoint import Checkpoint, open_checkpoint
from wardgate.custody.note import MAX_NOTE, VerifierKey
from wardgate.custody.tiles import MAX_ENTRY
from wardgate.custody.tree import ProofError, check_inclusion, leaf_hash

_HEADER: Final = "c2sp.org/tlog-proof@v1"
MAX_PROOF: Final = MAX_NOTE + 2 * MAX_ENTRY


class Proven(NamedTuple):
    """What a proof showed: this entry stands at this place of the log under this checkpoint."""

    entry: bytes
    place: int
    checkpoint: Checkpoint


def encode_proof(entry: bytes, place: int, path: list[bytes], note: bytes) -> bytes:
    """Return the proof file. `note`: the signed checkpoint, verbatim."""
    lines = [_HEADER, f"extra {b64encode(entry).decode()}", f"index {place}", *(b64encode(step).decode() for step in path), ""]
    return "\n".join(lines).encode() + b"\n" + note


def check_proof(data: bytes, key: VerifierKey) -> Proven:
    """Return what a proof file shows. Raises `ProofError`, `NoteError` (signature) when it does not."""
    if len(data) > MAX_PROOF:
        raise ProofError(f"proof of {len(data)} bytes, at most {MAX_PROOF}")
    head, gap, note = data.partition(b"\n\n")
    lines = head.decode("utf-8", "replace").split("\n")
    if not gap or lines[0] != _HEADER or len(lines) < 3 or len(lines) > 66:
        raise ProofError(f"not a {_HEADER} file")
    if not lines[1].startswith("extra "):
        raise ProofError("the proof does not hold its entry")
    entry = _decode(lines[1].removeprefix("extra "))
    word, _, number = lines[2].partition(" ")
    if word != "index" or not (number.isascii() and number.isdigit()) or len(number) > 19 or str(int(number)) != number:
        raise ProofError("the proof has no index")
    path = [_decode(line) for line in lines[3:]]
    if any(len(step) != 32 for step in path):
        raise ProofError("a hash of the proof has not 32 bytes")
    checkpoint = open_checkpoint(note, key)
    check_inclusion(leaf_hash(entry), int(number), checkpoint.size, path, checkpoint.root)
    return Proven(entry, int(number), checkpoint)


def _decode(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise ProofError("a line of the proof is not base64") from error
