"""What an auditor is told about single records, files and witnesses when the log in hand is not what was signed, or words are wrong."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from support.custody import ORIGIN
from support.logmaker import MadeLog, make_log
from wardgate.custody import frames
from wardgate.custody.event import event_record, tombstone_record
from wardgate.custody.frames import Kind
from wardgate.custody.record import Flow, Leg, Outcome, Quality, Scope, TokenEvent, TokenNews, token_record
from wardgate.custody.state import State
from wardgate.custody.tiles import tile_path
from wardgate.custody.wal import wal_path
from wardtools.custody import main
from wardtools.witness.main import main as witness

UID = "1.2.826.0.1.3680043.8.1055.9"
DATA_SET = b"\x08\x00\x16\x00UI\x08\x001.2.840\0" + bytes(200)
COUNT = 6


def dicom(path: Path, data_set: bytes = DATA_SET) -> Path:
    """Write a DICOM file (PS3.10 7.1) of `UID` around a data set."""
    value = UID.encode() + b"\0" * (len(UID) % 2)
    meta = b"\x02\x00\x03\x00UI" + len(value).to_bytes(2, "little") + value + b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    path.write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00" + len(meta).to_bytes(4, "little") + meta + data_set)
    return path


class Association:
    """Makes the records of one association."""

    def __init__(self) -> None:
        leg = Leg("CT1", "192.0.2.10:4242")
        self.scope = Scope("ward", "ct1", "to-hospital", uuid.uuid4().bytes, leg, Leg("PACS", "198.51.100.5:2762"))
        self._now, self._seq = time.time_ns(), 0

    def store(self, status: int = 0, uid: str = UID, data_set: bytes = DATA_SET) -> bytes:
        """Return the next store record."""
        self._seq += 1
        digest = [("sha256", "dataset", hashlib.sha256(data_set).hexdigest())]
        common = ("1.2.840.10008.5.1.4.1.1.2", uid, "1.2.840.10008.1.2.1", len(data_set), digest)
        return self.scope.store(self._now, Quality.SYNCHRONISED, self._seq, *common, status, Outcome.STATUS, Flow.ACCEPTOR)

    def open(self) -> bytes:
        """Return its open record."""
        return self.scope.open(self._now, Quality.SYNCHRONISED)

    def close(self) -> bytes:
        """Return its close record."""
        return self.scope.close(self._now, Quality.SYNCHRONISED, self._seq, "released")


@pytest.fixture
def made(tmp_path: Path) -> MadeLog:
    """A signed log in which `UID` was stored twice, refused at last."""
    one = Association()
    entries = [one.open(), one.store(), one.store(uid="1.2.3"), one.store(uid="1.2.4"), one.store(0xA700), one.close()]
    return make_log(tmp_path / "log", COUNT, entries=entries)


def alter(log: Path, old: bytes, new: bytes) -> None:
    """Change an entry where it lies."""
    path = log / tile_path(None, 0, COUNT)
    data = path.read_bytes()
    assert data.count(old) == 1 and len(old) == len(new)
    path.write_bytes(data.replace(old, new))


def run(made: MadeLog, command: str, *more: str | Path) -> int:
    """Run one of `wardtool custody` on the log with its key."""
    return main([command, str(made.path), *map(str, more), "--key", str(made.path / "vkey")])


def test_a_changed_record_is_not_shown_as_signed(made: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(made, "show", UID) == 0
    assert "NOT" not in capsys.readouterr().out
    alter(made.path, b'"status":"A700"', b'"status":"0000"')
    assert run(made, "show", UID) == 1
    text = capsys.readouterr().out
    assert "record 1, signed" in text and "record 4, NOT AS IT WAS SIGNED" in text, text
    report = tmp_path / "report.html"
    assert run(made, "show", UID, "--report", report) == 1
    page = report.read_text()
    assert "record 1 is under the signed checkpoint" in page and 'record 4, <span class="bad">NOT AS IT WAS SIGNED</span>' in page
    assert "record 4 is under" not in page


def test_show_without_a_key_says_that_nothing_was_checked(made: MadeLog, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(made.path), UID]) == 0
    assert "without --key" in capsys.readouterr().out


def test_a_file_is_not_called_other_by_a_record_that_was_changed(made: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = hashlib.sha256(DATA_SET).hexdigest().encode()
    path = made.path / tile_path(None, 0, COUNT)
    path.write_bytes(path.read_bytes().replace(digest, hashlib.sha256(b"forged").hexdigest().encode()))
    assert run(made, "verify", "--dicom", dicom(tmp_path / "x.dcm")) == 1
    assert "is not the one that was signed" in capsys.readouterr().err


def test_a_file_whose_record_may_have_been_taken_away_is_not_just_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = Association()
    entries = [one.open(), one.store(), *(one.store(uid=f"1.2.{n}") for n in range(3, 300)), one.close()]
    made = make_log(tmp_path / "log", len(entries), entries=entries)
    (made.path / tile_path(None, 0)).unlink()
    assert run(made, "verify", "--dicom", dicom(tmp_path / "x.dcm")) == 11
    assert "256 records are not in this directory" in capsys.readouterr().out


def test_a_file_known_by_an_unsigned_record_alone_is_told_so(made: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    late = Association()
    other = DATA_SET + b"late"
    head = frames.encode(0, COUNT, Kind.STATE, bytes(16), 0, State(COUNT).encode())
    begun = frames.encode(0, COUNT, Kind.OPEN, late.scope.association, 0, bytes(4) + late.open())
    stored = frames.encode(0, COUNT + 1, Kind.STORE, late.scope.association, 1, late.store(data_set=other))
    Path(wal_path(str(made.path), 1)).write_bytes(head + begun + stored)
    assert run(made, "verify", "--dicom", dicom(tmp_path / "x.dcm")) == 0
    assert "not signed yet" not in capsys.readouterr().out
    assert run(made, "verify", "--dicom", dicom(tmp_path / "y.dcm", other)) == 0
    assert f"record {COUNT + 1} is not signed yet" in capsys.readouterr().out


def test_an_instance_is_proved_by_a_record_of_it_and_not_by_one_that_has_its_uid_elsewhere(made: MadeLog) -> None:
    assert run(made, "prove", "--instance", UID) == 0
    assert run(made, "prove", "--instance", "1.2.840.10008.1.2.1") == 1  # a transfer syntax


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-15", "cp1252", "utf-8"])
def test_a_proof_is_the_same_bytes_whatever_letters_the_terminal_of_whoever_makes_it_has(
    made: MadeLog, tmp_path: Path, encoding: str
) -> None:
    # The line of a signature begins with a dash that some of them have elsewhere, and some not at all.
    argv = [sys.executable, "-m", "wardtools.main", "custody", "prove", made.path, "--key", made.path / "vkey", "--index", "1"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    made_by_it = subprocess.run(argv, env=environment, capture_output=True, timeout=60, check=False)
    assert made_by_it.returncode == 0, made_by_it.stderr
    (tmp_path / "x.tlog-proof").write_bytes(made_by_it.stdout)
    assert main(["check-proof", str(tmp_path / "x.tlog-proof"), "--key", str(made.path / "vkey")]) == 0


@pytest.fixture
def proof(made: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A proof of record 1."""
    assert run(made, "prove", "--index", "1") == 0
    (tmp_path / "x.tlog-proof").write_text(capsys.readouterr().out)
    return tmp_path / "x.tlog-proof"


@pytest.mark.parametrize("text", ["", "\n\n", "no vkey\n", None])
def test_a_file_of_witnesses_that_names_none_is_refused(
    made: MadeLog, tmp_path: Path, proof: Path, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "witness.vkey"
    status = 3
    if text is not None:
        keys.write_text(text)
        status = 2
    assert main(["check-proof", str(proof), "--key", str(made.path / "vkey"), "--witness", str(keys)]) == status
    assert run(made, "verify", "--witness", keys) == status
    said = capsys.readouterr()
    assert "OK" not in said.out and "damaged" not in said.out and str(keys) in said.err


def test_a_key_file_that_holds_no_key_is_wrong_usage_and_not_damage(made: MadeLog, tmp_path: Path) -> None:
    keys = tmp_path / "box.vkey"
    keys.write_text("no vkey\n")
    assert main(["verify", str(made.path), "--key", str(keys)]) == 2


def test_what_was_found_stays_found_when_a_kept_checkpoint_cannot_be_read(
    made: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alter(made.path, b'"status":"A700"', b'"status":"0000"')
    assert run(made, "verify", "--checkpoint", tmp_path / "gone") == 1
    text = capsys.readouterr().out
    assert "The log is damaged at record 4." in text and "gone" in text


def test_records_made_again_are_a_fork_whatever_else_is_wrong(made: MadeLog, capsys: pytest.CaptureFixture[str]) -> None:
    note = (made.path / "checkpoint").read_bytes()
    one = Association()
    make_log(made.path, COUNT, made.key, [one.open(), *(one.store(uid=f"1.2.{n}") for n in range(COUNT - 2)), Association().close()])
    (made.path / "checkpoint").write_bytes(note)
    assert run(made, "verify") == 5
    assert "The log is forked" in capsys.readouterr().out


def test_a_witness_that_cannot_keep_evidence_answers_and_tells(made: MadeLog, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from wardgate.custody.witnesscall import encode_request
    from wardtools.witness.main import open_witness

    place = tmp_path / "witness"
    assert witness(["init", str(place), "--name", "witness.test/w1"]) == 0
    assert witness(["add-log", str(place), str(made.path / "vkey")]) == 0
    one = open_witness(place)
    assert one.add_checkpoint(encode_request(0, [], (made.path / "checkpoint").read_bytes())).status == 200
    (place / "evidence").write_text("in the way")
    again = make_log(tmp_path / "again", COUNT, made.key)
    assert one.add_checkpoint(encode_request(COUNT, [], (again.path / "checkpoint").read_bytes())).status == 422
    said = capfd.readouterr().err
    assert f"ERROR {ORIGIN}: " in said and "two histories" in said


def test_nothing_that_a_log_says_reaches_the_terminal_as_anything_but_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hidden = "\x1b[8m\rOK: The log is intact.\n\udcff"
    now, sync = time.time_ns(), Quality.SYNCHRONISED
    leg = Leg(hidden, hidden)
    scope = Scope(hidden, hidden, "to-hospital", uuid.uuid4().bytes, leg, leg)
    digest = [("sha256", "dataset", hashlib.sha256(DATA_SET).hexdigest())]
    entries = [
        scope.open(now, sync),
        scope.store(now, sync, 1, "1.2", UID, "1.2", 1, digest, 0, Outcome.STATUS, Flow.ACCEPTOR),
        scope.close(now, sync, 1, "released"),
        token_record(now, sync, TokenNews(TokenEvent.SIGNING_STOPPED, hidden, hidden, code=hidden[:4]), True, 0),
        event_record(f"later{hidden}", now, sync, {"note": hidden}),
        tombstone_record(now, sync, 256, hidden),
    ]
    made = make_log(tmp_path / "log", len(entries), entries=entries)
    proof = tmp_path / "x.tlog-proof"
    assert run(made, "verify") == 0
    assert main(["show", str(made.path)]) == 0
    assert run(made, "show", UID) == 0
    said = capsys.readouterr().out
    for index in range(len(entries)):
        assert run(made, "prove", "--index", str(index)) == 0
        proof.write_text(capsys.readouterr().out)
        assert main(["check-proof", str(proof), "--key", str(made.path / "vkey")]) == 0
        said += capsys.readouterr().out
    assert all(line.isprintable() for line in said.split("\n"))
    assert said.count("\nOK: The log is intact.") == 1


@pytest.mark.parametrize("index", ["-1", str(COUNT), "99999999999"])
def test_a_record_that_never_was_is_not_called_pruned(made: MadeLog, index: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", str(made.path), f"--index={index}", "--key", str(made.path / "vkey")]) == 1
    assert "not in the log" in capsys.readouterr().err
