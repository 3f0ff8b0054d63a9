"""ISCL inside TLS: two channels joined in memory. Which layer failed shows in the code, and neither speaks before its turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.isclkit import AES_PAIR, CLIENT, PAIR, SERVER
from support.tlskit import make_tls, peer_context
from wardgate.codes import Code
from wardgate.iscl.errors import IsclError
from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.softtoken import KeyPair
from wardgate.iscl.terms import Encryption, Mac, Method, Role
from wardgate.transport.context import TlsContexts
from wardgate.transport.errors import PeerRefused, TlsFailure
from wardgate.transport.isclkeys import FileToken
from wardgate.transport.iscltls import CarrierEnded, IsclInTls
from wardgate.transport.peer import ANONYMOUS, PeerIdentity
from wardgate.transport.tls import TlsChannel

GCM = {"method": Method.ISO_9798_4_CMAC, "encryption": Encryption.AES_256_GCM, "mac": Mac.INTEGRATED}


def _judged() -> PeerIdentity:
    return ANONYMOUS


class Both:
    """A server and a client that shake hands when told; `said` counts the bytes of each side."""

    def __init__(
        self,
        judge: Callable[[], PeerIdentity] = _judged,
        keys: tuple[KeyPair, KeyPair] = (PAIR, PAIR),
        **words: object,
    ) -> None:
        tls = TlsChannel(TlsContexts(make_tls()).server(), True), TlsChannel(peer_context(server=False), False, "localhost")
        roles, settings = (Role.SERVER, Role.CLIENT), (SERVER, CLIENT)
        self.server, self.client = (
            IsclInTls(role, sheet._replace(**words), LibPrimitives(), FileToken(LibPrimitives(), {1: pair}), carrier, judge)  # type: ignore[arg-type]
            for role, sheet, pair, carrier in zip(roles, settings, keys, tls, strict=True)
        )
        self.said = {Role.SERVER: 0, Role.CLIENT: 0}

    def shake(self) -> Both:
        wire, _ = self.client.step(None)
        turn, other = self.server, self.client
        while wire:
            self.said[Role.CLIENT if turn is self.server else Role.SERVER] += len(wire)
            wire, _ = turn.step(wire)
            turn, other = other, turn
        for channel in (self.server, self.client):
            channel.attach(lambda work, done: done(work(), None), lambda _error: None)
        return self

    def carry(self, source: IsclInTls, sink: IsclInTls, wire: bytes) -> bytes:
        """Carry until nobody says anything; return the data that came out at `sink`."""
        into, got = memoryview(bytearray(1 << 20)), b""
        while wire:
            size = sink.open(wire, into)
            got += into[:size]
            while sink.pending:
                size = sink.open(b"", into)
                got += into[:size]
            back = bytes(sink.to_send())
            if back:
                source.open(back, into)
            wire = bytes(source.to_send())
        return got


def _wire(said: bytes | list[bytes]) -> bytes:
    return said if isinstance(said, bytes) else b"".join(said)


@pytest.mark.parametrize("words", [{}, GCM], ids=["des-cbc-md5", "aes-gcm"])
def test_messages_pass_both_ways_and_the_record_names_both_layers(words: dict[str, object]) -> None:
    both = Both(keys=(AES_PAIR, AES_PAIR) if words else (PAIR, PAIR), **words).shake()
    assert both.server.done and both.client.done
    pdu = b"\x04\0" + (70000).to_bytes(4, "big") + bytes(70000)
    for source, sink in ((both.client, both.server), (both.server, both.client)):
        assert both.carry(source, sink, _wire(source.seal(pdu))) == pdu
    suite = "aes-256-gcm integrated" if words else "des-cbc md5"
    assert f"{both.server.version} {both.server.cipher}" == f"ISCL-style R1 in TLSv1.3 TLS_AES_256_GCM_SHA384: {suite}"
    assert len(f"{both.server.version} {both.server.cipher}") <= 96, "or the record would cut it"


def test_nothing_of_iscl_is_said_before_the_certificate_is_judged() -> None:
    def refuse() -> PeerIdentity:
        raise PeerRefused(Code.CERTIFICATE_WRONG_NAME, "somebody else")

    both = Both(judge=refuse)
    wire, _ = both.client.step(None)
    wire, _ = both.server.step(wire)

    def shake(wire: bytes) -> None:
        while wire:
            wire, _ = both.client.step(wire)
            wire, _ = both.server.step(wire)

    with pytest.raises(PeerRefused, match="somebody else") as caught:
        shake(wire)
    assert caught.value.code is Code.CERTIFICATE_WRONG_NAME
    assert both.server.identity is None and both.client.identity is None


def test_another_iscl_key_inside_good_tls_is_an_iscl_failure_and_the_peer_hears_the_nak_under_tls() -> None:
    both = Both(keys=(PAIR, KeyPair(bytes.fromhex("1032547698badcfe"), PAIR.to_client)))
    wire, _ = both.client.step(None)
    turn, other = both.server, both.client

    def shake(wire: bytes) -> None:
        nonlocal turn, other
        while True:
            wire, _ = turn.step(wire)
            turn, other = other, turn

    with pytest.raises(IsclError) as caught:
        shake(wire)
    assert caught.value.code is Code.ISCL_AUTHENTICATION_FAILURE and turn is both.server
    assert caught.value.to_send[:1] == b"\x17", "a TLS record of application data"
    with pytest.raises(IsclError, match="ISCL 200") as heard:
        both.client.step(caught.value.to_send)
    assert heard.value.code is Code.ISCL_AUTHENTICATION_FAILURE


def test_a_changed_byte_on_the_wire_is_a_failure_of_tls() -> None:
    both = Both().shake()
    wire = bytearray(_wire(both.client.seal(b"\x07\0\0\0\0\4\0\0\0\0")))
    wire[-1] ^= 1
    with pytest.raises(TlsFailure) as caught:
        both.server.open(bytes(wire), memoryview(bytearray(100)))
    assert caught.value.code is Code.TLS_INTEGRITY


def test_a_changed_byte_inside_tls_is_an_integrity_failure_of_iscl_and_nothing_is_answered() -> None:
    """Somebody who holds the TLS session, such as a proxy that ends it, is no ISCL peer."""
    both = Both(encryption=Encryption.NONE).shake()
    into = memoryview(bytearray(1000))
    wire = _wire(both.client.seal(b"\x07\0\0\0\0\4\0\0\0\0"))
    for last in (False, True):  # the answers to its announcement and to its random number
        both.server.open(wire, into)
        both.client.open(bytes(both.server.to_send()), into)
        wire = b"" if last else bytes(both.client.to_send())
    inner = b"".join(both.client._engine.take_output())  # data and MAC, not yet under TLS
    changed = bytearray(inner)
    changed[40] ^= 1
    with pytest.raises(IsclError) as caught:
        both.server.open(_wire(both.client._sealed([bytes(changed)])), into)
    assert caught.value.code is Code.ISCL_MAC_FAILURE and caught.value.to_send == b""
    assert both.server.to_send() == b""


def test_tls_that_ends_before_iscl_took_its_leave_is_told_by_its_own_code() -> None:
    both = Both().shake()
    with pytest.raises(CarrierEnded) as caught:
        both.server.open(both.client.tls.close(), memoryview(bytearray(10)))
    assert caught.value.code is Code.ISCL_CARRIER_ENDED


def test_leave_is_taken_of_iscl_first_and_then_of_tls() -> None:
    both = Both().shake()
    assert both.carry(both.client, both.server, bytes(both.client.close())) == b""
    assert both.server.ended and both.client.over
    assert both.server.tls.ended and both.client.remarks == ()


def test_a_peer_that_closes_is_named_by_the_layer_that_was_at_work() -> None:
    both = Both()
    both.client.step(None)
    with pytest.raises(TlsFailure):
        both.server.step(b"")
    assert both.server.ended_early_code is Code.TLS_ENDED_IN_HANDSHAKE
    both = Both().shake()
    with pytest.raises(IsclError):
        both.server.step(b"")
    assert both.server.ended_early_code is Code.ISCL_ENDED_IN_HANDSHAKE
