"""Workers and writers that go and come: who reclaims what, and what is written when nobody does."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from support.custody import ORIGIN, ROOT, Study, WriterProcess, answers, connect, drain, make_key, reconnect
from support.processes import until
from wardgate.custody import wire
from wardgate.custody.client import ask
from wardgate.custody.parse import Record, parse_record
from wardgate.custody.record import Flow, Quality
from wardgate.custody.wire import Op, Status


def closes(writer: WriterProcess) -> dict[str, Record]:
    """Return the close record of each association."""
    return {record.association: record for record in map(parse_record, writer.entries()) if record.type == "close"}


def wait_for(writer: WriterProcess, count: int) -> None:
    """Wait until the log has so many records."""
    until(lambda: len(writer.entries()) >= count, f"{count} records: {writer.text()}")


def test_a_writer_that_can_be_reached_can_be_told_to_go(tmp_path: Path) -> None:
    """Between its first connection and its first turn a SIGTERM must not be what ends a process that has no handler."""
    make_key(tmp_path / "custody.pem")
    spy = """
import signal, sys
from wardgate.custody import writer
def listening(path, backlog, mode):
    print(callable(signal.getsignal(signal.SIGTERM)))
    sys.exit()
writer.listening = listening
writer.main(sys.argv[1:])
"""
    words = ["--log", str(tmp_path / "log"), "--socket", str(tmp_path / "s"), "--origin", ORIGIN, "--key", str(tmp_path / "custody.pem")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
    said = subprocess.run([sys.executable, "-c", spy, *words], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"


def test_entries_of_a_lost_worker_are_closed_as_unknown_and_those_of_others_stay(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    dying, living = connect(writer.socket, "w1"), connect(writer.socket, "w2")
    lost, kept = Study(dying), Study(living)
    lost.open()
    lost.store()
    last = max(index for _, index in answers(dying, 2).values())
    kept.open()
    answers(living, 1)
    dying.close()
    wait_for(writer, 4)
    record = closes(writer)[lost.id]
    assert (record.text("outcome"), record.number("after"), record.number("stores")) == ("unknown", last, 1)
    kept.store()
    kept.close()
    assert {status for status, _ in answers(living, 2).values()} == {Status.OK}
    assert closes(writer)[kept.id].text("outcome") == "complete"
    living.close()
    assert writer.stop() == 0
    assert not writer.findings().errors


def test_new_writer_takes_over_from_one_that_serves_and_the_worker_goes_on(tmp_path: Path) -> None:
    old = WriterProcess(tmp_path)
    client = connect(old.socket)
    study = Study(client)
    study.open()
    first = study.store()
    index = answers(client, 2)[first][1]
    new = WriterProcess(tmp_path)
    assert old.process.wait(60) == 0
    second = study.store()
    assert drain(client) == []
    reconnect(client)
    assert answers(client, 1)[second] == (Status.OK, index + 1)
    study.close()
    answers(client, 1)
    client.close()
    assert new.stop() == 0
    assert not new.findings().errors and not new.findings().notes, new.text()


def test_item_sent_again_after_a_restart_gets_its_old_index(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    requests = [study.store(), study.store(), study.close()]
    told = answers(client, 4)
    writer.kill()
    client.close()
    writer = WriterProcess(tmp_path)
    again = connect(writer.socket)
    for seq, old in enumerate(requests, 1):
        op, record = (Op.CLOSE, study.scope.close(0, *closing())) if seq == 3 else (Op.STORE, study.store_record(seq))
        request = again.add(op, study.scope.association, seq, record)
        assert answers(again, 1)[request] == told[old]
    assert len(writer.entries()) == 4
    again.close()
    assert writer.stop() == 0


def closing() -> tuple[object, ...]:
    """Return the rest of a close."""
    from wardgate.custody.record import Quality

    return Quality.UNKNOWN, 2, "released"


def test_item_of_an_open_association_sent_again_is_not_written_twice(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    requests = [study.store(), study.store()]
    told = answers(client, 3)
    again = [client.add(Op.STORE, study.scope.association, seq, study.store_record(seq)) for seq in (1, 2)]
    found = answers(client, 2)
    assert [found[request] for request in again] == [told[request] for request in requests]
    assert len(writer.entries()) == 3
    client.close()
    assert writer.stop() == 0


def test_store_of_a_lost_worker_keeps_its_index_after_a_restart(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    stored = study.store()
    index = answers(client, 2)[stored][1]
    client.close()
    wait_for(writer, 3)
    writer.kill()
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    again = client.add(Op.STORE, study.scope.association, 1, study.store_record(1))
    assert answers(client, 1)[again] == (Status.OK, index)
    client.close()
    assert writer.stop() == 0


def test_entries_that_no_worker_reclaims_are_closed_as_unknown(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    reclaimed, forgotten = Study(client), Study(client)
    reclaimed.open()
    forgotten.open()
    answers(client, 2)
    writer.kill()
    client._open.discard(forgotten.scope.association)
    writer = WriterProcess(tmp_path, "--reclaim-seconds", "6")  # on a busy machine it takes seconds to come back
    reconnect(client)
    wait_for(writer, 3)
    assert set(closes(writer)) == {forgotten.id}
    assert closes(writer)[forgotten.id].text("ended") == "writer-restarted"
    late = client.add(Op.STORE, forgotten.scope.association, 1, forgotten.store_record(1))
    reclaimed.close()
    assert answers(client, 2)[late] == (Status.REFUSED, wire.NO_INDEX)
    client.close()
    assert writer.stop() == 0
    assert not writer.findings().errors


def test_a_writer_that_starts_again_counts_no_commitment_as_a_store(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    study.store()
    said = study.scope.commitment(time.time_ns(), Quality.UNKNOWN, 2, "1.2.77", "1.2", "1.2.1", -1, Flow.REQUESTOR)
    client.add(Op.STORE, study.scope.association, 2, said)
    answers(client, 3)
    writer.kill()
    client.close()
    writer = WriterProcess(tmp_path, "--fresh")
    wait_for(writer, 4)
    assert closes(writer)[study.id].number("stores") == 1
    assert writer.stop() == 0


def test_fresh_writer_closes_open_entries_at_once(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    answers(client, 1)
    writer.kill()
    client.close()
    writer = WriterProcess(tmp_path, "--fresh")
    wait_for(writer, 2)
    assert set(closes(writer)) == {study.id}
    assert writer.stop() == 0


def test_writer_signs_and_goes_when_the_master_died_and_the_last_worker_left(tmp_path: Path) -> None:
    ours, its = socket.socketpair()
    writer = WriterProcess(tmp_path, "--control-fd", str(its.fileno()), pass_fds=(its.fileno(),))
    its.close()
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    answers(client, 1)
    ours.close()
    study.store()
    study.close()
    assert {status for status, _ in answers(client, 2).values()} == {Status.OK}  # it serves as long as it is needed
    client.close()
    assert writer.process.wait(60) == 0
    assert any("3 records signed" in fact for fact in writer.findings().facts)


def test_stat_tells_durable_and_signed_apart(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path, "--checkpoint-seconds", "600")
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    answers(client, 1)
    report = json.loads(ask(writer.socket, Op.STAT, 60))
    assert (report["durable"], report["signed"], report["open_entries"], report["workers"]) == (1, 0, 1, 1)
    client.close()
    assert writer.stop() == 0


def test_checkpoint_comes_by_time_while_the_writer_serves(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path, "--checkpoint-seconds", "0.3")
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    answers(client, 1)
    until(lambda: json.loads(ask(writer.socket, Op.STAT, 60))["signed"] == 1, "it is signed")
    client.close()
    assert writer.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_process_of_another_user_is_turned_away(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    connect(writer.socket).close()
    os.chmod(writer.socket, 0o777)
    for place in (tmp_path, *tmp_path.parents):
        if place != Path("/") and place != Path("/tmp"):
            os.chmod(place, os.stat(place).st_mode | 0o011)
    code = (
        "import os,socket,sys; os.setgid(65534); os.setuid(65534); s=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET);"
        "s.connect(sys.argv[1]); s.settimeout(60)\ntry: sys.exit(len(s.recv(100)))\nexcept ConnectionError: sys.exit(0)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(writer.socket)], cwd=ROOT, timeout=60).returncode == 0
    assert writer.stop() == 0
    assert "WG617" in writer.text()


def test_malformed_packet_drops_only_its_sender(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    good = connect(writer.socket)
    study = Study(good)
    study.open()
    answers(good, 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as bad:
        bad.connect(str(writer.socket))
        bad.settimeout(60)
        bad.send(b"\x03" + bytes(28) + b"\xff" * 7)
        while bad.recv(65536):
            pass
    study.store()
    study.close()
    assert {status for status, _ in answers(good, 2).values()} == {Status.OK}
    good.close()
    assert writer.stop() == 0


def answers_that_fit() -> int:
    """Return how many answers wait in a socket that nobody reads."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    count = 0
    with ours, theirs, contextlib.suppress(BlockingIOError):
        while True:
            ours.send(wire.ANSWERS_KIND + bytes(wire.ANSWER.size))
            count += 1
    return count


def say_without_listening(fd: int, count: int) -> None:
    """Send so many questions, each a packet of its own, that are answered at once."""
    with socket.socket(fileno=os.dup(fd)) as line:
        for _ in range(count):
            while True:
                with contextlib.suppress(BlockingIOError):
                    line.send(wire.encode_item(Op.PING, 1, wire.NO_ASSOCIATION, 0, b""))
                    break
                time.sleep(0.001)
        while fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)) != bytes(4):  # until all were taken
            time.sleep(0.001)


def test_a_worker_that_dies_while_its_answers_wait_does_not_end_the_writer(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    deaf, other = connect(writer.socket, "deaf"), connect(writer.socket, "other")
    lost = Study(deaf)
    lost.open()
    answers(deaf, 1)
    say_without_listening(deaf.fileno(), answers_that_fit() + 20)
    study = Study(other)
    study.open()
    answers(other, 1)  # the turn of the last question is over too
    deaf.close()  # room to write and the end of the connection are told as one event
    study.close()
    assert {status for status, _ in answers(other, 1).values()} == {Status.OK}, writer.text()
    wait_for(writer, 4)
    assert closes(writer)[lost.id].text("ended") == "worker-lost"
    other.close()
    assert writer.stop() == 0, writer.text()
