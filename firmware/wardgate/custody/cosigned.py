"""What witnesses signed of this log, as it is kept: no cosignature goes but for a newer one of the same witness.

The file `cosigned` is the newest checkpoint with all cosignatures that were had of it. While a witness is away the log grows, and the next
checkpoint is signed by fewer: the older one, which more signed, then stays beside it in `cosigned-older/`, until everybody who signed it
has signed one newer checkpoint. C2SP tlog-cosignature: a cosignature says that the witness saw this checkpoint, no other.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final, NamedTuple

from wardgate.custody.checkpoint import parse_checkpoint
from wardgate.custody.cosignature import COSIGNED, signature_line
from wardgate.custody.files import read_file, sync_directory, write_durably
from wardgate.custody.note import MAX_NOTE, NoteError, split_note

OLDER: Final = "cosigned-older"
MAX_OLDER: Final = 8  # notes; two witnesses make one at most, three make three
_MAX_LISTED: Final = 64  # files of that folder that are looked at: what a cut off run left is between the others

Line = tuple[str, bytes, bytes]  # name, key id, signature: as `split_note` returns it


class Cosigned(NamedTuple):
    """One checkpoint: its text, the log's own signature lines, and those of witnesses by name and key id."""

    size: int
    text: str
    own: tuple[Line, ...]
    witnesses: dict[tuple[str, bytes], bytes]

    @property
    def note(self) -> bytes:
        """It as a signed note."""
        lines = [*self.own, *((name, ident, data) for (name, ident), data in self.witnesses.items())]
        return (f"{self.text}\n" + "".join(signature_line(*line) for line in lines)).encode()

    @property
    def file(self) -> str:
        """Its name among the older ones: two trees of one size, which are a fork, both stay."""
        return f"{self.size}-{sha256(self.text.encode()).hexdigest()[:16]}"


def parse_cosigned(note: bytes) -> Cosigned:
    """Return a note taken apart; no signature is checked. Raises `NoteError`."""
    text, lines = split_note(note)
    checkpoint = parse_checkpoint(text)
    own = tuple(line for line in lines if line[0] == checkpoint.origin)
    return Cosigned(checkpoint.size, text, own, {(name, ident): data for name, ident, data in lines if name != checkpoint.origin})


def best_of(notes: Iterable[Cosigned]) -> list[Cosigned]:
    """Return those to keep, newest first. Of one checkpoint that comes twice the first has the word, and the other what it lacks."""
    joined: dict[str, Cosigned] = {}
    for one in notes:
        first = joined.setdefault(one.text, one)
        joined[one.text] = first._replace(witnesses={**one.witnesses, **first.witnesses})
    found: list[Cosigned] = []
    for one in sorted(joined.values(), key=lambda each: each.size, reverse=True):
        if one.witnesses and not any(one.size < each.size and one.witnesses.keys() <= each.witnesses.keys() for each in found):
            found.append(one)
    while len(found) > 1 + MAX_OLDER:
        found.remove(min(found[1:], key=lambda each: (len(each.witnesses), each.size)))
    return found


def read_cosigned(read: Callable[[str], bytes], names: Iterable[str]) -> list[tuple[str, bytes]]:
    """Return (path, note) of what is kept, the newest first. `names`: of the files in `OLDER`. What cannot be read is left out."""
    found = []
    for path in (COSIGNED, *(f"{OLDER}/{name}" for name in sorted(names, key=_size_in, reverse=True)[:_MAX_LISTED])):
        with contextlib.suppress(FileNotFoundError):
            found.append((path, read(path)))
    return found


def names_in(directory: str) -> list[str]:
    """Return the names of the older notes of a log directory, none when it has none. Raises `OSError`."""
    try:
        return [name for name in os.listdir(os.path.join(directory, OLDER)) if not name.endswith(".tmp")]
    except FileNotFoundError:
        return []


def keep(directory: str, note: bytes, good: Callable[[Cosigned], Cosigned]) -> None:
    """Keep a note with new cosignatures beside what is kept, of which `good` returns what verifies. Raises `OSError`, `NoteError`."""
    older = os.path.join(directory, OLDER)
    known = []
    for _, kept in read_cosigned(lambda path: read_file(os.path.join(directory, path), MAX_NOTE), names_in(directory)):
        with contextlib.suppress(NoteError):  # damaged: it proves nothing to anybody
            known.append(good(parse_cosigned(kept)))
    newest, *others = best_of([parse_cosigned(note), *known])
    names = {each.file for each in others}
    if others:
        os.makedirs(older, 0o750, exist_ok=True)
        for each in others:
            write_durably(os.path.join(older, each.file), each.note)
        sync_directory(older)
    write_durably(os.path.join(directory, COSIGNED), newest.note)
    sync_directory(directory)
    for name in names_in(directory):  # last: cut off before this there is more than needs to be, never less
        if name not in names:
            os.unlink(os.path.join(older, name))


def _size_in(name: str) -> int:
    digits = name.partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 19 else -1
