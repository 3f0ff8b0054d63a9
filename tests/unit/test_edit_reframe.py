"""Edited data sets back in P-DATA-TF: the data, the framing, what waits and what passes as it came."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.elements import Writer
from support.wire import pdu, pdv
from wardgate.custody.status import outside
from wardgate.edit.dataset import DatasetEdit
from wardgate.edit.elements import DatasetError, Encoding
from wardgate.edit.reframe import MAX_WAITING, MAX_WHOLE, Passing, Reframer

W = Writer(Encoding.EXPLICIT_LITTLE)
CLAIM = W.before() + W.group(True, status=b"AO", comment=b"fit for diagnosis ") + W.after()
CLEARED = W.before() + W.group(True, status=b"NS") + W.after()
PLAIN = W.before() + W.after()
ECHO = pdv(1, 3, b"echo")
RELEASE = pdu(5, bytes(4))
BODIES = {"claim": CLAIM, "plain": PLAIN, "cleared": CLEARED}


def passing() -> Passing:
    return Passing(DatasetEdit(W.encoding, outside), "1.2.3")


def through(reframer: Reframer, stream: bytes, cuts: list[int]) -> bytes:
    """Feed `stream`, cut at `cuts`."""
    out = bytearray()
    marks = [0, *sorted({cut for cut in cuts if 0 < cut < len(stream)}), len(stream)]
    for start, end in pairwise(marks):
        buffer = bytearray(stream[start:end])  # used again by the caller after `feed`
        reframer.feed(memoryview(buffer))
        for piece in reframer.take():
            out += piece
        buffer[:] = bytes(len(buffer))
    return bytes(out)


def fragments(stream: bytes) -> list[tuple[int, int, bytes]]:
    """Read P-DATA-TFs: (context, control header, data)."""
    found, at = [], 0
    while at < len(stream):
        kind, length = stream[at], struct.unpack_from(">I", stream, at + 2)[0]
        inner, at = stream[at + 6 : at + 6 + length], at + 6 + length
        if kind != 4:
            continue
        here = 0
        while here < length:
            size = struct.unpack_from(">I", inner, here)[0]
            found.append((inner[here + 4], inner[here + 5], inner[here + 6 : here + 4 + size]))
            here += 4 + size
    return found


def data_of(stream: bytes) -> list[bytes]:
    """Return the data sets in a stream."""
    sets: list[bytes] = [b""]
    for _context, control, data in fragments(stream):
        if not control & 1:
            sets[-1] += data
            if control & 2:
                sets.append(b"")
    assert not sets[-1]
    return sets[:-1]


def message(body: bytes, sizes: list[int], joined: bool = False, context: int = 3) -> bytes:
    """Return a command and a data set in fragments of these sizes, one PDU each, or all in one PDU."""
    parts, at = [(3, b"store")], 0
    for size in sizes:
        if at + size < len(body):
            parts.append((0, body[at : at + size]))
            at += size
    parts.append((2, body[at:]))
    if joined:
        return pdu(4, b"".join(struct.pack(">IBB", len(data) + 2, context, control) + data for control, data in parts))
    return b"".join(pdv(context, control, data) for control, data in parts)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(list(BODIES)), st.booleans(), st.booleans()), min_size=1, max_size=3),
    st.lists(st.integers(1, 700), max_size=30),
    st.lists(st.integers(0, 9000), max_size=30),
    st.sampled_from([0, 128, 4096]),
)
def test_every_data_set_arrives_with_its_change_and_no_other_however_it_is_cut(
    messages: list[tuple[str, bool, bool]], sizes: list[int], cuts: list[int], maximum: int
) -> None:
    reframer = Reframer(maximum)
    stream, expected, edited = b"", [], 0
    for name, joined, edit in messages:
        body = BODIES[name]
        reframer.expect(passing() if edit else None)
        stream += message(body, sizes, joined) + ECHO
        expected.append(CLEARED if edit and body is CLAIM else body)
        edited += edit and body is CLAIM
    stream += RELEASE
    out = through(reframer, stream, cuts)
    assert data_of(out) == expected, "other data"
    assert out.endswith(ECHO + RELEASE)
    assert reframer.between_pdus
    assert len(reframer.edited) == edited
    if not edited:
        assert out == stream, "nothing was edited: every PDU passes as it came"


def test_fragments_of_what_is_made_anew_are_even_and_as_long_as_the_receiver_takes() -> None:
    reframer = Reframer(128)
    reframer.expect(passing())
    out = through(reframer, message(CLAIM, [101, 51, 77, 333], joined=True), [])
    assert max(len(data) for _context, _control, data in fragments(out)) == 128 - 6
    parts = [data for _context, control, data in fragments(out) if not control & 1]
    assert all(len(data) % 2 == 0 for data in parts[:-1])
    assert b"".join(parts) == CLEARED


def test_the_digest_is_that_of_what_left() -> None:
    import hashlib

    for cuts in ([], list(range(0, 4000, 11))):
        reframer, one = Reframer(0), passing()
        reframer.expect(one)
        through(reframer, message(CLAIM, [300, 300, 300]), cuts)
        assert one.whole and one.changed
        assert one.sha.hexdigest() == hashlib.sha256(CLEARED).hexdigest()


def test_a_pdu_that_is_too_long_to_wait_for_leaves_in_pieces() -> None:
    pixels = W.element(0x7FE00010, b"OW", bytes(2 * MAX_WHOLE))
    body = W.before() + W.group(True, status=b"OR", date=b"20261122") + pixels
    reframer = Reframer(4096)
    reframer.expect(passing())
    stream = message(body, [])
    out = through(reframer, stream, list(range(0, len(stream), 10_000)))
    assert data_of(out) == [W.before() + W.group(True, status=b"NS") + pixels]
    assert max(len(data) for _context, _control, data in fragments(out)) <= 4090


def test_what_waits_is_bounded() -> None:
    """A group 0100 that never ends, in tiny PDUs, and in one without end."""
    endless = W.element(0x01000500, b"OB", b"", 1 << 30)
    for size in (2, 1000, 200_000):
        reframer = Reframer(0)
        reframer.expect(passing())
        reframer.feed(memoryview(pdv(3, 3, b"store") + pdv(3, 0, endless)))
        for _ in range(200_000):
            try:
                reframer.feed(memoryview(pdv(3, 0, bytes(size))))
            except DatasetError:
                break
            assert reframer._waiting <= MAX_WAITING + MAX_WHOLE + 6
        else:
            raise AssertionError("it waits for ever")


def test_what_came_in_front_of_a_mistake_still_leaves_and_nothing_after_it() -> None:
    reframer = Reframer(0)
    for _ in range(2):
        reframer.expect(passing())
    first, second = message(CLAIM, [64]), message(b"\x08\0\x05\0xx\0\0" + CLAIM, [])
    with pytest.raises(DatasetError):
        reframer.feed(memoryview(first + second))
    assert data_of(b"".join(map(bytes, reframer.take()))[: -len(pdv(3, 3, b"store"))]) == [CLEARED]
    with pytest.raises(DatasetError):
        reframer.feed(memoryview(ECHO))
    assert not reframer.take()


def test_a_pdu_cut_in_its_tail_says_that_it_is_not_whole() -> None:
    reframer = Reframer(0)
    reframer.expect(None)
    stream = message(PLAIN, [])
    reframer.feed(memoryview(stream)[:-5])
    assert not reframer.between_pdus
    reframer.feed(memoryview(stream)[-5:])
    assert reframer.between_pdus
