"""Associations that begin at once with a peer of which no session is known: one shakes hands in full, the others resume its session."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import pytest

from support import tlskit
from support.relaykit import Relay, until
from support.tlskit import make_tls
from support.wire import Wire, associate_ac, associate_rq, readable
from wardgate.policy.model import Role
from wardgate.relay import first
from wardgate.transport.tls import TlsChannel

COUNT = 6


class Hospital:
    """The called side: connections that the box made, none of them shaken yet."""

    def __init__(self, relay: Relay, tickets: int = 2) -> None:
        self._relay = relay
        self._context = tlskit.peer_context(server=True)
        self._context.num_tickets = tickets

    def raw(self) -> socket.socket:
        listener = self._relay._called[Role.PEER]
        listener.settimeout(60)
        sock, _ = listener.accept()
        sock.settimeout(60)
        return sock

    def shake(self, sock: socket.socket) -> tuple[Wire, bool]:
        """Return the connection under TLS and whether it was resumed."""
        tls = self._context.wrap_socket(sock, server_side=True)
        return Wire(tls), bool(tls.session_reused)

    def burst(self, count: int = COUNT) -> tuple[list[Wire], list[socket.socket]]:
        """Let `count` modalities ask at once; return them and the connections that the box made for them."""
        callers = [self._relay.dial() for _ in range(count)]
        for caller in callers:
            caller.send(associate_rq("CT1", "PACS"))
        return callers, [self.raw() for _ in callers]


def answered(peer: Wire) -> None:
    peer.send(associate_ac(peer.whole()))


def ask(socks: list[socket.socket]) -> list[int]:
    """Return the descriptors of those on which a ClientHello came."""
    return readable(*(sock.fileno() for sock in socks), seconds=0)


def asking(socks: list[socket.socket], seconds: float = 0.4, least: int = 1) -> list[socket.socket]:
    """Return those on which a ClientHello comes: `least` of them, and whoever comes so soon behind them."""
    until(lambda: len(ask(socks)) >= least, f"{least} ask")
    time.sleep(seconds)
    found = ask(socks)
    return [sock for sock in socks if sock.fileno() in found]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """But where the wait itself is looked at, a busy machine does not end it."""
    if "takes_its_time" not in request.node.name:
        monkeypatch.setattr(first, "WAIT_SECONDS", 30.0)


def leave(callers: list[Wire], peers: list[Wire]) -> None:
    for each in [*callers, *peers]:
        each.sock.close()


def test_one_goes_first_and_the_others_resume_its_session(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay:
        hospital = Hospital(relay)
        callers, socks = hospital.burst()
        (early,) = asking(socks)
        peers = [hospital.shake(early)]
        rest = [sock for sock in socks if sock is not early]
        time.sleep(0.2)
        assert not ask(rest), "there is no session before the first answer"
        answered(peers[0][0])
        for sock in rest:
            peers.append(hospital.shake(sock))
            answered(peers[-1][0])
        assert [resumed for _, resumed in peers] == [False] + [True] * (COUNT - 1)
        for caller in callers:
            assert caller.read()[0] == 2
        leave(callers, [peer for peer, _ in peers])


def test_resumed_sessions_of_those_that_waited_are_judged_by_the_certificate_like_any_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay:
        secure, judged = relay.gate.secure[("ct1", "pacs")], []
        check = secure.checker.check  # type: ignore[union-attr]

        def seen(leaf: bytes, chain: list[bytes], resumed: bool, *rest: object) -> object:
            judged.append((bool(leaf), bool(chain), resumed))
            return check(leaf, chain, resumed, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(secure.checker, "check", seen)
        hospital = Hospital(relay)
        callers, socks = hospital.burst(3)
        peers = []
        (early,) = asking(socks)
        for sock in sorted(socks, key=lambda sock: sock is not early):
            peers.append(hospital.shake(sock)[0])
            answered(peers[-1])
        for caller in callers:
            assert caller.read()[0] == 2
        assert judged == [(True, True, False), (True, True, True), (True, True, True)]
        leave(callers, peers)


def test_nobody_waits_long_for_a_peer_that_takes_its_time(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls(), handshake_seconds=100) as relay:
        hospital = Hospital(relay)
        began = time.monotonic()
        callers, socks = hospital.burst()
        (silent_one,) = asking(socks, 0.0)
        rest = [sock for sock in socks if sock is not silent_one]
        peers = [hospital.shake(sock) for sock in rest]
        assert first.WAIT_SECONDS - 0.1 < time.monotonic() - began < 50, "the first still has all its time"
        assert not any(resumed for _, resumed in peers)
        more, again = hospital.burst(2)
        assert len(asking(again, 0.0, 2)) == 2, "it is known to be slow"
        leave([*callers, *more], [peer for peer, _ in peers])
        for sock in (silent_one, *again):
            sock.close()


def test_a_peer_that_gives_no_tickets_is_waited_for_once(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay:
        hospital = Hospital(relay, tickets=0)
        callers, socks = hospital.burst(3)
        (one,) = asking(socks)
        peers = [hospital.shake(one)[0]]
        answered(peers[0])
        for sock in socks:
            if sock is not one:
                peers.append(hospital.shake(sock)[0])
                answered(peers[-1])
        leave(callers, peers)
        relay.settled()
        callers, socks = hospital.burst(3)
        assert len(asking(socks, 0.0, 3)) == 3
        leave(callers, [])
        for sock in socks:
            sock.close()


@pytest.mark.parametrize("how", ["refused", "closed", "caller left"])
def test_when_the_first_fails_the_others_go_on_at_once(folder: Path, how: str) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay:
        hospital = Hospital(relay)
        callers, socks = [], []
        for _ in range(3):  # one after the other, to know whose is whose
            callers.append(relay.dial())
            callers[-1].send(associate_rq("CT1", "PACS"))
            socks.append(hospital.raw())
        assert asking(socks) == socks[:1]
        if how == "refused":
            wrong = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            leaf = tlskit.shared_pki().leaf("pacs-expired")
            wrong.load_cert_chain(leaf.chain, leaf.key)
            with pytest.raises(OSError, match=r"."):
                wrong.wrap_socket(socks[0], server_side=True).recv(1)
        elif how == "closed":
            socks[0].close()
        else:
            callers[0].sock.close()
        until(lambda: len(ask(socks[1:])) == 2, "both ask, long before their patience ends")
        leave(callers, [])
        for sock in socks:
            sock.close()


def test_who_waits_ends_when_the_peer_ends_or_speaks_out_of_turn(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay:
        hospital = Hospital(relay)
        callers, socks = [], []
        for _ in range(3):
            callers.append(relay.dial())
            callers[-1].send(associate_rq("CT1", "PACS"))
            socks.append(hospital.raw())
        assert asking(socks) == socks[:1]
        socks[1].close()
        assert callers[1].read()[0] == 3
        socks[2].sendall(b"\x16\x03\x03\x00\x05hello")
        assert callers[2].read()[0] == 3
        leave(callers, [])
        socks[0].close()
        relay.settled()
        assert relay.alive
        assert "WORKER_DEFECT" not in relay.codes()


def test_who_waits_when_the_token_goes_is_rejected_and_shakes_no_hands(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay:
        hospital = Hospital(relay)
        callers, socks = hospital.burst(3)
        (one,) = asking(socks)
        relay.token("TOKEN_IS_ABSENT")
        for caller in callers:
            assert caller.read()[0] == 3
        for sock in socks:
            if sock is not one:
                assert sock.recv(1) == b""
        relay.token()
        callers, socks = hospital.burst(3)
        assert len(asking(socks)) == 1
        assert "WORKER_DEFECT" not in relay.codes(), "nothing is begun for those that ended"
        leave(callers, [])
        for sock in socks:
            sock.close()


def test_twenty_at_once_cost_one_signature(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, signed = TlsChannel.step, []

    def counted(self: TlsChannel, data: bytes | None) -> tuple[bytes, bool]:
        made = step(self, data)
        if data and self.done and not self.resumed:
            signed.append(self)
            time.sleep(0.3)  # as a card that signs
        return made

    monkeypatch.setattr(TlsChannel, "step", counted)
    with Relay(folder, peer_tls=make_tls()) as relay:
        hospital = Hospital(relay)
        callers, socks = hospital.burst(20)
        peers = []
        (one,) = asking(socks, 0.1)
        for sock in [one, *(sock for sock in socks if sock is not one)]:
            peers.append(hospital.shake(sock)[0])
            answered(peers[-1])
        for caller in callers:
            assert caller.read()[0] == 2
        assert len(signed) == 1
        leave(callers, peers)
