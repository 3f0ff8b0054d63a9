"""C2SP tlog-checkpoint: origin, size and root of the log, as the text of a signed note. Sans-IO."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import NamedTuple

from wardgate.custody.note import NoteError, VerifierKey, open_note, split_note


class Checkpoint(NamedTuple):
    """The head of a log: `size` entries under `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Return what a checkpoint's text says; extension lines are passed over. Raises `NoteError`."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise NoteError("a checkpoint has at least three lines, none empty")
    origin, size, root = lines[:3]
    if not (size.isascii() and size.isdigit()) or (size[0] == "0" and size != "0") or len(size) > 19:
        raise NoteError(f"{size[:24]!r} is no tree size")
    try:
        data = b64decode(root, validate=True)
    except ValueError as error:
        raise NoteError("the root hash is not base64") from error
    if len(data) != 32 or b64encode(data).decode() != root:
        raise NoteError("the root hash has not 32 bytes")
    return Checkpoint(origin, int(size), data)


def open_checkpoint(note: bytes, key: VerifierKey) -> Checkpoint:
    """Return the checkpoint that `key` signed, for the log that the key is named after. Raises `NoteError`."""
    checkpoint = parse_checkpoint(open_note(note, key))
    if checkpoint.origin != key.name:
        raise NoteError(f"the checkpoint is of {checkpoint.origin!r}, the key is of {key.name!r}")
    return checkpoint


def peek_checkpoint(note: bytes) -> Checkpoint:
    """Return what a checkpoint says without checking its signature. Raises `NoteError`."""
    return parse_checkpoint(split_note(note)[0])
