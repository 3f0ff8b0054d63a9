"""ISCL with the keys of a card's ISCL application: the same requests, against keys of the same values in software."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.card import CardFile, Slot, load_iscl, until_present
from support.keyservice import KeyService
from support.processes import until
from support.softkeys import KEY, SoftKeys
from wardgate.codes import Code
from wardkeys import iscl
from wardkeys.card.channel import Channel
from wardkeys.card.iscl import Kind, Purpose
from wardkeys.card.piv import Piv
from wardkeys.errors import KeyServiceError
from wardkeys.iscl_client import IsclClient
from wardkeys.pcsc import Pcsc

OTHER, THIRD = bytes.fromhex("FEDCBA9876543210"), bytes.fromhex("1122334455667788")
AES_S2C, AES_C2S = bytes(range(16)), bytes(range(100, 116))
SOFT = SoftKeys({"aes-auth-3-s2c": AES_S2C, "aes-auth-3-c2s": AES_C2S, "auth-1-s2c": KEY, "auth-1-c2s": OTHER, "enc-2": THIRD})
URI = "pkcs11:token=ward-ct1;serial=00c0ffee00000001"


@pytest.fixture
def service(folder: Path, slot: Slot) -> Iterator[KeyService]:
    keys = {(Purpose.TO_CLIENT, 1): KEY, (Purpose.TO_SERVER, 1): OTHER, (Purpose.ENCRYPTION, 2): THIRD}
    tokens = {(Purpose.TO_CLIENT, 3): (Kind.AES128, AES_S2C), (Purpose.TO_SERVER, 3): (Kind.AES128, AES_C2S)}
    load_iscl(slot.card, {place: (Kind.DES, value) for place, value in keys.items()} | tokens)
    slot.insert()
    until_present(slot)
    made = KeyService(folder, {})
    made.add_token("ward-ct1", "iscl-card", pin="123456")
    yield made
    made.stop()


def _code(action: Callable[[], object]) -> Code:
    with pytest.raises(KeyServiceError) as caught:
        action()
    return caught.value.code


def test_a_card_authenticates_like_a_token(service: KeyService) -> None:
    service.start()
    service.until_state("ward-ct1", "present")
    with IsclClient(str(service.socket), URI) as card:
        assert card.respond("auth-1-s2c", bytes.fromhex("4e6f772069732074")).hex() == "3fa40e8a984d4815"
        challenge = card.challenge()
        card.verify("auth-1-c2s", challenge, iscl.respond(SOFT, "auth-1-c2s", challenge))
        assert _code(lambda: card.verify("auth-1-c2s", challenge, bytes(8))) is Code.KEYS_ISCL_CHALLENGE
        challenge = card.challenge()
        assert _code(lambda: card.verify("auth-1-c2s", challenge, bytes(8))) is Code.KEYS_ISCL_REFUSED
        random, key = card.new_session_key("enc-2")
        assert iscl.session_key(SOFT, b"enc-2", random) == key
        assert _code(lambda: card.session_key("enc-2", SOFT.undo("enc-2", bytes(8)))) is Code.KEYS_ISCL_WEAK
        assert _code(lambda: card.session_key("auth-1-s2c", bytes(8))) is Code.KEYS_TOKEN_REFUSED, "it answers challenges"
        assert _code(lambda: card.respond("auth-8-s2c", bytes(8))) is Code.KEYS_NO_KEY
        assert _code(lambda: card.encrypt("enc-2", bytes(8), bytes(8))) is Code.KEYS_TOKEN_REFUSED
    assert len(service.client.random(URI, 40)) == 40
    assert _code(lambda: service.client.sign(URI + ";object=x", "ecdsa-sha256", bytes(32))) is Code.KEYS_TOKEN_REFUSED
    assert _code(lambda: service.client.random("pkcs11:token=ward-ct1;serial=01", 8)) is Code.KEYS_TOKEN_WRONG


def test_a_card_makes_and_takes_the_tokens_of_the_extension(service: KeyService) -> None:
    service.start()
    service.until_state("ward-ct1", "present")
    s2c, c2s = "aes-auth-3-s2c", "aes-auth-3-c2s"
    with IsclClient(str(service.socket), URI) as client, IsclClient(str(service.socket), URI) as server:
        challenge = server.challenge(16)
        assert _code(lambda: client.token_ab(c2s, challenge, b"GWAY")) is Code.KEYS_ISCL_REFLECTED, "the card drew it itself"
        server.challenge(16)  # one card is both sides here: it answers what it drew before the last
        token, nonce = client.token_ab(c2s, challenge, b"GWAY")
        answer = server.token_ba(s2c, c2s, challenge, b"GWAY", token)
        client.check_ba(s2c, nonce, challenge, answer)
        assert _code(lambda: client.check_ba(s2c, nonce, challenge, answer)) is Code.KEYS_ISCL_CHALLENGE, "once"
        challenge = server.challenge(16)
        token, nonce = iscl.token_ab(SOFT, c2s, challenge, b"GWAY")
        iscl.check_ba(SOFT, s2c, nonce, challenge, server.token_ba(s2c, c2s, challenge, b"GWAY", token))
        assert _code(lambda: server.token_ba(s2c, c2s, challenge, b"GWAY", token)) is Code.KEYS_ISCL_CHALLENGE, "once"
        challenge = server.challenge(16)
        assert _code(lambda: server.token_ba(s2c, c2s, challenge, b"GWAY", token)) is Code.KEYS_ISCL_REFUSED, "an old token"
        assert _code(lambda: server.token_ab(c2s, bytes(16), b"")) is Code.KEYS_WIRE
        own = server.challenge(16)
        assert _code(lambda: server.token_ab(c2s, own, b"GWAY")) is Code.KEYS_ISCL_REFLECTED
        assert _code(lambda: server.token_ab(s2c, bytes(16), b"GWAY")) is Code.KEYS_TOKEN_REFUSED
        assert _code(lambda: server.mac(s2c, "check", b"x")) is Code.KEYS_TOKEN_REFUSED


def test_challenges_outlive_others_who_use_the_card(service: KeyService, slot: Slot) -> None:
    service.start()
    service.until_state("ward-ct1", "present")
    with IsclClient(str(service.socket), URI) as one, IsclClient(str(service.socket), URI) as two:
        first, second = one.challenge(), two.challenge()
        one.verify("auth-1-c2s", first, iscl.respond(SOFT, "auth-1-c2s", first))
        two.verify("auth-1-c2s", second, iscl.respond(SOFT, "auth-1-c2s", second))
        third = one.challenge()
        with Pcsc() as pcsc, pcsc.connect(slot.name) as shared:
            with shared.transaction():
                Piv(Channel(shared.transmit)).select()
            shared.disconnect(reset=False)
        one.verify("auth-1-c2s", third, iscl.respond(SOFT, "auth-1-c2s", third))


def test_a_card_pulled_reset_or_swapped_is_noticed_and_used_again(service: KeyService, slot: Slot, folder: Path) -> None:
    service.start()
    service.until_state("ward-ct1", "present")
    mine = slot.card
    other = CardFile(folder / "other", serial=bytes.fromhex("00c0ffee00000002"), label="other")
    with IsclClient(str(service.socket), URI) as card:
        slot.remove()
        assert _code(lambda: card.respond("auth-1-s2c", bytes(8))) is Code.KEYS_TOKEN_ABSENT
        service.until_state("ward-ct1", "absent")
        slot.card = other
        slot.insert()
        service.until_state("ward-ct1", "wrong")
        assert "other" in str(service.row("ward-ct1")["detail"])
        slot.swap(mine)
        service.until_state("ward-ct1", "present")
        assert card.respond("auth-1-s2c", bytes(8)).hex() == "d5d44ff720683d0d"
        with Pcsc() as pcsc:
            pcsc.connect(slot.name).disconnect(reset=True)
        assert card.respond("auth-1-s2c", bytes(8)).hex() == "d5d44ff720683d0d", "the PIN is verified again after a reset"


def test_a_wrong_pin_costs_one_try_and_the_rest_is_shown(service: KeyService, slot: Slot) -> None:
    service.set_pin("ward-ct1", "999999")
    service.start()
    service.until_state("ward-ct1", "pin-refused")
    assert service.row("ward-ct1")["tries"] == 2
    slot.remove()
    service.until_state("ward-ct1", "absent")
    slot.insert()
    service.until_state("ward-ct1", "pin-refused")
    assert slot.card.state.pin.tries == 2
    service.set_pin("ward-ct1", "123456")
    service.reload()
    service.until_state("ward-ct1", "present")


def test_the_last_try_of_a_card_is_left_to_people(service: KeyService, slot: Slot) -> None:
    service.set_pin("ward-ct1", "999999")
    service.start()
    service.until_state("ward-ct1", "pin-refused")
    service.set_pin("ward-ct1", "888888")
    service.reload()
    until(lambda: service.row("ward-ct1")["tries"] == 1, "one try is left")
    service.stop()
    (service.folder / "ward-ct1.pin-refused").unlink()
    service.set_pin("ward-ct1", "123456")
    service.start()  # it has looked at the card when it answers
    assert (service.state("ward-ct1"), service.row("ward-ct1")["tries"]) == ("pin-refused", 1)
    assert "one try is left" in str(service.row("ward-ct1")["detail"])
    assert slot.card.state.pin.tries == 1
