"""An audit sender with an account of its own: who may speak to it, what ends it, and that nothing is lost when it goes and comes."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fault.test_audit_faults import peers_told, say
from fault.test_custody_apart import ASK, NOBODY
from support import datasets, peers
from support.auditkit import audit_table, told
from support.bench import Bench
from support.custody import ROOT
from support.processes import Program, free_port, until
from support.rsyslog import Rsyslog
from wardgate.audit.outbox import NAME, Outbox
from wardgate.custody.handover import Owner, take
from wardgate.hold.port import ask

pytestmark = pytest.mark.skipif(not peers.have("rsyslogd", "storescp", "storescu", "echoscu"), reason="rsyslog or DCMTK is not installed")


def door(bench: Bench) -> Path:
    return bench.folder / "a" / NAME


def apart(bench: Bench, ports: list[int], **words: object) -> None:
    """Write a policy with such a sender."""
    door(bench).parent.mkdir(exist_ok=True)
    bench.plan.more = audit_table(bench.folder, bench.pki, ports, **{"socket": str(door(bench)), **words})  # type: ignore[arg-type]
    bench.plan.write()


def keep(bench: Bench, **environment: str) -> Program:
    """Start the sender as its unit does; it becomes another program under the same process id."""
    words = [sys.executable, "-m", "wardgate.audit.service", "--caller", getpass.getuser(), "-c", bench.folder / "wardgate.toml"]
    path = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
    return bench.add(Program(words, bench.folder / "audit-sender.log", {**path, **environment}))


def answers(bench: Bench) -> bool:
    """Does it? Its door is there a moment before anybody listens behind it."""
    try:
        return bool(ask(str(door(bench)), {"do": "status"})["ok"])
    except OSError:
        return False


def status(bench: Bench) -> str:
    return bench.box.status().stdout


def test_a_gateway_has_a_sender_that_is_not_its_child_and_leaves_it_when_it_stops(bench: Bench) -> None:
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        apart(bench, [repository.port])
        sender = keep(bench)
        bench.start()
        assert bench.box.audit_senders() == []
        until(lambda: f"audit sender: pid {sender.pid}" in status(bench) and "1 delivered" in status(bench), "the start is delivered")
        assert "by an account of its own" in bench.box.check().stdout
        os.kill(bench.box.master, signal.SIGHUP)
        bench.box.wait_code("RELOADED")
        assert ask(str(door(bench)), {"do": "leave"})["ok"] is False
        bench.box.stop()
        until(lambda: [told(line).types[0] for line in repository.lines()].count("110121") == 1, "the stop is told")
        assert sender.running() and "WG961" not in bench.box.log, "the same policy serves: it stays"
        sender.signal(signal.SIGTERM)
        assert sender.wait() == 0, sender.log


def test_nothing_is_lost_when_it_is_killed_or_away_and_images_pass(bench: Bench) -> None:
    bench.pacs()
    bench.modality()
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        apart(bench, [repository.port])
        sender = keep(bench)
        bench.start()
        until(lambda: f"audit sender: pid {sender.pid}" in status(bench), "the master knows its sender")
        outbox = Outbox(door(bench), "test")
        say(outbox, 0, 100)
        sender.signal(signal.SIGKILL)
        sender.wait()
        bench.box.wait_code("AUDIT_SENDER_DIED")
        assert bench.echo_back(certificate="pacs-other-ca").returncode != 0
        until(lambda: "AUDIT: the audit sender does not answer; " in status(bench), "the status says so")
        one = datasets.generate(bench.folder / "in", 1, 64)
        assert bench.send(one).returncode == 0
        bench.assert_delivered(one)
        keep(bench)
        repository.wait("WG318")
        until(lambda: {f"p{number}" for number in range(100)} <= set(peers_told(repository)), "all are told")
        until(lambda: "AUDIT" not in status(bench), "it is well again")


def test_what_the_gateway_had_spooled_is_sent_after_the_spool_was_handed_over(bench: Bench) -> None:
    repository = Rsyslog(bench.folder / "arr", bench.pki, free_port())
    bench.plan.more = audit_table(bench.folder, bench.pki, [repository.port])
    bench.start()
    until(lambda: bench.box.audit_senders(), "the sender")
    say(Outbox(bench.plan.run_dir / NAME, "test"), 0, 30)
    bench.box.stop()
    here = Owner(os.getuid(), os.getgid())
    (bench.folder / "vault").mkdir()
    assert take(bench.folder / "audit", bench.folder / "vault/spool", here, here)
    with repository:
        apart(bench, [repository.port], spool=str(bench.folder / "vault/spool"))
        keep(bench)
        bench.box.start()
        until(lambda: peers_told(repository)[:30] == [f"p{number}" for number in range(30)], "all are told in order")
        assert not (bench.folder / "audit").exists()


def test_it_is_started_anew_with_another_policy_and_not_for_the_same(bench: Bench) -> None:
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        apart(bench, [repository.port])
        sender = keep(bench)
        bench.start()
        until(lambda: "1 delivered" in status(bench), "the start is delivered")
        for _ in range(3):
            assert ask(str(door(bench)), {"do": "policy"}) == {"ok": True, "leaves": False}
        apart(bench, [repository.port], site_id="Ward 9")
        os.kill(bench.box.master, signal.SIGHUP)
        assert sender.wait() == 0, sender.log
        keep(bench)
        bench.box.wait_code("RELOADED")
        until(lambda: "audit: " in (text := status(bench)) and "<- not connected" not in text, "another serves")
        say(Outbox(door(bench), "test"), 0, 1)
        until(lambda: any("Ward 9" in line for line in repository.lines()), "by the new policy")
        assert "WG961" not in bench.box.log


@pytest.mark.skipif(os.geteuid() != 0, reason="another account needs root")
def test_the_kernel_says_who_calls_and_who_is_not_named_is_refused(bench: Bench) -> None:
    apart(bench, [free_port()])
    sender = keep(bench)
    until(lambda: answers(bench), "the door")
    assert door(bench).stat().st_mode & 0o777 == 0o660, "its group's, whatever the directory says"
    assert ask(str(door(bench)), {"do": "status"})["ok"]
    door(bench).chmod(0o666)
    for folder in (door(bench).parent, *door(bench).parent.parents):
        if folder in (Path("/tmp"), Path("/")):
            break
        folder.chmod(0o755)
    words = ["/usr/bin/python3", "-c", ASK, str(door(bench)), b'{"do":"status"}'.hex()]
    said = subprocess.run(words, user=NOBODY, group=NOBODY, extra_groups=(), capture_output=True, text=True, timeout=60)
    assert said.stdout.strip() == "0" and "WG970" in sender.log and f"user {NOBODY}" in sender.log


def test_a_repository_of_b13_is_reached_too(bench: Bench) -> None:
    """What the profile needs of OpenSSL must be there before the process begins."""
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        apart(bench, [repository.port])
        bench.plan.more = bench.plan.more.replace('"B.12"', '"B.13"')
        bench.plan.write()
        sender = keep(bench)
        until(lambda: answers(bench), "the door")
        say(Outbox(door(bench), "test"), 0, 1)
        until(lambda: peers_told(repository) == ["p0"], "it is told")
        assert b"OPENSSL_CONF=/proc/self/fd/" in Path(f"/proc/{sender.pid}/environ").read_bytes()


@pytest.mark.parametrize(("micros", "asked"), [("600000", []), ("300000000", [b"WATCHDOG_USEC=60000000"])])
def test_it_says_that_it_serves_and_is_alive_and_then_wants_no_more_patience_than_others(
    bench: Bench, micros: str, asked: list[bytes]
) -> None:
    apart(bench, [free_port()])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(bench.folder / "notify"))
        manager.settimeout(60)
        keep(bench, NOTIFY_SOCKET=str(bench.folder / "notify"), WATCHDOG_USEC=micros)
        said = [manager.recv(4096) for _ in range(len(asked) + 2)]
        assert said == [*asked, b"STATUS=serves", b"WATCHDOG=1"]


def test_a_policy_without_the_word_has_no_such_sender(bench: Bench) -> None:
    bench.plan.more = audit_table(bench.folder, bench.pki, [free_port()])
    bench.plan.write()
    assert keep(bench).wait() == 77
