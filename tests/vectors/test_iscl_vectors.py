"""The test vectors of reconstruction profile R1, made and read; published vectors of the primitives beneath."""

from __future__ import annotations

import pytest

from support.isclkit import CLIENT, DES_KEY, SAME, SERVER, End
from wardgate.iscl.bodies import Codec
from wardgate.iscl.deskeys import is_weak, odd_parity
from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.reconstruction import R1, Md5Order
from wardgate.iscl.table import State
from wardgate.iscl.terms import Encryption, Mac, MessageId, Role

PRIMITIVES = LibPrimitives()


def _hex(text: str) -> bytes:
    return bytes.fromhex(text.replace("/", ""))


LINE_REQUEST = _hex("00000000 00110001 00000008 00000000 00000000 00000000 00000000 00000000 / 00001fe0 00000100")
LINE_RESPONSE = _hex("00000000 00110003 00000008 00000000 00000000 00000000 00000000 00000000 / 00000000 00001fe0")
AUTH_REQUEST = _hex("00000000 00120001 00000010 00000000 00000000 00000000 00000000 00000000 / 00000000 00000001 00000004 47574159")
AUTH_RESPONSE = _hex("00000000 00120003 0000000c 00000000 00000000 00000000 00000000 00000000 / 00000000 00000004 50414353")
PASS1 = _hex("00000000 00130002 0000000c 00000000 00000000 00000000 00000000 00000000 / 00000000 4e6f7720 69732074")
PASS2 = _hex("00000000 00140002 00000014 00000000 00000000 00000000 00000000 00000000 / 00000000 3fa40e8a 984d4815 00000000 00000000")
PASS3 = _hex("00000000 00150002 0000000c 00000000 00000000 00000000 00000000 00000000 / 00000000 d5d44ff7 20683d0d")
COMPLETION = _hex("00000000 00160002 00000004 00000000 00000000 00000000 00000000 00000000 / 00000000")
FROM_SERVER = [LINE_REQUEST, AUTH_REQUEST, PASS1, PASS3]
FROM_CLIENT = [LINE_RESPONSE, AUTH_RESPONSE, PASS2, COMPLETION]
SERVER_CHALLENGE, CLIENT_CHALLENGE = bytes.fromhex("4e6f772069732074"), bytes(8)

RELEASE = bytes.fromhex("05000000000400000000")
RANDOM = bytes.fromhex("1122334455667788")
SESSION_KEY = bytes.fromhex("b5cd3ed9d9d95215")
DATA = bytes.fromhex("1a196e3f7c1168da2d6319f858e374c3")
MAC_A = bytes.fromhex("7c86e279ae9df89844a5c309 76adabf164af3606098b2474")
INNER_B = bytes.fromhex("01ba1381b982237789bb15044656b665")
DES_MAC = bytes.fromhex("a3c31f9248aa2879")


def _encrypt(key: bytes, block: bytes) -> bytes:
    out = bytearray(len(block))
    PRIMITIVES.cbc(Encryption.DES_CBC, key, bytes(8), True).run(memoryview(block), memoryview(out))
    return bytes(out)


def _mac(mac: Mac, key: bytes, *pieces: bytes) -> bytes:
    run = PRIMITIVES.mac(mac, key)
    for piece in pieces:
        run.update(piece)
    return run.digest()


def test_the_published_des_vectors_come_out() -> None:
    assert _encrypt(DES_KEY, SERVER_CHALLENGE).hex() == "3fa40e8a984d4815"
    assert _encrypt(DES_KEY, bytes(8)).hex() == "d5d44ff720683d0d"


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 13, 24])
def test_the_mac_of_fips_113_comes_out_however_it_is_fed(cut: int) -> None:
    message = b"7654321 Now is the time for "
    assert _mac(Mac.DES_MAC, DES_KEY, message[:cut], message[cut:]).hex() == "f1d30f6849312ca4"


def test_the_cmac_of_rfc_4493_comes_out() -> None:
    key, message = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"), bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    assert _mac(Mac.AES_CMAC, key, message).hex() == "070a16b46b4d4144f79bdd9dd04a287c"


def test_the_session_key_has_odd_parity() -> None:
    assert _encrypt(DES_KEY, RANDOM).hex() == "b4cc3fd9d8d95214"
    assert odd_parity(_encrypt(DES_KEY, RANDOM)) == SESSION_KEY


def test_weak_keys_are_known_with_any_parity() -> None:
    assert is_weak(bytes(8))
    assert is_weak(bytes.fromhex("ffffffffffffffff"))
    assert is_weak(bytes.fromhex("01fe01fe01fe01fe"))
    assert not is_weak(DES_KEY)


def _server(order: Md5Order = Md5Order.A, mac: Mac = Mac.MD5) -> End:
    settings = SERVER._replace(md5_order=order, mac=mac)
    return End(Role.SERVER, settings, SAME, [SERVER_CHALLENGE, RANDOM])


def _client(mac: Mac = Mac.MD5) -> End:
    return End(Role.CLIENT, CLIENT._replace(mac=mac), SAME, [CLIENT_CHALLENGE, RANDOM])


def _opened(end: End) -> End:
    end.start()
    for message in FROM_CLIENT if end.engine.state is not State.LINE else FROM_SERVER:
        end.feed(message)
    end.take()
    assert end.engine.state is State.OPEN
    return end


def test_the_server_says_the_handshake_of_the_vectors() -> None:
    server = _server()
    server.start()
    said = [server.take()]
    for message in FROM_CLIENT:
        server.feed(message)
        said.append(server.take())
    assert said == [*FROM_SERVER, b""]
    assert server.engine.peer_name == b"PACS"


def test_the_client_says_the_handshake_of_the_vectors() -> None:
    client = _client()
    client.start()
    said = []
    for message in FROM_SERVER:
        client.feed(message)
        said.append(client.take())
    assert said == FROM_CLIENT
    assert client.engine.peer_name == b"GWAY"


CODEC = Codec(R1)
REQUEST = CODEC.encode(MessageId.TRANSMISSION_REQUEST, encryption=0x1212, key_id=0x10, mac=0x1441, length=10)
DES_MAC_REQUEST = CODEC.encode(MessageId.TRANSMISSION_REQUEST, encryption=0x1212, key_id=0x10, mac=0x4001, length=10)
RESPONSE = CODEC.encode(MessageId.TRANSMISSION_RESPONSE, status=0, length=10)
RANDOM_REQUEST = CODEC.encode(MessageId.RANDOM_REQUEST, random=RANDOM)
RANDOM_RESPONSE = CODEC.encode(MessageId.RANDOM_RESPONSE, status=0)
BLOCK = CODEC.wrap(MessageId.DATA, DATA)


def _sealed(plain: bytes) -> bytes:
    """Return a MAC encrypted behind the data block of the vectors."""
    count = 8 - len(plain) % 8
    out = bytearray(len(plain) + count)
    source = memoryview(plain + bytes((count,)) * count)
    PRIMITIVES.cbc(Encryption.DES_CBC, SESSION_KEY, DATA[-8:], True).run(source, memoryview(out))
    return bytes(out)


MACS = [
    (Mac.MD5, Md5Order.A, REQUEST, CODEC.wrap(MessageId.MAC, MAC_A)),
    (Mac.MD5, Md5Order.B, REQUEST, CODEC.wrap(MessageId.MAC, _sealed(INNER_B), 1)),
    (Mac.DES_MAC, Md5Order.A, DES_MAC_REQUEST, CODEC.wrap(MessageId.MAC, _sealed(DES_MAC))),
]


def test_the_bodies_are_those_of_the_vectors() -> None:
    assert REQUEST[32:].hex() == "00001212000000100000144100" + "00000a"
    assert RANDOM_REQUEST[32:].hex() == "1122334455667788"


@pytest.mark.parametrize(("mac", "order", "request_", "notification"), MACS, ids=["md5-a", "md5-b", "des-mac"])
def test_the_message_of_the_vectors_is_made(mac: Mac, order: Md5Order, request_: bytes, notification: bytes) -> None:
    server = _opened(_server(order, mac))
    server.send(RELEASE)
    assert server.take() == request_
    server.feed(RESPONSE)
    assert server.take() == RANDOM_REQUEST
    server.feed(RANDOM_RESPONSE)
    assert server.take() == BLOCK + notification


@pytest.mark.parametrize(("mac", "order", "request_", "notification"), MACS, ids=["md5-a", "md5-b", "des-mac"])
def test_the_message_of_the_vectors_is_read(mac: Mac, order: Md5Order, request_: bytes, notification: bytes) -> None:
    client = _opened(_client(mac))
    for message, answer in ((request_, RESPONSE), (RANDOM_REQUEST, RANDOM_RESPONSE), (BLOCK, b""), (notification, b"")):
        client.feed(message)
        assert client.take() == answer
    assert client.messages == [RELEASE]
