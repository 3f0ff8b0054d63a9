"""The hospital side calls by TLS and vanishes or half-closes at each phase, also inside the handshake: nothing hangs or is left."""

from __future__ import annotations

import pytest

from support import certs, datasets, netdicom, peers, wire
from support.bench import MODALITY, PACS, Bench
from support.ondisk import stores
from support.processes import until
from support.vanish import ENDS, PHASES, TLS_ENDS, Phase, all_closed, before_response, first_flight, in_pdu
from support.wire import Wire

pytestmark = pytest.mark.skipif(not peers.have("storescp", "echoscu"), reason="DCMTK is not installed")


@pytest.fixture
def running(bench: Bench) -> Bench:
    bench.plan.limits = {"associate_seconds": 10, "release_seconds": 5, "handshake_seconds": 10}
    bench.pacs()
    bench.modality()
    bench.start()
    return bench


def _still_works(bench: Bench) -> None:
    # storescp takes one association: on a busy machine it may still have one of those who vanished.
    until(lambda: all_closed(bench), "every open entry of the log has its close")
    bench.assert_works()
    done = bench.echo_back()
    assert done.returncode == 0, f"{done.stdout}\n{bench.box.log[-3000:]}"
    until(lambda: all_closed(bench), "every open entry of the log has its close")


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
def test_a_caller_by_tls_that_vanishes_leaves_nothing_behind(running: Bench, phase: Phase) -> None:
    samples = datasets.generate(running.folder / "in", len(TLS_ENDS), 256)
    context = netdicom.client_context(certs.dcmtk(running.pki))
    for one, (end, act) in zip(samples, TLS_ENDS.items(), strict=True):
        client = wire.dial(running.peer.calls, context)
        phase(client, one, PACS, MODALITY)
        act(client)
        _still_works(running)
        if act not in (ENDS["closes"], ENDS["resets"]):
            assert client.ended(), end
        client.sock.close()
        if phase not in (in_pdu, before_response):
            continue
        record = stores(running.plan.log_dir)[-1]
        assert record["sop_instance"] == one.sop_instance, end
        if phase is in_pdu:
            assert (record["outcome"], record["status"]) == ("aborted", None), end
        else:  # what the other side does not read any more may reset what it has sent: then the data set was cut
            assert record["outcome"] in ("status", "unknown", "aborted"), end
            assert record["outcome"] == "aborted" or record["digests"][0]["value"] == one.sha256, end


@pytest.mark.parametrize("share", ["no byte", "half a ClientHello", "a ClientHello"])
def test_a_caller_that_vanishes_in_its_handshake_leaves_nothing_behind(running: Bench, share: str) -> None:
    hello = first_flight(netdicom.client_context(certs.dcmtk(running.pki)))
    sent = {"no byte": b"", "half a ClientHello": hello[: len(hello) // 2], "a ClientHello": hello}[share]
    for number, (end, act) in enumerate(ENDS.items(), 1):
        client = wire.dial(running.peer.calls)
        client.send(sent)
        if share == "a ClientHello":
            assert client.sock.recv(1) == b"\x16", "the box has answered"
        act(client)
        if end == "half-closes":
            assert client.ended()
        client.sock.close()
        if sent:
            until(lambda wanted=number: running.box.codes().count("WG315") >= wanted, f"the log names it when it {end}")  # type: ignore[misc]
    _still_works(running)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("share", ["before its answer", "in its answer"])
def test_a_called_peer_that_vanishes_in_its_handshake_has_the_caller_refused(bench: Bench, share: str, end: str) -> None:
    bench.plan.limits = {"handshake_seconds": 10}
    context = netdicom.server_context(certs.dcmtk(bench.pki, "pacs-ecdsa"))

    def script(peer: Wire) -> None:
        flight = first_flight(context, peer.sock.recv(65536))
        if share == "in its answer":
            peer.send(flight[: len(flight) // 2])
        ENDS[end](peer)
        if end == "half-closes":
            peer.ended()

    with wire.FakePeer(bench.peer.port, script) as pacs:
        bench.start()
        with wire.dial(bench.plan.listen) as client:
            client.send(wire.associate_rq(MODALITY, PACS))
            kind, body = client.read()
            assert (kind, body) == (wire.ASSOCIATE_RJ, bytes((0, 2, 3, 1)))  # transient, presentation, temporary congestion
        assert not pacs.errors, pacs.errors
    bench.box.wait_code("TLS_ENDED_IN_HANDSHAKE")
    bench.pacs()
    bench.assert_works()
    until(lambda: all_closed(bench), "every open entry of the log has its close")
