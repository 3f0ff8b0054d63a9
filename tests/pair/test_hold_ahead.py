"""A worker that holds, of small instances: answered when instance and text of the record are on the disk, before the custody log has it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import held
from support.relaykit import RELEASE_RP_PDU, RELEASE_RQ_PDU, Relay, associate, silent, status, store, until
from support.slowdisk import SlowDisk
from support.wire import Wire
from wardgate.custody.wire import Op, Status
from wardgate.hold.pots import POT_BYTES
from wardgate.hold.row import ANSWERED
from wardgate.hold.store import Entry, Store
from wardgate.hold.unlogged import Unlogged
from wardgate.hold.wrap import FileWrapper
from wardgate.policy.model import Delivery, Hold


@pytest.fixture
def relay(folder: Path) -> Iterator[Relay]:
    (folder / "hold.key").write_bytes(os.urandom(32))
    hold = Hold(folder / "hold", folder / "hold.key", True, keep_free_bytes=1 << 20)
    with Relay(folder, delivery=Delivery.HOLD, hold=hold, hold_transfer_syntaxes=("1.2.840.10008.1.2.1",), record_seconds=60) as made:
        yield made


def waiting(folder: Path) -> list[Entry]:
    return held.entries(folder / "hold")


def carried(folder: Path, entry: Entry) -> bytes:
    """The text of the record that an instance carries, which verifies with it."""
    queue = Store(folder / "hold", FileWrapper(folder / "hold.key"))
    reader = queue.read(entry)
    try:
        assert list(reader.chunks())
        return reader.record
    finally:
        reader.close()
        queue.close()


def texts(relay: Relay) -> list[bytes]:
    return [payload for _, _, payload in relay.writer.ops(Op.STORE)]


def end(relay: Relay, near: Wire) -> None:
    near.send(RELEASE_RQ_PDU)
    assert near.whole() == RELEASE_RP_PDU
    near.sock.close()
    relay.settled()


def test_a_small_instance_is_answered_with_its_record_on_the_disk_and_told_to_nobody_before_the_log_has_it(
    relay: Relay, folder: Path
) -> None:
    keeper = relay.gate.keeper
    assert keeper is not None
    near = associate(relay)
    relay.writer.hold(Op.STORE)
    near.send(*store(1, b"small image"))
    assert status(near) == 0
    (entry,) = waiting(folder)
    text = carried(folder, entry)
    association = bytes.fromhex(json.loads(text)["association"])
    assert Unlogged(str(folder / "hold"))({association: 0}) == [(association, 1, text)], "a writer would find it"
    until(lambda: relay.writer.waiting() == 1, "the log is given it")
    assert keeper.lag.unlogged == 1 and not keeper._news
    near.send(RELEASE_RQ_PDU)
    assert silent(near), "the association is released when all is in the log"
    relay.writer.release()
    assert near.whole() == RELEASE_RP_PDU
    assert keeper.lag.unlogged == 0
    near.sock.close()
    relay.settled()
    assert texts(relay) == [text]
    assert relay.writer.closes()[0]["stores"] == 1


def test_so_many_are_answered_ahead_of_the_log_and_the_next_waits(relay: Relay, folder: Path) -> None:
    near = associate(relay)
    relay.writer.hold(Op.STORE)
    for number in range(1, ANSWERED + 1):
        near.send(*store(number, b"image %d" % number))
        assert status(near) == 0
    near.send(*store(ANSWERED + 1, b"one more"))
    until(lambda: len(waiting(folder)) == ANSWERED + 1, "it is on the disk")
    until(lambda: relay.writer.waiting() == 1, "the log is given the first")
    assert silent(near)
    assert relay.writer.waiting() == 1, "the log is given one at a time"
    relay.writer.release()
    assert status(near) == 0
    end(relay, near)
    assert [json.loads(text)["seq"] for text in texts(relay)] == [*range(1, ANSWERED + 2)]
    assert texts(relay) == [carried(folder, entry) for entry in waiting(folder)]


def test_a_log_that_fails_afterwards_is_asked_again_and_new_instances_get_a700_meanwhile(relay: Relay, folder: Path) -> None:
    near = associate(relay)
    relay.writer.answers[Op.STORE] = Status.NO_SPACE
    near.send(*store(1, b"acknowledged"))
    assert status(near) == 0
    until(lambda: "HOLD_LOG_BEHIND" in relay.codes(), "it is said")
    other = associate(relay)
    for each in (near, other):  # of the same association, and of another
        each.send(*store(2, b"refused"))
        assert status(each) == 0xA700
    until(lambda: len(waiting(folder)) == 1, "they are taken back")
    near.send(RELEASE_RQ_PDU)
    assert near.whole() == RELEASE_RP_PDU, "the modality is not kept"
    assert not relay.writer.closes(), "its entry is not closed without its record"
    relay.writer.answers.clear()
    until(lambda: "HOLD_LOG_UP" in relay.codes(), "the log has it")
    until(lambda: len(relay.writer.closes()) == 1, "and then its end")
    other.send(*store(3, b"taken"))
    assert status(other) == 0
    near.sock.close()
    end(relay, other)
    text = carried(folder, waiting(folder)[0])
    association = bytes.fromhex(json.loads(text)["association"])
    assert [(op, seq) for op, of, seq, _ in relay.writer.items if of == association and op in (Op.STORE, Op.CLOSE)] == [
        (Op.STORE, 1),
        (Op.CLOSE, 2),
    ]


def test_a_writer_that_is_killed_meanwhile_has_the_record_from_the_next_one_on(relay: Relay, folder: Path) -> None:
    near = associate(relay)
    relay.writer.hold(Op.STORE)
    near.send(*store(1, b"image"))
    assert status(near) == 0
    until(lambda: relay.writer.waiting() == 1, "the log is given it")
    relay.writer.vanish()
    relay.writer.held.clear()
    relay.writer.start()
    end(relay, near)
    assert relay.writer.again == 1, "the same one is sent again"
    assert texts(relay) == [carried(folder, waiting(folder)[0])]


def test_what_is_larger_and_what_is_refused_waits_behind_it_in_order(relay: Relay, folder: Path) -> None:
    near = associate(relay)
    relay.writer.hold(Op.STORE)
    near.send(*store(1, b"small"))
    assert status(near) == 0
    near.send(*store(2, os.urandom(POT_BYTES)))
    until(lambda: len(waiting(folder)) == 2 and relay.writer.waiting() == 1, "both are on the disk, and the log is given the first")
    assert silent(near) and relay.writer.waiting() == 1
    relay.writer.release()
    assert status(near) == 0
    relay.writer.hold(Op.STORE)
    near.send(*store(3, os.urandom(POT_BYTES)))
    until(lambda: relay.writer.waiting() == 1, "its record is under way")
    near.sock.close()
    relay.writer.release()
    relay.settled()
    assert [(json.loads(text)["seq"], json.loads(text)["length"]) for text in texts(relay)] == [(1, 5), (2, POT_BYTES), (3, POT_BYTES)]
    assert [bool(carried(folder, entry)) for entry in waiting(folder)] == [True, False, False]


def test_an_instance_that_the_disk_refuses_leaves_a_record_that_says_so_in_its_place(relay: Relay, folder: Path) -> None:
    keeper = relay.gate.keeper
    assert keeper is not None
    disk = SlowDisk()
    keeper.store.files = disk
    near = associate(relay)
    disk.fails = True
    near.send(*store(1, b"image"))
    assert status(near) == 0xA700
    disk.fails = False
    near.send(*store(2, b"image"))
    assert status(near) == 0
    end(relay, near)
    assert [(json.loads(text)["seq"], json.loads(text)["status"]) for text in texts(relay)] == [(1, "A700"), (2, "0000")]


def test_an_association_that_the_writer_has_closed_leaves_its_instance_to_the_forwarder(relay: Relay, folder: Path) -> None:
    keeper = relay.gate.keeper
    assert keeper is not None
    near = associate(relay)
    relay.writer.answers[Op.STORE] = Status.REFUSED
    near.send(*store(1, b"image"))
    assert status(near) == 0
    until(lambda: keeper.lag.unlogged == 0, "it is not asked again")
    assert not keeper._news and len(waiting(folder)) == 1
    near.sock.close()
    relay.settled()
