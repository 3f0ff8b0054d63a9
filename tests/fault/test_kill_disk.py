"""A full disk under the custody log: nothing new is begun, what was begun is finished, and room heals it without a restart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support import datasets, peers, wire
from support.bench import MODALITY, PACS, Bench
from support.processes import run, until

pytestmark = [
    pytest.mark.skipif(not peers.have("storescp", "storescu", "unshare"), reason="DCMTK or unshare is not installed"),
    pytest.mark.skipif(run(["unshare", "-m", "true"]).returncode != 0, reason="no mount namespace can be made here (not root)"),
]

MEBIBYTES = 24


@pytest.fixture
def small_disk(bench: Bench) -> Path:
    """A box whose custody log is on a small tmpfs in a mount namespace of its own; the tmpfs as seen from outside."""
    log_dir = bench.plan.log_dir
    log_dir.mkdir()
    bench.pacs()
    from support.gateway import Gateway

    bench._box = Gateway(bench.plan)
    mount = f"mount -t tmpfs -o size={MEBIBYTES}m none {log_dir} && exec " + '"$@"'
    bench.box.start(("unshare", "-m", "sh", "-c", mount, "sh"))
    return Path(f"/proc/{bench.box.master}/root{log_dir}")


def test_without_log_space_an_association_is_rejected_and_room_heals_it(bench: Bench, small_disk: Path) -> None:
    one = datasets.generate(bench.folder / "in", 1, 64)
    assert bench.send(one, "-R").returncode == 0, bench.box.log
    filler = _fill(small_disk)
    with wire.dial(bench.plan.listen) as client:
        client.send(wire.associate_rq(MODALITY, PACS))
        kind, body = client.read()
        # PS3.8 9.3.4: rejected-transient, presentation service provider, local limit exceeded.
        assert (kind, body[1:4]) == (wire.ASSOCIATE_RJ, bytes((2, 3, 2)))
    bench.box.wait_code("CUSTODY_REFUSED")
    filler.unlink()
    until(lambda: bench.echo().returncode == 0, "the box works again once there is room")
    again = datasets.generate(bench.folder / "again", 2, 64, study=3)
    assert bench.send(again, "-R").returncode == 0, bench.box.log


def test_a_disk_that_fills_in_mid_study_loses_nothing_acknowledged(bench: Bench, small_disk: Path) -> None:
    series = datasets.generate(bench.folder / "in", 40, 64)
    acknowledged = []
    with wire.dial(bench.plan.listen) as client:
        client.associate()
        filler = None
        for number, one in enumerate(series):
            if number == 10:
                filler = _fill(small_disk)
            client.send(*wire.store_pdus(one, message=number + 1))
            kind, body = client.read()
            if kind != wire.P_DATA:
                break
            if wire.status_of(body) == 0:
                acknowledged.append(one)
            else:
                assert wire.status_of(body) == 0xA700
    assert len(acknowledged) >= 10
    assert filler is not None
    filler.unlink()
    from support.ondisk import stores

    recorded = {record["sop_instance"] for record in stores(small_disk)}
    assert {one.sop_instance for one in acknowledged} <= recorded
    arrived = datasets.samples(bench.folder / "pacs")
    assert set(arrived) <= recorded, "what left the box has its record, acknowledged or not"
    until(lambda: bench.echo().returncode == 0, "the box works again once there is room")


def _fill(disk: Path) -> Path:
    """Fill the disk to the last byte; return the file that does it."""
    filler = disk.parent / disk.name / "filler.bin"

    def full() -> bool:  # what the log is done with goes meanwhile
        with open(filler, "ab", buffering=0) as out:
            for size in (1 << 20, 4096, 512, 1):
                try:
                    while True:
                        out.write(bytes(size))
                except OSError:
                    continue
        return os.statvfs(disk).f_bavail == 0

    until(full, "the disk is full")
    return filler
