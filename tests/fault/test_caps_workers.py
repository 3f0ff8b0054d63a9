"""Bounds of connections hold for the box, whatever worker takes them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import peers, wire
from support.bench import Bench
from support.processes import until

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu"), reason="DCMTK is not installed")

EACH = 3


@contextmanager
def only(bench: Bench, worker: int) -> Iterator[None]:
    """Let `worker` alone take connections."""
    others = [pid for pid in bench.box.workers() if pid != worker]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


def associate(bench: Bench, count: int) -> list[wire.Wire]:
    made = []
    for _ in range(count):
        made.append(wire.dial(bench.plan.listen))
        made[-1].associate()
    return made


def leave(bench: Bench, clients: list[wire.Wire]) -> None:
    for client in clients:
        client.release()
        client.sock.close()
    until(lambda: bench.echo().returncode == 0, "there is room again")


@pytest.mark.parametrize("word", ["connections_per_peer", "associations"])
def test_a_bound_is_the_boxs_and_a_killed_worker_gives_its_share_back(bench: Bench, word: str) -> None:
    bench.plan.workers = 2
    bench.plan.limits = {word: 2 * EACH}
    bench.pacs("--fork")
    bench.start()
    first, second = bench.box.workers()
    with only(bench, first):
        theirs = associate(bench, EACH)
    with only(bench, second):
        ours = associate(bench, EACH)
        with wire.dial(bench.plan.listen) as one_more:
            assert one_more.ended()
    bench.box.wait_code("TOO_MANY_FROM_PEER" if word == "connections_per_peer" else "TOO_MANY_ASSOCIATIONS")
    os.kill(first, signal.SIGKILL)
    bench.box.wait_code("WORKER_DIED")
    until(lambda: len(bench.box.workers()) == 2, "another worker takes its place")
    for client in theirs:
        assert client.ended()
    more = associate(bench, EACH)
    for client in [*ours, *more]:
        client.echo()
    with wire.dial(bench.plan.listen) as one_more:
        assert one_more.ended()
    leave(bench, [*ours, *more])


def test_silent_clients_that_fill_the_bound_in_one_worker_do_not_shut_out_a_study_in_another(bench: Bench) -> None:
    bench.plan.workers = 2
    bench.plan.limits = {"connections_per_peer": 2 * EACH, "associate_seconds": 60}
    bench.pacs("--fork")
    bench.start()
    first, second = bench.box.workers()
    with only(bench, first):
        silent = [wire.dial(bench.plan.listen) for _ in range(2 * EACH)]
        bench.assert_works()  # the oldest of them gives way
    with only(bench, second):
        until(lambda: bench.echo().returncode == 0, "the study's worker takes it")
        known = associate(bench, 2 * EACH)
        with wire.dial(bench.plan.listen) as one_more:
            assert one_more.ended()
    leave(bench, known)
    for client in silent:
        client.sock.close()


def test_a_worker_that_judges_certificates_and_revocation_lists_has_one_openssl(bench: Bench) -> None:
    """`cryptography` brings another, and 11 MiB, into each worker (decision 066)."""
    bench.pacs("--fork")
    bench.start()
    assert bench.echo().returncode == 0
    for worker in bench.box.workers():
        mapped = Path(f"/proc/{worker}/maps").read_text()
        assert "libcrypto.so" in mapped
        assert "cryptography" not in mapped
