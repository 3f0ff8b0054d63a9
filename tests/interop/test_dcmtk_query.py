"""C-FIND worklist and C-MOVE between DCMTK peers through the box."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support import datasets, peers
from support.bench import MODALITY, PACS, Bench
from support.worklist import QUERY, write_worklist

pytestmark = pytest.mark.skipif(not peers.have("findscu", "wlmscpfs", "movescu", "dcmqrscp", "storescp"), reason="DCMTK is not installed")


def _clear(bench: Bench) -> None:
    """DCMTK's wlmscpfs and dcmqrscp speak no TLS: the hospital leg is in clear, said with its ugly name."""
    bench.plan.peers = (replace(bench.peer, transport="plain"),)


def test_findscu_of_the_modality_gets_its_worklist(bench: Bench) -> None:
    _clear(bench)
    bench.add(peers.wlmscpfs(write_worklist(bench.folder / "wl", PACS), bench.peer.port))
    bench.start()
    done = peers.findscu(bench.plan.listen, "-W", *QUERY, calling=MODALITY, called=PACS)
    assert done.returncode == 0, done.stdout + bench.box.log
    assert done.stdout.count("WARD^ONE") == 1 and done.stdout.count("WARD^TWO") == 1, done.stdout


def test_findscu_over_tls_queries_the_worklist_server_on_the_modality_side(bench: Bench) -> None:
    from support import certs

    bench.add(peers.wlmscpfs(write_worklist(bench.folder / "wl", MODALITY), bench.plan.modality_port))
    bench.start()
    tls = certs.dcmtk(bench.pki, "pacs-rsa")
    done = peers.findscu(bench.peer.calls, "-W", *QUERY, calling=PACS, called=MODALITY, tls=tls)
    assert done.returncode == 0, done.stdout + bench.box.log
    assert done.stdout.count("WARD^ONE") == 1, done.stdout


def test_movescu_gets_the_study_on_an_association_that_dcmqrscp_opens_back_through_the_box(bench: Bench) -> None:
    _clear(bench)
    bench.add(peers.dcmqrscp(bench.folder / "archive", bench.peer.port, PACS, MODALITY, bench.peer.calls))
    bench.modality()
    bench.start()
    series = datasets.generate(bench.folder / "in", 4, 128)
    assert bench.send(series, "-R").returncode == 0, bench.box.log
    query = ("-S", "-aem", MODALITY, "-k", "0008,0052=STUDY", "-k", f"0020,000D={series[0].sop_instance.rsplit('.', 2)[0]}")
    done = peers.movescu(bench.plan.listen, *query, calling=MODALITY, called=PACS)
    assert done.returncode == 0, done.stdout + bench.box.log
    bench.assert_delivered(series, "modality")
