"""ISCL with keys: the vectors of reconstruction profile R1, by `cryptography` here and by a token in tests/hardware."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.softkeys import KEY, SoftKeys
from wardgate.codes import Code
from wardkeys import iscl
from wardkeys.errors import KeyServiceError

AES = bytes(range(16))
R_B, NAME = bytes(range(100, 116)), b"GWAY"


@pytest.fixture
def keys() -> SoftKeys:
    return SoftKeys(
        {"auth-1-s2c": KEY, "auth-1-c2s": KEY, "enc-2": KEY, "aes-auth-1-s2c": AES, "aes-auth-1-c2s": AES[::-1], "aes-enc-3": AES},
    )


def test_responses_of_the_handshake(keys: SoftKeys) -> None:
    assert iscl.respond(keys, "auth-1-c2s", bytes.fromhex("4e6f772069732074")).hex() == "3fa40e8a984d4815"
    assert iscl.respond(keys, "auth-1-s2c", bytes(8)).hex() == "d5d44ff720683d0d"
    iscl.verify(keys, "auth-1-c2s", bytes.fromhex("4e6f772069732074"), bytes.fromhex("3fa40e8a984d4815"))


def test_session_key_of_a_random_number(keys: SoftKeys) -> None:
    assert keys.block("auth-1-s2c", bytes.fromhex("1122334455667788")).hex() == "b4cc3fd9d8d95214"
    assert iscl.session_key(keys, b"auth-1-s2c", bytes.fromhex("1122334455667788")).hex() == "b5cd3ed9d9d95215"


def test_static_slot_encrypts_the_fips_113_message(keys: SoftKeys) -> None:
    message = b"7654321 Now is the time for " + bytes(4)
    sealed = iscl.crypt(keys, b"enc-2", bytes(8), message, True)
    assert sealed[-8:].hex() == "f1d30f6849312ca4"
    assert iscl.crypt(keys, b"enc-2", bytes(8), sealed, False) == message


@given(st.binary(min_size=8, max_size=8))
def test_parity_is_odd_and_touches_only_the_low_bits(key: bytes) -> None:
    odd = iscl.odd_parity(key)
    assert all(byte.bit_count() % 2 for byte in odd)
    assert bytes(byte & 0xFE for byte in odd) == bytes(byte & 0xFE for byte in key)


def test_weak_keys_are_sixteen_and_of_odd_parity() -> None:
    assert len(iscl.WEAK) == 16
    assert all(iscl.odd_parity(key) == key for key in iscl.WEAK)


def test_a_weak_session_key_is_told(keys: SoftKeys) -> None:
    drawn = keys.undo("auth-1-s2c", bytes.fromhex("0000000000000000"))
    with pytest.raises(KeyServiceError) as caught:
        iscl.session_key(keys, b"auth-1-s2c", drawn)
    assert caught.value.code is Code.KEYS_ISCL_WEAK


@pytest.mark.parametrize("response", [bytes(8), b"", bytes.fromhex("3fa40e8a984d48"), bytes.fromhex("3fa40e8a984d481500")])
def test_a_wrong_response_is_refused(keys: SoftKeys, response: bytes) -> None:
    with pytest.raises(KeyServiceError) as caught:
        iscl.verify(keys, "auth-1-c2s", bytes.fromhex("4e6f772069732074"), response)
    assert caught.value.code is Code.KEYS_ISCL_REFUSED


@pytest.mark.parametrize("name", [b"auth-0-s2c", b"auth-9-s2c", b"auth-1", b"aes-auth-1-s2c", b"enc-1", b"auth-1-s2c;x", b"\xff"])
def test_a_name_that_is_no_authentication_key_is_refused(name: bytes) -> None:
    with pytest.raises(KeyServiceError):
        iscl.authentication_key(name)


def test_three_passes_of_the_extension(keys: SoftKeys) -> None:
    token, nonce = iscl.token_ab(keys, "aes-auth-1-c2s", R_B, NAME)
    answer = iscl.token_ba(keys, "aes-auth-1-s2c", "aes-auth-1-c2s", R_B, NAME, token)
    iscl.check_ba(keys, "aes-auth-1-s2c", nonce, R_B, answer)


def test_an_old_token_cannot_be_bent_to_a_new_challenge(keys: SoftKeys) -> None:
    """CBC without a MAC allows it: the first two blocks carry the change, and nothing says what the first plain block is."""
    token, _ = iscl.token_ab(keys, "aes-auth-1-c2s", R_B, NAME)
    fresh = bytes(range(200, 216))
    bent = bytes(a ^ b ^ c for a, b, c in zip(token[:16], R_B, fresh, strict=True)) + token[16:]
    plain = keys.cbc("aes-auth-1-c2s", bytes(16), bent[:-16], False)
    assert plain[16:36] == fresh + NAME, "the attack that the MAC has to stop"
    with pytest.raises(KeyServiceError) as caught:
        iscl.token_ba(keys, "aes-auth-1-s2c", "aes-auth-1-c2s", fresh, NAME, bent)
    assert caught.value.code is Code.KEYS_ISCL_REFUSED


@pytest.mark.parametrize("challenge, name", [(bytes(16), NAME), (R_B, b"PACS"), (R_B, b"GWAY\0")])
def test_a_token_for_another_challenge_or_server_is_refused(keys: SoftKeys, challenge: bytes, name: bytes) -> None:
    token, _ = iscl.token_ab(keys, "aes-auth-1-c2s", R_B, NAME)
    with pytest.raises(KeyServiceError) as caught:
        iscl.token_ba(keys, "aes-auth-1-s2c", "aes-auth-1-c2s", challenge, name, token)
    assert caught.value.code is Code.KEYS_ISCL_REFUSED


@given(st.integers(0, 79), st.integers(1, 255))
def test_a_token_with_any_byte_changed_is_refused(place: int, change: int) -> None:
    keys = SoftKeys({"aes-auth-1-c2s": AES})
    token = bytearray(iscl.token_ab(keys, "aes-auth-1-c2s", R_B, NAME)[0])
    token[place % len(token)] ^= change
    with pytest.raises(KeyServiceError):
        iscl.unseal(keys, "aes-auth-1-c2s", bytes(token))


@given(st.binary(max_size=200))
def test_any_bytes_as_a_token_are_refused(token: bytes) -> None:
    with pytest.raises(KeyServiceError):
        iscl.unseal(SoftKeys({"aes-auth-1-c2s": AES}), "aes-auth-1-c2s", token)


def test_a_sealed_text_is_made_as_the_page_says(keys: SoftKeys) -> None:
    """docs/keys.md, by other means than the code under test."""
    import hashlib
    import hmac

    sealed = iscl.seal(keys, "aes-auth-1-s2c", b"abc")
    assert keys.cbc("aes-auth-1-s2c", bytes(16), sealed[:16], False) == b"abc\x80" + bytes(12)
    secret = keys.block("aes-auth-1-s2c", b"ISCL 9798-2 MAC1") + keys.block("aes-auth-1-s2c", b"ISCL 9798-2 MAC2")
    assert sealed[16:] == hmac.new(secret, sealed[:16], hashlib.sha256).digest()[:16]


def test_cmac_is_kept_apart_by_purpose() -> None:
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    keys = SoftKeys({"aes-auth-1-s2c": key})
    # RFC 4493 4, example 2: the primitive itself
    assert keys.cmac("aes-auth-1-s2c", bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")).hex() == "070a16b46b4d4144f79bdd9dd04a287c"
    assert iscl.mac(keys, b"aes-auth-1-s2c", b"a", b"bc") != iscl.mac(keys, b"aes-auth-1-s2c", b"ab", b"c")
    assert iscl.mac(keys, b"aes-auth-1-s2c", b"a", b"bc") == keys.cmac("aes-auth-1-s2c", b"\1abc")
