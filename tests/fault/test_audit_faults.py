"""The audit when something dies or fills: kill -9 of sender and master, a full spool, a disk that cannot be written. Images go on."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from support import datasets, peers
from support.auditkit import audit_table, told
from support.bench import Bench
from support.processes import alive, free_port, until
from support.rsyslog import Rsyslog
from wardgate.audit.outbox import NAME, Outbox
from wardgate.codes import Code

pytestmark = pytest.mark.skipif(not peers.have("rsyslogd", "storescp", "storescu", "echoscu"), reason="rsyslog or DCMTK is not installed")


def peers_told(repository: Rsyslog) -> list[str]:
    return [told(line).object_name for line in repository.lines() if told(line).event == "110113"]


def say(outbox: Outbox, first: int, count: int) -> None:
    """Give events of so many peers, and wait until the sender has them on its disk."""
    for number in range(first, first + count):
        outbox.put(Code.CHAIN_UNTRUSTED, f"p{number}", {"at": f"p{number}:1"})
        if outbox.waiting > 400:
            assert outbox.wait(60)
    assert outbox.wait(60)


def _spooled(bench: Bench) -> int:
    """How many bytes the sender's spool has."""
    found = 0
    for path in (bench.folder / "audit").glob("wal-*"):
        with contextlib.suppress(FileNotFoundError):  # the oldest may go meanwhile
            found += path.stat().st_size
    return found


def wait_for(repository: Rsyslog, peer: str) -> None:
    """Wait until a message about this peer came."""
    until(lambda: f"<ParticipantObjectName>{peer}<" in "\n".join(repository.lines()), f"a message about {peer}")


def test_a_sender_killed_again_and_again_loses_nothing_that_it_had_kept(bench: Bench) -> None:
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        bench.plan.more = audit_table(bench.folder, bench.pki, [repository.port])
        bench.start()
        until(lambda: bench.box.audit_senders(), "the sender")
        outbox = Outbox(bench.plan.run_dir / NAME, "test")
        for turn in range(3):
            say(outbox, 100 * turn, 100)
            (pid,) = bench.box.audit_senders()
            os.kill(pid, signal.SIGKILL)
            until(lambda: bench.box.audit_senders() not in ([], [pid]), "another came")  # noqa: B023 - called in this turn
        say(outbox, 300, 10)
        wanted = {f"p{number}" for number in range(310)}
        until(lambda: wanted <= set(peers_told(repository)), "all are told")
        assert bench.box.codes().count("WG961") == 3
        order = list(dict.fromkeys(peers_told(repository)))
        assert order == sorted(order, key=lambda name: int(name[1:]))


def test_a_master_killed_leaves_its_spool_to_the_next_one(bench: Bench) -> None:
    """Workers of the old one finish; the sender of the new one takes the spool over."""
    bench.modality()
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        bench.plan.more = audit_table(bench.folder, bench.pki, [repository.port])
        bench.start()
        until(lambda: "1 delivered" in bench.box.status().stdout, "the start is delivered")
        repository.stop()
        say(Outbox(bench.plan.run_dir / NAME, "test"), 0, 5)
        old = [pid for pid in bench.box.family() if pid != bench.box.master]
        os.kill(bench.box.master, signal.SIGKILL)
        bench.box.start()
        assert bench.echo_back(certificate="pacs-other-ca").returncode != 0
        repository.start()
        repository.wait("WG318", 6)
        until(lambda: not any(alive(pid) for pid in old), "the old ones are gone")
        until(lambda: [told(line).types[0] for line in repository.lines()].count("110120") == 2, "the start of the next one")


def test_a_full_spool_drops_the_oldest_counts_them_and_says_so(bench: Bench) -> None:
    """For the repository that is away; the one that is there gets everything, and images pass."""
    bench.pacs()
    away = Rsyslog(bench.folder / "away", bench.pki, free_port())
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as there:
        bench.plan.more = audit_table(bench.folder, bench.pki, [away.port, there.port], spool_mebibytes=4)
        bench.start()
        until(lambda: bench.box.audit_senders(), "the sender")
        outbox = Outbox(bench.plan.run_dir / NAME, "test")
        count = 4000  # some 7 MiB
        for first in range(0, count, 500):
            say(outbox, first, 500)
            wait_for(there, f"p{first + 499}")
        assert _spooled(bench) <= 4 << 20
        until(lambda: "AUDIT LOST" in bench.box.status().stdout, "the status says so")
        bench.box.wait_code("AUDIT_DROPPED")
        one = datasets.generate(bench.folder / "in", 1, 64)
        assert bench.send(one).returncode == 0
        bench.assert_delivered(one)
        with away:
            away.wait("WG964")
            until(lambda: f"p{count - 1}" in peers_told(away), "the newest came")
            got = peers_told(away)
            alert = told(away.about("WG964")[0])
            assert (alert.types, alert.outcome, alert.object_name) == (["110133"], "12", "r0")
            assert "p0" not in got and len(got) < count
            assert len(set(peers_told(there))) >= count


def test_images_pass_while_the_spool_cannot_be_written(bench: Bench) -> None:
    """Its directory cannot be made: the sender dies again and again, the status says so, and what happens waits until it can."""
    bench.pacs()
    blocked = bench.folder / "audit"
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        bench.plan.more = audit_table(bench.folder, bench.pki, [repository.port])
        blocked.mkdir()
        bench.start()
        until(lambda: "1 delivered" in bench.box.status().stdout, "the start is delivered")
        (pid,) = bench.box.audit_senders()
        spool = bench.folder / "elsewhere"
        blocked.rename(spool)
        blocked.write_bytes(b"in the way")
        os.kill(pid, signal.SIGKILL)
        bench.box.wait_code("AUDIT_NOT_WRITTEN")
        one = datasets.generate(bench.folder / "in", 1, 64)
        assert bench.send(one).returncode == 0
        bench.assert_delivered(one)
        assert bench.echo_back(certificate="pacs-other-ca").returncode != 0
        until(lambda: "AUDIT: the audit sender does not answer; 1 events wait" in bench.box.status().stdout, "the status says so")
        blocked.unlink()
        spool.rename(blocked)
        repository.wait("WG318")
