"""Hostile and mistaken bytes on the box's ports: named, bounded in time and memory, and nobody else is disturbed."""

from __future__ import annotations

import random
import socket
import time
from pathlib import Path

import pytest

from support import certs, datasets, netdicom, peers, wire
from support.bench import MODALITY, PACS, Bench
from support.processes import LOOPBACK, until

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu"), reason="DCMTK is not installed")

DEADLINE = 3


@pytest.fixture
def running(bench: Bench) -> Bench:
    bench.plan.limits = {"connections_per_peer": 450}
    bench.pacs()
    bench.modality()
    bench.start()
    return bench


@pytest.fixture
def hasty(bench: Bench) -> Bench:
    """One that waits no longer than `DEADLINE` for a caller: on a busy machine it may turn an honest one away too."""
    bench.plan.limits = {"associate_seconds": DEADLINE, "handshake_seconds": DEADLINE}
    bench.pacs()
    bench.start()
    return bench


def _works_again(bench: Bench) -> None:
    until(lambda: bench.echo().returncode == 0, "the box still relays")


def test_two_hundred_silent_clients_do_not_stop_a_study(bench: Bench) -> None:
    bench.plan.limits = {"connections_per_peer": 450, "associate_seconds": 300, "handshake_seconds": 120}
    bench.pacs()
    bench.modality()
    bench.start()
    ports = [bench.plan.listen] * 100 + [bench.peer.calls] * 100
    silent = [socket.create_connection((LOOPBACK, port)) for port in ports]
    there = datasets.generate(bench.folder / "there", 30)
    back = datasets.generate(bench.folder / "back", 10, study=2)
    assert bench.send(there, "-R").returncode == 0, bench.box.log
    assert bench.send_back(back, "-R").returncode == 0, bench.box.log
    bench.assert_delivered(there)
    bench.assert_delivered(back, "modality")
    # They were all there the whole time: none has been ended.
    for one in silent:
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.recv(1)
        one.close()


@pytest.mark.alone
def test_two_hundred_silent_clients_do_not_slow_a_study(bench: Bench) -> None:
    bench.plan.limits = {"connections_per_peer": 450, "associate_seconds": 60, "handshake_seconds": 60}
    bench.pacs()
    bench.start()
    study = datasets.generate(bench.folder / "study", 60)
    took: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(20):  # by turns, so that other work of the machine meets both; more of them while it is busy
        crowd = turn % 2 == 1
        if turn >= 6 and not crowd and min(took[True]) < 1.5 * min(took[False]):
            break
        silent = [socket.create_connection((LOOPBACK, port)) for port in (bench.plan.listen, bench.peer.calls) * 100 * crowd]
        begun = time.monotonic()
        assert bench.send(study, "-R").returncode == 0, bench.box.log
        took[crowd].append(time.monotonic() - begun)
        for one in silent:
            one.close()
    assert min(took[True]) < 1.5 * min(took[False]), took


def test_a_silent_client_is_ended_at_the_deadline_and_named(hasty: Bench) -> None:
    for port in (hasty.plan.listen, hasty.peer.calls):
        with wire.dial(port) as client:
            assert client.ended()
    hasty.box.wait_code("SILENT_CLIENT", "REQUEST_LATE", "HANDSHAKE_LATE")
    _works_again(hasty)


@pytest.mark.alone
@pytest.mark.parametrize("opening", ["request", "hello"])
def test_a_slow_loris_does_not_move_its_deadline(hasty: Bench, opening: str) -> None:
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    sent = wire.associate_rq(MODALITY, PACS) if opening == "request" else hello
    begun = time.monotonic()
    with wire.dial(hasty.plan.listen if opening == "request" else hasty.peer.calls) as client:
        with pytest.raises(OSError):  # noqa: PT012 - it must end while it still sends
            for byte in sent:
                client.send(bytes((byte,)))
                time.sleep(0.1)
                if time.monotonic() - begun > DEADLINE + 0.5:
                    assert client.ended()
                    raise ConnectionResetError
        assert time.monotonic() - begun < DEADLINE * 4
        _works_again(hasty)
    hasty.box.wait_code("REQUEST_LATE" if opening == "request" else "HANDSHAKE_LATE")


def test_dicom_in_clear_on_the_tls_port_is_named(running: Bench) -> None:
    with wire.dial(running.peer.calls) as client:
        client.send(wire.associate_rq(PACS, MODALITY))
        assert client.ended()
    running.box.wait_code("CLEAR_ON_TLS_PORT")
    assert running.echo_back().returncode == 0


def test_tls_on_the_plain_port_is_named(running: Bench) -> None:
    done = peers.echoscu(running.plan.listen, calling=MODALITY, called=PACS, tls=certs.dcmtk(running.pki, "ct1-rsa"))
    assert done.returncode != 0
    running.box.wait_code("TLS_ON_CLEAR_PORT")
    running.assert_works()


@pytest.mark.parametrize("side", ["plain", "tls"])
def test_http_is_named(running: Bench, side: str) -> None:
    with wire.dial(running.plan.listen if side == "plain" else running.peer.calls) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: ward\r\n\r\n")
        assert client.ended()
    running.box.wait_code("HTTP_ON_DICOM_PORT")
    running.assert_works()


@pytest.mark.parametrize("side", ["plain", "tls"])
def test_random_bytes_are_refused(running: Bench, side: str) -> None:
    dice = random.Random(1453)
    for _ in range(20):
        with wire.dial(running.plan.listen if side == "plain" else running.peer.calls) as client:
            try:
                client.send(dice.randbytes(dice.randrange(1, 5000)))
                client.sock.shutdown(socket.SHUT_WR)
            except OSError:
                continue
            assert client.ended()
    running.assert_works()
    assert running.echo_back().returncode == 0


def test_random_bytes_after_the_tls_handshake_are_refused(running: Bench) -> None:
    context = netdicom.client_context(certs.dcmtk(running.pki, "pacs-ecdsa"))
    with wire.dial(running.peer.calls, context) as client:
        client.send(random.Random(7).randbytes(3000))
        assert client.ended()
    running.box.wait_code("PDU_INVALID", "PDU_UNKNOWN_TYPE", "GARBAGE_ON_PORT", "PDU_TOO_LONG")
    assert running.echo_back().returncode == 0


def test_a_pdu_length_of_four_gibibytes_is_refused_before_a_byte_of_it_is_taken(running: Bench) -> None:
    running.assert_works()  # whatever is imported late is there now
    worker = running.box.workers()[0]
    before = _resident(worker)
    with wire.dial(running.plan.listen) as client:
        client.send(wire.pdu(wire.ASSOCIATE_RQ, bytes(1000), length=0xFFFFFFFF))
        assert client.ended()
    with wire.dial(running.plan.listen) as client:
        client.associate()
        client.send(wire.pdu(wire.P_DATA, bytes(1000), length=0xFFFFFFFF))
        kind, body = client.read()
        assert (kind, body[2]) == (wire.ABORT, 2)  # PS3.8 9.3.8: by the service provider
        assert client.ended()
    until(lambda: "Abort" in running.programs[0].log, "the PACS is told")
    running.box.wait_code("PDU_TOO_LONG", "PDU_INVALID")
    assert _resident(worker) - before < 16 << 20
    running.assert_works()


def test_ten_thousand_presentation_contexts_are_refused(running: Bench) -> None:
    contexts = [(2 * number + 1, datasets.CT_IMAGE, (datasets.EXPLICIT_LITTLE,)) for number in range(10_000)]
    with wire.dial(running.plan.listen) as client:
        client.send(wire.associate_rq(MODALITY, PACS, contexts))
        kind, _ = client.read()
        assert kind in (wire.ABORT, wire.ASSOCIATE_RJ)
        assert client.ended()
    running.box.wait_code("PDU_TOO_MANY", "PDU_INVALID", "PDU_TOO_LONG")
    assert "Association Received" not in running.programs[0].log
    running.assert_works()


def test_a_message_on_a_context_that_was_not_accepted_is_aborted(running: Bench) -> None:
    with wire.dial(running.plan.listen) as client:
        client.associate()
        client.send(wire.pdv(99, 3, wire.echo_rq()))
        assert client.read()[0] == wire.ABORT
    running.box.wait_code("CONTEXT_NOT_ACCEPTED")
    running.assert_works()


def test_more_connections_than_a_peer_may_open_are_refused_and_the_others_go_on(bench: Bench) -> None:
    bench.plan.limits = {"connections_per_peer": 5}
    bench.pacs()
    bench.start()
    with wire.dial(bench.plan.listen) as first:
        first.associate()
        others = [wire.dial(bench.plan.listen) for _ in range(8)]
        bench.box.wait_code("TOO_MANY_FROM_PEER")
        first.echo()
        for one in others:
            one.sock.close()
    until(lambda: bench.echo().returncode == 0, "there is room again")


def test_a_caller_from_an_address_that_no_link_names_is_refused(bench: Bench) -> None:
    bench.plan.modality_addresses = ("127.0.0.77",)
    bench.pacs()
    bench.start()
    with wire.dial(bench.plan.listen) as client:
        assert client.ended()
    bench.box.wait_code("NO_LINK")
    assert "Association Received" not in bench.programs[0].log


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
