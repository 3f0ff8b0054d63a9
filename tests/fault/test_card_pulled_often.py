"""Many pulls and insertions: no process grows in memory or descriptors, the key service not in sessions with the token either.

WARD_PULLS sets how many; `make soak` pulls 1,000 times.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import peers
from support.bench import Bench
from support.processes import LOOPBACK, until
from support.standin_keys import FakeKeyService, uri_of
from support.tokenbench import TokenBench, token_records, uri
from support.tokenkit import need_provider
from support.wire import ASSOCIATE_AC, ASSOCIATE_RJ, RELEASE_RP, RELEASE_RQ, Wire, associate_rq, pdu
from wardgate.custody.client import ask
from wardgate.custody.wire import Op
from wardkeys.ahead import MAX_BEGUN
from wardtools.pki import Pki

pytestmark = pytest.mark.skipif(not peers.have("storescp"), reason="needs DCMTK")
PULLS = int(os.environ.get("WARD_PULLS", "30"))
WARM = max(10, PULLS // 10)  # pulls in which buffers and caches may reach their size
MAX_GROWTH_BYTES = 3 << 20
_SIGNATURES = 20  # between two pulls: a session lost with each would show
# CPython gh-116810, repaired in 3.12.8 and 3.13.1: each session that is taken out of `ssl` leaves a copy behind, here of 7.8 KB.
# A worker takes one after each full handshake, so one for each return of the card. WARD_RESUMPTION=off shows that nothing else grows.
_REPAIRED = sys.version_info >= (3, 13, 1) or (3, 12, 8) <= sys.version_info < (3, 13)
RESUMPTION = os.environ.get("WARD_RESUMPTION", "on") == "on"
LOST_TO_PYTHON_BYTES = 0 if _REPAIRED or not RESUMPTION else 8 << 10


@pytest.fixture
def box(folder: Path, pki: Pki) -> Iterator[TokenBench]:
    """A running box with its keys in a token, a PACS."""
    made = TokenBench(folder, pki, spied=True)
    made.pacs()
    made.start()
    yield made
    made.close()


def served(bench: Bench) -> bool:
    """Ask for an association as the modality and release it; False when it is rejected."""
    wire = Wire(socket.create_connection((LOOPBACK, bench.plan.listen), 60))
    wire.send(associate_rq("CT1", "PACS"))
    kind, _ = wire.read()
    assert kind in (ASSOCIATE_AC, ASSOCIATE_RJ), f"PDU type {kind}"
    if kind == ASSOCIATE_AC:
        wire.send(pdu(RELEASE_RQ, bytes(4)))
        assert wire.read()[0] == RELEASE_RP
    wire.sock.close()
    return kind == ASSOCIATE_AC


def sizes(bench: Bench, **others: int) -> dict[str, tuple[int, int]]:
    """Return resident bytes and open descriptors of every process that has to do with it."""
    (worker,) = bench.box.workers()
    found = {"master": bench.box.master, "writer": bench.box.writer(), "worker": worker, **others}
    return {name: (_resident(pid), len(os.listdir(f"/proc/{pid}/fd"))) for name, pid in found.items()}


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(120 + 4 * PULLS)
def test_pulls_and_insertions_leave_no_memory_no_descriptor_and_no_session_behind(box: TokenBench) -> None:
    def pull() -> None:
        box.hsm.remove()
        until(lambda: not served(box), "the modality is rejected")

    def put_back() -> None:
        box.hsm.put_back()
        until(lambda: served(box), "the modality is served")

    spy = box.spy
    assert spy is not None
    most: list[int] = []

    def put_back_and_count() -> None:
        put_back()
        for _ in range(_SIGNATURES):
            box.service.client.sign(uri("custody"), "ecdsa-sha256", bytes(32))
        most.append(spy.read())

    _often(box, PULLS, pull, put_back_and_count, **{"key service": box.service.program.pid})
    print(f"sessions with the token: {spy.opened} opened in {PULLS} pulls, at most {max(most)} at a time, {spy.read()} at the end")
    assert spy.opened >= PULLS, "each return of the token opens one at least"
    assert max(most) <= 1 + MAX_BEGUN, most
    box.pull()
    until(lambda: spy.read() == 0, "no session is left open while the token is away")


@pytest.mark.timeout(120 + 4 * PULLS)
def test_the_same_at_the_pace_of_a_stand_in_for_the_key_service(folder: Path, pki: Pki) -> None:
    """Three times as many: nothing here waits for a token to be looked at."""
    need_provider()
    bench = Bench(folder, pki)
    bench.plan.peers[0].certificates = tuple((chain, uri_of(chain.stem)) for chain, _ in bench.plan.peers[0].certificates)
    bench.plan.custody_key = uri_of("box-ecdsa")
    bench.plan.keys = {"socket": folder / "keys.sock"}
    if not RESUMPTION:
        bench.plan.peers[0].extra["session_resumption"] = False
    try:
        with FakeKeyService(folder / "keys.sock", {name: pki.leaf(name).key for name in ("box-ecdsa", "box-rsa")}) as service:
            bench.pacs()
            bench.start()

            def pull() -> None:
                service.tell("absent")
                until(lambda: not served(bench), "the modality is rejected")

            def put_back() -> None:
                service.tell("present")
                until(lambda: served(bench), "the modality is served")

            _often(bench, 3 * PULLS, pull, put_back)
    finally:
        bench.close()


def _often(bench: Bench, pulls: int, pull: Callable[[], None], put_back: Callable[[], None], **others: int) -> None:
    before: dict[str, tuple[int, int]] = {}
    for number in range(pulls):
        if number == WARM:
            before = sizes(bench, **others)
        pull()
        put_back()
        if number % 100 == 99:
            print(number + 1, sizes(bench, **others), flush=True)
    report = bench.plan.run_dir / "custody.sock"
    until(lambda: json.loads(ask(report, Op.STAT, 60))["open_entries"] == 0, "all associations are over")
    after = sizes(bench, **others)
    pairs = {name: (before[name], after[name]) for name in after}
    told = "; ".join(f"{name} {was[0] >> 10} -> {now[0] >> 10} KiB, {was[1]} -> {now[1]} fd" for name, (was, now) in pairs.items())
    print(f"{pulls} pulls: {told}")
    for name, ((memory, descriptors), (memory_now, descriptors_now)) in pairs.items():
        lost = LOST_TO_PYTHON_BYTES * pulls if name == "worker" else 0
        assert descriptors_now <= descriptors + 3, told
        assert memory_now <= memory + MAX_GROWTH_BYTES + lost, told
    words = [word.split()[0] for word in token_records(bench.plan.log_dir)]
    assert words.count("removed") >= pulls * 9 // 10 and words.count("inserted") >= pulls * 9 // 10
    bench.assert_log_verifies()
