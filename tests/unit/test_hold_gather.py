"""What comes of a data set before it is on the disk: gathered in pots, hashed and sealed in order, nothing left of what fails."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from support import held
from support.slowdisk import SlowDisk
from wardgate.hold import pots as pots_module
from wardgate.hold.gather import Beside, Gather
from wardgate.hold.header import Header
from wardgate.hold.pots import POT_BYTES, Pots
from wardgate.hold.store import Entry, Store
from wardgate.hold.syncer import Syncer
from wardgate.hold.wrap import FileWrapper

SECONDS = 60.0
HEAD = Header("ward", "ct1", "pacs", "CT1", "PACS", "1.2.3", "1.2.840.10008.1.2.1", "1.2.3", "1.2.3.4", "00", "ab" * 16, 1, "", "")
SIZES = (0, 1, 16000, POT_BYTES - 1, POT_BYTES, POT_BYTES + 1, 3 * POT_BYTES, 1_500_000)


class Site:
    """A loop of which every call is noted, threads beside it, and a store."""

    def __init__(self, folder: Path, inline: bool) -> None:
        (folder / "key").write_bytes(bytes(32))
        self.files = SlowDisk()
        self.store = Store(folder / "hold", FileWrapper(folder / "key"), self.files)
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.pots = Pots()
        self._threads = Syncer(self.calls.put, threads=4)
        self._writes = Syncer(self.calls.put)
        self.beside = Beside(self._threads.submit, self.calls.put, inline)
        self.full = self.landed = 0

    def gather(self) -> Gather:
        def full() -> None:
            self.full += 1

        def landed() -> None:
            self.landed += 1

        made = Gather(self.store, self.pots, self.beside, full, landed)
        made.into(self.store.begin(HEAD, lambda write: self._writes.submit(write, None)))
        return made

    def end(self, gather: Gather) -> tuple[Entry | None, Exception | None]:
        said: list[tuple[Entry | None, Exception | None]] = []
        gather.end(lambda entry, error: said.append((entry, error)))
        while not said:
            self.calls.get(timeout=SECONDS)()
        return said[0]

    def bytes_of(self, entry: Entry) -> bytes:
        reader = self.store.read(entry)
        try:
            return b"".join(reader.chunks())
        finally:
            reader.close()

    def settle(self) -> None:
        """Wait for the threads, which end."""
        self.files.goes.set()
        self._threads.close(SECONDS)
        self._writes.close(SECONDS)

    def close(self) -> None:
        self.settle()
        self.store.close()


@pytest.fixture(params=[False, True], ids=["beside", "inline"])
def site(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Site(tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def beside(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Site(tmp_path, False)
    yield made
    made.close()


def feed(gather: Gather, data: bytes, piece: int = 16000) -> None:
    for at in range(0, len(data), piece):
        gather.update(memoryview(data)[at : at + piece])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [999, 16000, POT_BYTES, 400_000])
def test_what_is_held_and_its_digest_are_what_came(site: Site, size: int, piece: int) -> None:
    data = os.urandom(size)
    gather = site.gather()
    feed(gather, data, piece)
    assert gather.received == size
    entry, error = site.end(gather)
    assert error is None and entry is not None
    assert site.bytes_of(entry) == data
    assert gather.hexdigest() == hashlib.sha256(data).hexdigest()


def test_several_at_once_do_not_mix(site: Site) -> None:
    data = [os.urandom(700_000) for _ in range(5)]
    gathers = [site.gather() for _ in data]
    for at in range(0, 700_000, 16000):
        for gather, each in zip(gathers, data, strict=True):
            gather.update(memoryview(each)[at : at + 16000])
    entries = [site.end(gather)[0] for gather in gathers]
    assert [site.bytes_of(entry) for entry in entries if entry is not None] == data


def test_an_error_of_the_disk_is_told_and_nothing_is_left_but_the_digest_is_that_of_all_that_came(site: Site) -> None:
    data = os.urandom(3_000_000)
    gather = site.gather()
    feed(gather, data[:100_000])
    site.files.fails = True
    feed(gather, data[100_000:])
    entry, error = site.end(gather)
    assert entry is None and isinstance(error, OSError)
    assert gather.hexdigest() == hashlib.sha256(data).hexdigest()
    assert not site.store.entries() and not held.unfinished(Path(site.store.directory))


def test_what_is_dropped_or_cut_in_the_middle_leaves_nothing_and_the_rest_is_still_hashed(site: Site) -> None:
    data = os.urandom(2_500_000)
    dropped, cut = site.gather(), site.gather()
    feed(cut, data)
    cut.cut()
    feed(dropped, data[:2_000_000])
    dropped.drop()
    feed(dropped, data[2_000_000:])
    assert site.end(dropped) == (None, None)
    assert dropped.hexdigest() == hashlib.sha256(data).hexdigest()
    site.settle()
    assert not site.store.entries() and not held.unfinished(Path(site.store.directory))


def test_while_the_disk_stands_still_it_is_behind_and_says_when_it_is_no_more(beside: Site) -> None:
    gather = beside.gather()
    beside.files.goes.clear()
    fed = 0
    while not gather.behind():
        feed(gather, bytes(POT_BYTES))
        fed += POT_BYTES
        assert fed < 8 << 20, "it takes without end"
    assert beside.landed == 0 and beside.full == fed // POT_BYTES
    beside.files.goes.set()
    while not beside.landed:
        beside.calls.get(timeout=SECONDS)()
    assert not gather.behind()
    entry, _ = beside.end(gather)
    assert entry is not None and beside.bytes_of(entry) == bytes(fed)


def test_with_all_pots_out_an_instance_goes_on_with_its_own_one_and_waits_for_no_other(
    beside: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pots_module, "MOST", 4)
    slow = [beside.gather() for _ in range(6)]  # more than there are pots, each with some bytes and no more to come
    for gather in slow:
        feed(gather, b"slow")
    data = os.urandom(2_000_000)
    quick = beside.gather()
    feed(quick, data)
    entry, _ = beside.end(quick)
    assert entry is not None and beside.bytes_of(entry) == data
    for gather in slow:
        entry, _ = beside.end(gather)
        assert entry is not None and beside.bytes_of(entry) == b"slow"
    assert beside.pots._out == 0


def beginning(get: Callable[[], object]) -> threading.Thread:
    """Call it in a thread."""
    thread = threading.Thread(target=get, daemon=True)
    thread.start()
    return thread


def test_a_pot_that_came_back_before_it_was_asked_for_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pots_module, "MOST", 1)
    pots = Pots()
    pots.first()
    mine = pots.first()
    pots.give(mine)
    asking = beginning(pots.another)
    asking.join(SECONDS)
    assert not asking.is_alive()


def test_when_all_are_out_the_next_that_comes_back_is_waited_for_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pots_module, "MOST", 1)
    pots = Pots()
    mine = pots.first()
    waiting = beginning(pots.another)
    waiting.join(0.2)
    assert waiting.is_alive()
    pots.give(mine)
    waiting.join(SECONDS)
    assert not waiting.is_alive()


def test_a_defect_in_a_thread_ends_the_instance_and_not_the_thread(beside: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    gather = beside.gather()

    def defect(_data: memoryview) -> None:
        raise ZeroDivisionError

    assert gather._body is not None
    monkeypatch.setattr(type(gather._body), "write", lambda _self, data, _last: defect(data))
    feed(gather, bytes(4 * POT_BYTES))
    entry, error = beside.end(gather)
    assert entry is None and isinstance(error, ZeroDivisionError)
    monkeypatch.undo()
    again = beside.gather()
    feed(again, b"x")
    assert beside.end(again)[0] is not None
