"""A worker that holds, with a custody writer that can be told to fail: when a C-STORE is answered, and with what."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support import held, relaykit
from support.command_sets import CT, command_set, element, us
from support.isclbetween import through
from support.isclsocket import box_table
from support.relaykit import RELEASE_RP_PDU, RELEASE_RQ_PDU, Relay, associate, message, pdv, silent, status, store, until
from support.wire import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, ASSOCIATE_RQ, IMPLICIT_LITTLE, associate_rq, echo_rq, pdu
from wardgate.custody.wire import Op, Status
from wardgate.dimse.commitment import SOP_CLASS as COMMITMENT
from wardgate.dimse.commitment import Reference, Report
from wardgate.dimse.nservice import action_request, data_set
from wardgate.hold.pots import POT_BYTES
from wardgate.hold.seal import CHUNK_BYTES
from wardgate.hold.store import Entry, Store
from wardgate.hold.wrap import FileWrapper
from wardgate.iscl.terms import HEADER_BYTES, MessageId
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.model import Commitment, Delivery, Hold, Role
from wardgate.relay import openings
from wardgate.transport.sockets import PlainSockets

EXPLICIT = "1.2.840.10008.1.2.1"


def queue_of(folder: Path) -> Store:
    return Store(folder / "hold", FileWrapper(folder / "hold.key"))


def box(folder: Path, delivery: Delivery = Delivery.HOLD, **words: object) -> Relay:
    (folder / "hold.key").write_bytes(os.urandom(32))
    hold = Hold(folder / "hold", folder / "hold.key", True, keep_free_bytes=int(words.pop("keep_free_bytes", 1 << 20)))  # type: ignore[call-overload]
    return Relay(folder, delivery=delivery, hold=hold, hold_transfer_syntaxes=(EXPLICIT,), **words)  # type: ignore[arg-type]


@pytest.fixture
def relay(folder: Path) -> Iterator[Relay]:
    with box(folder) as made:
        yield made


def waiting(folder: Path) -> list[Entry]:
    return held.entries(folder / "hold")


def unfinished(folder: Path) -> bool:
    return held.unfinished(folder / "hold")


def test_success_comes_only_after_the_record_and_the_instance_is_on_the_disk_by_then(relay: Relay, folder: Path) -> None:
    near = associate(relay)
    relay.writer.hold(Op.STORE)
    body = os.urandom(3 * CHUNK_BYTES + 11 & ~1)
    near.send(*store(1, body))
    until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
    assert len(waiting(folder)) == 1, "the instance is durable before its record"
    assert silent(near)
    relay.writer.release()
    assert status(near) == 0
    near.send(RELEASE_RQ_PDU)
    assert near.whole() == RELEASE_RP_PDU
    near.sock.close()
    relay.settled()
    queue = queue_of(folder)
    reader = queue.read(waiting(folder)[0])
    assert b"".join(reader.chunks()) == body
    (record,) = relay.writer.stores()
    assert record["digests"] == [{"alg": "sha256", "scope": "dataset", "value": hashlib.sha256(body).hexdigest()}]
    assert (record["outcome"], record["status"], record["length"]) == ("status", "0000", len(body))
    assert record["requestor"]["address"] == "hold"  # type: ignore[index]
    assert record["association"] == reader.header.association
    assert relay.writer.closes()[0]["stores"] == 1


def test_without_a_record_the_sender_gets_a700_and_the_instance_is_removed(relay: Relay, folder: Path) -> None:
    near = associate(relay)
    relay.writer.answers[Op.STORE] = Status.NO_SPACE
    near.send(*store(1, bytes(POT_BYTES)))
    assert status(near) == 0xA700
    until(lambda: not waiting(folder), "it is removed")
    relay.writer.answers.clear()
    near.send(*store(2, bytes(POT_BYTES)))
    assert status(near) == 0
    assert len(waiting(folder)) == 1
    assert "RECORD_FAILED" in relay.codes()


def test_a_sender_that_was_told_a700_for_a_late_record_has_that_in_the_log(folder: Path) -> None:
    """The late record says that the box took the instance; it is not there any more."""
    with box(folder) as relay:
        near = associate(relay)
        relay.limit(record_seconds=0.5)
        relay.writer.hold(Op.STORE)
        near.send(*store(1, bytes(POT_BYTES)))
        assert status(near) == 0xA700
        until(lambda: relay.writer.ops(Op.EVENT), "the log is told")
        relay.writer.release()
        (answer,) = (json.loads(payload) for _, _, payload in relay.writer.ops(Op.EVENT))
        (record,) = relay.writer.stores()
        assert (answer["type"], answer["told"], answer["code"]) == ("answer", "A700", "WG428")
        assert [answer[name] for name in ("association", "seq", "sop_instance")] == [
            record[name] for name in ("association", "seq", "sop_instance")
        ]


def test_a_data_set_cut_by_the_caller_leaves_a_record_and_no_file(relay: Relay, folder: Path) -> None:
    near = associate(relay)
    near.send(*store(1, bytes(100_000))[:4])
    near.sock.close()
    relay.settled()
    until(lambda: not unfinished(folder), "what came is removed")
    assert not waiting(folder)
    (record,) = relay.writer.stores()
    assert (record["outcome"], record["status"], record["digests"]) == ("aborted", None, [])


def test_a_caller_that_leaves_before_the_answer_has_its_instance_held_and_recorded_all_the_same(relay: Relay, folder: Path) -> None:
    near = associate(relay)
    relay.writer.hold(Op.STORE)
    near.send(*store(1))
    until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
    near.sock.close()
    relay.writer.release()
    relay.settled()
    assert len(waiting(folder)) == 1
    assert len(relay.writer.stores()) == 1
    assert len(relay.writer.closes()) == 1


def test_without_an_open_entry_nothing_is_accepted(folder: Path) -> None:
    def prepare(writer: relaykit.StandInWriter) -> None:
        writer.answers[Op.OPEN] = Status.NO_SPACE

    with box(folder, prepare=prepare) as relay:
        near = relay.dial()
        near.send(associate_rq("CT1", "PACS"))
        kind, body = near.read()
        assert (kind, body[1:4]) == (ASSOCIATE_RJ, bytes((2, 3, 2)))
        near.sock.close()


def test_without_room_a_store_is_answered_a700_and_an_echo_as_ever(folder: Path) -> None:
    with box(folder, keep_free_bytes=1 << 43) as relay:
        near = associate(relay)
        near.send(*store(1, os.urandom(50_000)))
        assert status(near) == 0xA700
        near.echo(2)
        assert not waiting(folder) and not unfinished(folder)
        assert "HOLD_LOW_SPACE" in relay.codes()
        near.sock.close()


def test_other_requests_are_refused_with_0211_also_with_a_data_set(relay: Relay) -> None:
    near = associate(relay)
    find = command_set(element(0x0002, CT), us(0x0100, 0x20), us(0x0110, 5), us(0x0800, 1))
    near.send(pdv(3, 3, find), pdv(3, 2, b"query"))
    assert status(near) == 0x0211
    near.send(*store(6))
    assert status(near) == 0
    near.sock.close()


def test_a_message_on_a_context_that_was_not_accepted_is_aborted(relay: Relay) -> None:
    near = associate(relay)
    near.send(*store(1, context=9))
    assert near.read()[0] == ABORT
    assert "CONTEXT_NOT_ACCEPTED" in relay.codes()


def test_from_a_caller_that_does_not_read_its_answers_nothing_is_read_any_more(relay: Relay) -> None:
    near = associate(relay)
    (association,) = relay.gate.associations
    leg = association.acceptor
    leg.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    asked = pdv(1, 3, echo_rq(2)) * 1000

    def ask() -> None:
        with suppress(OSError):  # closed
            for _ in range(400):
                near.sock.sendall(asked)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: leg.full, "answers wait")
    received = -1
    while leg.received != received and leg.full:
        received = leg.received
        time.sleep(0.3)
    assert asking.is_alive(), "it reads on"
    assert sum(map(len, leg._waiting)) < 1 << 20
    assert status(near) == 0
    near.sock.shutdown(socket.SHUT_RDWR)
    asking.join(60)
    near.sock.close()
    relay.settled()


def test_a_release_before_the_answer_waits_for_it(relay: Relay) -> None:
    near = associate(relay)
    relay.writer.hold(Op.STORE)
    near.send(b"".join((*store(1), RELEASE_RQ_PDU)))
    until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
    relay.writer.release()
    assert status(near) == 0
    assert near.whole() == RELEASE_RP_PDU
    near.sock.close()
    relay.settled()


def test_a_release_inside_a_data_set_is_aborted(relay: Relay, folder: Path) -> None:
    """PS3.7 9.1: it would be answered, and the log closed, before what came of the instance has its record."""
    near = associate(relay)
    near.send(b"".join((*store(1, bytes(40_000))[:2], RELEASE_RQ_PDU)))
    kind, _ = near.read()
    assert kind == ABORT
    near.sock.close()
    relay.settled()
    until(lambda: relay.writer.closes(), "the close entry")
    ops = [op for op, _, _, _ in relay.writer.items if op in (Op.STORE, Op.CLOSE)]
    assert ops == [Op.STORE, Op.CLOSE]
    assert not waiting(folder)


def test_a_request_that_goes_on_behind_an_abort_counts_nobody_out_twice(folder: Path) -> None:
    """The A-ABORT, and what comes in the same packet behind it."""
    with box(folder, commitment=Commitment.STORED) as relay:
        near = relay.dial()
        near.send(associate_rq("CT1", "PACS", ((1, COMMITMENT, (IMPLICIT_LITTLE,)),)))
        assert near.read()[0] == ASSOCIATE_AC
        request = Report("1.2.77", (Reference(CT.decode().rstrip("\0"), "1.2.3.1"),))
        whole = data_set(request, IMPLICIT_LITTLE, action=True)
        near.send(pdv(1, 3, action_request(1)) + pdv(1, 0, whole[:20]) + pdu(ABORT, bytes(4)) + pdv(1, 2, whole[20:]))
        assert near.read()[0] == 0
        near.sock.close()
        relay.settled()
        assert relay.gate.links["ct1"].now == 0
        assert "COMMITMENT_TAKEN" not in relay.codes()
        assert relay.gate.census.everybody().all == 0
        with pytest.raises(KeyError):
            relay.gate.census.left("127.0.0.1", silent=False)


def test_several_messages_in_one_packet_are_all_answered(relay: Relay, folder: Path) -> None:
    near = associate(relay)
    near.send(b"".join(pdu for number in (1, 2, 3) for pdu in store(number, bytes(2 * number))))
    assert [status(near) for _ in range(3)] == [0, 0, 0]
    assert len(waiting(folder)) == 3
    near.sock.close()


def test_responses_are_cut_to_what_the_caller_takes(relay: Relay) -> None:
    near = associate(relay, max_pdu=1030)
    near.send(message((3, 3, store(1)[0][12:])), *store(1)[1:])
    assert status(near) == 0
    near.sock.close()


def test_a_peer_that_refuses_the_connection_lets_the_box_hold_and_one_that_answers_does_not(folder: Path) -> None:
    with box(folder, Delivery.RELAY_THEN_HOLD) as relay:
        with relay.associate() as pair:
            pair.release()
        assert "HOLD_BEGAN" not in relay.codes()
        relay.stop_listening()
        near = associate(relay)
        assert "HOLD_BEGAN" in relay.codes()
        near.send(*store(1))
        assert status(near) == 0
        near.sock.close()
        relay.settled()
        assert len(waiting(folder)) == 1


def test_a_caller_whose_turn_with_the_called_side_does_not_come_is_held(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openings, "SLOW_SECONDS", 60.0)
    with box(folder, Delivery.RELAY_THEN_HOLD, openings_per_peer=1, handshake_seconds=1) as relay, relay.dial() as first:
        first.send(associate_rq("CT1", "PACS"))
        with relay.accept() as hangs, relay.dial() as second:
            assert hangs.read()[0] == ASSOCIATE_RQ
            second.send(associate_rq("CT1", "PACS"))
            assert second.read()[0] == ASSOCIATE_AC
            second.send(*store(1, b"data set"))
            assert status(second) == 0
            assert "TURN_LATE" in relay.codes()
            assert len(waiting(folder)) == 1
            assert b'"hold"' in relay.writer.ops(Op.OPEN)[1][2], "the log says who answered"


class LateSockets(PlainSockets):
    """As a factory that asks another process, which takes its time: `connect` ends when `give` is set."""

    waits = True

    def __init__(self) -> None:
        self.asked, self.give = threading.Event(), threading.Event()
        self.mine, self.theirs = socket.socketpair()

    def connect(self, endpoint: Endpoint, source: Endpoint | None = None) -> socket.socket:
        self.asked.set()
        self.give.wait(100)
        return self.mine


@pytest.mark.parametrize("entry_waits", [True, False])
def test_a_socket_of_the_called_side_that_comes_when_the_box_holds_already_is_closed(folder: Path, entry_waits: bool) -> None:
    with box(folder, Delivery.RELAY_THEN_HOLD, connect_seconds=0.3, record_seconds=60) as relay:
        late = relay.gate.sockets = LateSockets()
        if entry_waits:
            relay.writer.hold(Op.OPEN)
        near = relay.dial()
        near.send(associate_rq("CT1", "PACS"))
        assert late.asked.wait(60)
        until(lambda: "CONNECT_LATE" in relay.codes(), "the called side was given up")
        if not entry_waits:
            until(lambda: "HOLD_BEGAN" in relay.codes(), "the box holds")
        late.give.set()
        late.theirs.settimeout(60)
        assert late.theirs.recv(1) == b"", "it was closed, nothing was sent on it"
        if entry_waits:
            relay.writer.release()
        kind, _ = near.read()
        assert kind == ASSOCIATE_AC
        near.send(*store(1))
        assert status(near) == 0, "the association is none the worse for it"
        near.sock.close()
        relay.settled()
        late.theirs.close()


def test_an_answer_of_the_peer_is_passed_on_also_when_it_is_a_rejection(folder: Path) -> None:
    with box(folder, Delivery.RELAY_THEN_HOLD) as relay:
        near = relay.dial()
        near.send(associate_rq("CT1", "PACS"))
        far = relay.accept()
        far.whole()
        far.send(bytes((3, 0, 0, 0, 0, 4, 0, 1, 1, 7)))
        assert near.whole() == bytes((3, 0, 0, 0, 0, 4, 0, 1, 1, 7))
        assert "HOLD_BEGAN" not in relay.codes()
        near.sock.close()
        far.sock.close()


def test_a_peer_that_dies_after_the_request_was_passed_on_is_not_replaced_by_the_box(folder: Path) -> None:
    with box(folder, Delivery.RELAY_THEN_HOLD) as relay:
        near = relay.dial()
        near.send(associate_rq("CT1", "PACS"))
        far = relay.accept()
        far.whole()
        far.sock.close()
        assert near.read()[0] == ASSOCIATE_RJ
        assert "HOLD_BEGAN" not in relay.codes()
        near.sock.close()


@pytest.mark.parametrize("at", [HEADER_BYTES, 7], ids=["mac-failure", "framing-error"])
def test_a_changed_byte_on_an_iscl_leg_ends_the_taking_without_a_word(folder: Path, at: int) -> None:
    armed = False

    def change(message: int, data: bytes) -> bytes:
        if not armed or message != MessageId.DATA:
            return data
        return data[:at] + bytes((data[at] ^ 0x40,)) + data[at + 1 :]

    table = box_table(folder)
    with box(folder, modality_iscl=table) as relay, through(relay, table, change, Role.MODALITY) as (near, between):
        near.send(associate_rq("CT1", "PACS"))
        assert near.read()[0] == ASSOCIATE_AC
        armed = True
        for each in store(1):
            try:
                near.send(each)
            except OSError:
                break
        until(lambda: relay.codes() & {"ISCL_MAC_FAILURE", "ISCL_FRAMING_ERROR"}, "the code")
        until(lambda: not relay.gate.associations, "the association is over")
        assert between.to_peer == b"", "not one byte more"
    assert waiting(folder) == []


def test_a_sender_that_waits_for_acknowledgements_of_small_segments_is_not_kept_waiting(relay: Relay) -> None:
    """Nagle's algorithm at the sender: what it writes second leaves only when the box has acknowledged the first."""
    near = associate(relay)
    near.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)

    def quick(number: int) -> bool:
        began = time.monotonic()
        for part in store(number, os.urandom(4000), chunk=1000):
            near.send(part)
        assert status(near) == 0
        return time.monotonic() - began < 0.03  # the kernel would wait for 40 ms, each time

    for number in range(1, 21):  # to a new connection it answers at once for a while
        quick(number)
    assert any(quick(number) for number in range(21, 421)), "on a busy machine most take longer for reasons of their own"
