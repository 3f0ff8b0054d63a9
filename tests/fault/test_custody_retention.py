"""Old records are pruned under a signed tombstone; what is left, and every proof for it, still verifies."""

from __future__ import annotations

import io
import shutil
import time
from pathlib import Path

import pytest

from support.custody import ORIGIN, WriterProcess, connect
from support.logmaker import MadeLog, entries_of, make_log
from support.processes import until
from wardgate.custody import pruning
from wardgate.custody.event import append, tombstone_record
from wardgate.custody.export import ExportError, check, export
from wardgate.custody.record import Quality
from wardgate.custody.tiles import tile_path
from wardgate.log import Log
from wardgate.policy.model import Custody
from wardtools.custody import main

DAY_NS = 86400 * 10**9
QUICK = ("--checkpoint-seconds", "0.2")


def in_sync() -> Quality:
    """A clock that can be trusted."""
    return Quality.SYNCHRONISED


def box(tmp_path: Path, old: int = 1000, new: int = 300) -> tuple[WriterProcess, MadeLog]:
    """A writer on a log with `old` records of ten days ago and `new` ones of now."""
    now = time.time_ns()
    entries = [*entries_of(old, 50, now - 10 * DAY_NS), *entries_of(new, 50, now)]
    made = make_log(tmp_path / "log", old + new, entries=entries)
    shutil.copy(made.key, tmp_path / "custody.pem")
    writer = WriterProcess(tmp_path, *QUICK)
    connect(writer.socket).close()
    return writer, made


def custody(made: MadeLog, **policy: int) -> Custody:
    """The configuration."""
    return Custody(made.path, ORIGIN, made.key, **policy)  # type: ignore[arg-type]


def verify(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    """wardtool custody verify."""
    status = main(["verify", str(path), "--key", str(path / "vkey"), *more])
    return status, capsys.readouterr().out


def test_records_older_than_the_policy_go_and_the_rest_still_proves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept"
    writer, made = box(tmp_path)
    shutil.copy(made.path / "checkpoint", kept)
    log = Log("test")
    assert pruning.prune(custody(made, retention_days=5), str(writer.socket), log, quality=in_sync) == 0
    assert [(made.path / tile_path(None, number)).exists() for number in range(5)] == [False, False, False, True, True]
    assert all((made.path / tile_path(0, number)).exists() for number in range(5))
    status, text = verify(made.path, capsys, "--checkpoint", str(kept))
    assert status == 0, text
    assert "768 records before 768 were pruned by tombstone 1300: older than 5 days" in text
    for index in (768, 1100, 1300):
        assert main(["prove", str(made.path), "--key", str(made.path / "vkey"), "--index", str(index)]) == 0
    capsys.readouterr()
    assert main(["prove", str(made.path), "--key", str(made.path / "vkey"), "--index", "5"]) == 1
    assert "record 5 was pruned" in capsys.readouterr().err
    assert pruning.prune(custody(made, retention_days=5), str(writer.socket), log, quality=in_sync) == 0  # again: nothing to do
    assert writer.stop() == 0
    assert len(writer.entries()) == 1301 - 768


def test_partial_tiles_left_by_a_crash_are_swept_once_their_full_tile_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer, made = box(tmp_path)
    for left in ("tile/0/000.p", "tile/entries/003.p", "tile/entries/005.p"):
        (made.path / left).mkdir(exist_ok=True)
        (made.path / left / "7").write_bytes(b"left")
    assert pruning.prune(custody(made, retention_days=5), str(writer.socket), Log("t"), quality=in_sync) == 0
    assert not (made.path / "tile/0/000.p").exists() and not (made.path / "tile/entries/003.p").exists()
    assert (made.path / "tile/entries/005.p").exists()  # its bundle is not full yet
    assert writer.stop() == 0
    assert verify(made.path, capsys)[0] == 0


def test_records_beyond_the_size_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer, made = box(tmp_path, 3000, 10)
    assert pruning.prune(custody(made, retention_mebibytes=1), str(writer.socket), Log("test")) == 0
    left = sum(path.stat().st_size for path in (made.path / "tile/entries").rglob("*") if path.is_file() and ".p" not in str(path))
    assert 0 < left <= 1 << 20
    assert verify(made.path, capsys)[0] == 0
    assert writer.stop() == 0


def test_clock_that_is_not_synchronised_prunes_nothing_by_age(tmp_path: Path) -> None:
    writer, made = box(tmp_path)
    ten_years_ahead = time.time() + 3650 * 86400
    for quality in (Quality.UNKNOWN, Quality.UNSYNCHRONISED):
        done = pruning.prune(custody(made, retention_days=5), str(writer.socket), Log("t"), lambda: ten_years_ahead, lambda q=quality: q)  # type: ignore[misc]
        assert done == 0 and (made.path / tile_path(None, 0)).exists()
    assert writer.stop() == 0


def test_clock_that_was_set_back_a_year_does_not_make_new_records_old(tmp_path: Path) -> None:
    now = time.time_ns()
    entries = [*entries_of(300, 50, now), *entries_of(600, 50, now - 365 * DAY_NS), *entries_of(300, 50, now)]
    made = make_log(tmp_path / "log", 1200, entries=entries)
    shutil.copy(made.key, tmp_path / "custody.pem")
    writer = WriterProcess(tmp_path, *QUICK)
    connect(writer.socket).close()
    assert pruning.prune(custody(made, retention_days=30), str(writer.socket), Log("t"), quality=in_sync) == 0
    assert (made.path / tile_path(None, 0)).exists()  # only what lies before every newer record goes
    assert writer.stop() == 0


def test_no_record_goes_before_its_tombstone_is_signed(tmp_path: Path) -> None:
    writer, made = box(tmp_path)
    assert writer.stop() == 0
    writer = WriterProcess(tmp_path, "--checkpoint-seconds", "600")
    connect(writer.socket).close()
    assert pruning.prune(custody(made, retention_days=5), str(writer.socket), Log("t"), quality=in_sync, wait_seconds=0.3) == 1
    assert (made.path / tile_path(None, 0)).exists()
    assert writer.stop() == 0  # signs
    writer = WriterProcess(tmp_path, *QUICK)
    connect(writer.socket).close()
    assert pruning.prune(custody(made, retention_days=5), str(writer.socket), Log("t"), quality=in_sync) == 0
    assert not (made.path / tile_path(None, 0)).exists()
    assert writer.stop() == 0


def test_records_of_an_open_association_stay(tmp_path: Path) -> None:
    from support.custody import Study, answers

    writer, made = box(tmp_path, 200, 5)
    client = connect(writer.socket)
    study = Study(client)
    study.open(1_000_000)
    for _ in range(400):
        study.store()
    answers(client, 401)
    until((made.path / tile_path(None, 1)).exists, "a checkpoint over all of them")
    far = time.time() + 100 * 86400
    assert pruning.prune(custody(made, retention_days=5), str(writer.socket), Log("t"), lambda: far, in_sync) == 0
    assert (made.path / tile_path(None, 0)).exists()
    client.close()
    assert writer.stop() == 0


def test_bundle_beyond_the_tombstone_that_is_gone_is_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer, made = box(tmp_path)
    assert pruning.prune(custody(made, retention_days=5), str(writer.socket), Log("t"), quality=in_sync) == 0
    assert writer.stop() == 0
    (made.path / tile_path(None, 3)).unlink()
    status, text = verify(made.path, capsys)
    assert status == 1 and "damaged at record 768" in text


def test_tombstone_that_is_not_signed_covers_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer, made = box(tmp_path)
    assert writer.stop() == 0
    writer = WriterProcess(tmp_path, "--checkpoint-seconds", "600")
    connect(writer.socket).close()
    append(writer.socket, tombstone_record(time.time_ns(), Quality.UNKNOWN, 256, "forged"), 10)
    writer.kill()
    (made.path / tile_path(None, 0)).unlink()
    status, text = verify(made.path, capsys)
    assert status == 1 and "no tombstone covers" in text


def test_exported_log_is_whole_and_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer, made = box(tmp_path)
    assert pruning.prune(custody(made, retention_days=5), str(writer.socket), Log("t"), quality=in_sync) == 0
    done = export(str(made.path), str(tmp_path / "copy"))
    assert (done.size, done.pruned) == (1301, 768)
    assert writer.stop() == 0
    status, text = verify(tmp_path / "copy", capsys)
    assert status == 0, text
    with pytest.raises(ExportError, match="not empty"):
        export(str(made.path), str(tmp_path / "copy"))


def test_export_of_a_damaged_log_is_refused(tmp_path: Path) -> None:
    made = make_log(tmp_path / "log", 600)
    for path in (tile_path(None, 1), tile_path(0, 0), tile_path(0, 2, 88), tile_path(1, 0, 2)):
        data = (made.path / path).read_bytes()
        (made.path / path).write_bytes(data[: 100 % len(data)] + bytes((data[100 % len(data)] ^ 1,)) + data[100 % len(data) + 1 :])
        target = tmp_path / path.replace("/", "_")
        with pytest.raises(Exception, match=r"record|root|hash|bundle"):
            export(str(made.path), str(target))
        assert not (target / "checkpoint").exists()
        (made.path / path).write_bytes(data)


def test_records_that_were_taken_away_are_not_exported_as_pruned(tmp_path: Path) -> None:
    writer, made = box(tmp_path)
    assert pruning.prune(custody(made, retention_days=5), str(writer.socket), Log("t"), quality=in_sync) == 0
    assert writer.stop() == 0
    assert check(str(made.path)).pruned == 768
    (made.path / tile_path(None, 3)).unlink()  # one more than the tombstone is over
    with pytest.raises(ExportError, match="records before 1024 are missing, and no tombstone"):
        check(str(made.path))
    with pytest.raises(ExportError, match="no tombstone"):
        export(str(made.path), str(tmp_path / "copy"))
    assert not (tmp_path / "copy" / "checkpoint").exists()


def test_wardgate_custody_export_says_what_it_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from wardgate.custody.export import run_export

    out, err = io.StringIO(), io.StringIO()
    assert run_export(str(tmp_path / "nothing.toml"), str(tmp_path / "copy"), out, err) == 1
    assert err.getvalue()
