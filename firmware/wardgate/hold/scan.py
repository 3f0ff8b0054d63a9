"""Finds what is in the queue: instances in segments, and files of one instance each as the box made them before it had segments.

A segment whose lock is free has no writer any more. Once it is seen so, it is looked through to its end, also behind a place where a mark
cannot be read: what is whole there is taken up again, what is not was never finished.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from wardgate.hold.files import Files
from wardgate.hold.header import PREFIX_BYTES, head_size
from wardgate.hold.mark import BLOCK, LOGGED_AT, MARK_BYTES, Kind, Mark, aligned, decode_mark, encode_logged
from wardgate.hold.seal import LENGTH, Damaged, Opener
from wardgate.hold.segment import SUFFIX
from wardgate.hold.state import State

STEM: Final = re.compile(r"[0-9]{16}-[0-9a-f]{16}")
_SEGMENT: Final = re.compile(r"([0-9a-f]{16})" + re.escape(SUFFIX))
_FILE: Final = re.compile(r"([0-9]{16}-[0-9a-f]{16})\.(held|sent-([0-9A-F]{4}))")
_PART: Final = re.compile(r"0{16}-[0-9a-f]{16}\.part")


class Place(NamedTuple):
    """Where one instance lies. `offset` 0: it has a file of its own. `state`, `status`: what its file's name says."""

    path: str
    offset: int
    length: int
    state: State = State.WAITING
    status: int = -1


class Found(NamedTuple):
    """An instance that was found, or one whose mark says that it is void."""

    stem: str
    place: Place


class Ended(NamedTuple):
    """What a look to the end of a segment showed: what came, where nothing can be read, and whether something was never finished."""

    found: list[Found]
    damaged: list[int]
    unfinished: bool


class SegmentView:
    """A segment as a reader sees it. `end`: where the next mark is looked for."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.generation = bytes.fromhex(os.path.basename(path)[:16])
        self.end = BLOCK
        self.logged = False  # nothing carried in it is missing in the custody log
        self.ended = False  # looked through to its end, its writer gone
        self.damaged = False  # something in it cannot be read: it is not removed
        self.stems: set[str] = set()  # of instances that are not void, also of those that are gone

    def look(self) -> list[Found]:
        """Return what came since the last look. Raises `OSError`."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.logged = self.logged or is_logged(fd, self.generation)
            return self._marked(fd)
        finally:
            os.close(fd)

    def say_logged(self, files: Files) -> None:
        """Write down that nothing carried in it is missing in the log; if that is lost, it is only asked again. Raises `OSError`."""
        fd = files.open(self.path)
        try:
            files.write_at(fd, encode_logged(self.generation), LOGGED_AT)
        finally:
            files.close(fd)
        self.logged = True

    def finish(self, files: Files, number: Callable[[], int]) -> Ended | None:
        """Look through it to its end when it has no writer any more; None when it has. Raises `OSError`.

        An instance that is whole and has lost its mark gets another: it may have been acknowledged, and sending it is no mistake if not.
        """
        fd = files.open(self.path)
        try:
            if not unlocked(fd):
                return None
            found = self._marked(fd)
            size = os.fstat(fd).st_size
            damaged: list[int] = []
            unfinished = False
            while self.end < size:
                following = next_mark(fd, self.generation, self.end + BLOCK, size)
                length = whole_length(fd, self.end, following)
                if length:
                    mark = Mark(number(), os.urandom(8), length, Kind.KEPT)
                    files.write_at(fd, mark.encode(self.generation), self.end)
                    files.sync(fd)
                elif following < size:
                    damaged.append(self.end)
                    self.end = following
                else:
                    unfinished = any(os.pread(fd, BLOCK, self.end))
                    files.truncate(fd, self.end)
                    break
                found += self._marked(fd)
            self.ended = True
            self.damaged = bool(damaged)
            return Ended(found, damaged, unfinished)
        finally:
            files.close(fd)

    def _marked(self, fd: int) -> list[Found]:
        return [found for mark, offset in self._marks(fd) if (found := self._one(mark, offset))]

    def _marks(self, fd: int) -> Iterator[tuple[Mark, int]]:
        while (mark := decode_mark(os.pread(fd, MARK_BYTES, self.end), self.generation)) is not None:
            offset = self.end
            self.end = aligned(offset + mark.length)
            yield mark, offset

    def _one(self, mark: Mark, offset: int) -> Found | None:
        if mark.kind is Kind.VOID:
            return None
        self.stems.add(mark.stem)
        return Found(mark.stem, Place(self.path, offset, mark.length))


def is_logged(fd: int, generation: bytes) -> bool:
    """Is it known of this segment that no record carried in it is missing in the log?"""
    wanted = encode_logged(generation)
    return os.pread(fd, len(wanted), LOGGED_AT) == wanted


def next_mark(fd: int, generation: bytes, at: int, size: int) -> int:
    """Return where the next mark is, at or behind `at`; `size` when there is none."""
    while at < size:
        if decode_mark(os.pread(fd, MARK_BYTES, at), generation) is not None:
            return at
        at += BLOCK
    return size


def whole_length(fd: int, offset: int, size: int) -> int:
    """Return the length of the instance at `offset` when it is whole by its structure, 0 when it is not."""
    at = offset + MARK_BYTES
    try:
        at += PREFIX_BYTES + head_size(os.pread(fd, PREFIX_BYTES, at))
        while at < size:
            length = os.pread(fd, LENGTH.size, at)
            if not any(length):  # no chunk is empty: bytes that never came
                return 0
            at += LENGTH.size + Opener.size(length)
            if LENGTH.unpack(length)[0] >> 31:
                return at - offset if at <= size else 0
    except Damaged:
        pass
    return 0


def unlocked(fd: int) -> bool:
    """Is nobody writing this file? Then we hold its lock until `fd` is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def segments(folder: str) -> list[str]:
    """Return the names of the segments in a folder."""
    return [name for name in os.listdir(folder) if _SEGMENT.fullmatch(name)]


def own_files(folder: str, quarantined: bool) -> Iterator[Found]:
    """Yield the instances that have a file of their own; their names say what they are."""
    for name in os.listdir(folder):
        match = _FILE.fullmatch(name)
        if match is None:
            continue
        path = os.path.join(folder, name)
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            continue
        state = State.QUARANTINED if quarantined else State.ANSWERED if match[3] else State.WAITING
        yield Found(match[1], Place(path, 0, size, state, int(match[3], 16) if match[3] else -1))


def parts(folder: str) -> list[str]:
    """Return the paths of unfinished files that an older box left."""
    return [os.path.join(folder, name) for name in os.listdir(folder) if _PART.fullmatch(name)]
