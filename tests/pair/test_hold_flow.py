"""A worker that holds while its disk is slow: memory is bounded, nothing is lost, and small ones are not kept waiting by large ones."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import held
from support.relaykit import Relay, associate, status, store, until
from support.slowdisk import SlowDisk
from wardgate.codes import Code
from wardgate.hold import pots, slabs
from wardgate.hold.store import Store
from wardgate.hold.wrap import FileWrapper
from wardgate.policy.model import Delivery, Hold

EXPLICIT = "1.2.840.10008.1.2.1"
SECONDS = 60.0
LARGE = 24 << 20
MOST_READ = 6 << 20  # of it while the disk stands still: slabs, pots, and what the last reads brought


@pytest.fixture(params=[0, 1], ids=["inline", "beside"])
def relay(request: pytest.FixtureRequest, folder: Path) -> Iterator[Relay]:
    (folder / "hold.key").write_bytes(os.urandom(32))
    hold = Hold(folder / "hold", folder / "hold.key", True, keep_free_bytes=1 << 20)
    with Relay(folder, hash_threads=request.param, delivery=Delivery.HOLD, hold=hold, hold_transfer_syntaxes=(EXPLICIT,)) as made:
        yield made


def held_digests(folder: Path) -> list[str]:
    queue = Store(folder / "hold", FileWrapper(folder / "hold.key"))
    found = []
    for entry in queue.entries():
        reader = queue.read(entry)
        found.append(hashlib.sha256(b"".join(reader.chunks())).hexdigest())
        reader.close()
    queue.close()
    return found


def test_a_disk_that_stands_still_stops_the_reading_and_loses_nothing(relay: Relay, folder: Path) -> None:
    disk = SlowDisk()
    keeper = relay.gate.keeper
    assert keeper is not None
    keeper.store.files = disk
    near = associate(relay)
    near.send(*store(1, b"first"))
    assert status(near) == 0
    (association,) = relay.gate.associations
    other = associate(relay)
    before = association.acceptor.received
    body = os.urandom(LARGE)
    sender = threading.Thread(target=near.send, args=store(2, body))
    disk.goes.clear()
    sender.start()
    try:
        read, still = -1, time.monotonic()
        until(lambda: association.acceptor.received - before > slabs.PIECE_BYTES, "one piece is under way and more has come")
        while time.monotonic() - still < 0.5:  # until nothing was read for so long
            now = association.acceptor.received - before
            if now != read:
                read, still = now, time.monotonic()
            time.sleep(0.02)
            assert read < MOST_READ, "it reads on although the disk takes nothing"
        assert sender.is_alive()
        other.echo(9)  # the loop does not wait for the disk
    finally:
        disk.goes.set()
    sender.join(SECONDS)
    assert status(near) == 0
    assert held_digests(folder) == [hashlib.sha256(b"first").hexdigest(), hashlib.sha256(body).hexdigest()]
    near.sock.close()
    other.sock.close()


def test_small_instances_flow_while_as_many_large_ones_as_there_are_buffers_stand_still(relay: Relay, folder: Path) -> None:
    large = [associate(relay) for _ in range(slabs.MOST + 2)]
    bodies = [os.urandom(3 << 20) for _ in large]
    pieces = [store(1, body) for body in bodies]
    for near, parts in zip(large, pieces, strict=True):
        near.send(*parts[:100])  # 1.6 MB, and then silence
    keeper = relay.gate.keeper
    assert keeper is not None
    large_ones = keeper.store._slabs
    until(lambda: large_ones._made == slabs.MOST and not large_ones._free, "every large slab is out")
    small = associate(relay)
    for number in range(1, 41):
        small.send(*store(number, b"small %d " % number))
        assert status(small) == 0
    for near, parts in zip(large, pieces, strict=True):
        near.send(*parts[100:])
    assert [status(near) for near in large] == [0] * len(large)
    found = held_digests(folder)
    assert len(found) == 40 + len(large)
    assert {hashlib.sha256(body).hexdigest() for body in bodies} <= {*found}
    for near in (*large, small):
        near.sock.close()


def test_with_every_pot_in_the_hands_of_slow_senders_the_others_are_served(
    relay: Relay, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pots, "MOST", 3)
    slow = [associate(relay) for _ in range(4)]
    for near in slow:
        near.send(*store(1, bytes(60_000))[:2])
    quick = associate(relay)
    body = os.urandom(2 << 20)
    quick.send(*store(1, body))
    assert status(quick) == 0
    for near in slow:
        near.send(*store(1, bytes(60_000))[2:])
        assert status(near) == 0
        near.sock.close()
    assert hashlib.sha256(body).hexdigest() in held_digests(folder)
    quick.sock.close()


def test_a_queue_without_room_is_said_once_and_not_for_each_instance(folder: Path) -> None:
    (folder / "hold.key").write_bytes(os.urandom(32))
    hold = Hold(folder / "hold", folder / "hold.key", True, keep_free_bytes=1 << 43)
    with Relay(folder, delivery=Delivery.HOLD, hold=hold, hold_transfer_syntaxes=(EXPLICIT,)) as relay:
        near = associate(relay)
        for number in range(1, 9):
            near.send(*store(number))
            assert status(near) == 0xA700
        assert relay.gate.codes[str(Code.HOLD_LOW_SPACE)] == 1
        assert not held.entries(folder / "hold")
        near.sock.close()
