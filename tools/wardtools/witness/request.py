"""The add-checkpoint call of tlog-witness: its body read, its answers by HTTP status. Sans-IO."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final, NamedTuple

from wardgate.custody.checkpoint import Checkpoint, parse_checkpoint
from wardgate.custody.note import MAX_NOTE, NoteError, split_note

_MAX_LINES: Final = 63  # tlog-witness, "add-checkpoint"
MAX_BODY: Final = MAX_NOTE + 64 * 64


class BadRequest(Exception):
    """The body is not what tlog-witness says."""


class Request(NamedTuple):
    """A checkpoint with the proof that it continues the one of `old` entries."""

    old: int
    proof: list[bytes]
    checkpoint: Checkpoint
    text: str
    note: bytes


class Answer(NamedTuple):
    """What goes back: an HTTP status, a body and its type."""

    status: int
    body: str
    type: str = "text/plain; charset=utf-8"


def read_request(body: bytes) -> Request:
    """Return what was submitted. Raises `BadRequest`."""
    head, gap, note = body.partition(b"\n\n")
    if len(body) > MAX_BODY or not gap:
        raise BadRequest("no empty line after the proof, or too long")
    lines = head.decode("ascii", "replace").split("\n")
    word, _, number = lines[0].partition(" ")
    if word != "old" or not is_size(number):
        raise BadRequest("the first line is not the old size")
    if len(lines) - 1 > _MAX_LINES:
        raise BadRequest(f"{len(lines) - 1} proof lines, at most {_MAX_LINES}")
    proof = [_hash(line) for line in lines[1:]]
    try:
        text, _ = split_note(note)
        return Request(int(number), proof, parse_checkpoint(text), text, note)
    except NoteError as error:
        raise BadRequest(str(error)) from error


def is_size(text: str) -> bool:
    """Is `text` a tree size as the format writes it?"""
    return text.isascii() and text.isdigit() and len(text) <= 19 and (text[0] != "0" or text == "0")


def _hash(line: str) -> bytes:
    try:
        data = b64decode(line, validate=True)
    except ValueError:
        data = b""
    if len(data) != 32 or b64encode(data).decode() != line:
        raise BadRequest("a proof line is not a hash")
    return data
