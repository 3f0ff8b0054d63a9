"""The line between box and supervisor: frames that are whole come out, and nothing else does anything."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.supervisor import protocol
from wardgate.supervisor.protocol import Decoder, checksum, encode

# (kind, payload, wire): the sums by `binascii.crc_hqx(body, 0xFFFF)` of the standard library, the stuffing by hand.
VECTORS = [
    (protocol.HELLO, b"", "0501013e1f00"),
    (protocol.ALIVE, b"\x00\x3c\x01", "030102053c0106ec00"),
    (protocol.GRACE, b"\x03\x84", "07010303842f7b00"),
    (protocol.STATUS, b"\x01\x00\x00\x00\x00\x00", "04018101010101010320d500"),
]


def test_the_checksum_is_the_published_one() -> None:
    assert checksum(b"123456789") == 0x29B1
    assert checksum(b"") == 0xFFFF


@pytest.mark.parametrize(("kind", "payload", "wire"), VECTORS)
def test_frames_are_these_bytes(kind: int, payload: bytes, wire: str) -> None:
    assert encode(kind, payload).hex() == wire
    assert Decoder().feed(bytes.fromhex(wire)) == [(kind, payload)]


@given(st.binary(max_size=protocol.MAX_PAYLOAD), st.integers(0, 255))
def test_what_is_encoded_comes_out_again(payload: bytes, kind: int) -> None:
    wire = encode(kind, payload)
    assert wire.count(b"\0") == 1 and wire[-1] == 0
    assert Decoder().feed(wire) == [(kind, payload)]


def test_it_does_not_matter_how_the_bytes_are_cut() -> None:
    wire = encode(protocol.ALIVE, b"\x00\x3c\x01") + encode(protocol.HELLO)
    decoder = Decoder()
    found = [frame for byte in wire for frame in decoder.feed(bytes([byte]))]
    assert found == [(protocol.ALIVE, b"\x00\x3c\x01"), (protocol.HELLO, b"")]


@pytest.mark.parametrize("bit", range(8 * (len(encode(protocol.ALIVE, b"\x00\x3c\x01")) - 1)))
def test_one_flipped_bit_makes_it_no_frame(bit: int) -> None:
    wire = bytearray(encode(protocol.ALIVE, b"\x00\x3c\x01"))
    wire[bit // 8] ^= 1 << bit % 8
    decoder = Decoder()
    assert decoder.feed(bytes(wire)) == []
    assert decoder.damaged >= 1


def test_after_noise_the_next_frame_is_read() -> None:
    decoder = Decoder()
    assert decoder.feed(b"\xff\x07noise") == []
    assert decoder.feed(b"\0" + encode(protocol.HELLO)) == [(protocol.HELLO, b"")]
    assert decoder.damaged == 1


def test_a_line_without_an_end_fills_no_memory_and_counts_once() -> None:
    decoder = Decoder()
    for _ in range(1000):
        assert decoder.feed(b"\x01" * 1000) == []
    assert len(decoder._held) <= protocol.MAX_PAYLOAD + 8
    assert decoder.feed(b"\0" + encode(protocol.HELLO)) == [(protocol.HELLO, b"")]
    assert decoder.damaged == 1


def test_the_end_of_a_long_line_is_no_frame_although_it_looks_like_one() -> None:
    """Bytes beyond the bound are thrown away: what is left must not be taken for a whole frame."""
    whole = encode(protocol.EVENT, b"x" * protocol.MAX_PAYLOAD)[:-1]
    decoder = Decoder()
    assert decoder.feed(whole + b"\0") == [(protocol.EVENT, b"x" * protocol.MAX_PAYLOAD)]
    assert decoder.feed(whole + b"\x05" * 40 + b"\0") == []
    assert decoder.feed(b"\x05" * 40 + whole + b"\0") == []
    assert decoder.damaged == 2


def test_a_frame_of_another_version_is_counted_apart() -> None:
    decoder = Decoder()
    assert decoder.feed(encode(protocol.HELLO, version=2)) == []
    assert (decoder.damaged, decoder.foreign) == (0, 1)


def test_noise_never_raises_and_is_hardly_ever_a_frame() -> None:
    noise = random.Random(1).randbytes(200_000)
    decoder = Decoder()
    assert decoder.feed(noise) == []
    assert decoder.damaged > 300


def test_counters_have_an_end() -> None:
    decoder = Decoder()
    decoder.damaged = decoder.foreign = 0xFFFF
    decoder.feed(b"\x01\0" + encode(protocol.HELLO, version=9))
    assert (decoder.damaged, decoder.foreign) == (0xFFFF, 0xFFFF)


def test_a_number_that_is_too_large_is_the_largest() -> None:
    assert protocol.number(70000) == b"\xff\xff"
