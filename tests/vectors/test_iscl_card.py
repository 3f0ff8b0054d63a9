"""The ISCL application of the virtual card against the vectors of profile R1 (docs/iscl.md 7.6) and its rules for keys."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from support.cardkit import ISCL_AID, Raw
from virtualcard import blockcipher
from virtualcard.blockcipher import Kind

KEY, OTHER = "0123456789abcdef", "fedcba9876543201"
AES_A, AES_B = "00112233445566778899aabbccddeeff", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def card_with(*keys: tuple[int, int, str, int], lab: bool = True, nonces: list[bytes] | None = None) -> Raw:
    card = Raw()
    card.select(ISCL_AID).admin()
    for reference, kind, key, tries in keys:
        data = bytes([kind, tries]) + bytes.fromhex(key)
        card.good(f"80d8{1 if lab else 0:02x}{reference:02x}{len(data):02x}{data.hex()}00")
    card.power()
    if nonces is not None:
        card.card.session.random = lambda length: nonces.pop(0)[:length]
    return card.select(ISCL_AID).pin()


def test_responses_of_the_handshake() -> None:
    """Pass 2 answers 4e6f772069732074, pass 3 the all-zero challenge."""
    card = card_with((0x81, 1, KEY, 0), (0x89, 1, KEY, 0))
    assert card.good("0088008908" + "4e6f772069732074" + "08").hex() == "3fa40e8a984d4815"
    assert card.good("0088008108" + "0000000000000000" + "00").hex() == "d5d44ff720683d0d"


def test_the_same_responses_are_accepted_from_the_peer() -> None:
    card = card_with((0x89, 1, KEY, 0), nonces=[bytes.fromhex("4e6f772069732074")] * 2)
    assert card.good("0084000008").hex() == "4e6f772069732074"
    assert card.status("0082008908" + "3fa40e8a984d4815") == "9000"
    assert card.status("0082008908" + "3fa40e8a984d4815") == "6985", "a challenge is answered once"
    card.good("0084000008")
    assert card.status("0082008908" + "3fa40e8a984d4814") == "6300"


def test_session_key_of_the_vector() -> None:
    card = card_with((0x91, 1, KEY, 0))
    assert card.good("808a009108" + "1122334455667788" + "08").hex() == "b5cd3ed9d9d95215"


def test_check_value_is_the_beginning_of_the_key_over_zeros() -> None:
    card = Raw().select(ISCL_AID).admin()
    assert card.good("80d800810a0100" + KEY + "00").hex() == "d5d44f"


def test_weak_session_keys_are_refused() -> None:
    weak = bytes.fromhex("01fe01fe01fe01fe")
    random = blockcipher.cbc_open(Kind.DES, bytes.fromhex(KEY), weak)
    assert card_with((0x91, 1, KEY, 0)).status("808a009108" + random.hex() + "08") == "6a80"


@pytest.mark.parametrize("kind,key", [(3, AES_A), (4, AES_A + AES_B), (2, KEY + OTHER + "1032547698badc0e")])
def test_longer_keys_derive_keys_of_their_own_length(kind: int, key: str) -> None:
    size = len(key) // 2
    card = card_with((0x98, kind, key, 0))
    made = card.good(f"808a0098{size:02x}" + bytes(range(size)).hex() + "00")
    assert len(made) == size
    if kind != 2:
        assert made[:16] == Cipher(algorithms.AES(bytes.fromhex(key)), modes.ECB()).encryptor().update(bytes(range(16)))
    else:
        assert card.status("808a009818" + "5a" * 24 + "00") == "6a80", "equal blocks would make a key of three equal parts"
        assert all(byte.bit_count() % 2 for byte in made)


def test_nothing_is_done_with_a_key_before_the_pin() -> None:
    card = card_with((0x81, 1, KEY, 0), (0x91, 1, OTHER, 0))
    card.power()
    card.select(ISCL_AID)
    for apdu in ("0088008108" + "00" * 8 + "08", "0082008108" + "00" * 8, "808a009108" + "00" * 8 + "08"):
        assert card.status(apdu) == "6982"


def test_authentication_keys_do_not_encrypt_and_encryption_keys_do_not_answer() -> None:
    card = card_with((0x81, 1, KEY, 0), (0x91, 1, OTHER, 0))
    assert card.status("808a008108" + "00" * 8 + "08") == "6985", "a peer's challenge would else be answered with a session key"
    assert card.status("0088009108" + "00" * 8 + "08") == "6985"
    assert card.status("0088008208" + "00" * 8 + "08") == "6a88"


def test_our_own_challenge_is_not_answered() -> None:
    card = card_with((0x81, 1, KEY, 0))
    challenge = card.good("0084000008").hex()
    assert card.status("0088008108" + challenge + "08") == "6a80"


def test_wrong_answers_block_a_key_that_has_tries_and_the_administrator_frees_it() -> None:
    card = card_with((0x81, 1, KEY, 2))
    seen = []
    for _ in range(3):
        card.good("0084000008")
        seen.append(card.status("0082008108" + "00" * 8))
    assert seen == ["63c1", "6983", "6983"]
    card.power()
    card.select(ISCL_AID).pin()
    assert card.status("0088008108" + "00" * 8 + "08") == "6983", "nor does it answer"
    assert card.good("80ca000000").hex() == "81010002"
    assert card.status("002c0381") == "6982"
    assert card.admin().status("002c0381") == "9000" and card.good("80ca000000").hex() == "81010202"


def test_a_right_answer_gives_the_tries_back() -> None:
    card = card_with((0x89, 1, KEY, 3), nonces=[bytes.fromhex("4e6f772069732074")] * 2)
    card.good("0084000008")
    assert card.status("0082008908" + "00" * 8) == "63c2"
    card.good("0084000008")
    assert card.status("0082008908" + "3fa40e8a984d4815") == "9000" and card.good("80ca000000").hex() == "89010303"


def test_keys_are_loaded_by_the_administrator_only_and_judged() -> None:
    card = Raw().select(ISCL_AID).pin()
    load = "80d800810a0100" + KEY + "00"
    assert card.status(load) == "6982"
    card.admin()
    assert card.status(load) == "9000"
    assert card.status("80d800890a0100" + KEY + "00") == "6a80", "one key for both directions is for the laboratory"
    assert card.status("80d800990a0100" + OTHER + "00") == "6a86"
    assert card.status("80d800820a0100" + "0101010101010101" + "00") == "6a80"
    assert card.status("80d800820a0100" + "e0e0e0e0f1f1f1f1" + "00") == "6a80"
    assert card.status("80d80082090100" + "01234567890123" + "00") == "6a80"
    assert card.status("80e40081") == "9000" and card.status("80e40081") == "6a88"


def test_a_key_is_the_same_key_whatever_its_parity_bits_say() -> None:
    card = Raw().select(ISCL_AID).admin()
    card.good("80d800810a0100" + KEY + "00")
    assert card.status("80d800890a0100" + "0022446688aaccee" + "00") == "6a80"


def test_a_key_of_tokens_answers_no_bare_challenge() -> None:
    """It would give E(K, "ISCL 9798-2 MAC1") to whoever asks, and with that the key of every token's MAC."""
    card = card_with((0x82, 3, AES_A, 0))
    assert card.status("0088008210" + b"ISCL 9798-2 MAC1".hex() + "00") == "6985"
    card.good("0084000010")
    assert card.status("0082008210" + "00" * 16) == "6985"
