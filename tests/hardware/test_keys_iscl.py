"""ISCL by the key service with keys in SoftHSM, both sides of it; the vectors of reconstruction profile R1."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.keyservice import KeyService
from support.softhsm import SoftHsm
from support.softkeys import KEY, SoftKeys
from wardgate.codes import Code
from wardkeys import iscl
from wardkeys.errors import KeyServiceError
from wardkeys.iscl_client import IsclClient

OTHER = bytes.fromhex("FEDCBA9876543210")
AES_1, AES_2 = bytes(range(16)), bytes(range(32))
URI = "pkcs11:token=ward"
SECRETS = {
    "auth-1-s2c": KEY,
    "auth-1-c2s": OTHER,
    "auth-2-s2c": KEY,
    "auth-2-c2s": KEY,
    "auth-3-s2c": KEY,
    "enc-1": KEY,
    "aes-auth-1-s2c": AES_1,
    "aes-auth-1-c2s": AES_2,
    "aes-enc-1": AES_2,
}


@pytest.fixture(scope="module", params=[False, True], ids=["strict", "laboratory"])
def service(request: pytest.FixtureRequest) -> Iterator[KeyService]:
    with tempfile.TemporaryDirectory(prefix="wk-") as name:
        hsm = SoftHsm(Path(name))
        hsm.new_token("ward")
        hsm.provision("ward", secrets={"iscl-" + label: value for label, value in SECRETS.items()})
        made = KeyService(Path(name), hsm.env)
        made.add_token("ward", hsm.module, unsafe_allow_equal_iscl_keys=request.param)
        made.laboratory = request.param  # type: ignore[attr-defined]
        try:
            yield made.start()
        finally:
            made.stop()


@pytest.fixture
def ends(service: KeyService) -> Iterator[tuple[IsclClient, IsclClient]]:
    with IsclClient(str(service.socket), URI) as server, IsclClient(str(service.socket), URI) as client:
        yield server, client


def _code(action: Callable[[], object]) -> Code:
    with pytest.raises(KeyServiceError) as caught:
        action()
    return caught.value.code


def test_both_ends_authenticate_each_other(ends: tuple[IsclClient, IsclClient]) -> None:
    server, client = ends
    to_client, to_server = server.challenge(), client.challenge()
    server.verify("auth-1-c2s", to_client, client.respond("auth-1-c2s", to_client))
    client.verify("auth-1-s2c", to_server, server.respond("auth-1-s2c", to_server))


def test_the_vectors_come_out_of_the_token(ends: tuple[IsclClient, IsclClient]) -> None:
    server, _ = ends
    assert server.respond("auth-1-s2c", bytes.fromhex("4e6f772069732074")).hex() == "3fa40e8a984d4815"
    assert server.respond("auth-1-s2c", bytes(8)).hex() == "d5d44ff720683d0d"
    assert server.session_key("auth-1-s2c", bytes.fromhex("1122334455667788")).hex() == "b5cd3ed9d9d95215"
    message = b"7654321 Now is the time for " + bytes(4)
    sealed = server.encrypt("enc-1", bytes(8), message)
    assert sealed[-8:].hex() == "f1d30f6849312ca4"
    assert server.decrypt("enc-1", bytes(8), sealed) == message


def test_a_challenge_counts_once_and_only_where_it_was_given(ends: tuple[IsclClient, IsclClient]) -> None:
    server, client = ends
    challenge = server.challenge()
    response = client.respond("auth-1-c2s", challenge)
    assert _code(lambda: client.verify("auth-1-c2s", challenge, response)) is Code.KEYS_ISCL_CHALLENGE
    server.verify("auth-1-c2s", challenge, response)
    assert _code(lambda: server.verify("auth-1-c2s", challenge, response)) is Code.KEYS_ISCL_CHALLENGE
    challenge = server.challenge()
    assert _code(lambda: server.verify("auth-1-c2s", challenge, bytes(8))) is Code.KEYS_ISCL_REFUSED
    assert _code(lambda: server.verify("auth-1-c2s", challenge, client.respond("auth-1-c2s", challenge))) is Code.KEYS_ISCL_CHALLENGE
    assert _code(lambda: server.verify("auth-1-c2s", bytes(8), response)) is Code.KEYS_ISCL_CHALLENGE


def test_challenges_that_wait_are_bounded(ends: tuple[IsclClient, IsclClient]) -> None:
    server, client = ends
    given = [server.challenge() for _ in range(17)]
    responses = [client.respond("auth-1-c2s", challenge) for challenge in given]
    assert _code(lambda: server.verify("auth-1-c2s", given[0], responses[0])) is Code.KEYS_ISCL_CHALLENGE
    server.verify("auth-1-c2s", given[16], responses[16])


def test_a_challenge_that_comes_back_is_a_reflection(ends: tuple[IsclClient, IsclClient]) -> None:
    server, _ = ends
    challenge = server.challenge()
    assert _code(lambda: server.respond("auth-1-s2c", challenge)) is Code.KEYS_ISCL_REFLECTED
    wide = server.challenge(16)
    assert _code(lambda: server.token_ab("aes-auth-1-s2c", wide, b"GWAY")) is Code.KEYS_ISCL_REFLECTED


def test_equal_keys_of_a_pair_need_the_laboratory_switch(service: KeyService, ends: tuple[IsclClient, IsclClient]) -> None:
    server, _ = ends
    if service.laboratory:  # type: ignore[attr-defined]
        assert server.respond("auth-2-s2c", bytes(8)).hex() == "d5d44ff720683d0d"
    else:
        assert _code(lambda: server.respond("auth-2-s2c", bytes(8))) is Code.KEYS_ISCL_EQUAL
        assert server.respond("auth-3-s2c", bytes(8)), "a key alone has nothing to be equal to"


def test_session_keys_agree_and_are_never_weak(ends: tuple[IsclClient, IsclClient]) -> None:
    server, client = ends
    random, key = server.new_session_key("enc-1")
    assert client.session_key("enc-1", random) == key
    weak = SoftKeys({"enc-1": KEY}).undo("enc-1", bytes(8))
    assert _code(lambda: client.session_key("enc-1", weak)) is Code.KEYS_ISCL_WEAK


def test_static_slots_encrypt_in_the_token_and_give_no_response(ends: tuple[IsclClient, IsclClient]) -> None:
    server, client = ends
    data = bytes(range(256)) * 240
    for name, size in (("enc-1", 8), ("aes-enc-1", 16)):
        sealed = server.encrypt(name, bytes(size), data)
        assert sealed == SoftKeys(SECRETS).cbc(name, bytes(size), data, True)
        assert client.decrypt(name, bytes(size), sealed) == data
    assert _code(lambda: server.respond("enc-1", bytes(8))) is Code.KEYS_NO_KEY
    assert _code(lambda: server.encrypt("auth-1-s2c", bytes(8), bytes(8))) is Code.KEYS_NO_KEY
    assert _code(lambda: server.encrypt("enc-1", bytes(8), bytes(7))) is Code.KEYS_WIRE


def test_the_extensions_three_passes_go_through_the_service(ends: tuple[IsclClient, IsclClient]) -> None:
    server, client = ends
    challenge = server.challenge(16)
    token, nonce = client.token_ab("aes-auth-1-c2s", challenge, b"GWAY")
    answer = server.token_ba("aes-auth-1-s2c", "aes-auth-1-c2s", challenge, b"GWAY", token)
    client.check_ba("aes-auth-1-s2c", nonce, challenge, answer)
    assert _code(lambda: client.check_ba("aes-auth-1-s2c", nonce, challenge, answer)) is Code.KEYS_ISCL_CHALLENGE
    assert _code(lambda: server.token_ba("aes-auth-1-s2c", "aes-auth-1-c2s", challenge, b"GWAY", token)) is Code.KEYS_ISCL_CHALLENGE
    soft = SoftKeys(SECRETS)
    assert iscl.unseal(soft, "aes-auth-1-c2s", token) == nonce + challenge + b"GWAY"


def test_a_token_that_is_reflected_or_for_another_name_is_refused(ends: tuple[IsclClient, IsclClient]) -> None:
    server, client = ends
    challenge = server.challenge(16)
    token, nonce = client.token_ab("aes-auth-1-c2s", challenge, b"GWAY")
    assert _code(lambda: server.token_ba("aes-auth-1-s2c", "aes-auth-1-c2s", challenge, b"PACS", token)) is Code.KEYS_ISCL_REFUSED
    assert _code(lambda: client.check_ba("aes-auth-1-s2c", nonce, challenge, token)) is Code.KEYS_ISCL_REFUSED


def test_cmac_of_the_token_is_what_others_compute(ends: tuple[IsclClient, IsclClient]) -> None:
    server, client = ends
    made = server.mac("aes-auth-1-s2c", "session", b"R_A R_B")
    assert (
        made
        == client.mac("aes-auth-1-s2c", "session", b"R_A R_B")
        == iscl.mac(SoftKeys(SECRETS), b"aes-auth-1-s2c", b"session", b"R_A R_B")
    )


def test_a_slot_without_a_key_is_named(ends: tuple[IsclClient, IsclClient]) -> None:
    server, _ = ends
    assert _code(lambda: server.respond("auth-8-s2c", bytes(8))) is Code.KEYS_NO_KEY
