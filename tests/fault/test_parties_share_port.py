"""Two parties with two roots behind one port and one source address: AE title and certificate tell which one calls."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from dataclasses import replace
from typing import NamedTuple

import pytest

from support import certs, netdicom, peers, wire
from support.bench import MODALITY, PACS, Bench
from support.config import PeerPlan, Plan
from support.processes import LOOPBACK, until

pytestmark = pytest.mark.skipif(not peers.have("storescp", "echoscu"), reason="DCMTK is not installed")

ARCHIVE = "ARCHIVE"
OWN, OTHER = "pacs-rsa", "pacs-other-ca"  # both have the same names: only the root tells them apart
PASSES = "passes"
WRONG_CALLING, WRONG_CALLED = bytes((0, 1, 1, 3)), bytes((0, 1, 1, 7))  # PS3.8 9.3.4: permanent, service-user, reason
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Answer(NamedTuple):
    """What became of a C-ECHO: `PASSES`, the four bytes of an A-ASSOCIATE-RJ, or "closed"; and its session."""

    what: str | bytes
    session: ssl.SSLSession | None = None
    resumed: bool = False


class Caller:
    """Calls the shared port with one certificate."""

    def __init__(self, bench: Bench, certificate: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self._port = bench.peer.calls
        self._context = netdicom.client_context(certs.dcmtk(bench.pki, certificate))
        self._context.minimum_version = self._context.maximum_version = version

    def echo(self, calling: str, called: str = MODALITY, session: ssl.SSLSession | None = None) -> Answer:
        sock = socket.create_connection((LOOPBACK, self._port), 60)
        try:
            tls = self._context.wrap_socket(sock, session=session)
        except OSError:
            sock.close()
            return Answer("closed")
        with wire.Wire(tls) as client:
            try:
                client.send(wire.associate_rq(calling, called))
                kind, body = client.read()
                if kind != wire.ASSOCIATE_AC:
                    return Answer(body if kind == wire.ASSOCIATE_RJ else "closed", tls.session, bool(tls.session_reused))
                client.echo()
                client.release()
            except OSError:
                return Answer("closed")
            return Answer(PASSES, tls.session, bool(tls.session_reused))


def _archive(bench: Bench, **changes: object) -> PeerPlan:
    words = {"anchors": bench.pki.other_root, "crls": (), "crl_policy": "if-present", **changes}
    return replace(bench.peer, name="archive", ae_titles=(ARCHIVE,), **words)  # type: ignore[arg-type]


def _mr(bench: Bench) -> str:
    """A second link: the archive and a modality MR1."""
    plan = Plan(bench.folder, (_archive(bench),), bench.plan.custody_key, modality_ae=("MR1",), modality_port=bench.plan.modality_port)
    text = plan.text()
    return text[text.index("[[link]]") :].replace('name = "ct1"', 'name = "mr1"', 1)


@pytest.fixture
def shared(bench: Bench) -> Bench:
    bench.plan.peers = (bench.peer, _archive(bench))
    bench.modality()
    bench.start()
    return bench


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_each_party_passes_with_its_own_root_and_with_no_other(shared: Bench, version: ssl.TLSVersion) -> None:
    own, other = Caller(shared, OWN, version), Caller(shared, OTHER, version)
    assert own.echo(PACS).what == PASSES, shared.box.log
    assert other.echo(ARCHIVE).what == PASSES, shared.box.log
    assert own.echo(ARCHIVE).what == WRONG_CALLING
    assert other.echo(PACS).what == WRONG_CALLING
    shared.box.wait_code("CERTIFICATE_WRONG_AE")
    assert own.echo("NOBODY").what == WRONG_CALLING
    assert Caller(shared, "pacs-wrong-name", version).echo(PACS).what == "closed"  # good for none of them
    shared.box.wait_code("CERTIFICATE_WRONG_NAME")


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_resumed_session_is_worth_what_its_certificate_is(shared: Bench, version: ssl.TLSVersion) -> None:
    for certificate, title, not_its in ((OWN, PACS, ARCHIVE), (OTHER, ARCHIVE, PACS)):
        caller = Caller(shared, certificate, version)
        session = caller.echo(title).session
        again = caller.echo(title, session=session)
        assert (again.what, again.resumed) == (PASSES, True)
        wrong = caller.echo(not_its, session=again.session)
        assert (wrong.what, wrong.resumed) == (WRONG_CALLING, True)


def test_a_party_of_another_link_has_the_rights_of_its_own_link_alone(bench: Bench) -> None:
    """The archive belongs to the MR. It shares the port with the PACS of the CT, and gets no further than its own link goes."""
    bench.plan.more = _mr(bench)
    bench.modality()
    bench.start()
    own, other = Caller(bench, OWN), Caller(bench, OTHER)
    assert own.echo(PACS).what == PASSES, bench.box.log
    assert other.echo(ARCHIVE, "MR1").what == PASSES, bench.box.log
    assert other.echo(ARCHIVE).what == WRONG_CALLED
    assert own.echo(PACS, "MR1").what == WRONG_CALLED
    assert own.echo(ARCHIVE, "MR1").what == WRONG_CALLING
    assert other.echo(PACS).what == WRONG_CALLING


def test_a_title_that_nobody_has_is_judged_by_the_link_that_the_certificate_belongs_to(bench: Bench) -> None:
    """The link of the MR only observes; what calls with the certificate of the other link gains nothing by it."""
    bench.plan.more = _mr(bench).replace("enforce = true", "enforce = false")
    bench.modality()
    bench.start()
    assert Caller(bench, OTHER).echo("NOBODY", "MR1").what == PASSES, bench.box.log
    bench.box.wait_code("WOULD_REFUSE")
    assert Caller(bench, OWN).echo("NOBODY").what == WRONG_CALLING
    assert Caller(bench, OWN).echo(ARCHIVE, "MR1").what == WRONG_CALLING


def test_one_party_may_trust_the_ca_below_the_root_of_the_other(bench: Bench) -> None:
    """The handshake's chain ends at the nearer one; the party that trusts the root finds its root above it."""
    archive = _archive(bench, anchors=bench.pki.directory / "issuing.pem", names=("ct1.test",), crls=bench.pki.crls, crl_policy="require")
    bench.plan.peers = (bench.peer, archive)
    bench.modality()
    bench.start()
    assert Caller(bench, OWN).echo(PACS).what == PASSES, bench.box.log
    assert Caller(bench, "ct1-rsa").echo(ARCHIVE).what == PASSES, bench.box.log
    assert Caller(bench, "ct1-rsa").echo(PACS).what == WRONG_CALLING
    assert Caller(bench, OWN).echo(ARCHIVE).what == WRONG_CALLING


def test_another_root_for_one_of_them_counts_after_a_reload_and_a_clash_changes_nothing(shared: Bench) -> None:
    plan, box = shared.plan, shared.box
    own, other = Caller(shared, OWN), Caller(shared, OTHER)
    session = other.echo(ARCHIVE).session
    plan.peers = (shared.peer, replace(_archive(shared), ae_titles=(PACS,)))
    plan.write()
    os.kill(box.master, signal.SIGHUP)
    box.wait_code("CONFIG_LISTEN_CLASH")
    assert other.echo(ARCHIVE).what == PASSES

    plan.peers = (shared.peer, _archive(shared, anchors=shared.pki.root, crls=shared.pki.crls))
    plan.write()
    os.kill(box.master, signal.SIGHUP)
    until(lambda: own.echo(ARCHIVE).what == PASSES, "the new root counts")
    assert own.echo(PACS).what == PASSES
    assert other.echo(ARCHIVE).what == "closed"
    assert other.echo(ARCHIVE, session=session).what == "closed"  # sessions die with their generation
