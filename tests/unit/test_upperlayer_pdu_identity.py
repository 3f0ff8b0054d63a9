"""For every well-formed PDU decode and encode give back the same bytes; for any bytes they do, or a `PduError` is raised."""

from __future__ import annotations

import struct

from hypothesis import example, given, settings
from hypothesis import strategies as st

from support import pdu_vectors as vectors
from support.pdu_vectors import item, pdu
from wardgate.upperlayer.errors import PduError
from wardgate.upperlayer.pdu import decode

byte = st.integers(0, 255)
some = st.binary(max_size=40)
uids = st.binary(max_size=64)
reserved3 = st.binary(min_size=3, max_size=3)
KNOWN = {0x10, 0x20, 0x21, 0x30, 0x40, *range(0x50, 0x5A)}
unknown = st.builds(item, st.integers(0, 255).filter(lambda number: number not in KNOWN), some, byte)


def led(*fields: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(field)) + field for field in fields)


def one(number: int, content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.builds(item, st.just(number), content, byte)


two = st.binary(min_size=2, max_size=2)
four = st.binary(min_size=4, max_size=4)
about_all = {
    0x51: four,
    0x52: uids,
    0x53: four,
    0x55: some,
    0x58: st.builds(lambda kind, primary, secondary: kind + led(primary, secondary), two, some, some),
    0x59: st.builds(led, some),
}
about_class = st.one_of(
    one(0x54, st.builds(lambda uid, roles: led(uid) + roles, uids, two)),
    one(0x56, st.builds(lambda uid, rest: led(uid) + rest, uids, some)),
    one(
        0x57,
        st.builds(
            lambda uid, service, related, rest: led(uid, service, led(*related)) + rest, uids, uids, st.lists(uids, max_size=4), some
        ),
    ),
    unknown,
)


@st.composite
def user_information(draw: st.DrawFn) -> bytes:
    parts = [draw(one(number, about_all[number])) for number in draw(st.sets(st.sampled_from(sorted(about_all))))]
    parts += draw(st.lists(about_class, max_size=5))
    return item(0x50, b"".join(draw(st.permutations(parts))), draw(byte))


@st.composite
def associate(draw: st.DrawFn) -> bytes:
    number = draw(st.sampled_from([1, 2]))
    ids = draw(st.sets(st.integers(0, 127), min_size=1, max_size=6))
    contexts = []
    for half in sorted(ids):
        syntaxes = [draw(one(0x40, uids))]
        if number == 1:
            syntaxes += [draw(one(0x30, uids)), *draw(st.lists(one(0x40, uids), max_size=3))]
        syntaxes += draw(st.lists(unknown, max_size=2))
        content = bytes((half * 2 + 1,)) + draw(reserved3) + b"".join(draw(st.permutations(syntaxes)))
        contexts.append(item(0x1F + number, content, draw(byte)))
    items = [*contexts, draw(one(0x10, uids)), draw(user_information()), *draw(st.lists(unknown, max_size=3))]
    fixed = draw(st.binary(min_size=68, max_size=68))
    return pdu(number, fixed + b"".join(draw(st.permutations(items))), draw(byte))


@st.composite
def p_data(draw: st.DrawFn) -> bytes:
    values = draw(st.lists(st.tuples(st.integers(0, 127), byte, some), min_size=1, max_size=6))
    return pdu(4, b"".join(struct.pack(">IBB", len(data) + 2, half * 2 + 1, control) + data for half, control, data in values), draw(byte))


fixed_length = st.builds(pdu, st.sampled_from([3, 5, 6, 7]), four, byte)
well_formed = st.one_of(associate(), p_data(), fixed_length)


@settings(max_examples=300, deadline=None)
@given(well_formed)
def test_every_well_formed_pdu_encodes_to_the_bytes_it_came_from(data: bytes) -> None:
    decoded = decode(data)
    assert decoded.encode() == data
    assert decode(decoded.encode()) == decoded


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.one_of(well_formed, st.sampled_from(sorted(vectors.ALL.values())))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
        if not data:
            break
    if draw(st.booleans()) and len(data) >= 6:  # past the check of the length in the header
        data[2:6] = struct.pack(">I", len(data) - 6)
    return bytes(data)


@settings(max_examples=500, deadline=None)
@given(st.one_of(damaged(), st.binary(max_size=120)))
@example(b"")
def test_damaged_pdu_is_refused_at_a_byte_or_still_kept_whole(data: bytes) -> None:
    refused = None
    try:
        assert decode(data).encode() == data
    except PduError as error:
        refused = error
    assert refused is None or (0 <= refused.offset <= len(data) and refused.clause.startswith("PS3."))
