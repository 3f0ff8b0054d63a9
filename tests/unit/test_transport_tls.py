"""A TLS channel without sockets, and the readable failures."""

from __future__ import annotations

import ssl

import pytest

from support.tlskit import exchange, make_tls, peer_context, shake, shared_pki
from wardgate.codes import Code
from wardgate.transport.context import TlsContexts
from wardgate.transport.errors import TlsFailure
from wardgate.transport.sessions import SessionCache
from wardgate.transport.tls import TlsChannel

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def server_failure(client: ssl.SSLContext, server: ssl.SSLContext | None = None) -> tuple[TlsFailure, Code]:
    """Shake hands with a client that must fail at our server; return our error, and what the other side makes of our alert."""
    with pytest.raises(TlsFailure) as caught:
        shake(server or TlsContexts(make_tls()).server(), client)
    ours = caught.value
    other = TlsChannel(client, False)
    other.step(None)
    with pytest.raises(TlsFailure) as told:
        other.step(ours.to_send or b"")
    return ours, told.value.code


@pytest.mark.parametrize("version", VERSIONS)
def test_data_passes_both_ways_in_pieces(version: ssl.TLSVersion) -> None:
    server, client = shake(TlsContexts(make_tls()).server(), peer_context(server=False, version=version))
    data = bytes(range(256)) * 400
    exchange(server, client, data)
    wire = client.seal(memoryview(data))
    wire = wire if isinstance(wire, bytes) else b"".join(wire)
    into, got = memoryview(bytearray(30_000)), b""
    for at in range(0, len(wire), 7777):
        chunk: bytes = wire[at : at + 7777]
        while True:
            got += into[: server.open(chunk, into)]
            chunk = b""
            if not server.pending:
                break
    assert got == data
    assert server.version == {772: "TLSv1.3", 771: "TLSv1.2"}[version]
    assert not server.resumed


class Counting:
    """A BIO that notes how much it held at most."""

    def __init__(self, bio: ssl.MemoryBIO) -> None:
        self._bio = bio
        self.most = 0

    def write(self, data: bytes) -> int:
        written = self._bio.write(data)
        self.most = max(self.most, self._bio.pending)
        return written

    @property
    def pending(self) -> int:
        return self._bio.pending


def test_a_long_read_never_fills_the_bio_of_a_channel_which_would_keep_that_room() -> None:
    server, client = shake(TlsContexts(make_tls()).server(), peer_context(server=False))
    data = bytes(range(256)) * 2048
    wire = b"".join(client.seal(data))
    counting = server._incoming = Counting(server._incoming)  # type: ignore[assignment]
    into = memoryview(bytearray(len(data) + 10))
    assert server.open(wire, into) == len(data)
    assert into[: len(data)] == data
    assert not server.pending
    assert 65536 <= counting.most < 2 * 65536  # a piece, and what was left of a record


def test_a_long_read_into_little_room_keeps_the_rest_for_later() -> None:
    server, client = shake(TlsContexts(make_tls()).server(), peer_context(server=False))
    data = bytes(range(256)) * 1024
    into = memoryview(bytearray(50_000))
    got = bytes(into[: server.open(b"".join(client.seal(data)), into)])
    while server.pending:
        got += into[: server.open(b"", into)]
    assert got == data


def test_what_comes_with_the_last_flight_of_the_handshake_is_pending() -> None:
    server, client = TlsChannel(TlsContexts(make_tls()).server(), True), TlsChannel(peer_context(server=False), False)
    hello, _ = client.step(None)
    flight, _ = server.step(hello)
    finished, done = client.step(flight)
    assert done
    server.step(finished + client.seal(b"A-ASSOCIATE-RQ"))
    assert server.done
    assert server.pending
    into = memoryview(bytearray(100))
    assert bytes(into[: server.open(b"", into)]) == b"A-ASSOCIATE-RQ"
    assert not server.pending


@pytest.mark.parametrize("version", VERSIONS)
def test_close_notify_ends_a_channel_and_truncation_does_not(version: ssl.TLSVersion) -> None:
    server, client = shake(TlsContexts(make_tls()).server(), peer_context(server=False, version=version))
    assert not client.ended
    client.open(server.close(), memoryview(bytearray(10)))
    assert client.ended
    assert client.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_changed_byte_is_an_integrity_failure_and_kills_the_channel(version: ssl.TLSVersion) -> None:
    server, client = shake(TlsContexts(make_tls()).server(), peer_context(server=False, version=version))
    wire = bytearray(client.seal(b"data"))
    wire[-1] ^= 1
    with pytest.raises(TlsFailure) as caught:
        server.open(bytes(wire), memoryview(bytearray(10)))
    assert caught.value.code is Code.TLS_INTEGRITY
    assert server.close() == b""


@pytest.mark.parametrize("version", VERSIONS)
def test_chain_is_leaf_first_anchor_last_and_empty_when_resumed(version: ssl.TLSVersion) -> None:
    contexts = TlsContexts(make_tls())
    context = peer_context(server=True, version=version)
    server, client = shake(context, contexts.client())
    root = ssl.PEM_cert_to_DER_cert(shared_pki().root.read_text())
    assert client.peer_chain[0] == client.peer_leaf
    assert client.peer_chain[-1] == root
    assert len(server.peer_chain) == len(client.peer_chain) == 3
    _, again = shake(context, contexts.client(), client.session)
    assert again.resumed
    assert again.peer_chain == []
    assert again.peer_leaf == client.peer_leaf


def test_session_cache_keeps_the_chain_of_the_full_handshake_and_is_bounded() -> None:
    contexts = TlsContexts(make_tls())
    context, cache = peer_context(server=True), SessionCache(2)
    _, client = shake(context, contexts.client())
    cache.keep("a", contexts.client(), client)
    kept = cache.get("a", contexts.client())
    assert kept is not None
    _, again = shake(context, contexts.client(), kept.session)
    cache.keep("a", contexts.client(), again)
    newer = cache.get("a", contexts.client())
    assert newer is not None
    assert newer.session is not kept.session
    assert list(newer.chain) == client.peer_chain
    assert cache.get("a", TlsContexts(make_tls()).client()) is None
    cache.keep("b", contexts.client(), again)  # resumed, and no full handshake known under this key
    assert cache.get("b", contexts.client()) is None
    for key in "bc":
        cache.keep(key, contexts.client(), client)
    assert len(cache) == 2
    assert cache.get("a", contexts.client()) is None
    cache.drop_all()
    assert len(cache) == 0


def test_resumption_switched_off_gives_no_tls13_session() -> None:
    _, client = shake(TlsContexts(make_tls(session_resumption=False)).server(), peer_context(server=False))
    assert client.session is None or not client.session.has_ticket


def test_client_of_another_ca_is_untrusted_and_is_told() -> None:
    failure, told = server_failure(peer_context("pacs-other-ca", server=False, version=ssl.TLSVersion.TLSv1_2))
    assert failure.code is Code.CHAIN_UNTRUSTED
    assert told is Code.PEER_DISTRUSTS_US


@pytest.mark.parametrize(
    ("certificate", "code"),
    [
        ("pacs-expired", Code.CERTIFICATE_EXPIRED),
        ("pacs-future", Code.CERTIFICATE_NOT_YET_VALID),
        ("pacs-rsa1024", Code.CERTIFICATE_KEY_WEAK),
        ("pacs-sha1", Code.CERTIFICATE_HASH_WEAK),
        ("pacs-wrong-usage", Code.CERTIFICATE_WRONG_USAGE),
        ("", Code.TLS_NO_CLIENT_CERTIFICATE),
    ],
)
def test_defective_client_certificates_fail_the_handshake_with_their_own_code(certificate: str, code: Code) -> None:
    if certificate and not shared_pki().leaf(certificate).chain.exists():
        pytest.skip("no openssl command to make it")
    with pytest.raises(TlsFailure) as caught:
        shake(TlsContexts(make_tls()).server(), peer_context(certificate, server=False))
    assert caught.value.code is code


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_named() -> None:
    old = peer_context(server=False)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    failure, told = server_failure(old)
    assert failure.code is Code.TLS_VERSION_MISMATCH
    assert told is Code.TLS_VERSION_MISMATCH


def test_no_common_suite_is_named_on_both_sides() -> None:
    narrow = peer_context(server=False, version=ssl.TLSVersion.TLSv1_2)
    narrow.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
    failure, told = server_failure(narrow)
    assert failure.code is Code.TLS_NO_COMMON_SUITE
    assert told is Code.PEER_HANDSHAKE_FAILURE


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (b"\x01\x00\x00\x00\x00\xcd\x00\x01" + bytes(100), Code.TLS_PEER_NOT_TLS),
        (b"GET / HTTP/1.1\r\n\r\n", Code.HTTP_ON_DICOM_PORT),
        (b"", Code.TLS_ENDED_IN_HANDSHAKE),
    ],
)
def test_a_caller_that_is_not_tls_is_named(first: bytes, code: Code) -> None:
    channel = TlsChannel(TlsContexts(make_tls()).server(), True)
    with pytest.raises(TlsFailure) as caught:
        channel.step(first)
    assert caught.value.code is code


def test_a_plain_peer_on_an_outgoing_leg_is_named() -> None:
    channel = TlsChannel(TlsContexts(make_tls()).client(), False)
    channel.step(None)
    with pytest.raises(TlsFailure) as caught:
        channel.step(b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x00")  # A-ABORT in clear
    assert caught.value.code is Code.TLS_PEER_NOT_TLS


def test_tls13_server_that_refuses_our_certificate_is_heard_after_the_handshake() -> None:
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = shared_pki().leaf("pacs-ecdsa")
    strict.load_cert_chain(leaf.chain, leaf.key)
    strict.load_verify_locations(shared_pki().other_root)
    strict.verify_mode = ssl.CERT_REQUIRED
    server, client = TlsChannel(strict, True), TlsChannel(TlsContexts(make_tls()).client(), False)
    flight, _ = server.step(client.step(None)[0])
    finished, done = client.step(flight)
    assert done
    with pytest.raises(TlsFailure) as refused:
        server.step(finished)
    with pytest.raises(TlsFailure) as heard:
        client.open(refused.value.to_send, memoryview(bytearray(10)))
    assert heard.value.code is Code.PEER_DISTRUSTS_US
