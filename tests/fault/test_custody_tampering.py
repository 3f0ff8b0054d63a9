"""A log that someone changed, and proofs that someone bent: `wardtool custody` says so."""

from __future__ import annotations

import hashlib
import shutil
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from support.custody import Study, WriterProcess, answers, connect, make_key
from support.logmaker import put
from support.processes import until
from wardgate.custody import wire
from wardgate.custody.note import key_from_spki
from wardgate.custody.record import Flow, Outcome, Quality
from wardgate.custody.tiles import TileBuilder, decode_bundle, encode_entry
from wardgate.custody.wire import Op
from wardgate.signer import FileSigner
from wardtools.custody import main
from wardtools.logdir import LogDirectory

DATA_SET = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192" + bytes(range(256)) * 10


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 306 records, signed, and two more that are durable only. Its last instance is `DATA_SET`."""
    place = tmp_path_factory.mktemp("made")
    writer = WriterProcess(place)
    client = connect(writer.socket)
    study = Study(client)
    study.open(1_000_000)
    for _ in range(303):
        study.store()
    study.seq += 1
    digest = [("sha256", "dataset", hashlib.sha256(DATA_SET).hexdigest())]
    made_at = time.time_ns()
    record = study.scope.store(
        made_at, Quality.UNKNOWN, 304, "1.2", "1.2.3.4.5", "1.2.840.10008.1.2.1", len(DATA_SET), digest, 0, Outcome.STATUS, Flow.ACCEPTOR
    )  # fmt: skip
    client.add(Op.STORE, study.scope.association, 304, record)
    study.close()
    answers(client, 306)
    client.close()
    assert writer.stop() == 0
    writer = WriterProcess(place)
    client = connect(writer.socket)
    study = Study(client)
    study.open()
    study.store()
    answers(client, 2)
    writer.kill()
    return place


@pytest.fixture
def log(made: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    shutil.copytree(made / "log", tmp_path / "log")
    return tmp_path / "log"


def check(log: Path) -> int:
    """wardtool custody verify."""
    return main(["verify", str(log), "--key", str(log / "vkey")])


def test_untouched_log_is_verified_and_durable_records_are_told_apart(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(log) == 0
    said = capsys.readouterr().out
    assert "306 records signed" in said and "308 records durable, of which 2 are not yet signed" in said and "is open since" in said
    assert main(["show", str(log)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 310


def rewrite(log: Path, path: str, change: Callable[[bytes], bytes]) -> None:
    """Change one file of a log."""
    before = (log / path).read_bytes()
    after = change(before)
    assert before != after
    (log / path).write_bytes(after)


def without_record_5(data: bytes) -> bytes:
    """A bundle whose sixth entry is a copy of its fifth."""
    entries = decode_bundle(data, 256)
    return b"".join(map(encode_entry, [*entries[:5], entries[4], *entries[6:]]))


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("tile/entries/000", lambda data: data.replace(b'"status":"0000"', b'"status":"A700"', 1)),
        ("tile/entries/000", without_record_5),
        ("tile/entries/001.p/50", lambda data: data[:-1]),
        ("tile/0/000", lambda data: data[32:64] + data[:32] + data[64:]),
        ("tile/0/001.p/50", lambda data: data[:-1] + bytes((data[-1] ^ 1,))),
        ("tile/1/000.p/1", lambda data: bytes(32)),
        ("checkpoint", lambda data: data.replace(b"\n306\n", b"\n305\n")),
        ("checkpoint", lambda data: data[:-10] + b"AAAAAAA==\n"),
        ("vkey", lambda data: data.replace(b"ward.example/custody+", b"bard.example/custody+")),
    ],
)
def test_any_change_to_the_log_is_found(log: Path, path: str, change: Callable[[bytes], bytes]) -> None:
    rewrite(log, path, change)
    assert check(log) != 0


@pytest.mark.parametrize("path", ["tile/entries/000", "tile/entries/001.p/50", "tile/0/001.p/50", "tile/1/000.p/1"])
def test_missing_tile_is_found(log: Path, path: str) -> None:
    (log / path).unlink()
    assert check(log) != 0


def test_key_of_another_log_does_not_verify_it(log: Path, tmp_path: Path) -> None:
    other = key_from_spki("ward.example/custody", FileSigner(make_key(tmp_path / "k.pem")).public_key())
    (tmp_path / "other.vkey").write_text(other.text + "\n")
    assert main(["verify", str(log), "--key", str(tmp_path / "other.vkey")]) == 6


def test_proof_of_an_instance_holds_without_the_log_and_with_its_file(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_bytes((log / "vkey").read_bytes())
    assert main(["prove", str(log), "--key", str(key), "--instance", "1.2.3.4.5"]) == 0
    proof = tmp_path / "x.tlog-proof"
    proof.write_text(capsys.readouterr().out)
    meta = b"\x02\x00\x00\x00UL\x04\x00\x0e\x00\x00\x00" + b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"
    good, bad = tmp_path / "good.dcm", tmp_path / "bad.dcm"
    good.write_bytes(bytes(128) + b"DICM" + meta + DATA_SET)
    bad.write_bytes(bytes(128) + b"DICM" + meta + DATA_SET[:-1] + b"!")
    shutil.rmtree(log)
    assert main(["check-proof", str(proof), "--key", str(key), "--dicom", str(good)]) == 0
    assert main(["check-proof", str(proof), "--key", str(key), "--dicom", str(bad)]) == 10
    lines = proof.read_text().split("\n")
    entry = b64decode(lines[1].removeprefix("extra "))
    forged = "extra " + b64encode(entry.replace(b'"status":"0000"', b'"status":"A700"')).decode()
    for place, line in ((1, forged), (2, "index 3"), (3, b64encode(bytes(32)).decode()), (0, "c2sp.org/tlog-proof@v2")):
        proof.write_text("\n".join([*lines[:place], line, *lines[place + 1 :]]))
        assert main(["check-proof", str(proof), "--key", str(key)]) == 1


def test_record_that_is_not_yet_signed_has_no_proof(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", str(log), "--key", str(log / "vkey"), "--index", "306"]) == 1
    assert "durable but not yet signed" in capsys.readouterr().err


def test_writer_that_finds_tiles_changed_signs_nothing_more(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "log", tmp_path / "log")
    shutil.copy(made / "custody.pem", tmp_path)
    rewrite(tmp_path / "log", "tile/0/001.p/50", lambda data: data[:-1] + bytes((data[-1] ^ 1,)))
    before = (tmp_path / "log/checkpoint").read_bytes()
    assert "WG613" in refuses(tmp_path)
    assert (tmp_path / "log/checkpoint").read_bytes() == before


def refuses(place: Path) -> str:
    """Have a writer begin something on this log, which it is to sign soon; return its log lines, once it has refused or signed."""
    before = (place / "log/checkpoint").read_bytes()
    writer = WriterProcess(place, "--checkpoint-seconds", "0.1", "--fresh")
    client = connect(writer.socket)
    request = Study(client).open()
    assert answers(client, 1)[request][0] is wire.Status.OK
    until(lambda: "WG613" in writer.text() or (place / "log/checkpoint").read_bytes() != before, "it signs, or says why not")
    client.close()
    writer.stop()
    return writer.text()


def make_again(log: Path, entries: list[bytes]) -> None:
    """Write a whole other history with tiles that fit, and its root into the checkpoint, without the key."""
    builder = TileBuilder()
    for entry in entries:
        put(log, builder.append(entry))
    put(log, builder.partial())
    lines = (log / "checkpoint").read_text().split("\n")
    lines[1:3] = [str(len(entries)), b64encode(builder.root()).decode()]
    (log / "checkpoint").write_text("\n".join(lines))


def test_a_history_made_again_without_the_key_is_not_signed_by_the_writer(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "log", tmp_path / "log")
    shutil.copy(made / "custody.pem", tmp_path)
    log = LogDirectory(tmp_path / "log")
    entries = [entry for _, entry in log.records(log.view(), 0)][:306]
    make_again(tmp_path / "log", [entry.replace(b'"length":524288', b'"length":524289') for entry in entries])
    before = (tmp_path / "log/checkpoint").read_bytes()
    said = refuses(tmp_path)
    assert (tmp_path / "log/checkpoint").read_bytes() == before
    assert "the checkpoint is not one that" in said
    assert check(tmp_path / "log") == 1


def test_writer_with_another_key_refuses_the_log(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "log", tmp_path / "log")
    writer = WriterProcess(tmp_path)
    assert writer.process.wait(60) == 4
    assert "the log belongs to the key" in writer.text()


def test_live_log_is_verified_while_the_writer_works(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path, "--checkpoint-records", "40")
    client = connect(writer.socket)
    study = Study(client)
    study.open(10_000_000)
    answers(client, 1)
    for _ in range(25):
        for _ in range(40):
            study.store()
        client.flush()
        findings = writer.findings()
        assert not findings.errors, findings.errors
    answers(client, 1000)
    client.close()
    assert writer.stop() == 0
