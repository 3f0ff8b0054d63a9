"""A worker whose token goes and comes back: who is refused and how, what finishes, what is cut, what no session survives."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from support import tlskit
from support.relaykit import Relay, abort_of, response, store, until
from support.tlskit import make_tls
from support.wire import ASSOCIATE_RJ, associate_ac, associate_rq
from wardgate.custody.wire import Op
from wardgate.policy.model import OnRemoval, Role

CONGESTION = (2, 3, 1)  # PS3.8 9.3.4: transient, service provider (presentation), temporary congestion
ABSENT = "TOKEN_IS_ABSENT"
CODES = (
    ABSENT,
    "TOKEN_IS_ANOTHER",
    "TOKEN_IS_SWAPPED",
    "TOKEN_HAS_EXPIRED",
    "TOKEN_IS_BLOCKED",
    "TOKEN_PIN_IS_REFUSED",
    "TOKEN_HAS_FAILED",
)


def rejection(relay: Relay) -> tuple[int, int, int]:
    """Ask for an association as the modality; return result, source and reason of the A-ASSOCIATE-RJ."""
    with relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        kind, body = near.read()
        assert kind == ASSOCIATE_RJ, f"PDU type {kind}"
        return body[1], body[2], body[3]


def peer_is_shut_out(relay: Relay) -> bool:
    """Call as the hospital's system; return whether the connection ends without one byte of a handshake."""
    with socket.create_connection(("127.0.0.1", relay.port[Role.PEER]), 60) as sock:
        try:
            return sock.recv(1) == b""
        except ConnectionResetError:
            return True


def peer_session(relay: Relay, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> tuple[ssl.SSLSession | None, bool]:
    """Call as the hospital's system, resuming `session`; release, and return the new session and whether the old one was resumed."""
    with socket.create_connection(("127.0.0.1", relay.port[Role.PEER]), 60) as sock, context.wrap_socket(sock, session=session) as tls:
        tls.sendall(associate_rq("PACS", "CT1"))
        far = relay.accept(Role.MODALITY)
        far.send(associate_ac(far.whole()))
        assert tls.recv(1) == b"\x02"
        far.sock.close()
        return tls.session, bool(tls.session_reused)


@pytest.mark.parametrize("code", [*CODES, "KEY_SERVICE_IS_AWAY"])
def test_new_associations_are_refused_with_the_code_while_the_token_is_out(folder: Path, code: str) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay:
        relay.token(code)
        assert rejection(relay) == CONGESTION
        assert peer_is_shut_out(relay)
        relay.settled()
        assert relay.codes() == {code}
        assert relay.gate.links["ct1"].refused == 2
        assert relay.writer.ops(Op.OPEN) == []  # no association existed, so the log has none


def test_service_goes_on_when_the_token_is_back(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay:
        relay.token(ABSENT)
        relay.token()
        for caller in (Role.MODALITY, Role.PEER):
            with relay.associate(caller) as pair:
                pair.release()
        assert "TOKEN_IS_BACK" in relay.codes()


def test_a_worker_that_starts_while_the_token_is_out_starts_in_that_state(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls(), out=ABSENT) as relay:
        assert rejection(relay) == CONGESTION
        assert peer_is_shut_out(relay)
        relay.token()
        with relay.associate() as pair:
            pair.release()


def test_a_running_association_finishes_while_new_ones_are_refused(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay, relay.associate() as pair:
        pair.pass_on(*store(1))
        relay.token(ABSENT)
        pair.pass_on(response(1), back=True)
        assert rejection(relay) == CONGESTION
        pair.pass_on(*store(2))
        pair.pass_on(response(2), back=True)
        pair.release()
        relay.settled()
        assert [record["outcome"] for record in relay.writer.stores()] == ["status", "status"]


@pytest.mark.parametrize("caller", [Role.MODALITY, Role.PEER])
def test_a_running_association_is_cut_on_both_legs_when_the_configuration_says_so(folder: Path, caller: Role) -> None:
    with Relay(folder, peer_tls=make_tls(), on_removal=OnRemoval.CUT) as relay, relay.associate(caller) as pair:
        pair.pass_on(*store(1))
        relay.token(ABSENT)
        assert abort_of(pair.near) == (2, 0) and abort_of(pair.far) == (2, 0)
        relay.settled()
        assert {"TOKEN_CUT", ABSENT} <= relay.codes()
        assert [record["outcome"] for record in relay.writer.stores()] == ["unknown"]
        assert [record["ended"] for record in relay.writer.closes()] == ["WG749"]


@pytest.mark.parametrize("code", ["KEY_SERVICE_IS_AWAY", "TOKEN_IS_BLOCKED", "TOKEN_HAS_EXPIRED"])
def test_only_a_card_that_was_taken_away_cuts(folder: Path, code: str) -> None:
    with Relay(folder, peer_tls=make_tls(), on_removal=OnRemoval.CUT) as relay, relay.associate() as pair:
        relay.token(code)
        pair.pass_on(*store(1))
        relay.token(ABSENT)  # now it is
        assert abort_of(pair.near) == (2, 0)


def test_a_session_given_before_is_not_resumed_after_the_token_went(folder: Path) -> None:
    context = tlskit.peer_context(server=False)
    with Relay(folder, peer_tls=make_tls()) as relay:
        first, _ = peer_session(relay, context)
        second, resumed = peer_session(relay, context, first)
        assert resumed, "the session could be resumed while the token was in"
        relay.token(ABSENT)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            peer_session(relay, context, second)
        relay.token()
        assert not peer_session(relay, context, second)[1], "its ticket outlived the token's absence"


def test_sessions_kept_for_calling_the_hospital_are_dropped(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay:
        secure = relay.gate.secure[("ct1", "pacs")]
        for _ in range(2):
            with relay.associate() as pair:
                pair.pass_on(*store(1))
                pair.pass_on(response(1), back=True)
                pair.release()
            relay.settled()
        assert len(secure._sessions) == 1
        with relay.associate() as running:
            relay.token(ABSENT)
            assert len(secure._sessions) == 0
            relay.token()
            running.pass_on(*store(1))
            running.pass_on(response(1), back=True)
            running.release()  # its session stems from contexts that are gone: not worth keeping
        relay.settled()
        assert len(secure._sessions) == 0
        with relay.associate() as pair:
            assert not pair.far.sock.session_reused  # type: ignore[union-attr]
            pair.release()


def test_a_handshake_of_the_hospital_under_way_ends_with_the_code(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay:
        with socket.create_connection(("127.0.0.1", relay.port[Role.PEER]), 60) as sock:
            sock.sendall(b"\x16\x03\x01")  # the head of a ClientHello, and no more
            until(lambda: any(a.acceptor.received for a in relay.gate.associations), "the box has it")
            relay.token(ABSENT)
            assert sock.recv(1) == b""
        relay.settled()
        assert relay.codes() == {ABSENT}


def test_a_hospital_that_shook_hands_and_has_asked_for_nothing_yet_is_closed(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay, relay.dial(Role.PEER) as near:
        until(lambda: any(a.phase.name == "REQUEST" for a in relay.gate.associations), "the handshake is done")
        relay.token(ABSENT)
        assert near.read()[0] == 0
        relay.settled()


def test_an_association_that_is_being_opened_when_the_token_goes_is_rejected(folder: Path) -> None:
    """The hospital's side has the connection and says nothing, so the box waits in its handshake."""
    with Relay(folder, peer_tls=make_tls()) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        relay._called[Role.PEER].settimeout(60)
        silent, _ = relay._called[Role.PEER].accept()
        with silent:
            silent.settimeout(60)
            assert silent.recv(1) == b"\x16"  # its ClientHello
            relay.token(ABSENT)
            kind, body = near.read()
            assert (kind, *body[1:4]) == (ASSOCIATE_RJ, *CONGESTION)
        near.sock.close()
        relay.settled()
        assert relay.codes() == {ABSENT}
        assert [record["ended"] for record in relay.writer.closes()] == ["WG740"]


def test_an_association_whose_open_entry_is_late_is_rejected_too(folder: Path) -> None:
    """Hands are shaken, but the A-ASSOCIATE-RQ waits for its entry: it never leaves the box."""
    with Relay(folder, peer_tls=make_tls(), prepare=lambda writer: writer.hold(Op.OPEN)) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        far = relay.accept()
        relay.token(ABSENT)
        kind, body = near.read()
        assert (kind, *body[1:4]) == (ASSOCIATE_RJ, *CONGESTION)
        assert far.read()[0] == 0
        near.sock.close()
        relay.writer.release()
        relay.settled()


@pytest.mark.parametrize("on_removal", list(OnRemoval))
def test_an_association_that_waits_for_the_answer_is_treated_as_running(folder: Path, on_removal: OnRemoval) -> None:
    with Relay(folder, peer_tls=make_tls(), on_removal=on_removal) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS"))
        far = relay.accept()
        request = far.whole()
        relay.token(ABSENT)
        if on_removal is OnRemoval.CUT:
            assert near.read()[0] == ASSOCIATE_RJ
            return
        far.send(associate_ac(request))
        assert near.read()[0] == 2
        near.sock.close()
        relay.settled()


def test_a_token_that_comes_and_goes_quickly_leaves_the_last_word_standing(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay:
        secure = relay.gate.secure[("ct1", "pacs")]
        for _ in range(20):
            for out in ({"ct1/pacs": [ABSENT, ""]}, {}) * 3:
                relay._control.send(b'{"do":"tokens","out":%s}' % (b'{"ct1/pacs":["TOKEN_IS_ABSENT",""]}' if out else b"{}"))
        relay.token(ABSENT)
        assert rejection(relay) == CONGESTION and secure._server is None and secure._client is None
        relay.token()
        with relay.associate() as pair:
            pair.release()


def test_a_reason_that_this_version_does_not_know_still_refuses(folder: Path) -> None:
    with Relay(folder, peer_tls=make_tls()) as relay:
        relay._control.send(b'{"do":"tokens","out":{"ct1/pacs":["OF_A_LATER_VERSION","x"]}}')
        until(lambda: relay.gate.secure[("ct1", "pacs")].out is not None, "the worker knows")
        assert rejection(relay) == CONGESTION
        assert relay.codes() == {"TOKEN_HAS_FAILED"}
