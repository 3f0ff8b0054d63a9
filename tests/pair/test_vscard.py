"""Both front ends of the virtual card against a peer in the test: QEMU's side of VSCARD, and vpcd's."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cardkit import SERIAL
from virtualcard import state, vpcd, vscard
from virtualcard.card import Card, answer_to_reset
from virtualcard.frontend import FrontEnd
from virtualcard.store import MemoryStore
from virtualcard.vscard import Type

SELECT = bytes.fromhex("00a4040005a00000030800")


@contextmanager
def served(kind: type[FrontEnd], delay: float = 0.0) -> Iterator[tuple[socket.socket, FrontEnd, threading.Thread]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    front = kind(Card(MemoryStore(state.fresh(SERIAL, "ward-ct1"))), theirs, delay)
    thread = threading.Thread(target=front.serve, daemon=True)
    thread.start()
    yield ours, front, thread
    front.remove()
    ours.close()
    thread.join(60)
    assert not thread.is_alive()


def exactly(channel: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = channel.recv(count - len(data))
        assert more, "the card went away"
        data += more
    return data


def heard(channel: socket.socket) -> tuple[int, int, bytes]:
    kind, reader, length = struct.unpack(">III", exactly(channel, 12))
    return kind, reader, exactly(channel, length)


def say(channel: socket.socket, kind: int, payload: bytes, reader: int = 0) -> None:
    channel.sendall(struct.pack(">III", kind, reader, len(payload)) + payload)


def greeted(channel: socket.socket) -> None:
    """Be QEMU: its device greets when it is made and again as an answer, takes the reader as number 0, then the ATR."""
    greeting = b"VSCD" + struct.pack(">II", 2, 0)
    assert heard(channel) == (Type.INIT, 0xFFFFFFFF, greeting)
    say(channel, Type.INIT, greeting, 0xFFFFFFFF)
    say(channel, Type.INIT, greeting, 0xFFFFFFFF)
    assert heard(channel)[0] == Type.READER_ADD
    say(channel, Type.ERROR, struct.pack(">I", 0))
    assert heard(channel) == (Type.ATR, 0, answer_to_reset())
    say(channel, Type.ERROR, struct.pack(">I", 0))


def test_qemu_inserts_the_card_and_uses_it() -> None:
    with served(vscard.Vscard) as (channel, _, _):
        greeted(channel)
        say(channel, Type.APDU, SELECT)
        kind, reader, answer = heard(channel)
        assert (kind, reader, answer[-2:]) == (Type.APDU, 0, b"\x90\x00")
        say(channel, Type.FLUSH, b"")
        assert heard(channel)[0] == Type.FLUSH_COMPLETE


def test_removal_tells_qemu_that_card_and_reader_are_gone() -> None:
    with served(vscard.Vscard) as (channel, front, _):
        greeted(channel)
        say(channel, Type.APDU, SELECT)
        heard(channel)
        front.remove()
        assert [heard(channel)[0] for _ in range(2)] == [Type.CARD_REMOVE, Type.READER_REMOVE]
        assert channel.recv(1) == b""


@pytest.mark.parametrize("first", [b"XXXX" + bytes(8), b""])
def test_a_peer_that_is_not_qemu_is_left(first: bytes) -> None:
    with served(vscard.Vscard) as (channel, _, thread):
        heard(channel)
        say(channel, Type.INIT, first, 0xFFFFFFFF)
        thread.join(60)
        assert not thread.is_alive()


def test_a_refusal_and_an_endless_message_end_the_insertion() -> None:
    with served(vscard.Vscard) as (channel, _, thread):
        heard(channel)
        say(channel, Type.ERROR, struct.pack(">I", 2))
        thread.join(60)
        assert not thread.is_alive()
    with served(vscard.Vscard) as (channel, _, thread):
        heard(channel)
        channel.sendall(struct.pack(">III", Type.APDU, 0, 1 << 24))
        thread.join(60)
        assert not thread.is_alive()


def test_an_apdu_before_the_card_is_in_is_not_answered() -> None:
    with served(vscard.Vscard) as (channel, _, thread):
        heard(channel)
        say(channel, Type.APDU, SELECT)
        thread.join(60)
        assert not thread.is_alive()


def test_vpcd_powers_resets_and_uses_the_card() -> None:
    with served(vpcd.Vpcd) as (channel, _, _):
        channel.sendall(vpcd.frame(b"\x01") + vpcd.frame(b"\x04"))
        (length,) = struct.unpack(">H", exactly(channel, 2))
        assert exactly(channel, length) == answer_to_reset()
        channel.sendall(vpcd.frame(SELECT)[:1])
        channel.sendall(vpcd.frame(SELECT)[1:])
        (length,) = struct.unpack(">H", exactly(channel, 2))
        assert exactly(channel, length)[-2:] == b"\x90\x00"
        for control in (b"\x02", b"\x00"):
            channel.sendall(vpcd.frame(control) + vpcd.frame(bytes.fromhex("00200080")))
            assert exactly(channel, 4) == b"\x00\x02\x69\x85", "nothing is selected after a reset"


def test_a_removal_ends_a_signature_under_way_without_an_answer() -> None:
    first = state.fresh(SERIAL, "ward-ct1")
    from virtualcard import pivkeys

    first.keys[0x9E] = pivkeys.generate(pivkeys.P256)[0]
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    front = vpcd.Vpcd(Card(MemoryStore(first)), theirs, 600.0)
    thread = threading.Thread(target=front.serve, daemon=True)
    thread.start()
    sign = bytes.fromhex("0087119e267c2482008120") + bytes(32) + b"\0"
    ours.sendall(vpcd.frame(SELECT) + vpcd.frame(sign))
    (length,) = struct.unpack(">H", exactly(ours, 2))
    exactly(ours, length)
    front.remove()
    assert ours.recv(1) == b""
    thread.join(60)
    assert not thread.is_alive()


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 400))
def test_messages_are_cut_the_same_however_they_arrive(messages: list[bytes], step: int) -> None:
    stream = b"".join(vpcd.frame(one) for one in messages)
    frames = vpcd.Frames()
    assert [one for at in range(0, len(stream), step) for one in frames.feed(stream[at : at + step])] == messages
    stream = b"".join(vscard.message(7, 0, one) for one in messages)
    cut = vscard.Messages()
    assert [one for at in range(0, len(stream), step) for *_, one in cut.feed(stream[at : at + step])] == messages
