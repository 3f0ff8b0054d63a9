"""A small disk under the queue that fills in mid-study: A700 before it is full, nothing acknowledged is lost, and room heals it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from support import datasets, held, peers, wire
from support.bench import MODALITY, PACS, Bench
from support.processes import run, until

pytestmark = [
    pytest.mark.skipif(not peers.have("storescu", "unshare"), reason="DCMTK or unshare is not installed"),
    pytest.mark.skipif(run(["unshare", "-m", "true"]).returncode != 0, reason="no mount namespace can be made here (not root)"),
]

MEBIBYTES = 24


@pytest.fixture
def small_disk(bench: Bench) -> Path:
    """A box whose queue is on a small tmpfs in a mount namespace of its own; the tmpfs as seen from outside."""
    from support.gateway import Gateway

    held.plan(bench)
    bench.plan.hold_dir.mkdir(mode=0o700)
    bench._box = Gateway(bench.plan)
    mount = f"mount -t tmpfs -o size={MEBIBYTES}m,mode=0700 none {bench.plan.hold_dir} && exec " + '"$@"'
    bench.box.start(("unshare", "-m", "sh", "-c", mount, "sh"))
    return Path(f"/proc/{bench.box.master}/root{bench.plan.hold_dir}")


def _free(disk: Path) -> int:
    info = os.statvfs(disk)
    return info.f_bavail * info.f_frsize


def _filled(ballast: Path) -> bool:
    """Take all but 8 KiB; False when the box was quicker and took some of it meanwhile."""
    with ballast.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, max(1, _free(ballast.parent) - 8192))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return False
    return True


def test_a_disk_that_fills_is_answered_a700_and_holds_what_it_acknowledged(bench: Bench, small_disk: Path) -> None:
    series = datasets.generate(bench.folder / "in", 24, 512)
    statuses = []
    with wire.dial(bench.plan.listen) as client:
        client.associate(MODALITY, PACS)
        for one in series:
            client.send(*wire.store_pdus(one))
            kind, body = client.read()
            assert kind == wire.P_DATA
            statuses.append(wire.status_of(body))
        client.release()
    taken = [one for one, status in zip(series, statuses, strict=True) if status == 0]
    assert set(statuses) == {0, 0xA700}
    assert statuses == sorted(statuses), "once it is full it stays so"
    assert 0 < len(taken) < len(series)
    assert _free(small_disk) > 1 << 20, "it was refused before the disk was full"
    bench.box.wait_code("HOLD_LOW_SPACE")
    with held.pacs(bench) as pacs:
        until(lambda: not held.entries(small_disk), f"all that was taken arrives\n{bench.box.log[-2000:]}")
    assert [(instance, digest) for instance, digest in pacs.taken] == [(one.sop_instance, one.sha256) for one in taken]
    bench.box.wait_code("HOLD_SPACE_AGAIN")
    again = datasets.generate(bench.folder / "again", 2, 64, study=2)
    assert bench.send(again).returncode == 0, bench.box.log


def test_a_disk_filled_by_others_costs_the_sender_a700_and_no_instance(bench: Bench, small_disk: Path) -> None:
    series = datasets.generate(bench.folder / "in", 3, 1536)  # more than a piece, so that a part is on the disk before the rest came
    with wire.dial(bench.plan.listen) as client:
        client.associate(MODALITY, PACS)
        client.send(*wire.store_pdus(series[0]))
        assert wire.status_of(client.read()[1]) == 0
        # The room was there when the request came; it is gone before its data set is.
        parts = wire.store_pdus(series[1])
        client.send(*parts[:-8])
        until(lambda: held.unfinished(small_disk), "it is being written")
        until(lambda: _filled(small_disk / "ballast"), "the disk is full")
        client.send(*parts[-8:])
        assert wire.status_of(client.read()[1]) == 0xA700
        bench.box.wait_code("HOLD_WRITE_FAILED")
        (small_disk / "ballast").unlink()
        client.send(*wire.store_pdus(series[2]))
        assert wire.status_of(client.read()[1]) == 0
        client.release()
    with held.pacs(bench) as pacs:
        until(lambda: len(pacs.taken) == 2, "what was acknowledged arrives")
    assert dict(pacs.taken) == {one.sop_instance: one.sha256 for one in (series[0], series[2])}
