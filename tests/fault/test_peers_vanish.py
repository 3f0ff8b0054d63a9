"""Peers that vanish or half-close at each phase of an association: the other side is told, nothing hangs, the log says what is known."""

from __future__ import annotations

import pytest

from support import certs, datasets, netdicom, peers, wire
from support.bench import MODALITY, PACS, Bench
from support.datasets import Sample
from support.ondisk import stores
from support.processes import until
from support.vanish import ENDS, PHASES, Phase, all_closed, before_response, in_pdu
from support.wire import Wire

pytestmark = pytest.mark.skipif(not peers.have("storescp", "echoscu"), reason="DCMTK is not installed")


@pytest.fixture
def running(bench: Bench) -> Bench:
    bench.plan.limits = {"associate_seconds": 10, "release_seconds": 5}
    bench.pacs()
    bench.modality()
    bench.start()
    return bench


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
def test_a_caller_that_vanishes_leaves_nothing_behind(running: Bench, phase: Phase, end: str) -> None:
    one = datasets.generate(running.folder / "in", 1, 256)[0]
    client = wire.dial(running.plan.listen)
    phase(client, one, MODALITY, PACS)
    ENDS[end](client)
    running.assert_works()
    until(lambda: all_closed(running), "every open entry of the log has its close")
    if end == "half-closes":
        assert client.ended()
    client.sock.close()
    if phase is in_pdu:
        record = stores(running.plan.log_dir)[-1]
        assert (record["sop_instance"], record["outcome"], record["status"]) == (one.sop_instance, "aborted", None)
    elif phase is before_response:
        record = stores(running.plan.log_dir)[-1]
        assert record["sop_instance"] == one.sop_instance
        # A reset may overtake the caller's own last bytes: then its data set was cut.
        assert record["outcome"] in ("status", "unknown", *(("aborted",) if end == "resets" else ()))
        assert record["outcome"] == "aborted" or record["digests"][0]["value"] == one.sha256


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("phase", ["accepted", "request", "established", "in-store", "before-response", "in-response", "release"])
def test_a_called_peer_that_vanishes_ends_the_caller_too(bench: Bench, phase: str, end: str) -> None:
    bench.plan.limits = {"associate_seconds": 8, "handshake_seconds": 8, "idle_seconds": 10, "release_seconds": 4}
    one = datasets.generate(bench.folder / "in", 1, 256)[0]

    def script(peer: Wire) -> None:
        request = peer.whole()
        if phase == "request":
            return
        peer.send(wire.associate_ac(request))
        if phase == "established":
            return
        peer.read()  # the command
        kind, body = peer.read()
        if phase == "in-store":
            return
        while kind == wire.P_DATA and not body[5] & 2:
            kind, body = peer.read()
        if phase == "before-response":
            return
        answer = wire.pdv(3, 3, wire.store_rsp(one, 0))
        peer.send(answer if phase == "release" else answer[: len(answer) // 2])
        if phase == "release":
            peer.read()

    def then(peer: Wire) -> None:
        script(peer)
        ENDS[end](peer)
        if end == "half-closes":
            peer.ended()

    context = netdicom.server_context(certs.dcmtk(bench.pki, "pacs-ecdsa"))
    with wire.FakePeer(bench.peer.port, then if phase != "accepted" else ENDS[end], context, raw=phase == "accepted") as pacs:  # type: ignore[arg-type]
        bench.start()
        with wire.dial(bench.plan.listen) as client:
            last = _store(client, one, released=phase == "release")
            assert client.ended()
        assert not pacs.errors, pacs.errors
    if phase in ("accepted", "request") or (phase, end) == ("established", "resets"):
        # A reset may take the A-ASSOCIATE-AC with it that the peer's own kernel still held back (Nagle): then it never answered.
        assert last in (wire.ASSOCIATE_RJ, wire.ABORT)
    elif phase != "release":
        assert last == wire.ABORT
    until(lambda: all_closed(bench), "every open entry of the log has its close")
    if phase in ("before-response", "in-response"):
        record = stores(bench.plan.log_dir)[-1]
        assert (record["outcome"], record["status"]) == ("unknown", None)
        assert record["digests"][0]["value"] == one.sha256
    bench.pacs()
    bench.assert_works()


def _store(client: Wire, one: Sample, released: bool) -> int:
    """Store and release as a modality does; return the type of the last PDU that came (0: none)."""
    last = 0
    try:
        client.send(wire.associate_rq(MODALITY, PACS))
        last, _ = client.read()
        if last != wire.ASSOCIATE_AC:
            return last
        client.send(*wire.store_pdus(one))
    except OSError:
        pass
    kind, _ = client.read()
    last = kind or last
    if released and kind == wire.P_DATA:
        client.send(wire.pdu(wire.RELEASE_RQ, bytes(4)))
        kind, _ = client.read()
        last = kind or last
    return last
