"""The directory of the queue: instances in segments (see `segment`, `scan`), what becomes of each in notes (see `notes`).

Workers write segments; the forwarder alone, under its lock, writes notes and removes.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from wardgate.hold.body import Aside, Body
from wardgate.hold.counters import Counters
from wardgate.hold.files import Files
from wardgate.hold.header import Header, Trailer
from wardgate.hold.index import Index
from wardgate.hold.mark import BLOCK, aligned
from wardgate.hold.notes import Facts, Notes
from wardgate.hold.reader import Reader
from wardgate.hold.scan import STEM, Place, parts
from wardgate.hold.seal import Sealer, cipher
from wardgate.hold.segment import Segment, void
from wardgate.hold.slabs import Slabs
from wardgate.hold.state import State
from wardgate.hold.wrap import KEY_BYTES, Wrapper

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MAX_WHY: Final = 4096
_FRESH_SECONDS: Final = 2.0
_KEYS: Final = 16  # made at once
_FEW_KEYS: Final = 4
__all__ = ["STEM", "Body", "Entry", "Reader", "State", "Store"]


class _Key(NamedTuple):
    """What is made ahead for one instance. Its key is `wrapped`, hex, under the one of that name."""

    name: str
    wrapped: str
    cipher: AESGCM
    id: bytes  # 8 random bytes for its name


class Entry(NamedTuple):
    """One instance of the queue. `status`: the destination's answer, -1 while there is none."""

    stem: str
    place: Place
    state: State = State.WAITING
    status: int = -1

    @property
    def name(self) -> str:
        """What people call it."""
        return self.stem

    @property
    def number(self) -> int:
        """Its place in the order."""
        return int(self.stem[:16])


class Store:
    """The directory. Blocking: what may take long is called from a thread."""

    def __init__(self, directory: str | os.PathLike[str], wrapper: Wrapper, files: Files | None = None) -> None:
        """Open it, make it if it is not there. Raises `OSError`."""
        self.directory = os.path.abspath(directory)
        self.files = files or Files()
        self.wrapper = wrapper
        Sealer(cipher(bytes(KEY_BYTES)), b"").trailer(b"")  # its library is loaded before the first instance
        self._keys: deque[_Key] = deque()  # for the next instances
        self.queue = os.path.join(self.directory, "queue")
        self.quarantine = os.path.join(self.directory, "quarantine")  # of an older box: now a note says it
        self.contexts = os.path.join(self.directory, "contexts")
        for path in (self.directory, self.queue, self.quarantine, self.contexts):
            self.files.make_directory(path)
        self._free: deque[Segment] = deque()
        self._slabs = Slabs()
        self._index = Index(self.files, self.queue, self.quarantine)
        self._notes = Notes(self.files, self.directory, self._there)
        self._removing: list[Entry] = []
        self._lock = threading.Lock()
        self.counters = Counters(os.path.join(self.directory, "counters"))
        self._index.look()
        self.counters.at_least(max((int(stem[:16]) for stem in self._index.places), default=0) + 1)

    # --- intake

    def begin(self, header: Header, aside: Aside | None = None) -> Body:
        """Begin a new instance; `key_name` and `wrapped` of the header are filled in. Raises `OSError`, `WrapError`.

        `aside` runs what may wait for the disk beside the loop.
        """
        if not self._keys:
            self.make_keys()
        key = self._keys.popleft()
        head = header.encode(key.name, key.wrapped)
        try:
            segment = self._free.pop()
        except IndexError:
            segment = Segment(self.files, self.queue)
        return Body(self.files, segment, key.id, head, Sealer(key.cipher, head), self._slabs, aside)

    def finish(self, body: Body, sha256: str) -> None:
        """The data set is whole. Raises `OSError`."""
        body.finish(Trailer(body.written, sha256).encode())

    def keep(self, body: Body) -> Entry:
        """Give the finished `body` its number and make it durable. Raises `OSError`."""
        size = body.size
        number = self.counters.take_number(size)
        try:
            body.keep(number)
        except Exception:
            self.counters.add_bytes(-size)
            raise
        assert body.mark is not None
        self._give_back(body.segment)
        return Entry(body.mark.stem, Place(body.segment.path, body.offset, body.size))

    def drop(self, body: Body, kept: bool = False) -> None:
        """Take back an instance that nobody was told of. `kept`: `keep` returned; then it raises `OSError`."""
        segment = body.segment
        if kept and body.mark is not None:
            self.counters.add_bytes(-body.size)
            void(self.files, segment.path, segment.generation, body.offset, body.mark)
            return
        try:
            body.abandon()
        except OSError:
            segment.broken = True
        self._give_back(segment)

    def lay_in(self, count: int) -> None:
        """Make segments ahead, with durable names: then only their content is to be synced. Raises `OSError`."""
        while len(self._free) < count:
            segment = Segment(self.files, self.queue)
            segment.name(self.files)
            self._free.appendleft(segment)

    def forget_keys(self) -> None:
        """The token is out: know no key any more."""
        self._keys.clear()
        self.wrapper.forget()

    def make_keys(self) -> None:
        """Have keys ready: a few made at once cost little more than one. Raises `WrapError`."""
        if len(self._keys) > _FEW_KEYS:
            return
        for _ in range(_KEYS):
            key = os.urandom(KEY_BYTES)
            name, wrapped = self.wrapper.wrap(key)
            self._keys.append(_Key(name, wrapped.hex(), cipher(key), os.urandom(8)))

    def put_away(self) -> None:
        """Close the segments; the forwarder removes them when nothing is in them any more."""
        while self._free:
            self._free.pop().close(self.files)

    def close(self) -> None:
        """Let go of every file; what is in the queue stays."""
        self.put_away()
        self._notes.close()
        self.counters.close()

    @property
    def spares(self) -> int:
        """How many segments are ready for an instance."""
        return len(self._free)

    def _give_back(self, segment: Segment) -> None:
        if segment.usable:
            self._free.append(segment)
        else:
            segment.close(self.files)

    # --- what is there

    def look(self) -> None:
        """Find what came since the last look. Raises `OSError`."""
        with self._lock:
            self._index.look()

    def entries(self) -> list[Entry]:
        """Return what waits, was answered or awaits commitment, in order, after a look."""
        return self._in(State.WAITING, State.ANSWERED, State.AWAITING)

    def quarantined(self) -> list[Entry]:
        """Return what is in quarantine, in order, after a look."""
        return self._in(State.QUARANTINED)

    def awaiting(self) -> list[Entry]:
        """Return what was delivered and is kept until its commitment is reported, in order, after a look."""
        return self._in(State.AWAITING)

    def told(self, stem: str, place: Place) -> Entry | None:
        """Return the entry of an instance that a worker told of; None when it is no such thing, or not waiting."""
        folder, name = os.path.split(place.path)
        if not STEM.fullmatch(stem) or folder != self.queue or len(name) != 20 or place.offset < BLOCK:
            return None
        with self._lock:
            self._index.add(stem, place)
        entry = self._entry(stem, place)
        return entry if entry.state is State.WAITING else None

    def is_logged(self, entry: Entry) -> bool:
        """Is it written down that the custody log has what instances of its segment carry?"""
        with self._lock:
            return self._index.is_logged(entry.place.path)

    def all_logged(self, but: set[str], unread: set[str]) -> None:
        """The custody log has what instances carry, but for those named `but` and what segments at `unread` carry. Raises `OSError`."""
        with self._lock:
            self._index.all_logged(but, unread)

    def facts(self, stem: str) -> Facts:
        """Return the notes on an instance; not to be changed."""
        return self._notes.of(stem)

    def read(self, entry: Entry) -> Reader:
        """Open an instance. Raises `Damaged`, `WrapError`, `OSError`."""
        return Reader(entry.place, self.wrapper)

    def _in(self, *states: State) -> list[Entry]:
        self.look()
        found = [self._entry(stem, place) for stem, place in list(self._index.places.items())]
        return sorted((entry for entry in found if entry.state in states), key=lambda entry: entry.stem)

    def _entry(self, stem: str, place: Place) -> Entry:
        facts = self._notes.of(stem)
        if "state" not in facts:
            return Entry(stem, place, place.state, place.status)
        return Entry(stem, place, State(facts["state"]), facts.get("status", -1))

    # --- the forwarder

    def note(self, entry: Entry, **facts: Any) -> Entry:
        """Write down what is known of an instance beside its bytes: JSON values; None takes a word away. Durable after `sync`.

        `state` (a value of `State`) and `status` are the store's own words. Raises `OSError`.
        """
        self._notes.add(entry.stem, facts)
        return self._entry(entry.stem, entry.place)

    def sync(self) -> None:
        """Make all notes durable, then give back the space of what is gone. Raises `OSError`. From any thread."""
        with self._lock:
            removing, self._removing = self._removing, []
        try:
            self._notes.sync()
        except OSError:
            with self._lock:
                self._removing += removing
            raise
        for entry in removing:
            self._give_space_back(entry)

    def answered(self, entry: Entry, status: int) -> tuple[Entry, OSError | None]:
        """Write down that the destination took it: it is not sent again by this process. Durable after `sync`; with a write's error."""
        error = self._notes.keep(entry.stem, {"state": State.ANSWERED.value, "status": status & 0xFFFF})
        return self._entry(entry.stem, entry.place), error

    def await_commitment(self, entry: Entry) -> Entry:
        """The record of its answer is durable, and it is kept until it is committed. Durable after `sync`. Raises `OSError`."""
        return self.note(entry, state=State.AWAITING.value)

    def remove(self, entry: Entry) -> None:
        """It is not needed any more. Its space comes back after the next `sync`. Raises `OSError`."""
        self._notes.add(entry.stem, {**dict.fromkeys(self._notes.of(entry.stem)), "state": State.GONE.value})
        self.counters.add_bytes(-entry.place.length)
        with self._lock:
            self._removing.append(entry)

    def set_aside(self, entry: Entry, why: dict[str, Any]) -> OSError | None:
        """Put an instance into quarantine with the reason, at once. Durable after `sync`; returns the error of the write."""
        text = json.dumps(why)
        why = why if len(text) <= _MAX_WHY else {"reason": text[:_MAX_WHY]}
        return self._notes.keep(entry.stem, {"state": State.QUARANTINED.value, "why": why})

    def put_back(self, stem: str) -> None:
        """Put an instance from quarantine back at its place in the queue. Durable when it returns. Raises `OSError`, `KeyError`."""
        self._notes.add(stem, {"state": State.WAITING.value, "why": None, "status": None})
        self.sync()

    def release(self, stem: str) -> None:
        """Remove an instance from quarantine for ever. Durable when it returns. Raises `OSError`, `KeyError`."""
        self.remove(Entry(stem, self._index.places[stem]))
        self.sync()

    def why(self, stem: str) -> dict[str, Any]:
        """Return why an instance is in quarantine; empty when that is not known."""
        found = self._notes.of(stem).get("why")
        if found is None:
            try:
                with open(os.path.join(self.quarantine, f"{stem}.why"), "rb") as file:
                    found = json.loads(file.read(_MAX_WHY))
            except (OSError, ValueError):
                return {}
        return found if isinstance(found, dict) else {}

    def clear(self) -> tuple[int, list[str]]:
        """Look through what has no writer any more: how many instances were never finished, and where something cannot be read.

        Segments with nothing left in them are removed. Raises `OSError`.
        """
        with self._lock:
            unfinished, damaged = self._index.finish(self.counters)
            gone = {stem for stem in self._index.places if self._notes.of(stem).get("state") == State.GONE.value}
            gone -= {entry.stem for entry in self._removing}
            for path in self._index.spent(gone):
                self.files.unlink(path)
                self._index.forget(path)
        return unfinished + self._leftovers(), damaged

    def count_bytes(self) -> int:
        """Count the bytes held and tell the other processes."""
        with self._lock:
            places = list(self._index.places.items())
        size = sum(place.length for stem, place in places if self._notes.of(stem).get("state") != State.GONE.value)
        self.counters.set_bytes(size)
        return size

    def _there(self) -> set[str]:
        """Names that notes are kept of; the others are off the disk for good."""
        with self._lock:
            self._index.look()
            before = set(self._index.places)
        for folder in (self.queue, self.quarantine):
            self.files.sync_directory(folder)
        with self._lock:
            return before | self._index.places.keys()  # what went meanwhile may come back after a power cut

    def _give_space_back(self, entry: Entry) -> None:
        place = entry.place
        if not place.offset:
            self.files.unlink(place.path)
            self.files.unlink(os.path.join(self.quarantine, f"{entry.stem}.why"))
            return
        first, end = place.offset + BLOCK, aligned(place.offset + place.length)  # the mark stays: what is behind it is found by it
        if end == first:
            return
        try:
            fd = self.files.open(place.path)
        except FileNotFoundError:
            return
        try:
            self.files.punch(fd, first, end - first)
        finally:
            self.files.close(fd)

    def _leftovers(self) -> int:
        """Remove unfinished files of an older box whose writer is gone; return how many of them something had been written to."""
        removed = 0
        for path in parts(self.queue):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                if os.path.exists(path) and time.time() - os.fstat(fd).st_mtime > _FRESH_SECONDS:
                    removed += os.fstat(fd).st_size > 0
                    self.files.unlink(path)
            except BlockingIOError:
                pass
            finally:
                os.close(fd)
        return removed
