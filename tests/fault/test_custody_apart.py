"""A custody writer with an account of its own: who may speak to it, whose word it takes; a gateway goes on when it goes and comes."""

from __future__ import annotations

import getpass
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import datasets, peers
from support.bench import MODALITY, PACS, Bench
from support.custody import ROOT, Study, WriterProcess, answers, connect
from support.processes import LOOPBACK, Program, unix_connection, until
from wardgate.custody.arguments import CONTROL
from wardgate.custody.client import ask
from wardgate.custody.wire import NO_ASSOCIATION, Op, encode_item

NOBODY = 65534
ASK = """
import socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.settimeout(60)
sock.connect(sys.argv[1])
try:
    sock.send(bytes.fromhex(sys.argv[2]))
    print(len(sock.recv(65536)))
except OSError:
    print(0)
"""
NEWS = {"event": "removed", "box": "ward", "token": "t", "serial": "", "users": "", "code": "WG704", "detail": ""}


def call(writer: WriterProcess) -> socket.socket:
    """Call as a master does."""
    made = unix_connection(Path(f"{writer.socket}{CONTROL}"), writer.process, kind=socket.SOCK_SEQPACKET)
    made.settimeout(60)
    return made


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[WriterProcess]:
    made = WriterProcess(tmp_path, "--control", f"{tmp_path}/custody.sock{CONTROL}", "--uids", f"{os.getuid()},7")
    yield made
    made.stop()


def test_it_takes_the_word_of_the_master_that_called_last_and_outlives_it(writer: WriterProcess) -> None:
    first = call(writer)
    second = call(writer)
    second.send(json.dumps({"do": "tokens", "out": None, "news": [[1, NEWS]]}).encode())
    assert json.loads(second.recv(4096)) == {"is": "tokens", "done": 1}
    assert first.recv(4096) == b"", "it was hung up"
    second.close()
    with call(writer) as third:  # another master, whose numbers begin again
        third.send(json.dumps({"do": "tokens", "out": None, "news": [[1, NEWS]]}).encode())
        assert json.loads(third.recv(4096)) == {"is": "tokens", "done": 1}
    assert len(writer.entries()) == 2 and writer.process.poll() is None


def test_a_worker_cannot_send_it_away(writer: WriterProcess) -> None:
    worker = connect(writer.socket)
    study = Study(worker)
    study.open()
    answers(worker, 1)
    ask(writer.socket, Op.YIELD, 10)
    study.store()
    assert len(answers(worker, 1)) == 1
    assert writer.process.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="another account needs root")
@pytest.mark.parametrize(("uid", "door", "served"), [(7, "", True), (NOBODY, "", False), (NOBODY, CONTROL, False)])
def test_the_kernel_says_who_calls_and_who_is_not_named_is_refused(writer: WriterProcess, uid: int, door: str, served: bool) -> None:
    connect(writer.socket).close()
    path = Path(f"{writer.socket}{door}")
    if door:
        call(writer).close()  # who may call it can
    assert path.stat().st_mode & 0o777 == 0o660, "its group's, whatever the directory says"
    path.chmod(0o666)
    for folder in (path.parent, *path.parent.parents):
        if folder == Path("/tmp") or folder == Path("/"):
            break
        folder.chmod(0o755)
    ping = encode_item(Op.PING, 1, NO_ASSOCIATION, 0, b"").hex()
    said = subprocess.run(
        ["/usr/bin/python3", "-c", ASK, str(path), ping], user=uid, group=uid, extra_groups=(), capture_output=True, text=True, timeout=30
    )
    assert (said.stdout.strip() not in ("", "0")) == served, said.stderr
    assert ("WG617" in writer.text()) != served, writer.text()


def test_it_says_when_it_is_ready_and_that_it_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        made = WriterProcess(tmp_path, "--control", f"{tmp_path}/c", "--uids", "7")
        try:
            assert manager.recv(4096).startswith(b"READY=1")
            assert (tmp_path / "c").exists(), "ready: the master can call"
            for _ in range(3):
                assert manager.recv(4096) == b"WATCHDOG=1"
        finally:
            made.stop()


def keep(bench: Bench) -> Program:
    """Start the writer as its unit does; it becomes another program under the same process id."""
    words = [sys.executable, "-m", "wardgate.custody.service", "--caller", getpass.getuser(), "-c", bench.folder / "wardgate.toml"]
    environment = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
    return bench.add(Program(words, bench.folder / "custody.log", environment))


@pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu"), reason="DCMTK is not installed")
def test_a_gateway_goes_on_with_a_writer_that_went_and_came_and_leaves_it_when_it_stops(bench: Bench) -> None:
    sockets = bench.folder / "w"
    sockets.mkdir()
    bench.plan.custody = {"socket": str(sockets / "custody.sock")}
    bench.plan.write()
    writer = keep(bench)
    bench.pacs("--fork", "-xcr", "sleep 0.05", "-xs")
    bench.start()
    assert not [pid for pid in bench.box.family() if b"wardgate.hold.writer" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    series = datasets.generate(bench.folder / "in", 40, 256)
    argv = ["storescu", "-v", "-R", "-aet", MODALITY, "-aec", PACS, LOOPBACK, str(bench.plan.listen), *(one.path for one in series)]
    sender = bench.add(Program(argv, bench.folder / "storescu.log"))
    until(lambda: "(Success)" in sender.log, "the study is under way")
    writer.signal(signal.SIGKILL)
    writer.wait()
    writer = keep(bench)
    assert sender.wait() == 0, sender.log[-500:] + bench.box.log[-3000:]
    assert sender.log.count("(Success)") == 40
    bench.box.wait_code("WRITER_DIED")
    bench.assert_delivered(series)
    bench.assert_log_verifies()
    assert f"custody writer {writer.pid}" in bench.box.status().stdout or str(writer.pid) in bench.box.status().stdout
    assert bench.box.program is not None
    bench.box.program.signal(signal.SIGTERM)
    assert bench.box.program.wait() == 0, bench.box.log[-2000:]
    assert writer.running(), "it is the service manager's"
    writer.signal(signal.SIGTERM)
    assert writer.wait() == 0, writer.log


def test_a_policy_without_the_word_has_no_such_writer(bench: Bench) -> None:
    bench.plan.write()
    assert keep(bench).wait() == 77
