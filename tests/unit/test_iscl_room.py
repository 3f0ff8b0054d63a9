"""Buffers that are used again: never while somebody looks at them, and never more than a bound."""

from __future__ import annotations

import gc

from hypothesis import given, settings
from hypothesis import strategies as st

from support.isclkit import Pair, pair_of
from wardgate.iscl.room import KEPT, LONGEST_BYTES, SHORT_BYTES, Room
from wardgate.iscl.terms import Encryption, Mac, Method

GCM = (Method.ISO_9798_4_CMAC, Encryption.AES_256_GCM, Mac.INTEGRATED)
LONG = SHORT_BYTES


def _kept(room: Room) -> list[bytearray]:
    return room._kept


def test_a_buffer_is_used_again_when_nobody_looks_at_it_any_more() -> None:
    room = Room()
    first = room.take(LONG)
    where = first.obj
    del first
    assert room.take(LONG).obj is where


def test_a_buffer_that_somebody_looks_at_is_left_alone() -> None:
    room = Room()
    first = room.take(LONG)
    part = first[100:200].toreadonly()
    where = first.obj
    del first
    assert room.take(LONG).obj is not where
    del part
    gc.collect()
    assert room.take(LONG).obj is where


def test_what_is_kept_is_bounded_in_number_and_size() -> None:
    room = Room()
    held = [room.take(LONG + index) for index in range(3 * KEPT)]
    assert len(_kept(room)) == KEPT and len({id(view.obj) for view in held}) == 3 * KEPT
    room.take(LONGEST_BYTES + 1)
    room.take(SHORT_BYTES - 1)
    assert max(map(len, _kept(room))) <= LONGEST_BYTES


def test_a_free_buffer_that_is_too_short_makes_room_for_a_longer_one() -> None:
    room = Room()
    for _ in range(KEPT):
        held = [room.take(LONG) for _ in range(KEPT)]
    del held
    longer = room.take(4 * LONG)
    assert len(longer) == 4 * LONG and len(_kept(room)) == KEPT


@given(sizes=st.lists(st.integers(1, 3 * LONG), min_size=2, max_size=8), keep=st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_a_message_that_is_kept_does_not_change_while_others_pass(sizes: list[int], keep: int) -> None:
    pair = Pair(*pair_of(*GCM, block_length=20000)).open()
    kept: list[tuple[memoryview, bytes]] = []
    for index, size in enumerate(sizes):
        message = bytes((index + 1,)) * size
        pair.server.engine.send(message, 0.0)
        for _ in range(3):
            for source, sink in ((pair.server, pair.client), (pair.client, pair.server)):
                wire = b"".join(source.engine.take_output())
                for ask in source.engine.take_asked():
                    source.engine.answer(ask, source.token.run(ask.operations), 0.0)
                if wire:
                    sink.engine.feed(memoryview(bytearray(wire)), 0.0)
        (got,) = pair.client.engine.take_messages()
        assert bytes(got) == message
        if index <= keep:
            kept.append((got, message))
    assert all(bytes(view) == message for view, message in kept)
