"""The virtual card's PIV application: PIN and PUK, management key, data objects, keys. SP 800-73-4 Part 2."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from support.cardkit import ISCL_AID, SERIAL, Raw
from virtualcard import pivkeys, pivobjects, state, tlv

RIGHT, WRONG, NEW = "313233343536ffff", "393939393939ffff", "3635343332313030"
PUK, WRONG_PUK = "3132333435363738", "3132333435363739"


def generate(card: Raw, slot: int, algorithm: int) -> dict[int, bytes]:
    return tlv.decode(tlv.decode(card.good(f"004700{slot:02x}000005ac038001{algorithm:02x}0000"))[0x7F49])


def sign(card: Raw, slot: int, algorithm: int, block: bytes) -> tuple[bytes, str]:
    body = tlv.encode(0x7C, tlv.encode(0x82, b"") + tlv.encode(0x81, block))
    answer, status = card.send(f"0087{algorithm:02x}{slot:02x}00{len(body):04x}{body.hex()}0000")
    return (tlv.decode(tlv.decode(answer)[0x7C])[0x82] if answer else b""), status


def test_wrong_pins_use_up_the_tries_and_block() -> None:
    card = Raw().select()
    assert [card.status(f"0020008008{WRONG}") for _ in range(4)] == ["63c2", "63c1", "6983", "6983"]
    assert card.status(f"0020008008{RIGHT}") == "6983", "the right one no longer helps"
    card.power()
    assert card.select().status("00200080") == "6983", "and power does not either"


def test_the_right_pin_gives_all_tries_back() -> None:
    card = Raw().select()
    assert card.status(f"0020008008{WRONG}") == "63c2"
    card.pin()
    card.power()
    assert card.select().status("00200080") == "63c3"


@pytest.mark.parametrize("bad", ["3132333435ffffff", "31323334353a ffff", "31323334ff35ffff", "313233343536", "ffffffffffffffff"])
def test_what_is_no_pin_uses_no_try(bad: str) -> None:
    bad = bad.replace(" ", "")
    card = Raw().select()
    assert card.status(f"00200080{len(bad) // 2:02x}{bad}") == "6a80" and card.status("00200080") == "63c3"


def test_a_wrong_pin_takes_back_what_an_earlier_right_one_gave() -> None:
    card = Raw().select().pin()
    card.status(f"0020008008{WRONG}")
    assert card.status("00200080") == "63c2"


def test_the_pin_is_the_cards_and_the_management_key_an_applications() -> None:
    card = Raw().select().pin().admin()
    card.select(ISCL_AID)
    assert card.status("00200080") == "9000"
    assert card.status("80e40081") == "6982"
    assert card.select().status("00db3fff075c035fc1065300") == "6982"


def test_selecting_the_same_application_again_keeps_the_pin() -> None:
    assert Raw().select().pin().select().status("00200080") == "9000"


def test_pin_is_forgotten_on_demand() -> None:
    card = Raw().select().pin()
    assert card.status("0020ff80") == "9000" and card.status("00200080") == "63c3"


def test_pin_and_puk_are_changed_with_the_old_one() -> None:
    card = Raw().select()
    assert card.status(f"0024008010{WRONG}{NEW}") == "63c2" and card.status(f"0024008010{RIGHT}{NEW}") == "9000"
    assert card.status(f"0020008008{NEW}") == "9000"
    assert card.status(f"0024008110{WRONG_PUK}{PUK}") == "63c2" and card.status(f"0024008110{PUK}{WRONG_PUK}") == "9000"
    assert card.status(f"002c008010{WRONG_PUK}{RIGHT}") == "9000" and card.status(f"0020008008{RIGHT}") == "9000"


def test_the_puk_unblocks_and_is_blocked_itself() -> None:
    card = Raw().select()
    for _ in range(3):
        card.status(f"0020008008{WRONG}")
    assert card.status(f"002c008010{PUK}{NEW}") == "9000" and card.status(f"0020008008{NEW}") == "9000"
    assert [card.status(f"002c008010{WRONG_PUK}{NEW}") for _ in range(3)] == ["63c2", "63c1", "6983"]
    assert card.status(f"002c008010{PUK}{NEW}") == "6983"


def test_reset_wipes_only_a_card_with_both_blocked() -> None:
    card = Raw().select().admin()
    generate(card, 0x9A, pivkeys.P256)
    assert card.status("00fb0000") == "6985"
    for _ in range(3):
        card.status(f"0020008008{WRONG}")
    assert card.status("00fb0000") == "6985"
    for _ in range(3):
        card.status(f"002c008010{WRONG_PUK}{NEW}")
    assert card.status("00fb0000") == "9000"
    fresh = card.store.load()
    assert not fresh.keys and fresh.pin == state.Secret(b"123456") and fresh.serial == SERIAL


# The management key


def test_nothing_is_written_without_the_management_key() -> None:
    card = Raw().select().pin()
    for apdu in ("00db3fff075c035fc1065300", "0047009a05ac03800111", "00ffffff1b039b18" + "0123456789abcdef" * 3):
        assert card.status(apdu) == "6982"


def test_a_wrong_response_gives_nothing_and_uses_the_challenge_up() -> None:
    card = Raw().select()
    challenge = card.good("0087039b047c02810000")[4:]
    assert card.status("0087039b0c7c0a8208" + "00" * 8) == "6982"
    right = _triple_des(challenge)
    assert card.status("0087039b0c7c0a8208" + right.hex()) == "6985", "no challenge is left to answer"


def test_a_witness_cannot_be_answered_as_a_challenge() -> None:
    card = Raw().select()
    witness = card.good("0087039b047c02800000")[4:]
    assert card.status("0087039b0c7c0a8208" + witness.hex()) == "6985", "E(W), as the card gave it, is the answer to challenge W"


def test_mutual_authentication_proves_both_sides() -> None:
    card = Raw().select()
    witness = _triple_des(card.good("0087039b047c02800000")[4:], forward=False)
    answer = card.good("0087039b187c168008" + witness.hex() + "8108" + "55" * 8 + "820000")
    assert answer == bytes.fromhex("7c0a8208") + _triple_des(b"\x55" * 8)
    assert card.status("00db3fff075c035fc1065300") == "9000"


def test_the_management_key_is_replaced_by_aes_and_no_weak_one() -> None:
    card = Raw().select().admin()
    assert card.status("00ffffff1b039b18" + "0101010101010101" * 3) == "6a80"
    assert card.status("00ffffff130a9b10" + "11" * 16) == "6a80", "length of another algorithm"
    assert card.status("00ffffff13089b10" + "11" * 16) == "9000"
    card.power()
    card.select()
    assert card.status("0087039b047c02810000") == "6a86" and len(card.good("0087089b047c02810000")) == 20


# Data objects


def test_the_card_makes_the_objects_that_every_piv_card_has() -> None:
    card = Raw().select()
    chuid = tlv.decode(tlv.decode(card.good("00cb3fff055c035fc10200"))[0x53])
    assert chuid[0x34][8:] == SERIAL and len(chuid[0x30]) == 25 and chuid[0x30].hex().startswith("d4e739da")
    assert len(tlv.decode(tlv.decode(card.good("00cb3fff055c035fc10700"))[0x53])[0xF0]) == 21
    discovery = tlv.decode(tlv.decode(card.good("00cb3fff035c017e00"))[0x7E])
    assert discovery == {0x4F: pivobjects.AID, 0x5F2F: b"\x40\x00"}
    assert card.status("00cb3fff055c035fc10500") == "6a82"


def test_an_object_is_written_read_and_removed() -> None:
    card = Raw().select().admin()
    card.good("00db3fff0a5c035fc1065303aabbcc")
    card.power()
    assert card.select().good("00cb3fff055c035fc10600") == bytes.fromhex("5303aabbcc")
    card.admin().good("00db3fff075c035fc1065300")
    assert card.status("00cb3fff055c035fc10600") == "6a82"
    assert card.status("00db3fff0a5c035fc1045303aabbcc") == "6a82", "no such object in the standard"


def test_personal_objects_need_the_pin() -> None:
    card = Raw().select().admin()
    card.good("00db3fff0a5c035fc1095303aabbcc")
    assert card.status("00cb3fff055c035fc10900") == "6982"
    assert card.pin().status("00cb3fff055c035fc10900") == "9000"


def test_key_history_counts_retired_certificates() -> None:
    card = Raw().select().admin()
    assert card.status("00cb3fff055c035fc10c00") == "6a82"
    card.good("00db3fff0a5c035fc10d5303aabbcc")
    assert card.good("00cb3fff055c035fc10c00").hex() == "5308c10101c20100fe00"


# Keys


@pytest.mark.parametrize("algorithm,curve,digest", [(0x11, ec.SECP256R1(), hashes.SHA256()), (0x14, ec.SECP384R1(), hashes.SHA384())])
def test_an_elliptic_key_signs_digests(algorithm: int, curve: ec.EllipticCurve, digest: hashes.HashAlgorithm) -> None:
    card = Raw().select().admin()
    public = ec.EllipticCurvePublicKey.from_encoded_point(curve, generate(card, 0x9A, algorithm)[0x86])
    block = b"\x17" * digest.digest_size
    signature, status = sign(card.pin(), 0x9A, algorithm, block)
    assert status == "9000" and card.card.used_private_key
    public.verify(signature, block, ec.ECDSA(utils.Prehashed(digest)))


def test_an_rsa_key_signs_padded_blocks() -> None:
    card = Raw().select().admin()
    parts = generate(card, 0x9A, 0x07)
    public = rsa.RSAPublicNumbers(int.from_bytes(parts[0x82], "big"), int.from_bytes(parts[0x81], "big")).public_key()
    digest = b"\x42" * 32
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest
    block = b"\0\1" + b"\xff" * (256 - 3 - len(info)) + b"\0" + info
    signature, _ = sign(card.pin(), 0x9A, 0x07, block)
    public.verify(signature, digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
    assert sign(card, 0x9A, 0x07, b"\xff" * 256)[1] == "6a80", "not below the modulus"
    assert sign(card, 0x9A, 0x07, block[1:])[1] == "6a80"


def test_slots_ask_for_the_pin_as_the_standard_says() -> None:
    card = Raw().select().admin()
    for slot in (0x9A, 0x9C, 0x9E):
        generate(card, slot, 0x11)
    block = b"\x01" * 32
    assert [sign(card, slot, 0x11, block)[1] for slot in (0x9A, 0x9C, 0x9E)] == ["6982", "6982", "9000"]
    card.pin()
    assert [sign(card, 0x9A, 0x11, block)[1] for _ in range(3)] == ["9000"] * 3
    assert sign(card, 0x9C, 0x11, block)[1] == "6982", "9C wants the PIN directly before"
    card.pin()
    assert [sign(card, 0x9C, 0x11, block)[1] for _ in range(2)] == ["9000", "6982"]


def test_a_key_is_used_only_under_its_own_algorithm() -> None:
    card = Raw().select().admin()
    generate(card, 0x9E, 0x11)
    assert sign(card, 0x9E, 0x14, b"\x01" * 48)[1] == "6a86" and sign(card, 0x9A, 0x11, b"\x01" * 32)[1] == "6a88"
    assert sign(card, 0x9E, 0x11, b"\x01" * 31)[1] == "6a80"


def test_a_new_key_takes_the_place_of_the_old_one() -> None:
    card = Raw().select().admin()
    old = generate(card, 0x9E, 0x11)
    assert sign(card, 0x9E, 0x11, b"\x01" * 32)[1] == "9000"
    new = generate(card, 0x9E, 0x11)
    signature, _ = sign(card, 0x9E, 0x11, b"\x01" * 32)
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), new[0x86])
    public.verify(signature, b"\x01" * 32, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    assert old != new


def test_key_agreement_gives_the_shared_secret() -> None:
    card = Raw().select().admin()
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), generate(card, 0x9D, 0x11)[0x86])
    ours = ec.generate_private_key(ec.SECP256R1())
    point = b"\x04" + b"".join(n.to_bytes(32, "big") for n in (ours.public_key().public_numbers().x, ours.public_key().public_numbers().y))
    body = tlv.encode(0x7C, tlv.encode(0x82, b"") + tlv.encode(0x85, point)).hex()
    answer = card.pin().good(f"0087119d{len(body) // 2:02x}{body}00")
    assert tlv.decode(tlv.decode(answer)[0x7C])[0x82] == ours.exchange(ec.ECDH(), public)


def test_the_private_key_is_in_no_answer() -> None:
    card = Raw().select().admin()
    generate(card, 0x9A, 0x11)
    secret = pivkeys.load(card.store.load().keys[0x9A]).private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]
    answers = [card.send(f"00cb3fff055c035fc1{low:02x}00")[0] for low in range(256)]
    assert not any(secret in answer for answer in answers)


def _triple_des(block: bytes, *, forward: bool = True) -> bytes:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    cipher = Cipher(TripleDES(state.FACTORY_ADMIN), modes.ECB())
    return (cipher.encryptor() if forward else cipher.decryptor()).update(block)
