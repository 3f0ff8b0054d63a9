"""Audit messages at a real repository (rsyslogd, mutual TLS, RFC 5425): what a real integrity failure, refusal, start and stop become."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import certs, datasets, peers, wire
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
