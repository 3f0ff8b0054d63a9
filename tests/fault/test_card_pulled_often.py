"""Many pulls and insertions: no process of the box, nor the key service, grows in memory or descriptors. WARD_PULLS sets how many."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import peers
from support.processes import LOOPBACK, until
from support.tokenbench import TokenBench
from support.wire import ASSOCIATE_AC, ASSOCIATE_RJ, RELEASE_RP, RELEASE_RQ, Wire, associate_rq, pdu
from wardtools.pki import Pki

pytestmark = pytest.mark.skipif(not peers.have("storescp"), reason="needs DCMTK")
PULLS = int(os.environ.get("WARD_PULLS", "30"))
WARM = 10
MAX_GROWTH_BYTES = 3 << 20


@pytest.fixture
def box(folder: Path, pki: Pki) -> Iterator[TokenBench]:
    """A running box with its keys in a token, a PACS."""
    made = TokenBench(folder, pki)
    made.pacs()
    made.start()
    yield made
    if os.environ.get("TOKDBG"):
        print(made.service.log[-3000:], made.box.log[-6000:])
    made.close()


def served(bench: TokenBench) -> bool:
    """Ask for an association as the modality and release it; False when it is rejected."""
    wire = Wire(socket.create_connection((LOOPBACK, bench.plan.listen), 20))
    wire.send(associate_rq("CT1", "PACS"))
    kind, _ = wire.read()
    assert kind in (ASSOCIATE_AC, ASSOCIATE_RJ), f"PDU type {kind}"
    if kind == ASSOCIATE_AC:
        wire.send(pdu(RELEASE_RQ, bytes(4)))
        assert wire.read()[0] == RELEASE_RP
    wire.sock.close()
    return kind == ASSOCIATE_AC


def sizes(bench: TokenBench) -> dict[str, tuple[int, int]]:
    """Return resident bytes and open descriptors of every process that has to do with it."""
    (worker,) = bench.box.workers()
    found = {"master": bench.box.master, "writer": bench.box.writer(), "worker": worker, "key service": bench.service.program.pid}
    return {name: (_resident(pid), len(os.listdir(f"/proc/{pid}/fd"))) for name, pid in found.items()}


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(120 + 3 * PULLS)
def test_a_thousand_pulls_leave_no_memory_no_descriptor_and_no_session_behind(box: TokenBench) -> None:
    before: dict[str, tuple[int, int]] = {}
    for number in range(PULLS):
        if number == min(WARM, PULLS // 2):
            before = sizes(box)
        assert served(box)
        box.hsm.remove()
        until(lambda: not served(box), "the modality is rejected", 30)
        box.hsm.put_back()
        until(lambda: served(box), "the modality is served", 30)
        if number % 100 == 99:
            print(number + 1, sizes(box), flush=True)
    until(lambda: box.custody_report()["open_entries"] == 0, "all associations are over", 30)
    after = sizes(box)
    told = "; ".join(
        f"{name} {before[name][0] >> 10} -> {after[name][0] >> 10} KiB, {before[name][1]} -> {after[name][1]} fd" for name in after
    )
    print(f"{PULLS} pulls: {told}")
    for name, (memory, descriptors) in after.items():
        assert descriptors <= before[name][1] + 2, told
        assert memory <= before[name][0] + MAX_GROWTH_BYTES, told
    words = [word.split()[0] for word in box.custody_events()]
    assert words.count("removed") >= PULLS * 9 // 10 and words.count("inserted") >= PULLS * 9 // 10
    box.assert_log_verifies()
