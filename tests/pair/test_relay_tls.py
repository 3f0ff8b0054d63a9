"""Associations with TLS on the hospital's side: both directions, what a broken record does, and handshakes that take long."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
import time
from pathlib import Path

import pytest

from support.relaykit import Relay, abort_of, response, silent, store, until
from support.tlskit import make_tls, peer_context
from support.wire import ABORT, ASSOCIATE_RJ, associate_rq, pdu
from wardgate.custody.wire import Op
from wardgate.policy.model import Role
from wardgate.transport.tls import TlsChannel


@pytest.mark.parametrize("hash_threads", [0, 1])
@pytest.mark.parametrize("caller", [Role.MODALITY, Role.PEER])
def test_bytes_and_digests_are_right_with_tls_in_both_directions(folder: Path, caller: Role, hash_threads: int) -> None:
    rng = random.Random(7)
    bodies = [rng.randbytes(size) for size in (1, 15_999, 1_500_000, 40_000)]
    with Relay(folder, peer_tls=make_tls(), hash_threads=hash_threads) as relay, relay.associate(caller) as pair:
        for number, body in enumerate(bodies, 1):
            stream = b"".join(store(number, body, chunk=rng.choice((700, 16_000, 262_144)) if number != 3 else 131_072))
            sender = threading.Thread(target=pair.near.sock.sendall, args=(stream,))
            sender.start()
            assert pair.far._exactly(len(stream)) == stream
            sender.join()
            pair.pass_on(response(number), back=True)
        pair.release()
        relay.settled()
        assert [record["digests"][0]["value"] for record in relay.writer.stores()] == [hashlib.sha256(body).hexdigest() for body in bodies]
        leg = relay.writer.stores()[0]["requestor" if caller is Role.MODALITY else "acceptor"]
        assert leg["tls"].startswith("TLSv1.3 ") and len(leg["certificate"]) == 64


def test_a_broken_tls_record_ends_the_leg_and_the_caller_gets_a_provider_abort(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay, relay.associate() as pair:
        pair.pass_on(*store(1))
        with socket.socket(fileno=os.dup(pair.far.sock.fileno())) as raw:
            raw.settimeout(60)
            raw.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))
            assert abort_of(pair.near) == (2, 0)
            assert _all(raw) == b""  # not one more byte, no alert either
        relay.settled()
        assert "TLS_INTEGRITY" in relay.codes()
        assert [record["outcome"] for record in relay.writer.stores()] == ["unknown"]


def test_a_broken_tls_record_of_the_caller_ends_its_leg_and_aborts_the_called_side(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay, relay.associate(Role.PEER) as pair:
        with socket.socket(fileno=os.dup(pair.near.sock.fileno())) as raw:
            raw.settimeout(60)
            raw.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))
            assert abort_of(pair.far) == (2, 0)
            _all(raw)
        relay.settled()


@pytest.mark.parametrize("end", ["abort", "reset", "half-closed"])
def test_a_caller_under_tls_that_ends_while_its_response_is_held_does_no_harm(folder: Path, end: str) -> None:
    """The response comes to be sent on a leg that has said its close_notify."""
    with Relay(folder, peer_tls=make_tls()) as relay, relay.associate(Role.PEER) as pair:
        relay.writer.hold(Op.STORE)
        pair.pass_on(*store(1))
        pair.far.send(response(1))
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        if end == "abort":
            pair.near.send(pdu(ABORT, bytes(4)))
        elif end == "reset":
            pair.near.reset()
        else:
            socket.socket(fileno=os.dup(pair.near.sock.fileno())).shutdown(socket.SHUT_WR)
        assert pair.far.read()[0] == ABORT
        relay.writer.release()
        until(lambda: not relay.alive or not relay.gate.custodian.unanswered, "the record is durable")
        time.sleep(0.2)
        assert relay.alive, repr(relay.defect)
        with relay.associate(Role.PEER) as second:
            second.release()


@pytest.mark.parametrize("said", [b"", associate_rq("PACS", "CT1")], ids=["nothing", "its request"])
def test_a_caller_that_leaves_in_the_packet_that_ends_its_handshake_is_not_waited_for(folder: Path, said: bytes) -> None:
    """Half a TCP connection: nothing comes behind the close_notify, not even the end."""
    with Relay(folder, peer_tls=make_tls()) as relay, socket.create_connection(("127.0.0.1", relay.port[Role.PEER]), 60) as sock:
        caller = TlsChannel(peer_context(server=False), False)
        wire, done = caller.step(None)
        while not done:
            sock.sendall(wire)
            wire, done = caller.step(sock.recv(65536))
        sock.sendall(b"".join((wire, caller.seal(said), caller.close())))  # type: ignore[arg-type]
        _all(sock)  # until the box closes
        relay.settled()


def test_a_peer_that_cannot_shake_hands_becomes_a_rejection(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay, relay.dial() as near:
        relay._tls = dict.fromkeys(Role, False)  # the peer speaks plain
        near.send(associate_rq("CT1", "PACS"))
        with relay.accept() as far:
            far.sock.recv(1000)
            far.send(pdu(ABORT, bytes(4)))
            kind, body = near.read()
            assert (kind, body[1]) == (ASSOCIATE_RJ, 2)
        assert "CLEAR_ON_TLS_PORT" in relay.codes()


def test_a_handshake_that_takes_long_blocks_nobody_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    real = TlsChannel.step

    def slow(self: TlsChannel, data: bytes | None) -> tuple[bytes, bool]:
        if self._object.server_side:  # the box signs for who calls it
            go.wait(60)
        return real(self, data)

    monkeypatch.setattr(TlsChannel, "step", slow)
    with Relay(folder, peer_tls=make_tls(), handshake_seconds=100) as relay:
        shaken: list[object] = []
        callers = [threading.Thread(target=lambda: shaken.append(relay.dial(Role.PEER))) for _ in range(4)]
        for thread in callers:
            thread.start()
        until(lambda: len(relay.gate.associations) == 4, "they shake hands")
        with relay.associate() as pair:
            pair.pass_on(*store(1))
            pair.pass_on(response(1), back=True)
            pair.release()
        assert not shaken
        go.set()
        for thread in callers:
            thread.join(60)
        assert len(shaken) == 4
        for wire in shaken:
            wire.sock.close()


def test_a_silent_caller_on_the_tls_port_is_closed_in_time(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls(), handshake_seconds=0.5) as relay:
        with socket.create_connection(("127.0.0.1", relay.port[Role.PEER]), 60) as caller:
            assert _all(caller) == b""
        assert "SILENT_CLIENT" in relay.codes()


def test_what_comes_right_behind_the_handshake_is_not_lost(folder: Path) -> None:
    """A caller that sends its last flight and its A-ASSOCIATE-RQ in one segment."""
    with Relay(folder, peer_tls=make_tls()) as relay:
        for _ in range(5):
            with relay.dial(Role.PEER) as near:
                near.send(associate_rq("PACS", "CT1"))
                with relay.accept(Role.MODALITY) as far:
                    assert far.whole() == associate_rq("PACS", "CT1")
                    near.reset()
        relay.settled()


def test_a_called_side_that_speaks_before_it_is_asked_becomes_a_rejection(folder: Path) -> None:
    with Relay(folder, prepare=lambda writer: writer.hold(Op.OPEN)) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        with relay.accept() as far:
            far.send(pdu(2, bytes(68)))
            kind = near.read()[0]
            assert kind in (ASSOCIATE_RJ, ABORT)
            assert "WORKER_DEFECT" not in relay.codes()
        relay.writer.release()
        assert silent(near, 0.1) or near.read()[0] == 0


def _all(sock: socket.socket) -> bytes:
    found = b""
    try:
        while piece := sock.recv(65536):
            found += piece
    except ConnectionError:
        pass
    return found
