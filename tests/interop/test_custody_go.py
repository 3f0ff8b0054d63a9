"""The custody log checked by the Go project's transparency log packages (Debian: golang-go, golang-golang-x-mod-dev)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from support.custody import ROOT, Study, WriterProcess, answers, connect
from wardgate.custody.client import CustodyClient, ask
from wardgate.custody.wire import Op

_PACKAGES = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog")


@pytest.fixture(scope="module")
def golog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the checker."""
    if shutil.which("go") is None or not _PACKAGES.is_dir():
        pytest.skip("needs the Debian packages golang-go and golang-golang-x-mod-dev")
    place = tmp_path_factory.mktemp("golog")
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(place / "cache"), "GOFLAGS": ""}
    source = ROOT / "tests/interop/golog/main.go"
    subprocess.run(["go", "build", "-o", place / "golog", source], env=environment, check=True, timeout=250)
    return place / "golog"


def grow(client: CustodyClient, count: int) -> None:
    """Add one association with `count` stores."""
    study = Study(client)
    study.open(1_000_000)
    answers(client, 1)
    for _ in range(count):
        study.store()
    answers(client, count)
    study.close()
    answers(client, 1)


def wait_signed(writer: WriterProcess, size: int) -> None:
    """Wait until the checkpoint covers `size` records."""
    deadline = time.monotonic() + 60
    while json.loads(ask(writer.socket, Op.STAT, 60))["signed"] != size:
        assert time.monotonic() < deadline, writer.text()
        time.sleep(0.05)


def test_go_checks_checkpoint_tiles_inclusion_and_consistency_and_finds_a_changed_entry(tmp_path: Path, golog: Path) -> None:
    writer = WriterProcess(tmp_path, "--checkpoint-seconds", "0.2")
    client = connect(writer.socket)
    heads = []
    total = 0
    for count in (1, 252, 1, 260):  # sizes 3, 257, 260, 522: partial, full with a bit of the next, two tile rows
        grow(client, count)
        total += count + 2
        wait_signed(writer, total)
        old = tmp_path / f"checkpoint-{total}"
        old.write_bytes((writer.log / "checkpoint").read_bytes())
        heads.append(old)
    client.close()
    assert writer.stop() == 0
    for old in heads:
        done = subprocess.run([golog, writer.log, writer.log / "vkey", old], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert f"included {total} of {total}" in done.stdout
    bundle = writer.log / "tile/entries/000"
    data = bundle.read_bytes()
    bundle.write_bytes(data.replace(b'"status":"0000"', b'"status":"0001"', 1))
    done = subprocess.run([golog, writer.log, writer.log / "vkey"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "entry" in done.stderr
    assert writer.findings().errors
