"""The virtual card's commands as such: lengths, chaining, answers in parts, selection. ISO/IEC 7816-3 12.1 and 7816-4 5.1."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.cardkit import ISCL_AID, PIV_AID, Raw
from virtualcard import tlv
from virtualcard.apdu import Refusal, parse
from virtualcard.card import answer_to_reset


@pytest.mark.parametrize(
    "raw,data,le",
    [
        ("00840000", b"", None),  # case 1
        ("0084000008", b"", 8),  # case 2
        ("0084000000", b"", 256),
        ("00840000000008", b"", 8),  # case 2, extended
        ("00840000000000", b"", 65536),
        ("0020008002aabb", b"\xaa\xbb", None),  # case 3
        ("00200080000002aabb", b"\xaa\xbb", None),  # case 3, extended
        ("00cb3fff02aabb00", b"\xaa\xbb", 256),  # case 4
        ("00cb3fff000002aabb0100", b"\xaa\xbb", 256),  # case 4, extended
    ],
)
def test_every_case_of_a_command_is_read(raw: str, data: bytes, le: int | None) -> None:
    command = parse(bytes.fromhex(raw))
    assert (command.data, command.le) == (data, le)


@pytest.mark.parametrize("raw", ["", "0084", "008400", "0020008003aabb", "0020008001aabbcc", "00200080000003aabb", "00200080000000aa"])
def test_a_length_that_does_not_fit_is_refused(raw: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse(bytes.fromhex(raw))
    assert refused.value.status == 0x6700


def test_nothing_but_select_works_before_select() -> None:
    card = Raw()
    assert card.status("00cb3fff035c017e00") == "6985" and card.status("0020008008313233343536ffff") == "6985"
    assert card.status("00a4040006f00000000000") == "6a82"
    assert card.status(f"00a4040c05{PIV_AID}") == "9000"


def test_each_application_answers_its_names_and_no_others() -> None:
    card = Raw()
    piv = card.good(f"00a4040005{PIV_AID}00")
    assert tlv.decode(tlv.decode(piv)[0x61])[0x4F] == bytes.fromhex("000010000100")
    assert card.good("00a404000ba00000030800001000010000") == piv
    assert card.status("00a4040004a000000300") == "6a82"  # shorter than the provider's identifier
    own = tlv.decode(tlv.decode(tlv.decode(card.good(f"00a404000a{ISCL_AID}00"))[0x6F])[0xA5])
    assert own == {0x50: b"ward-ct1", 0x5A: bytes.fromhex("00c0ffee00000001")}


def test_classes_that_the_card_does_not_have_are_refused_by_name() -> None:
    card = Raw().select()
    assert card.status("0cb0000000") == "6882" and card.status("01cb3fff00") == "6881" and card.status("ffca000000") == "6e00"
    assert card.status("80ca000000") == "6e00" and card.status("00b0000000") == "6d00"


def test_an_answer_longer_than_asked_for_comes_in_parts() -> None:
    card = Raw().select()
    whole = card.good("00cb3fff0000055c035fc1020000")
    part, status = card.send("00cb3fff055c035fc10210")
    assert len(part) == 16 and status == f"61{len(whole) - 16:02x}"
    assert part + card.good("00c0000000") == whole
    assert card.status("00c0000000") == "6985", "an answer is given once"
    assert card.send("00cb3fff055c035fc102") == (b"", f"61{len(whole):02x}"), "without Le nothing comes yet"
    card.status("00cb3fff035c017e00")
    assert card.status("00c0000000") == "6985", "another command drops the rest"


def test_a_chain_is_one_command_and_another_command_breaks_it() -> None:
    card = Raw().select()
    assert card.status("10cb3fff025c03") == "9000" and card.good("00cb3fff035fc10200")[:1] == b"\x53"
    assert card.status("10cb3fff025c03") == "9000" and card.status("0020008000") == "6883"
    assert card.status("00cb3fff055c035fc10200") == "9000", "the broken chain is forgotten"


def test_a_chain_without_end_is_refused() -> None:
    card = Raw().select()
    statuses = [card.status("10db3fffff" + "00" * 255) for _ in range(17)]
    assert statuses[:16] == ["9000"] * 16 and statuses[16] == "6a84"


def test_power_off_forgets_what_was_verified_and_selected() -> None:
    card = Raw().select().pin().admin()
    assert card.status("0020008000"[:8]) == "9000"
    card.card.reset()
    assert card.status("00200080") == "6985"
    assert card.select().status("00200080") == "63c3"


def test_answer_to_reset_has_a_right_check_byte_and_length() -> None:
    atr = answer_to_reset()
    assert atr[0] == 0x3B and len(atr) == 2 + 2 + (atr[1] & 0x0F) + 1
    check = 0
    for byte in atr[1:]:
        check ^= byte
    assert check == 0


@settings(max_examples=400, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=6), st.booleans())
def test_no_bytes_break_the_card(apdus: list[bytes], iscl: bool) -> None:
    card = Raw().select(ISCL_AID if iscl else PIV_AID).pin().admin()
    for apdu in apdus:
        assert len(card.card.process(apdu)) >= 2


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from([0x20, 0x24, 0x2C, 0x47, 0x82, 0x84, 0x87, 0x88, 0xCB, 0xDB, 0xFB, 0xFF]),
    st.binary(min_size=2, max_size=2),
    st.binary(max_size=80),
)
def test_no_data_of_a_command_breaks_the_card(ins: int, p1p2: bytes, data: bytes) -> None:
    for aid in (PIV_AID, ISCL_AID):
        card = Raw().select(aid).pin().admin()
        assert len(card.card.process(bytes([0, ins]) + p1p2 + (bytes([len(data)]) + data if data else b"") + b"\0")) >= 2


@given(st.binary(max_size=60))
def test_data_objects_are_read_or_refused(data: bytes) -> None:
    try:
        found = list(tlv.objects(data))
    except tlv.BadTlv:
        return
    again = b"".join(tlv.encode(tag, value) for tag, value in found)
    assert list(tlv.objects(again)) == found


@pytest.mark.parametrize("cut", ["53", "5303aabb", "5f", "5fc1", "5fc102", "5381", "538200", "5383000001aa", "5fffffffff01aa", "5300ff"])
def test_data_objects_that_are_cut_short_or_of_strange_form_are_refused(cut: str) -> None:
    with pytest.raises(tlv.BadTlv):
        list(tlv.objects(bytes.fromhex(cut)))


def test_lengths_of_data_objects_of_every_size() -> None:
    for size in (0, 1, 127, 128, 255, 256, 3000):
        value = os.urandom(size)
        assert tlv.decode(tlv.encode(0x5FC102, value) + tlv.encode(0x7E, b"")) == {0x5FC102: value, 0x7E: b""}
