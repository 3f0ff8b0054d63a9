"""The whole box with its TLS keys in a SoftHSM token: a study between DCMTK peers, and nothing of the keys in its memory."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support import certs, datasets, peers
from support.bench import Bench
from support.gateway import Gateway
from support.memory import found_in, secrets_of
from support.processes import LOOPBACK, until
from support.standin_keys import FakeKeyService, uri_of
from support.tlskit import peer_context, shared_pki
from support.tokenkit import TokenKit, key_of
from wardgate.codes import Code
from wardtools.pki import Pki

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu"), reason="DCMTK is not installed")

NAMES = ("box-ecdsa", "box-rsa")


@pytest.fixture
def pki() -> Pki:
    """The PKI whose keys are in the token."""
    return shared_pki()


@pytest.fixture
def kit() -> Iterator[TokenKit]:
    made = TokenKit(*NAMES)
    yield made
    made.close()


@pytest.fixture
def bench_with_token(bench: Bench, kit: TokenKit) -> Bench:
    pairs = tuple((bench.pki.leaf(name).chain, str(key_of(name))) for name in NAMES)
    bench.plan.peers = (replace(bench.peer, certificates=pairs),)
    bench.plan.keys = {"socket": kit.service.socket, "sign_seconds": 15}
    return bench


def test_a_study_passes_both_ways_and_no_worker_ever_holds_a_key(bench_with_token: Bench, kit: TokenKit) -> None:
    bench = bench_with_token
    bench.plan.workers = 2
    bench.pacs()
    bench.modality()
    bench.start()
    series = datasets.generate(bench.folder / "in", 8)
    done = bench.send(series)
    assert done.returncode == 0, done.stdout + bench.box.log
    bench.assert_delivered(series)
    for _ in range(4):
        done = bench.echo_back()
        assert done.returncode == 0, done.stdout + bench.box.log
    bench.assert_log_verifies()
    status = bench.box.status().stdout
    assert [line[:30] for line in status.splitlines() if "UNSAFE" in line] == ["UNSAFE: custody: key in a file"]
    workers = bench.box.workers()
    assert len(workers) == 2
    stay = {bench.box.master, bench.box.writer(), *workers}
    assert stay <= set(bench.box.family())
    for name in NAMES:
        needles = secrets_of(bench.pki.leaf(name).key)
        for pid in bench.box.family():
            try:
                assert found_in(pid, needles) == set(), f"{name} in process {pid}"
            except (FileNotFoundError, ProcessLookupError):  # the signer of a checkpoint comes and goes
                assert pid not in stay, f"process {pid} ended"
    kit.service.stop()  # what was kept of earlier associations
    for pid in workers:
        assert found_in(pid, secrets_of(bench.pki.leaf("box-rsa").key)) == set()


def test_the_same_search_finds_a_key_that_is_in_a_file(bench: Bench) -> None:
    bench.pacs()
    bench.modality()
    bench.start()
    assert bench.echo_back().returncode == 0
    (worker,) = bench.box.workers()
    assert "scalar little-endian" in found_in(worker, secrets_of(bench.pki.leaf("box-ecdsa").key))
    assert {"p little-endian", "q little-endian"} <= found_in(worker, secrets_of(bench.pki.leaf("box-rsa").key))


def test_check_compares_the_keys_in_the_token_with_the_certificates(bench_with_token: Bench, kit: TokenKit) -> None:
    bench = bench_with_token
    done = Gateway(bench.plan).check()
    assert done.returncode == 0 and "no mistake" in done.stdout, done.stdout
    assert f"key in a token: {key_of('box-rsa')}" in done.stdout
    swapped = tuple((bench.pki.leaf(name).chain, str(key_of(other))) for name, other in zip(NAMES, reversed(NAMES), strict=True))
    bench.plan.peers = (replace(bench.peer, certificates=swapped),)
    done = Gateway(bench.plan).check()
    assert done.returncode == 1 and done.stdout.count(str(Code.KEY_NOT_OF_CERTIFICATE)) == 2, done.stdout
    nobody = ((bench.pki.leaf("box-rsa").chain, str(key_of("nobody"))),)
    bench.plan.peers = (replace(bench.peer, certificates=nobody),)
    done = Gateway(bench.plan).check()
    assert done.returncode == 1 and str(Code.KEYS_NO_KEY) in done.stdout, done.stdout
    kit.service.stop()
    done = Gateway(bench.plan).check()
    assert done.returncode == 0 and f"warning: {Code.KEYS_NOT_CHECKED}" in done.stdout, done.stdout


def test_the_box_starts_while_the_key_service_is_down_and_serves_when_it_comes(bench_with_token: Bench, kit: TokenKit) -> None:
    bench = bench_with_token
    kit.service.stop()
    bench.pacs()
    bench.start()
    assert bench.echo().returncode != 0
    bench.box.wait_code("KEY_SERVICE_IS_AWAY")
    kit.service.start()
    until(lambda: bench.echo().returncode == 0, "it serves")


def test_who_needs_no_slow_card_is_served_while_twenty_callers_wait_for_it(folder: Path, pki: Pki) -> None:
    """Two peers: one certificate's key is on a card that answers nobody yet, the other's is in a file."""
    from support.tokenkit import need_provider

    need_provider()
    release, asked = threading.Event(), threading.Semaphore(0)
    made = Bench(folder, pki)
    leaf = pki.leaf("box-ecdsa")
    on_card = replace(certs.pacs_plan(pki), certificates=((leaf.chain, uri_of("box-ecdsa")),))
    in_file = replace(certs.pacs_plan(pki), name="other", ae_titles=("OTHER",))
    made.plan.peers = (on_card, in_file)
    made.plan.keys = {"socket": folder / "keys.sock", "sign_seconds": 60}
    made.plan.limits = {"handshake_seconds": 100}
    callers: list[socket.socket] = []
    try:
        with FakeKeyService(folder / "keys.sock", {"box-ecdsa": leaf.key}) as service:

            def hold(request: bytes) -> bytes | None:
                asked.release()
                release.wait(60)
                return service._answer(request)

            made.modality()
            made.start()
            service.answer = hold
            for _ in range(20):
                callers.append(_hello(on_card.calls))
            for _ in range(20):
                assert asked.acquire(timeout=60), "all twenty handshakes have asked for their signature"
            tls = certs.dcmtk(pki, "pacs-rsa")
            for _ in range(3):
                done = peers.echoscu(in_file.calls, calling="OTHER", called="CT1", tls=tls)
                assert done.returncode == 0, done.stdout + made.box.log
            assert service.signatures == 0
            release.set()
            for sock in callers:
                sock.settimeout(60)
                assert sock.recv(5)[:1] == b"\x16", "its ServerHello"
            done = peers.echoscu(on_card.calls, calling="PACS", called="CT1", tls=tls)
            assert done.returncode == 0, done.stdout + made.box.log
    finally:
        for sock in callers:
            sock.close()
        release.set()
        made.close()


def _hello(port: int) -> socket.socket:
    """Return a connection on which a ClientHello was sent."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = peer_context(server=False).wrap_bio(incoming, outgoing, False)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    sock = socket.create_connection((LOOPBACK, port))
    sock.sendall(outgoing.read())
    return sock
