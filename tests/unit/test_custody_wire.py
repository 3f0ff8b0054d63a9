"""Packets between worker and writer, frames and state of the write-ahead file: both ways, and hostile bytes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.custody import frames, wire
from wardgate.custody.frames import Frame, Kind
from wardgate.custody.options import UsageError, parse_options
from wardgate.custody.recover import Damaged, read_frames
from wardgate.custody.state import KEPT_CLOSED, State, StateError, decode_state
from wardgate.custody.wire import ANSWER, Op, Status, WireError

ITEMS = st.tuples(
    st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=16), st.integers(0, 2**32 - 1), st.binary(max_size=60)
)


@given(st.lists(ITEMS, max_size=8))
def test_items_come_back_as_they_went(items: list[tuple[int, int, bytes, int, bytes]]) -> None:
    packet = b"".join(wire.encode_item(*item) for item in items)
    assert list(wire.decode_items(packet)) == items


@given(st.binary(max_size=120))
def test_any_packet_gives_items_or_an_error(data: bytes) -> None:
    try:
        items = list(wire.decode_items(data))
    except WireError:
        return
    assert b"".join(wire.encode_item(*item) for item in items) == data


def test_item_longer_than_its_packet_is_refused() -> None:
    item = wire.encode_item(Op.STORE, 1, bytes(16), 1, b"abc")
    for cut in range(1, len(item)):
        with pytest.raises(WireError):
            list(wire.decode_items(item[:cut]))
    with pytest.raises(WireError):
        wire.encode_item(Op.STORE, 1, bytes(16), 1, bytes(wire.MAX_PACKET))


def test_answers_fill_packets_and_come_back() -> None:
    answers = [ANSWER.pack(n, n % 4, n * 7) for n in range(6000)]
    packets = list(wire.encode_answers(answers))
    assert len(packets) == 2 and all(len(packet) <= wire.MAX_PACKET for packet in packets)
    found = [answer for packet in packets for answer in wire.decode_answers(packet)]
    assert found == [(n, Status(n % 4), n * 7) for n in range(6000)]


@pytest.mark.parametrize("packet", [b"", b"\x02{}", b"\x01\x00", b"\x01" + ANSWER.pack(1, 9, 1)])
def test_packet_that_is_no_answers_is_refused(packet: bytes) -> None:
    with pytest.raises(WireError):
        wire.decode_answers(packet)


def test_hello_reclaims_all_associations_over_several_items() -> None:
    ids = [n.to_bytes(16, "big") for n in range(5000)]
    payloads = wire.encode_hello("worker 1", ids)
    found = [wire.decode_hello(payload) for payload in payloads]
    assert [name for name, _ in found] == ["worker 1"] * 3
    assert [association for _, part in found for association in part] == ids
    assert wire.decode_hello(wire.encode_hello("w", [])[0]) == ("w", [])
    for bad in (b"", b"\x05abc", b"\x01w" + bytes(15)):
        with pytest.raises(WireError):
            wire.decode_hello(bad)


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 7))
def test_frame_with_any_bit_changed_is_not_good(payload: bytes, place: int, bit: int) -> None:
    data = frames.encode(7, 5, Kind.STORE, bytes(16), 3, payload)
    assert frames.decode(data, 0) == Frame(5, Kind.STORE, bytes(16), 3, payload, 7, len(data))
    at = place % len(data)
    assert frames.decode(data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :], 0) is None
    assert frames.decode(data[:at], 0) is None


def test_frame_tells_what_was_on_disk_before_it() -> None:
    first = frames.encode(0, 0, Kind.STORE, bytes(16), 1, b"x" * 50)
    same_batch = frames.encode(0, 1, Kind.STORE, bytes(16), 2, b"y")
    next_batch = frames.encode(len(first), 1, Kind.STORE, bytes(16), 2, b"y")
    broken = b"\0" * 9 + first[9:]
    assert not frames.acknowledged_after(broken + same_batch, 0, 0)
    assert frames.acknowledged_after(broken + next_batch, 0, 0)
    assert not frames.acknowledged_after(broken + next_batch, 0, len(first))  # a base in an earlier part of the file


def test_state_comes_back_from_its_frame() -> None:
    state = State(10)
    one, two = state.begin(b"a" * 16, 1000), state.begin(b"b" * 16, 2000)
    one.note(1, 12)
    one.stores = 1
    state.next_index = 13
    state.end(two)
    again = decode_state(state.encode(), 13)
    assert (again.next_index, again.reserved, set(again.open), set(again.closed)) == (13, one.reserved, {b"a" * 16}, {b"b" * 16})
    entry = again.open[b"a" * 16]
    assert (entry.opened, entry.last_seq, entry.last_index, entry.stores, entry.place(1), entry.place(0)) == (10, 1, 12, 1, 12, 10)
    for cut in range(len(state.encode())):
        with pytest.raises(StateError):
            decode_state(state.encode()[:cut], 13)


def test_closed_associations_remembered_are_bounded() -> None:
    state = State()
    for n in range(KEPT_CLOSED + 10):
        state.end(state.begin(n.to_bytes(16, "big"), 0))
    assert len(state.closed) == KEPT_CLOSED and state.reserved == 0


def test_frame_out_of_its_order_is_refused() -> None:
    state = State()
    with pytest.raises(StateError):
        state.replay(Frame(1, Kind.OPEN, bytes(16), 0, b"", 0, 0), 0)
    with pytest.raises(StateError):
        state.replay(Frame(0, Kind.STORE, bytes(16), 1, b"", 0, 0), 0)
    state.replay(Frame(0, Kind.OPEN, bytes(16), 0, b"", 0, 0), 5)
    with pytest.raises(StateError):
        state.replay(Frame(1, 9, bytes(16), 1, b"", 0, 0), 0)


@pytest.mark.parametrize(
    "extra",
    [
        ["--what", "1"],
        ["--checkpoint-seconds"],
        ["--checkpoint-seconds", "x"],
        ["--durable", "maybe"],
        ["--checkpoint-records", "0"],
        ["--log", "y"],
    ],
)
def test_command_line_that_is_wrong_is_refused(extra: list[str]) -> None:
    good = ["--log", "l", "--socket", "s", "--origin", "o", "--key", "k"]
    assert parse_options([*good, "--fresh", "--durable=none"]).fresh
    with pytest.raises(UsageError):
        parse_options([*good, *extra])
    with pytest.raises(UsageError):
        parse_options(good[2:])


LAID_OUT = 16 << 20


def test_a_file_laid_out_for_much_more_than_was_written_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "wal-000000000001"
    with path.open("wb") as file:
        file.write(frames.encode(0, 0, Kind.STATE, bytes(16), 0, State(0).encode()))
        file.truncate(LAID_OUT)
    tracemalloc.start()
    try:
        assert len(list(read_frames(str(path)))) == 1
        assert tracemalloc.get_traced_memory()[1] < LAID_OUT / 8  # pieces of it, and never all
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("far", [0, 1, 3, 128 * 1024 - 5, 128 * 1024 + 1, 1 << 20])
@pytest.mark.parametrize("bad", [b"\0", frames.MAGIC + bytes(40), frames.MAGIC[:2], frames.MAGIC * 3])
def test_damage_is_found_by_a_good_frame_however_far_behind_it(tmp_path: Path, far: int, bad: bytes) -> None:
    path = tmp_path / "wal-000000000001"
    head = frames.encode(0, 0, Kind.STATE, bytes(16), 0, State(0).encode())
    before = head + bad + bytes(far)
    path.write_bytes(before + frames.encode(len(head), 1, Kind.STORE, bytes(16), 2, b"y"))
    assert len(list(read_frames(str(path)))) == 1, "what was not known to be on the disk may be torn"
    path.write_bytes(before + frames.encode(len(head) + 1, 1, Kind.STORE, bytes(16), 2, b"y"))
    with pytest.raises(Damaged):
        list(read_frames(str(path)))
