"""Reads the write-ahead files of a log directory: what a writer does before it writes, and what `wardtool` does beside one.

A torn tail is dropped (nobody was told that it is durable). Damage before something known to be durable raises `Damaged`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from wardgate.custody import wire
from wardgate.custody.frames import RECORD_KINDS, Frame, Kind, acknowledged_after, decode, is_cut
from wardgate.custody.state import State, StateError, decode_state
from wardgate.custody.wal import wal_numbers, wal_path

_READ: Final = 128 * 1024


class Damaged(Exception):
    """The files contradict what was acknowledged; nothing is changed on disk. `record`: index of the first record concerned, if known."""

    def __init__(self, text: str, record: int | None = None) -> None:
        super().__init__(text)
        self.record = record


class Segment(NamedTuple):
    """Records `start` up to and without `stop` lie in this file; frames of later indexes in it are void."""

    path: str
    start: int
    stop: int


class Recovered(NamedTuple):
    """What was found: the state after the last good frame, the files, the next free number, bytes of torn tail dropped."""

    state: State
    segments: list[Segment]
    next_number: int
    torn: int
    missing: bool  # a checkpoint is there, yet no write-ahead file


def read_frames(path: str) -> Iterator[Frame]:
    """Yield the good frames of a file up to its end or torn tail; `end` counts from its first byte. Raises `Damaged`, `OSError`."""
    with open(path, "rb", buffering=0) as file:
        buffer, start, offset = b"", 0, 0
        place: int | None = None  # of the record after the last good frame
        while True:
            frame = decode(buffer, offset)
            if frame is not None:
                offset = frame.end
                place = frame.place + (frame.kind in RECORD_KINDS)
                yield frame._replace(end=start + frame.end)
                continue
            if offset < len(buffer) and not is_cut(buffer, offset):
                break
            chunk = file.read(max(_READ, len(buffer) - offset))
            if not chunk:
                break
            buffer, start, offset = buffer[offset:] + chunk, start + offset, 0
        if acknowledged_after(buffer, offset, start, file.read):
            where = "" if place is None else f" (record {place})"
            raise Damaged(f"{path}: bad frame at byte {start + offset}{where}, and later frames show that it was once on disk", place)


def records_of(segments: list[Segment], start: int, stop: int) -> Iterator[tuple[Frame, bytes]]:
    """Yield (frame, record) of the indexes `start` up to `stop`. Raises `Damaged` when one is missing."""
    want = start
    for segment in segments:
        if segment.stop <= want or want >= stop:
            continue
        for frame in read_frames(segment.path):
            if frame.kind in RECORD_KINDS and want == frame.place < min(segment.stop, stop):
                yield frame, record_in(frame)
                want += 1
    if want != stop:
        raise Damaged(f"record {want} is in no write-ahead file")


def record_in(frame: Frame) -> bytes:
    """Return the record bytes of a frame (an OPEN has its reservation before them)."""
    return frame.payload[4:] if frame.kind == Kind.OPEN else frame.payload


def replay(directory: str, checkpoint_size: int, limit: int | None = None) -> tuple[Recovered, list[tuple[str, int, int]]]:
    """Return what the files say and the ends found: (path, end of good frames, file size). Changes nothing.

    `limit`: records from this index on were never acknowledged and are left out. Raises `Damaged`, `OSError`.
    """
    state: State | None = None
    segments: list[Segment] = []
    ends: list[tuple[str, int, int]] = []
    torn = 0
    numbers = wal_numbers(directory)
    for number in numbers:
        path = wal_path(directory, number)
        size = os.stat(path).st_size
        end = 0
        started = False
        for frame in read_frames(path):
            try:
                if not started:
                    state = _head(path, frame, state, segments, checkpoint_size)
                    started = True
                    segments.append(Segment(path, state.next_index, state.next_index))
                    end = frame.end
                    continue
                if state is None:
                    break  # never: a state frame came first
                if limit is not None and frame.place >= limit:
                    break
                reserve = wire.decode_reserve(frame.payload) if frame.kind in (Kind.OPEN, Kind.RESERVE) else 0
                state.replay(frame, reserve)
            except (StateError, wire.WireError) as error:
                raise Damaged(f"{path}: at byte {end}: {error}") from error
            end = frame.end
        if started and state is not None:
            segments[-1] = segments[-1]._replace(stop=state.next_index)
            torn += _torn_bytes(path, end)
        ends.append((path, end, size))
    if state is None:
        return Recovered(State(checkpoint_size), [], (numbers[-1] if numbers else 0) + 1, torn, checkpoint_size > 0), ends
    if segments[0].start > checkpoint_size:
        raise Damaged(f"the checkpoint covers {checkpoint_size} records, the write-ahead files begin with {segments[0].start}")
    if state.next_index < checkpoint_size:
        raise Damaged(f"the checkpoint covers {checkpoint_size} records, the write-ahead files end before {state.next_index}")
    return Recovered(state, segments, numbers[-1] + 1, torn, False), ends


def recover(directory: str, checkpoint_size: int, limit: int | None = None) -> Recovered:
    """Replay, then cut torn tails off and remove files that were only prepared. Raises `Damaged`, `OSError`."""
    if limit is not None:
        _forget_cache(directory)
    found, ends = replay(directory, checkpoint_size, limit)
    for path, end, size in ends:
        if end == 0:
            os.unlink(path)
        elif end < size:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.ftruncate(fd, end)
                os.fsync(fd)
            finally:
                os.close(fd)
    return found


def _head(path: str, frame: Frame, before: State | None, segments: list[Segment], checkpoint_size: int) -> State:
    if frame.kind != Kind.STATE:
        raise Damaged(f"{path}: does not begin with a state frame")
    if before is not None and before.next_index < frame.place <= checkpoint_size:
        segments.clear()  # the files between are covered by the checkpoint and were being removed
    elif before is not None and frame.place > before.next_index:
        raise Damaged(f"{path}: begins with record {frame.place}, the file before ends at {before.next_index}")
    if segments and frame.place < segments[-1].stop:
        segments[-1] = segments[-1]._replace(stop=frame.place)
    return decode_state(frame.payload, frame.place)


def _torn_bytes(path: str, end: int) -> int:
    """How many bytes that are not zero lie near the end: a sign of a torn tail, for the log line."""
    with open(path, "rb") as file:
        file.seek(end)
        return len(file.read(65536).rstrip(b"\0"))


def _forget_cache(directory: str) -> None:
    """Drop cached pages of the files, so that what is read next comes from the disk: after a failed sync the cache may lie."""
    for number in wal_numbers(directory):
        fd = os.open(wal_path(directory, number), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
