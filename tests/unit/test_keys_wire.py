"""The key service's messages: what one side writes the other reads, and nothing else is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.codes import Code
from wardkeys import wire
from wardkeys.errors import code_of
from wardkeys.wire import Op, WireError

_FIELDS = st.lists(st.binary(max_size=200), max_size=wire.MAX_FIELDS)
_NUMBERS = st.integers(1, 2**32 - 1)


def test_a_signing_request_has_the_documented_bytes() -> None:
    packet = wire.encode_request(Op.SIGN, 7, [b"pkcs11:object=a", b"ed25519", b"hi"])
    assert packet == bytes.fromhex("010100000007000f") + b"pkcs11:object=a" + b"\x00\x07ed25519\x00\x02hi"
    assert wire.decode_request(packet) == (Op.SIGN, 7, [b"pkcs11:object=a", b"ed25519", b"hi"])


def test_a_failure_carries_its_code_and_a_short_text() -> None:
    packet = wire.encode_failure(Op.SIGN, 7, Code.KEYS_TOKEN_ABSENT.value.number, "gone" * 200)
    op, number, status, fields = wire.decode_response(packet)
    assert (op, number, code_of(status)) == (Op.SIGN, 7, Code.KEYS_TOKEN_ABSENT)
    assert len(fields[0]) == wire.MAX_DETAIL
    assert packet[:8] == bytes.fromhex("0181 00000007 02c0")


@given(st.integers(30, 127), _NUMBERS, _FIELDS)
def test_requests_come_back_as_they_were(op: int, number: int, fields: list[bytes]) -> None:
    assert wire.decode_request(wire.encode_request(op, number, fields)) == (op, number, fields)


@given(st.integers(0, 127), st.integers(0, 2**32 - 1), _FIELDS)
def test_responses_come_back_as_they_were(op: int, number: int, fields: list[bytes]) -> None:
    assert wire.decode_response(wire.encode_response(op, number, 0, fields)) == (op, number, 0, fields)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_a_wire_error(packet: bytes) -> None:
    for decode in (wire.decode_request, wire.decode_response):
        try:
            decode(packet)
        except WireError:
            pass


@given(st.sampled_from(list(Op)), _NUMBERS, _FIELDS, st.data())
def test_a_request_cut_anywhere_is_refused_or_whole(op: int, number: int, fields: list[bytes], data: st.DataObject) -> None:
    packet = wire.encode_request(op, number, fields)
    cut = packet[: data.draw(st.integers(0, len(packet)))]
    try:
        _, _, found = wire.decode_request(cut)
    except WireError:
        return
    assert found == fields[: len(found)] and len(found) == wire.FIELDS[op]


@pytest.mark.parametrize(
    "packet, why",
    [
        (b"", "request of 0 bytes"),
        (bytes.fromhex("020600000001"), "version 2"),
        (bytes.fromhex("018600000001"), "no request"),
        (bytes.fromhex("010600000000"), "no request"),
        (bytes.fromhex("01060000000100"), "one byte left"),
        (bytes.fromhex("0106000000010005aa"), "field of 5 bytes"),
        (bytes.fromhex("0106000000010000"), "0 fields, not 1"),
        (bytes.fromhex("017f00000001") + bytes(18), "more than 8 fields"),
        (bytes.fromhex("010100000001") + bytes(65536), "request of 65542 bytes"),
    ],
)
def test_a_malformed_request_says_what_is_wrong(packet: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        wire.decode_request(packet)


def test_what_does_not_fit_a_packet_is_not_encoded() -> None:
    for fields in ([bytes(65536)], [bytes(40000), bytes(40000)]):
        with pytest.raises(WireError):
            wire.encode_request(99, 1, fields)


def test_a_failure_without_a_text_is_malformed() -> None:
    with pytest.raises(WireError, match="without a text"):
        wire.decode_response(wire.encode_response(Op.SIGN, 1, 704, []))


def test_a_status_of_a_newer_service_is_still_an_error() -> None:
    assert code_of(64999) is Code.KEYS_WIRE
