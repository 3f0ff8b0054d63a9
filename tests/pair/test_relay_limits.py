"""Bounds of an association: how long it may take, how much of it is in the box, how many of them there may be."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from support.relaykit import RELEASE_RQ_PDU, Pair, Relay, abort_of, response, silent, store, until
from support.wire import ASSOCIATE_RJ, associate_rq, echo_rq, echo_rsp, pdv
from wardgate.policy.model import Role
from wardgate.relay import parting
from wardgate.relay.association import Association

# --- deadlines


def test_a_silent_caller_is_closed_in_time(folder: Path) -> None:
    with Relay(folder, associate_seconds=0.5) as relay, relay.dial() as near:
        assert near.read() == (0, b"")
        relay.settled()
        assert "SILENT_CLIENT" in relay.codes()


def test_a_defect_in_the_deadline_of_one_association_ends_it_and_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever came behind it would have had no deadlines any more, and a drain no end."""
    judged = Association.tick

    def tick(self: Association, now: float) -> None:
        if self is broken:
            raise RuntimeError("a defect")
        judged(self, now)

    with Relay(folder) as relay:
        callers = [relay.dial() for _ in range(3)]
        until(lambda: len(relay.gate.associations) == 3, "all are there")
        broken, *others = relay.gate.associations
        monkeypatch.setattr(Association, "tick", tick)
        for each in others:
            each.deadline = 0.0
        relay.settled()
        assert {"WORKER_DEFECT", "SILENT_CLIENT"} <= set(relay.codes())
        for caller in callers:
            caller.sock.close()


def test_bytes_do_not_extend_the_time_for_the_request(folder: Path) -> None:
    with Relay(folder) as relay, relay.dial() as near:
        first, *more = associate_rq("CT1", "PACS")
        near.send(bytes((first,)))
        until(lambda: any(each.acceptor.received for each in relay.gate.associations), "the box has the first byte")
        (association,) = relay.gate.associations
        association.deadline = time.monotonic() + 1
        try:
            for byte in more:
                near.send(bytes((byte,)))
                time.sleep(0.05)
        except OSError:
            pass
        assert near.read() == (0, b"")
        assert "REQUEST_LATE" in relay.codes()


def test_a_called_side_that_does_not_answer_becomes_a_rejection_in_time(folder: Path) -> None:
    with Relay(folder) as relay, relay.dial() as near:
        until(lambda: relay.gate.associations, "it waits for the request")
        relay.turned()
        relay.limit(associate_seconds=1)
        near.send(associate_rq("CT1", "PACS"))
        with relay.accept():
            kind, body = near.read()
            assert (kind, body[1]) == (ASSOCIATE_RJ, 2)
        assert "ANSWER_LATE" in relay.codes()


def test_an_idle_association_is_aborted_on_both_sides(folder: Path) -> None:
    with Relay(folder, idle_seconds=0.5) as relay, relay.associate() as pair:
        assert abort_of(pair.near) == (2, 0)
        assert abort_of(pair.far) == (2, 0)
        assert "IDLE" in relay.codes()


def test_an_association_with_traffic_is_not_idle(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        (association,) = relay.gate.associations
        for _ in range(3):
            pair.pass_on(pdv(1, 3, echo_rq()))
            pair.pass_on(pdv(1, 3, echo_rsp()), back=True)
            association.deadline = 0.0  # its time is over
            until(lambda: association.deadline > 0, "it has been judged")
        pair.release()
        assert "IDLE" not in relay.codes()


def test_a_release_without_an_answer_ends_in_the_time_of_a_release(folder: Path) -> None:
    with Relay(folder, release_seconds=1) as relay, relay.associate() as pair:
        pair.pass_on(*store(1))
        pair.pass_on(response(1), back=True)
        pair.pass_on(RELEASE_RQ_PDU)
        assert abort_of(pair.near) == (2, 0)
        assert "RELEASE_LATE" in relay.codes()


# --- who does not read


def test_a_receiver_that_does_not_read_stops_the_sender_and_memory_stays_flat(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        sender = _fill(relay, pair)
        association = next(iter(relay.gate.associations))
        waiting = sum(len(piece) for piece in association.requestor._waiting)
        assert 0 < waiting < 1 << 20
        assert len(association.acceptor.carry) < 1 << 20
        before = association.acceptor.received
        time.sleep(0.3)
        assert association.acceptor.received == before and sender.is_alive()  # paused
        pair.near.sock.shutdown(socket.SHUT_RDWR)
        sender.join()


def test_a_receiver_that_begins_to_read_again_gets_every_byte(folder: Path) -> None:
    body = bytes(range(256)) * 40_000
    stream = b"".join(store(1, body))
    with Relay(folder) as relay, relay.associate() as pair:
        sender = threading.Thread(target=pair.near.sock.sendall, args=(stream,))
        sender.start()
        time.sleep(0.5)
        assert pair.far._exactly(len(stream)) == stream
        sender.join()
        pair.pass_on(response(1), back=True)
        pair.release()


def _fill(relay: Relay, pair: Pair) -> threading.Thread:
    """Begin to send much more than the box takes, and wait until it takes no more."""
    pair.far.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def send() -> None:
        with suppress(OSError):  # the test is over
            pair.near.send(*store(1, bytes(30_000_000)))

    sender = threading.Thread(target=send)
    sender.start()
    association = next(iter(relay.gate.associations))
    until(lambda: association.requestor.full, "something waits in the box")
    relay.turned()
    return sender


def _fill_with_whole_pdus(relay: Relay, pair: Pair) -> list[bytes]:
    """Send PDU by PDU until one waits in the box; all that was sent is there, so what was passed on ended with a whole PDU."""
    association = next(iter(relay.gate.associations))
    command, *data = store(1, bytes(30_000_000), chunk=60_000)
    sent = len(associate_rq("CT1", "PACS"))
    first = sent + len(command)
    for each in (command, *data):
        pair.near.send(each)
        sent += len(each)
        until(lambda sent=sent: association.acceptor.received >= sent or association.requestor.full, "the box has read it")
        if association.requestor.full:
            until(lambda sent=sent: association.acceptor.received >= sent, "the box has read it")
            break
    return [command, *data[: (sent - first) // len(data[0])]]


def test_a_leg_whose_peer_reads_no_more_is_closed_in_time_after_the_association_failed(folder: Path) -> None:
    with Relay(folder, release_seconds=1) as relay, relay.associate() as pair:
        _fill_with_whole_pdus(relay, pair)
        leg = next(iter(relay.gate.associations)).requestor
        pair.near.reset()
        relay.settled()
        until(lambda: leg.sock.fileno() < 0, "its socket is closed")


@pytest.mark.alone
def test_a_peer_that_resets_after_the_association_failed_does_not_keep_the_loop_busy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parting, "SECONDS", 100.0)  # it is not for that that it is closed
    with Relay(folder) as relay, relay.associate() as pair:
        _fill_with_whole_pdus(relay, pair)
        leg = next(iter(relay.gate.associations)).requestor
        pair.near.reset()
        relay.settled()
        pair.far.reset()
        until(lambda: leg.sock.fileno() < 0, "its socket is closed")
        before, begun = time.process_time(), time.monotonic()
        assert silent(relay.dial(), 0.5)
        assert time.process_time() - before < (time.monotonic() - begun) / 2


def test_what_was_sent_before_a_half_close_is_still_delivered_with_the_abort_behind_it(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        stream = b"".join(_fill_with_whole_pdus(relay, pair))
        pair.near.sock.shutdown(socket.SHUT_WR)
        assert pair.far._exactly(len(stream)) == stream
        assert abort_of(pair.far) == (2, 0)
        relay.settled()
        assert relay.writer.stores()[0]["outcome"] == "aborted"


# --- caps


def test_connections_of_one_peer_are_capped_and_the_silent_give_way(folder: Path) -> None:
    with Relay(folder, connections_per_peer=2) as relay, relay.associate() as pair, relay.associate() as other, relay.dial() as third:
        assert third.read() == (0, b"")
        assert "TOO_MANY_FROM_PEER" in relay.codes()
        pair.release()
        other.release()


def test_all_associations_are_capped(folder: Path) -> None:
    with Relay(folder, associations=1) as relay, relay.associate() as pair, relay.dial() as second:
        assert second.read() == (0, b"")
        pair.release()
        relay.settled()
        with relay.associate(Role.PEER) as third:
            third.release()


def test_those_who_never_close_after_an_abort_do_not_use_up_the_descriptors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are out of all counts by then."""
    monkeypatch.setattr(parting, "MAX_AT_ONCE", 8)
    with Relay(folder) as relay:
        before = len(os.listdir("/proc/self/fd"))
        callers = []
        for _ in range(60):
            callers.append(relay.dial())
            callers[-1].send(RELEASE_RQ_PDU)
            assert abort_of(callers[-1]) == (0, 0)  # PS3.8 9.3.8
        until(lambda: len(os.listdir("/proc/self/fd")) <= before + len(callers) + 8, "all but eight are closed")
        for caller in callers:
            caller.sock.close()
