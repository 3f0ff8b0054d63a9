"""A PACS that refuses: associations, presentation contexts, instances; and a network that changes a byte under TLS."""

from __future__ import annotations

import pytest

from support import certs, datasets, netdicom, peers, wire
from support.bench import MODALITY, PACS, Bench
from support.processes import free_port, until
from support.proxy import Proxy

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu"), reason="DCMTK is not installed")

ECHO_ONLY = """[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianImplicit
[[PresentationContexts]]
[Echo]
PresentationContext1 = 1.2.840.10008.1.1\\Plain
[[Profiles]]
[EchoOnly]
PresentationContexts = Echo
"""


def test_a_rejected_association_is_passed_on_as_it_is(bench: Bench) -> None:
    bench.pacs("--refuse")
    bench.start()
    done = bench.echo()
    assert done.returncode != 0
    assert "Association Rejected" in done.stdout, done.stdout
    bench.box.wait_code("PEER_REJECTED")


def test_a_presentation_context_refused_by_the_pacs_is_refused_to_the_modality(bench: Bench) -> None:
    config = bench.folder / "scp.cfg"
    config.write_text(ECHO_ONLY)
    tls = certs.dcmtk(bench.pki, "pacs-rsa")
    (bench.folder / "pacs").mkdir()
    words = ["storescp", "-v", "-od", bench.folder / "pacs", "-xf", config, "EchoOnly", *tls.words(), str(bench.peer.port)]
    bench.add(peers.Program(words, bench.folder / "pacs.log")).wait_listening(bench.peer.port)
    bench.start()
    with wire.dial(bench.plan.listen) as client:
        client.send(wire.associate_rq(MODALITY, PACS))
        kind, body = client.read()
        assert kind == wire.ASSOCIATE_AC
        assert _results(body) == {1: 0, 3: 3}  # the reason of the PACS (PS3.8 9.3.3.2: abstract syntax not supported)
        client.echo()
        client.release()
    bench.assert_works()


def test_the_status_a700_of_the_pacs_reaches_the_modality_and_the_log(bench: Bench) -> None:
    one = datasets.generate(bench.folder / "in", 1, 64)[0]

    def full(peer: wire.Wire) -> None:
        peer.send(wire.associate_ac(peer.whole()))
        while (got := peer.read())[0] == wire.P_DATA:
            if got[1][5] == 2:  # the last fragment of the data set
                peer.send(wire.pdv(3, 3, wire.store_rsp(one, 0xA700)))
        peer.send(wire.pdu(wire.RELEASE_RP, bytes(4)))

    with wire.FakePeer(bench.peer.port, full, netdicom.server_context(certs.dcmtk(bench.pki, "pacs-ecdsa"))) as pacs:
        bench.start()
        with wire.dial(bench.plan.listen) as client:
            client.associate()
            client.send(*wire.store_pdus(one))
            kind, body = client.read()
            assert (kind, wire.status_of(body)) == (wire.P_DATA, 0xA700)
            client.release()
        assert not pacs.errors, pacs.errors
    bench.assert_recorded(one, "A700")


def test_an_unreachable_pacs_is_told_by_a_rejection(bench: Bench) -> None:
    bench.start()
    with wire.dial(bench.plan.listen) as client:
        client.send(wire.associate_rq(MODALITY, PACS))
        kind, _ = client.read()
        assert kind == wire.ASSOCIATE_RJ
    bench.box.wait_code("CONNECT_FAILED")


def test_a_byte_changed_under_tls_drops_that_connection_and_aborts_the_other(bench: Bench) -> None:
    behind = free_port()
    bench.pacs(port=behind)
    with Proxy(bench.peer.port, behind) as network:
        bench.start()
        with wire.dial(bench.plan.listen) as client:
            client.associate()
            client.echo()
            network.flip("back")
            client.send(wire.pdv(1, 3, wire.echo_rq(2)))
            kind, body = client.read()
            # PS3.8 9.3.8: source 2 (service provider), reason 0 (not specified).
            assert (kind, body) == (wire.ABORT, b"\0\0\x02\0")
            assert client.ended()
        bench.box.wait_code("TLS_INTEGRITY")
        assert network.flipped_at is not None
        # The request itself had passed; nothing more went to the PACS.
        assert network.passed["forth"] == network.flipped_at["forth"]
    until(lambda: len(bench.box.workers()) == 1, "the worker lives")


def test_a_byte_changed_on_its_way_to_the_pacs_aborts_the_modality(bench: Bench) -> None:
    behind = free_port()
    bench.pacs(port=behind)
    one = datasets.generate(bench.folder / "in", 1, 512)[0]
    with Proxy(bench.peer.port, behind) as network:
        bench.start()
        with wire.dial(bench.plan.listen) as client:
            client.associate()
            client.echo()
            network.flip("forth")
            try:
                client.send(*wire.store_pdus(one))
            except OSError:
                pass
            kind, body = client.read()
            assert (kind, body[2:]) == (wire.ABORT, b"\x02\0")
        bench.assert_works()
    assert one.sop_instance not in datasets.samples(bench.folder / "pacs")


def _results(body: bytes) -> dict[int, int]:
    """Return the result of each presentation context of an A-ASSOCIATE-AC body (PS3.8 9.3.3.2)."""
    at, found = 68, {}
    while at < len(body):
        if body[at] == 0x21:
            found[body[at + 4]] = body[at + 6]
        at += 4 + int.from_bytes(body[at + 2 : at + 4], "big")
    return found
