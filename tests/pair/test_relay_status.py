"""SOP Instance Status in a relay: rule f of PS3.15 A.1 acts, and nothing else does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from support.elements import Writer
from support.relaykit import RELEASE_RQ_PDU, Pair, Relay, abort_of, message, response, store, until
from support.tlskit import make_tls
from support.wire import CONTEXTS, Wire, associate_ac, associate_rq, echo_rq, echo_rsp, pdv
from wardgate.custody.wire import Op, Status
from wardgate.edit.elements import Encoding
from wardgate.policy.model import Conformance, Party, Role, StatusRule, Transport
from wardgate.policy.tls import Tls
from wardgate.relay.status import inside

W = Writer(Encoding.EXPLICIT_LITTLE)
CLAIM = W.before() + W.group(True, status=b"AO", date=b"20261122010203", equipment=b"C-17") + W.after()
CLEARED = W.before() + W.group(True, status=b"NS") + W.after()
PLAIN = W.before() + W.after()
DEFLATED = "1.2.840.10008.1.2.1.99"


def arrived(peer: Wire) -> bytes:
    """Read one C-STORE request; return its data set."""
    assert peer.read()[0] == 4
    body, last = b"", False
    while not last:
        kind, fragment = peer.read()
        assert kind == 4
        assert int.from_bytes(fragment[:4], "big") + 4 == len(fragment)
        body += fragment[6:]
        last = bool(fragment[5] & 2)
    return body


def store_through(relay: Relay, pair: Pair, body: bytes, number: int = 1, chunk: int = 300, back: bool = False) -> bytes:
    """Store `body`; return what arrived."""
    source, sink = (pair.far, pair.near) if back else (pair.near, pair.far)
    source.send(*store(number, body, chunk=chunk))
    got = arrived(sink)
    sink.send(response(number))
    assert source.whole() == response(number)
    return got


def digests(relay: Relay, at: int = 0) -> dict[str, str]:
    return {one["scope"]: one["value"] for one in relay.writer.stores()[at]["digests"]}  # type: ignore[attr-defined]


@pytest.mark.parametrize("hash_threads", [0, 1])
@pytest.mark.parametrize("chunk", [2, 300, 16000])
def test_a_claim_from_the_clear_leg_leaves_as_ns_and_both_digests_are_recorded(folder: Path, chunk: int, hash_threads: int) -> None:
    with Relay(folder, status=StatusRule.RULE_F, hash_threads=hash_threads) as relay, relay.associate() as pair:
        assert store_through(relay, pair, CLAIM, chunk=chunk) == CLEARED
        pair.release()
        relay.settled()
        assert digests(relay) == {"dataset": hashlib.sha256(CLAIM).hexdigest(), "dataset-sent": hashlib.sha256(CLEARED).hexdigest()}
        assert relay.writer.stores()[0]["length"] == len(CLAIM)
        assert "STATUS_SET_NS" in relay.codes()


def test_the_other_direction_is_edited_too(folder: Path) -> None:
    with Relay(folder, status=StatusRule.RULE_F) as relay:
        with relay.associate(Role.PEER) as pair:
            assert store_through(relay, pair, CLAIM) == CLEARED
        with relay.associate() as pair:
            assert store_through(relay, pair, CLAIM, back=True) == CLEARED


@pytest.mark.parametrize("body", [PLAIN, CLEARED])
@pytest.mark.parametrize("chunk", [2, 300, 16000])
def test_what_reads_ns_passes_byte_for_byte_in_the_pdus_that_came(folder: Path, body: bytes, chunk: int) -> None:
    with Relay(folder, status=StatusRule.RULE_F) as relay, relay.associate() as pair:
        pair.pass_on(pdv(1, 3, echo_rq(9)), *store(1, body, chunk=chunk))
        pair.pass_on(response(1), pdv(1, 3, echo_rsp(9)), back=True)
        pair.release()
        relay.settled()
        assert digests(relay) == {"dataset": hashlib.sha256(body).hexdigest()}
        assert "STATUS_SET_NS" not in relay.codes()


def test_a_link_that_does_not_look_passes_a_claim_as_it_is(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate() as pair:
        pair.pass_on(*store(1, CLAIM))
        pair.pass_on(response(1), back=True)
        pair.release()
        relay.settled()
        assert list(digests(relay)) == ["dataset"]


def test_command_and_claim_in_one_pdu_and_claims_in_a_row(folder: Path) -> None:
    with Relay(folder, status=StatusRule.RULE_F) as relay, relay.associate() as pair:
        command = store(1)[0][12:]
        pair.near.send(message((3, 3, command), (3, 0, CLAIM[:777]), (3, 2, CLAIM[777:])))
        pair.near.send(b"".join(store(2, PLAIN) + store(3, CLAIM, chunk=1000)))
        assert [arrived(pair.far) for _ in range(3)] == [CLEARED, PLAIN, CLEARED]
        for number in (1, 2, 3):
            pair.pass_on(response(number), back=True)
        pair.release()
        relay.settled()
        assert [len(record["digests"]) for record in relay.writer.stores()] == [2, 1, 2]  # type: ignore[arg-type]


def test_a_claim_behind_a_response_that_waits_for_its_record_is_edited(folder: Path) -> None:
    with Relay(folder, status=StatusRule.RULE_F) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.near.send(*store(1, PLAIN))
        assert arrived(pair.far) == PLAIN
        pair.far.send(response(1), *store(5, CLAIM))
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        relay.writer.release(Status.IO_ERROR)
        assert pair.near.whole() == response(1, 0xA700)
        assert arrived(pair.near) == CLEARED


def test_a_claim_that_cannot_be_read_behind_a_response_that_waits_ends_the_association(folder: Path) -> None:
    with Relay(folder, status=StatusRule.RULE_F) as relay, relay.associate() as pair:
        relay.writer.hold(Op.STORE)
        pair.near.send(*store(1, PLAIN))
        assert arrived(pair.far) == PLAIN
        pair.far.send(response(1), *store(5, CLAIM[:50]))
        until(lambda: relay.writer.waiting() == 1, "the record is with the writer")
        relay.writer.release()
        assert pair.near.whole() == response(1)
        relay.settled()
        assert "STATUS_UNREADABLE" in relay.codes() and "WORKER_DEFECT" not in relay.codes()


def refused(relay: Relay, pair: Pair, body: bytes) -> None:
    """Send `body`: both sides hear an A-ABORT or the end, and the called side never has a whole data set."""
    pair.near.send(*store(1, body, chunk=300))
    seen = 0
    while True:
        kind, fragment = pair.far.read()
        if kind != 4:
            break
        seen += 1
        assert fragment[5] & 3 != 2, "the last fragment left"
    assert kind in (0, 7)
    assert abort_of(pair.near) in ((2, 0), None)
    relay.settled()


def test_a_signature_over_the_status_ends_the_association_before_the_last_fragment(folder: Path) -> None:
    mac = W.sequence(0x4FFE0001, W.element(0x04000020, b"AT", W.tag(0x01000410)))
    with Relay(folder, status=StatusRule.RULE_F) as relay, relay.associate() as pair:
        refused(relay, pair, CLAIM[: -len(W.after())] + mac + W.element(0x7FE00010, b"OW", bytes(2000)) + W.sequence(0xFFFAFFFA, b""))
        assert "STATUS_SIGNED" in relay.codes()
        record = relay.writer.stores()[0]
        assert (record["outcome"], record["status"], record["digests"]) == ("aborted", None, [])


def test_a_data_set_that_cannot_be_read_ends_the_association(folder: Path) -> None:
    with Relay(folder, status=StatusRule.RULE_F) as relay, relay.associate() as pair:
        refused(relay, pair, W.before()[:-3])
        assert "STATUS_UNREADABLE" in relay.codes()


@pytest.mark.parametrize("syntax", [DEFLATED, "1.2.840.113619.5.2"])
def test_a_transfer_syntax_that_cannot_be_read_is_refused_before_anything_of_it_left(folder: Path, syntax: str) -> None:
    contexts = ((1, CONTEXTS[0][1], CONTEXTS[0][2]), (3, CONTEXTS[1][1], (syntax,)))
    with Relay(folder, status=StatusRule.RULE_F) as relay, relay.associate(contexts=contexts) as pair:
        pair.near.send(*store(1, PLAIN))
        assert abort_of(pair.far) == (2, 0)
        relay.settled()
        assert "STATUS_TRANSFER_SYNTAX" in relay.codes()
        assert not relay.writer.stores()


@pytest.mark.parametrize("ends", ["release", "vanish"])
def test_what_waits_of_a_claim_never_leaves_when_its_data_set_never_ends(folder: Path, ends: str) -> None:
    """A release in mid data set is against PS3.8 and passes; it must not push a half-read claim out."""
    with Relay(folder, status=StatusRule.RULE_F) as relay, relay.associate() as pair:
        cut = CLAIM.index(b"20261122")
        command = store(1)[0]
        pair.near.send(command, pdv(3, 0, CLAIM[:cut]))
        assert pair.far.whole() == command
        if ends == "release":
            pair.near.send(RELEASE_RQ_PDU)
            assert pair.far.whole() == RELEASE_RQ_PDU
        pair.near.sock.close()
        assert pair.far.read()[0] in (0, 7)
        relay.settled()
        assert (relay.writer.stores()[0]["outcome"], relay.writer.stores()[0]["digests"]) == ("aborted", [])


def test_no_new_pdu_is_longer_than_the_receiver_announced(folder: Path) -> None:
    with Relay(folder, status=StatusRule.RULE_F) as relay:
        near = relay.dial()
        near.send(associate_rq("CT1", "PACS"))
        far = relay.accept()
        answer = associate_ac(far.whole())
        at = answer.index(b"\x51\0\0\4") + 4
        answer = answer[:at] + (1000).to_bytes(4, "big") + answer[at + 4 :]
        far.send(answer)
        assert near.whole() == answer
        kept = W.element(0x01000500, b"OB", bytes(5000))
        body = W.before() + W.group(False, status=b"OR", comment=b"x" * 5000) + kept + W.after()
        near.send(*store(1, body, chunk=990))
        assert far.read()[0] == 4
        got, last = b"", False
        while not last:
            _kind, fragment = far.read()
            assert len(fragment) <= 1000
            got += fragment[6:]
            last = bool(fragment[5] & 2)
        assert got == W.before() + W.group(False, status=b"NS") + kept + W.after()
        near.sock.close()
        far.sock.close()


def test_a_leg_is_inside_the_profile_only_when_it_conforms_under_mutual_tls() -> None:
    tls = Tls("B.12", (), Path("anchors"))
    party = Party("pacs", Role.PEER, ("PACS",), (), transport=Transport.TLS, tls=tls, sop_instance_status=Conformance.CONFORMS)
    assert inside(party)
    assert not inside(party._replace(sop_instance_status=Conformance.NONE))
    assert not inside(party._replace(transport=Transport.PLAIN, tls=None))
    assert not inside(party._replace(transport=Transport.ISCL, tls=None))
    assert not inside(party._replace(tls=tls._replace(mutual=False)))


def test_towards_a_tls_peer_a_claim_from_the_clear_modality_is_edited(folder: Path) -> None:
    with Relay(folder, status=StatusRule.RULE_F, peer_tls=make_tls()) as relay, relay.associate() as pair:
        assert store_through(relay, pair, CLAIM) == CLEARED


def test_between_two_conforming_parties_a_claim_passes_in_the_pdus_that_came(folder: Path) -> None:
    words = {"peer_tls": make_tls(), "modality_tls": make_tls()}
    with Relay(folder, status=StatusRule.RULE_F, conforms=Role, **words) as relay, relay.associate() as pair:  # type: ignore[arg-type]
        pair.pass_on(*store(1, CLAIM))
        pair.pass_on(response(1), back=True)


@pytest.mark.parametrize("conforms", [(), (Role.PEER,), (Role.MODALITY,)])
def test_when_one_party_does_not_conform_a_claim_is_edited_although_both_legs_are_secure(folder: Path, conforms: tuple[Role, ...]) -> None:
    words = {"peer_tls": make_tls(), "modality_tls": make_tls()}
    with Relay(folder, status=StatusRule.RULE_F, conforms=conforms, **words) as relay, relay.associate() as pair:  # type: ignore[arg-type]
        assert store_through(relay, pair, CLAIM) == CLEARED
