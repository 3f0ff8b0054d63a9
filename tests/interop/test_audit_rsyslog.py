"""Audit messages at a real repository (rsyslogd, mutual TLS, RFC 5425): what a real integrity failure, refusal, start and stop become."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from support import datasets, peers, wire
from support.auditkit import audit_table, told
from support.bench import Bench
from support.isclboxes import TwoBoxes, key_file
from support.processes import LOOPBACK, free_port, until
from support.proxy import Proxy
from support.rsyslog import Rsyslog
from wardtools.pki import Pki

pytestmark = pytest.mark.skipif(not peers.have("rsyslogd", "storescp", "storescu", "echoscu"), reason="rsyslog or DCMTK is not installed")


def test_a_byte_changed_under_tls_is_an_alert_at_the_repository(bench: Bench) -> None:
    behind = free_port()
    bench.pacs(port=behind)
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository, Proxy(bench.peer.port, behind) as network:
        bench.plan.more = audit_table(bench.folder, bench.pki, [repository.port], site_id="Ward 3")
        bench.start()
        with wire.dial(bench.plan.listen) as client:
            client.associate()
            client.echo()
            network.flip("back")
            client.send(wire.pdv(1, 3, wire.echo_rq(2)))
            assert client.read()[0] == wire.ABORT
        (line,) = repository.wait("WG316")
        found = told(line)
        # PS3.15 A.6, A.5.3.11.
        assert (found.pri, found.host, found.app, found.msgid) == (85, "ward-ct1", "wardgate", "DICOM+RFC3881")
        assert (found.event, found.types, found.outcome) == ("110113", ["110126"], "8")
        assert (found.source, found.object_id) == ("ward-ct1", LOOPBACK)
        assert found.root.find("AuditSourceIdentification").get("AuditEnterpriseSiteID") == "Ward 3"  # type: ignore[union-attr]
        assert found.details["Alert Description"].startswith("WG316 TLS integrity failure")
        assert (found.details["Provider Reason"], found.details["Leg"]) == ("0", "requestor")
        assert found.details["Network Address"] == f"{LOOPBACK}:{bench.peer.port}"
        assert found.user.startswith("wardgate[1.") and found.process == found.user
        until(lambda: "r0 at" in (text := bench.box.status().stdout) and "0 waiting" in text, "the status says that it was delivered")


@pytest.mark.parametrize("seen_by", ["a", "b"])
def test_a_byte_changed_under_iscl_is_an_alert_with_its_provider_reason(folder: Path, pki: Pki, seen_by: str) -> None:
    """Seen by the box at the PACS in what the modality sends, and by that at the modality in what the PACS sends."""
    keys = key_file(folder)
    boxes = TwoBoxes(folder, pki, (keys, keys))
    one = datasets.generate(folder / "in", 1, 512)[0]
    between = free_port()
    if seen_by == "b":
        behind, boxes.middle.port = boxes.middle.port, between
    else:
        behind, boxes.plan_b.modality_port = boxes.middle.calls, between
    watching = boxes.b if seen_by == "b" else boxes.a
    with Rsyslog(folder / "arr", pki, free_port()) as repository, Proxy(between, behind) as network:
        watching.plan.more = audit_table(watching.plan.folder, pki, [repository.port])
        try:
            boxes.programs.append(peers.storescp(folder / "modality", boxes.plan_a.modality_port, ae="CT1"))
            boxes.start()
            port, titles = (boxes.plan_a.listen, ("CT1", "PACS")) if seen_by == "b" else (boxes.plan_b.peers[0].calls, ("PACS", "CT1"))
            with wire.dial(port) as client:
                client.associate(*titles)
                client.echo()
                network.flip("forth", 4096)  # in the data: what ISCL's headers hold has no MAC
                try:
                    client.send(*wire.store_pdus(one))
                except OSError:
                    pass
                assert client.read()[0] == wire.ABORT
            watching.wait_code("ISCL_MAC_FAILURE", "ISCL_DECRYPT_FAILURE")
            code = next(code for code in watching.codes() if code in REASONS)
            found = told(repository.wait(code)[0])
            assert (found.event, found.types, found.outcome) == ("110113", ["110126"], "8")
            assert found.details["Provider Reason"] == REASONS[code]
            assert f"provider reason {REASONS[code]}" in found.details["Alert Description"]
            assert (found.details["Leg"], found.object_id) == ("acceptor", LOOPBACK)
            until(lambda: f"provider reason {REASONS[code]}" in watching.status().stdout, "the status says so")
        finally:
            boxes.close()


def test_start_and_stop_of_the_box_are_told(bench: Bench) -> None:
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        bench.plan.more = audit_table(bench.folder, bench.pki, [repository.port], message_id="IHE+RFC-3881", source_id="gate 7")
        bench.start()
        until(lambda: len(repository.lines()) == 1, "the start")
        bench.box.stop()
        until(lambda: len(repository.lines()) == 2, "the stop")
        for line, kind in zip(repository.lines(), ("110120", "110121"), strict=True):
            found = told(line)
            assert (found.event, found.types, found.outcome, found.object_id) == ("110100", [kind], "0", "")
            assert (found.msgid, found.source) == ("IHE+RFC-3881", "gate 7")
            role = found.root.find("ActiveParticipant/RoleIDCode")
            assert role is not None and role.get("csd-code") == "110150"


def test_audit_begins_with_a_reload_and_goes_on_over_the_next(bench: Bench) -> None:
    bench.modality()
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        bench.start()
        bench.plan.more = audit_table(bench.folder, bench.pki, [repository.port])
        bench.plan.write()
        checked = bench.box.check().stdout
        assert f"audit to r0 at {LOOPBACK}:{repository.port}, TLS B.12" in checked, checked
        for code in ("WG318", "WG348"):
            os.kill(bench.box.master, signal.SIGHUP)
            until(lambda: bench.box.codes().count("WG205") == (1 if code == "WG318" else 2), "the old worker has left")  # noqa: B023
            assert bench.echo_back(certificate="pacs-other-ca" if code == "WG318" else "pacs-wrong-name").returncode != 0
            repository.wait(code)


def test_a_caller_whose_certificate_is_refused_is_told(bench: Bench) -> None:
    """By the chain rules, and by the binding of certificate and AE title."""
    bench.modality()
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        bench.plan.more = audit_table(bench.folder, bench.pki, [repository.port])
        bench.start()
        for certificate, code in (("pacs-other-ca", "WG318"), ("pacs-wrong-name", "WG348"), ("pacs-revoked", "WG342")):
            assert bench.echo_back(certificate=certificate).returncode != 0
            found = told(repository.wait(code)[0])
            assert (found.event, found.types, found.outcome) == ("110113", ["110126"], "8"), certificate
            assert found.object_id == LOOPBACK
            assert found.details["Failure Code"] == code
        assert bench.echo_back(calling="SOMEBODY").returncode != 0  # policy: the certificate is good
        found = told(repository.wait("WG501")[0])
        assert (found.types, found.outcome, "SOMEBODY" in found.object_name) == (["110147"], "4", True)


def test_what_happens_while_the_repository_is_away_reaches_it_later(bench: Bench) -> None:
    bench.modality()
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        bench.plan.more = audit_table(bench.folder, bench.pki, [repository.port])
        bench.start()
        until(lambda: "1 delivered" in bench.box.status().stdout, "the start is delivered")
        repository.stop()
        bench.box.wait_code("AUDIT_UNREACHABLE")
        assert bench.echo_back(certificate="pacs-other-ca").returncode != 0
        until(lambda: "1 waiting" in bench.box.status().stdout, "it waits")
        bench.box.stop()  # also over a restart of the box
        bench.box.start()
        assert bench.echo_back(certificate="pacs-wrong-name").returncode != 0
        repository.start()
        repository.wait("WG348")

        def kinds() -> list[str]:
            return [told(line).types[0] + told(line).details.get("Failure Code", "") for line in repository.lines()]

        # Master and worker give their events each by itself: the second start may come after what the worker saw.
        until(lambda: kinds().count("110120") == 2, "the second start")
        assert list(dict.fromkeys(kinds())) == ["110120", "110126WG318", "110121", "110126WG348"]


def test_a_repository_that_is_away_does_not_keep_another_waiting(bench: Bench) -> None:
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        bench.plan.more = audit_table(bench.folder, bench.pki, [free_port(), repository.port])
        bench.modality()
        bench.start()
        assert bench.echo_back(certificate="pacs-other-ca").returncode != 0
        repository.wait("WG318")
        until(lambda: "r1 at" in (text := bench.box.status().stdout) and "2 delivered" in text, "both messages are delivered to r1")
        assert "2 waiting" in bench.box.status().stdout


def test_a_repository_that_is_not_the_one_named_gets_nothing(bench: Bench) -> None:
    """Its certificate has another name; and it must know ours."""
    with (
        Rsyslog(bench.folder / "a", bench.pki, free_port(), certificate="pacs-wrong-name") as wrong,
        Rsyslog(bench.folder / "b", bench.pki, free_port(), anchors=bench.pki.other_root) as strict,
    ):
        bench.plan.more = audit_table(bench.folder, bench.pki, [wrong.port, strict.port])
        bench.start()
        until(lambda: "WG348" in bench.box.log, "the name is refused")
        until(lambda: "WG963" in "".join(line for line in bench.box.log.splitlines() if "peer=r1" in line), "the other refuses us")
        until(lambda: bench.box.status().stdout.count("<- not connected") == 2, "the status says so")
        assert not wrong.lines() and not strict.lines()
        bench.box.stop()


REASONS = {"WG800": "0x10", "WG801": "0x11"}
