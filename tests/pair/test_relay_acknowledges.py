"""A whole message is acknowledged by what answers it, a part of one at once: its rest may wait for that (Nagle's algorithm)."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.relaykit import Pair, Relay, response, store, until
from support.wire import Wire, associate_ac, associate_rq, echo_rq, echo_rsp, item, pdu, pdv
from wardgate.relay.association import Association
from wardgate.relay.leg import Leg

ECHOES = 40
MOST_ECHOES = 2000
DELAYED_SECONDS = 0.03  # after 40 ms the kernel acknowledges by itself: on a busy machine that is not ours
PENDING = 0xFF00
# tcp_info, tcp(7): segments that came, and those of them with data.
_SEGS_IN, _DATA_SEGS_IN = 140, 152


def _bare_acknowledgements(peer: Wire) -> int:
    info = peer.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    return int(struct.unpack_from("=I", info, _SEGS_IN)[0] - struct.unpack_from("=I", info, _DATA_SEGS_IN)[0])


def _association(relay: Relay) -> Association:
    found = next(iter(relay.gate.associations))
    assert isinstance(found, Association)
    return found


def _legs(relay: Relay) -> tuple[Leg, Leg]:
    association = _association(relay)
    assert association.requestor is not None
    return association.acceptor, association.requestor


def _waits(relay: Relay, leg: Leg) -> bool:
    """Tell whether the peer is taken to wait, when the loop has done with what it passed on."""
    relay.turned()
    return leg.waits


def _with_window(ac: bytes, invoked: int, performed: int) -> bytes:
    """Put an asynchronous operations window (PS3.7 D.3.3.3) behind the user information of an A-ASSOCIATE-AC."""
    at = ac.rindex(b"\x50\x00", 0, ac.index(b"\x51\x00\x00\x04"))
    return pdu(ac[0], ac[6:at] + item(0x50, ac[at + 4 :] + item(0x53, struct.pack(">HH", invoked, performed))))


def test_an_echo_is_acknowledged_by_the_request_and_the_response_that_pass(folder: Path) -> None:
    quick: list[int] = []
    with Relay(folder) as relay, relay.associate() as pair:
        for number in range(1, MOST_ECHOES):
            before, began = [_bare_acknowledgements(peer) for peer in (pair.near, pair.far)], time.monotonic()
            pair.pass_on(pdv(1, 3, echo_rq(number)))
            pair.pass_on(pdv(1, 3, echo_rsp(number)), back=True)
            after = [_bare_acknowledgements(peer) for peer in (pair.near, pair.far)]
            if time.monotonic() - began < DELAYED_SECONDS:
                quick.append(sum(after) - sum(before))
            if len(quick) == ECHOES:
                break
        pair.release()
    assert sum(quick) < len(quick) // 2


def test_a_part_of_a_store_is_acknowledged_at_once_and_its_end_by_the_response(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        near, far = _legs(relay)
        command, first, last = store(1, bytes(200), chunk=100)
        pair.pass_on(command)
        assert not _waits(relay, near)
        pair.pass_on(first)
        assert not _waits(relay, near)
        pair.pass_on(last)
        assert _waits(relay, near)
        pair.pass_on(response(1), back=True)
        assert _waits(relay, far)
        pair.pass_on(command)
        assert not _waits(relay, near)


def test_a_peer_with_more_responses_to_send_does_not_wait_for_anybody(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        _near, far = _legs(relay)
        pair.pass_on(*store(1))
        pair.pass_on(response(1, PENDING), back=True)  # nobody's store is pending; what counts is the status
        assert not _waits(relay, far)


@pytest.mark.parametrize(("window", "waits"), [((1, 1), True), ((0, 0), False), ((4, 1), False), ((1, 4), False)])
def test_where_operations_may_overlap_nobody_is_taken_to_wait(folder: Path, window: tuple[int, int], waits: bool) -> None:
    with Relay(folder) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        with relay.accept() as far:
            answer = _with_window(associate_ac(far.whole()), *window)
            far.send(answer)
            assert near.whole() == answer
            pair = Pair(near, far)
            pair.pass_on(*store(1))
            pair.pass_on(response(1), back=True)
            assert [_waits(relay, leg) for leg in _legs(relay)] == [waits, waits]


@pytest.mark.parametrize("caller", [True, False])
def test_small_writes_of_a_peer_with_nagle_on_are_not_held_up_for_40_ms(folder: Path, caller: bool) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        sender = pair.near if caller else pair.far
        sender.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)

        def quick(number: int) -> bool:
            began = time.monotonic()
            for part in _pieces(store(number, bytes(4000), chunk=1000), caller):
                pair.near.send(part)
            for _ in range(5):
                pair.far.whole()
            for part in _pieces([response(number)], not caller):
                pair.far.send(part)
            pair.near.whole()
            return time.monotonic() - began < DELAYED_SECONDS

        for number in range(1, 21):  # to a new connection the kernel answers at once for a while
            quick(number)
        quick_at = next((number for number in range(21, 421) if quick(number)), 0)
        assert quick_at, "on a busy machine most take longer for reasons of their own, but not each of them"
        until(lambda: len(relay.writer.stores()) == quick_at, "all records")


def _pieces(pdus: list[bytes], small: bool) -> list[bytes]:
    """Header and body of each PDU by itself, as common toolkits write them, or all at once."""
    cut: Callable[[bytes], list[bytes]] = lambda each: [each[:6], each[6:]]  # noqa: E731
    return [part for each in pdus for part in cut(each)] if small else [b"".join(pdus)]
