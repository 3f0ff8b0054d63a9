"""Peers with the wrong certificate, on incoming and outgoing legs: refused by name, before any DICOM is answered."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from support import certs, netdicom, peers, wire
from support.bench import MODALITY, PACS, Bench
from support.processes import free_port, until
from wardgate.codes import Code
from wardtools.pki import DAY

pytestmark = pytest.mark.skipif(not peers.have("storescp", "echoscu"), reason="DCMTK is not installed")

BAD = [
    ("pacs-other-ca", "CHAIN_UNTRUSTED"),
    ("pacs-expired", "CERTIFICATE_EXPIRED"),
    ("pacs-future", "CERTIFICATE_NOT_YET_VALID"),
    ("pacs-revoked", "CERTIFICATE_REVOKED"),
    ("pacs-wrong-name", "CERTIFICATE_WRONG_NAME"),
    ("pacs-wrong-usage", "CERTIFICATE_WRONG_USAGE"),
]


@pytest.fixture
def own_crl(bench: Bench) -> Path:
    """A CRL of the issuing CA that the test may change."""
    crl = bench.pki.write_crl(bench.folder / "issuing.crl")
    bench.plan.peers = (replace(bench.peer, crls=(bench.pki.root_crl, crl)),)
    return crl


@pytest.mark.parametrize(("certificate", "code"), BAD)
def test_a_calling_peer_with_a_bad_certificate_is_refused(bench: Bench, certificate: str, code: str) -> None:
    modality = bench.modality()
    bench.start()
    done = bench.echo_back(certificate=certificate)
    assert done.returncode != 0
    bench.box.wait_code(code, "CHAIN_INVALID")
    assert "Association Received" not in modality.log
    assert bench.echo_back().returncode == 0


@pytest.mark.parametrize(("certificate", "code"), BAD)
def test_a_called_peer_with_a_bad_certificate_gets_no_dicom(bench: Bench, certificate: str, code: str) -> None:
    tls = netdicom.server_context(certs.dcmtk(bench.pki, certificate))
    heard: list[int] = []
    with wire.FakePeer(bench.peer.port, lambda peer: heard.append(peer.read()[0]), tls):
        bench.start()
        done = bench.echo()
    assert done.returncode != 0
    bench.box.wait_code(code, "CHAIN_INVALID")
    assert heard in ([], [0])
    bench.pacs()
    bench.assert_works()


def test_a_certificate_of_another_peer_may_not_use_this_ae_title(bench: Bench) -> None:
    archive = replace(bench.peer, name="archive", ae_titles=("ARCHIVE",), names=("ct1.test",), port=free_port(), calls=free_port())
    bench.plan.peers = (bench.peer, archive)
    modality = bench.modality()
    bench.start()
    # The archive's AE title under the certificate of the PACS, on the port of either.
    assert bench.echo_back(calling="ARCHIVE").returncode != 0
    bench.box.wait_code("CERTIFICATE_WRONG_AE", "CERTIFICATE_NOT_BOUND", "CALLING_AE_REFUSED")
    pacs = certs.dcmtk(bench.pki, "pacs-rsa")
    assert peers.echoscu(archive.calls, calling="ARCHIVE", called=MODALITY, tls=pacs).returncode != 0
    bench.box.wait_code("CERTIFICATE_WRONG_NAME")
    assert "Association Received" not in modality.log
    own = certs.dcmtk(bench.pki, "ct1-rsa")
    assert peers.echoscu(archive.calls, calling="ARCHIVE", called=MODALITY, tls=own).returncode == 0, bench.box.log
    assert bench.echo_back().returncode == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_calling_peer_revoked_after_its_session_was_cached_is_refused(bench: Bench, own_crl: Path, version: ssl.TLSVersion) -> None:
    bench.modality()
    bench.start()
    context = netdicom.client_context(certs.dcmtk(bench.pki, "pacs-ecdsa"))
    context.maximum_version = version

    def call(session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        """Associate and echo; return whether the session was resumed, and the newest session."""
        with wire.dial(bench.peer.calls, context, session) as client:
            client.associate(PACS, MODALITY)
            client.echo()
            sock = client.sock
            assert isinstance(sock, ssl.SSLSocket)
            kept = sock.session
            resumed = bool(sock.session_reused)
            client.release()
            return resumed, kept

    _, session = call(None)
    resumed, session = call(session)
    assert resumed, "the box offers resumption; without it this test shows nothing"
    bench.pki.write_crl(own_crl, [bench.pki.leaf("pacs-ecdsa")])

    def refused() -> bool:
        try:
            call(session)
        except (OSError, AssertionError):
            return True
        return False

    until(refused, "the revoked peer is refused on its resumed session")
    bench.box.wait_code("CERTIFICATE_REVOKED")


def test_a_called_peer_revoked_after_the_box_cached_its_session_is_refused(bench: Bench, own_crl: Path) -> None:
    def answer(peer: wire.Wire) -> None:
        peer.send(wire.associate_ac(peer.whole()))
        while True:
            kind, _ = peer.read()
            if kind == wire.P_DATA:
                peer.send(wire.pdv(1, 3, wire.echo_rsp()))
            elif kind == wire.RELEASE_RQ:
                peer.send(wire.pdu(wire.RELEASE_RP, bytes(4)))
            else:
                return
            resumed.append(bool(peer.sock.session_reused))  # type: ignore[attr-defined]

    resumed: list[bool] = []
    with wire.FakePeer(bench.peer.port, answer, netdicom.server_context(certs.dcmtk(bench.pki, "pacs-ecdsa"))):
        bench.start()
        for _ in range(3):
            with wire.dial(bench.plan.listen) as client:
                client.associate()
                client.echo()
                client.release()
        assert resumed[-1], "the box resumes its client sessions; without it this test shows nothing"
        bench.pki.write_crl(own_crl, [bench.pki.leaf("pacs-ecdsa")])

        def refused() -> bool:
            with wire.dial(bench.plan.listen) as client:
                client.send(wire.associate_rq(MODALITY, PACS))
                return client.read()[0] != wire.ASSOCIATE_AC

        until(refused, "the revoked PACS is refused on a resumed session")
    bench.box.wait_code("CERTIFICATE_REVOKED")


@pytest.mark.parametrize(("word", "passes"), [("warn", True), ("refuse", False)])
def test_a_list_past_its_time_is_told_whether_policy_lets_it_pass_or_not(bench: Bench, own_crl: Path, word: str, passes: bool) -> None:
    bench.plan.peers = (replace(bench.peer, extra={"stale_crl": word}, crls=(bench.pki.root_crl, own_crl)),)
    bench.pki.write_crl(own_crl, start=bench.pki.now - 3 * DAY, end=bench.pki.now - DAY)
    bench.modality()
    bench.start()
    assert (bench.echo_back().returncode == 0) is passes
    bench.box.wait_code("CRL_STALE_ACCEPTED" if passes else "CRL_STALE")


@pytest.mark.parametrize("harm", ["cut", "forged"])
def test_a_list_that_cannot_be_used_is_told_once_and_a_good_one_serves_again(bench: Bench, own_crl: Path, harm: str) -> None:
    code = "CRL_UNREADABLE" if harm == "cut" else "CRL_WRONG_SIGNER"
    bench.modality()
    bench.start()
    assert bench.echo_back().returncode == 0
    if harm == "cut":
        own_crl.write_bytes(own_crl.read_bytes()[:-9])
    else:
        bench.pki.write_crl(own_crl, signer=bench.pki.root_ca)

    def call() -> bool:
        answered = bench.echo_back().returncode == 0
        assert answered or harm == "forged"
        return str(Code[code]) in bench.box.codes()

    until(call, "the list is told")
    # A forged list is a list of nobody: with `require` the peer is refused. A half-written one is not taken at all.
    assert (bench.echo_back().returncode == 0) is (harm == "cut")
    bench.pki.write_crl(own_crl)
    until(lambda: bench.echo_back().returncode == 0, "a good list serves again")
    assert bench.box.codes().count(str(Code[code])) == 1
