"""Whose key makes the keys of messages (R1 7.3, key ID 0x10): what the default gives away, and that an encryption slot does not."""

from __future__ import annotations

import pytest

from support.isclkit import CLIENT, SERVER, End, Pair
from wardgate.iscl.bodies import Codec
from wardgate.iscl.deskeys import odd_parity
from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.reconstruction import R1, Reconstruction
from wardgate.iscl.settings import Settings, problems
from wardgate.iscl.terms import ACK, Encryption, MessageId, Method, Role, Way
from wardgate.iscl.tokens import MessageKey

CODEC = Codec(R1)
SECRET = b"a name and a date of birth, say, in one message"
OWN_KEYS = R1._replace(master_to_server=2, master_to_client=3)


def _messages(wire: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(wire):
        header = CODEC.read_header(wire, at)
        found.append((header.message_id, wire[at + 32 : at + 32 + header.length]))
        at += 32 + header.length
    return found


def _settings(r1: Reconstruction) -> tuple[Settings, Settings]:
    return SERVER._replace(r1=r1), CLIENT._replace(r1=r1)


def _recorded(r1: Reconstruction, from_server: bool) -> tuple[bytes, bytes]:
    """Return random number and first data of one message that somebody recorded."""
    seen = {True: bytearray(), False: bytearray()}

    def record(server: bool, data: bytes) -> bytes:
        seen[server] += data
        return data

    pair = Pair(*_settings(r1), edit=record).open()
    (pair.server if from_server else pair.client).send(SECRET)
    pair.pump()
    said = dict(_messages(bytes(seen[from_server])))
    return said[MessageId.RANDOM_REQUEST], said[MessageId.DATA]


def _opened(key: bytes, data: bytes) -> bytes:
    out = bytearray(len(data))
    LibPrimitives().cbc(Encryption.DES_CBC, key, bytes(8), False).run(memoryview(bytearray(data)), memoryview(out))
    return bytes(out[: len(SECRET)])


def _ask_the_client(r1: Reconstruction, random: bytes) -> bytes:
    """Be called by the client and send `random` as challenge: it answers before we have proven anything."""
    client = End(Role.CLIENT, _settings(r1)[1])
    client.start()
    client.feed(CODEC.encode(MessageId.LINE_REQUEST, block_length=8160, version=0x100))
    client.feed(CODEC.encode(MessageId.AUTH_REQUEST, method=0, key_id=1, name=SERVER.name))
    client.take()
    client.feed(CODEC.encode(MessageId.PASS1, status=ACK, challenge=random))
    return dict(_messages(client.take()))[MessageId.PASS2][4:12]


def _ask_the_server(r1: Reconstruction, random: bytes) -> bytes:
    """Stand between both and put `random` in place of the client's challenge, which its response does not cover."""
    heard: list[bytes] = []

    def between(server: bool, data: bytes) -> bytes:
        (kind, body), *_ = _messages(data)
        if kind == MessageId.PASS2:
            return data[:32] + body[:12] + random
        if kind == MessageId.PASS3:
            heard.append(body[4:12])
        return data

    pair = Pair(*_settings(r1), edit=between)
    pair.server.start()
    pair.client.start()
    with pytest.raises(Exception, match="ISCL 200"):
        pair.pump()
    return heard[0]


@pytest.mark.parametrize("from_server", [False, True], ids=["to-server", "to-client"])
def test_by_default_the_random_number_of_a_message_sent_as_a_challenge_gives_its_key(from_server: bool) -> None:
    random, data = _recorded(R1, from_server)
    answer = (_ask_the_server if from_server else _ask_the_client)(R1, random)
    assert _opened(odd_parity(answer), data) == SECRET


@pytest.mark.parametrize("from_server", [False, True], ids=["to-server", "to-client"])
def test_with_a_master_key_of_the_encryption_slots_it_does_not(from_server: bool) -> None:
    random, data = _recorded(OWN_KEYS, from_server)
    answer = (_ask_the_server if from_server else _ask_the_client)(OWN_KEYS, random)
    assert _opened(odd_parity(answer), data) != SECRET


def test_each_way_asks_the_token_for_its_own_master_key() -> None:
    for role, way, slot in ((Role.CLIENT, Way.TO_SERVER, 2), (Role.SERVER, Way.TO_CLIENT, 3)):
        pair = Pair(*_settings(OWN_KEYS)).open()
        end = pair.client if role is Role.CLIENT else pair.server
        end.engine.send(SECRET, 0.0)
        (asked,) = end.engine.take_asked()
        assert asked.operations == (MessageKey(1, way, 16, None, slot),)


def test_the_status_of_the_hole_follows_the_switch() -> None:
    assert SERVER.keys_for_the_asking
    assert SERVER._replace(r1=R1._replace(master_to_server=2)).keys_for_the_asking, "one way is still open"
    assert not SERVER._replace(r1=OWN_KEYS).keys_for_the_asking
    assert not SERVER._replace(key_id=1).keys_for_the_asking


@pytest.mark.parametrize(
    "words",
    [
        {"r1": R1._replace(master_to_server=9)},
        {"r1": R1._replace(master_to_client=-1)},
        {"r1": OWN_KEYS, "key_id": 1},
        {"r1": OWN_KEYS, "method": Method.ISO_9798_4_CMAC},
    ],
)
def test_a_master_key_that_cannot_be_is_named(words: dict[str, object]) -> None:
    found = [word for word, _ in problems(SERVER._replace(**words))]  # type: ignore[arg-type]
    assert "r1" in found or "method" in found
