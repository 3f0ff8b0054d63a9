"""Tokens of ISO/IEC 9798-2 (extension 0x80000001): the key service and the card make the same ones, and take each other's.

The vectors were made by a third hand, the `openssl` command: AES-CBC without padding of the padded text, then HMAC-SHA-256.
"""

from __future__ import annotations

import pytest

from support.cardkit import ISCL_AID, Raw
from support.softkeys import SoftKeys
from wardgate.codes import Code
from wardkeys import iscl
from wardkeys.card.channel import Channel
from wardkeys.card.errors import CardError
from wardkeys.card.iscl import IsclCard
from wardkeys.errors import KeyServiceError

S2C, C2S = "00112233445566778899aabbccddeeff", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
R_A, R_B, NAME = b"\xaa" * 16, b"\xbb" * 16, b"GWAY"
TOKEN_AB = bytes.fromhex(
    "9e338402496cb50101f7469ac6f15a57ae0f201fd9654bdbb6cd3d3a92b4d16f48fe088b3f0c978a0bace3e1f580e1a29dc2cd47793508ae00ab824294e9851e"
)
TOKEN_BA = bytes.fromhex(
    "b4b43b12fe4c98ab8a92f6030daa69680397e5ec0bb9ecca801656a61266e0b73636922639ea3bbd8685722473075a76783da739989583b7bc45bb1f39f7901e"
)
SOFT_S2C, SOFT_C2S = "aes-auth-2-s2c", "aes-auth-2-c2s"


class Fixed(SoftKeys):
    """The keys of the vectors, with a nonce that is known."""

    def random(self, count: int) -> bytes:
        """Return R_A."""
        return R_A[:count]


@pytest.fixture
def keys() -> SoftKeys:
    return Fixed({SOFT_S2C: bytes.fromhex(S2C), SOFT_C2S: bytes.fromhex(C2S)})


def inserted(tries: int = 0) -> tuple[IsclCard, Raw]:
    """Return the host's side of a card with the same keys in slot 2."""
    raw = Raw().select(ISCL_AID).admin()
    for reference, key in ((0x82, S2C), (0x8A, C2S)):
        raw.good(f"80d800{reference:02x}1203{tries:02x}{key}00")
    raw.power()
    raw.select(ISCL_AID).pin()
    raw.card.session.random = lambda length: R_A[:length]
    return IsclCard(Channel(raw.card.process)), raw


def test_the_key_service_makes_and_takes_the_tokens_of_the_vectors(keys: SoftKeys) -> None:
    assert iscl.token_ab(keys, SOFT_C2S, R_B, NAME) == (TOKEN_AB, R_A)
    assert iscl.token_ba(keys, SOFT_S2C, SOFT_C2S, R_B, NAME, TOKEN_AB) == TOKEN_BA
    iscl.check_ba(keys, SOFT_S2C, R_A, R_B, TOKEN_BA)


def test_the_card_makes_and_takes_the_tokens_of_the_vectors() -> None:
    card, _ = inserted()
    assert card.token_ab(2, R_B, NAME) == (TOKEN_AB, R_A)
    assert card.token_ba(2, R_B, NAME, TOKEN_AB) == TOKEN_BA
    card.check_token_ba(2, R_A, R_B, TOKEN_BA)


@pytest.mark.parametrize("name", [b"G", b"G" * 15, b"G" * 16, b"G" * 127, b"G" * 128, b"GWAY\x80", b"GWAY\0"])
def test_card_and_key_service_take_each_others_tokens_for_any_name(keys: SoftKeys, name: bytes) -> None:
    card, _ = inserted()
    token, nonce = card.token_ab(2, R_B, name)
    answer = iscl.token_ba(keys, SOFT_S2C, SOFT_C2S, R_B, name, token)
    card.check_token_ba(2, nonce, R_B, answer)
    token, nonce = iscl.token_ab(keys, SOFT_C2S, R_B, name)
    iscl.check_ba(keys, SOFT_S2C, nonce, R_B, card.token_ba(2, R_B, name, token))


def test_a_recorded_token_cannot_be_bent_to_a_new_challenge(keys: SoftKeys) -> None:
    """CBC alone allows it: the change goes into the first block, and nothing says what the first plain block is."""
    fresh = bytes(range(200, 216))
    bent = bytes(a ^ b ^ c for a, b, c in zip(TOKEN_AB[:16], R_B, fresh, strict=True)) + TOKEN_AB[16:]
    assert keys.cbc(SOFT_C2S, bytes(16), bent[:-16], False)[16:36] == fresh + NAME, "what the MAC has to stop"
    with pytest.raises(KeyServiceError) as service:
        iscl.token_ba(keys, SOFT_S2C, SOFT_C2S, fresh, NAME, bent)
    assert service.value.code is Code.KEYS_ISCL_REFUSED
    with pytest.raises(CardError) as card:
        inserted()[0].token_ba(2, fresh, NAME, bent)
    assert card.value.code is Code.CARD_PEER_REFUSED


@pytest.mark.parametrize("place", range(0, 64, 7))
def test_a_token_with_a_byte_changed_costs_the_card_a_try(place: int) -> None:
    card, raw = inserted(tries=3)
    bad = bytearray(TOKEN_AB)
    bad[place] ^= 1
    with pytest.raises(CardError) as caught:
        card.token_ba(2, R_B, NAME, bytes(bad))
    assert caught.value.code is Code.CARD_PEER_REFUSED and caught.value.tries == 2
    assert raw.card.session.state.iscl[0x8A].tries == 2
    assert card.token_ba(2, R_B, NAME, TOKEN_AB) == TOKEN_BA
    assert raw.card.session.state.iscl[0x8A].tries == 3


@pytest.mark.parametrize("challenge, name", [(R_A, NAME), (R_B, b"PACS"), (R_B, b"GWA"), (R_B, b"GWAY\0")])
def test_the_card_refuses_a_token_for_another_challenge_or_name(challenge: bytes, name: bytes) -> None:
    with pytest.raises(CardError) as caught:
        inserted()[0].token_ba(2, challenge, name, TOKEN_AB)
    assert caught.value.code is Code.CARD_PEER_REFUSED


@pytest.mark.parametrize("token", [TOKEN_AB, TOKEN_BA[:-16], TOKEN_BA[:-1], TOKEN_BA + bytes(16), b"", bytes(64), bytes(300)])
def test_the_card_refuses_what_is_no_token_ba(token: bytes) -> None:
    card, _ = inserted()
    with pytest.raises(CardError) as caught:
        card.check_token_ba(2, R_A, R_B, token)
    assert caught.value.code is Code.CARD_PEER_REFUSED
    with pytest.raises(CardError):
        card.check_token_ba(2, R_B, R_A, TOKEN_BA)


def test_the_card_makes_no_token_for_its_own_challenge_or_without_a_name() -> None:
    card, raw = inserted()
    raw.card.session.random = lambda length: R_B[:length]
    own = card.challenge(16)
    for challenge, name in ((own, NAME), (R_A, b""), (R_A, b"G" * 129), (R_A[:15], b"")):
        with pytest.raises(CardError):
            card.token_ab(2, challenge, name)


def test_tokens_want_both_aes_keys_and_the_pin() -> None:
    _, raw = inserted()
    raw.power()
    raw.select(ISCL_AID)
    card = IsclCard(Channel(raw.card.process))
    with pytest.raises(CardError) as caught:
        card.token_ab(2, R_B, NAME)
    assert caught.value.code is Code.CARD_NOT_AUTHORISED
    raw.pin()
    with pytest.raises(CardError) as caught:
        card.token_ba(3, R_B, NAME, TOKEN_AB)
    assert caught.value.code is Code.CARD_EMPTY
