"""What `wardtool custody verify` says of a whole log: each verdict, its exit status, its plain sentence, and where the harm is."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.logmaker import MadeLog, make_log
from wardgate.custody.event import event_record
from wardgate.custody.parse import _KEYS, UPDATE_EVENTS
from wardgate.custody.record import Flow, Leg, Outcome, Quality, Scope, stamp
from wardgate.custody.tiles import tile_path
from wardtools.custody import main

COUNT = 700


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeLog:
    """A signed log of 700 records."""
    return make_log(tmp_path_factory.mktemp("made"), COUNT)


@pytest.fixture
def log(made: MadeLog, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    shutil.copytree(made.path, tmp_path / "log")
    return tmp_path / "log"


def said(capsys: pytest.CaptureFixture[str], log: Path, *more: str) -> tuple[int, str]:
    """Verify; return the exit status and all that was printed."""
    status = main(["verify", str(log), "--key", str(log / "vkey"), *more])
    return status, capsys.readouterr().out


def test_intact_log_is_called_intact(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(capsys, log)
    assert status == 0 and "The log is intact." in text


@pytest.mark.parametrize("record", [1, 255, 256, 300, 511, 512, 698])
def test_changed_record_is_named(log: Path, record: int, capsys: pytest.CaptureFixture[str]) -> None:
    number, at = divmod(record, 256)
    path = log / tile_path(None, number, min(256, COUNT - number * 256))
    data = bytearray(path.read_bytes())
    offset = 0
    for _ in range(at):
        offset += 2 + int.from_bytes(data[offset : offset + 2], "big")
    place = data.index(b'"status":"0000"', offset)
    data[place + 10 : place + 14] = b"A700"
    path.write_bytes(data)
    status, text = said(capsys, log)
    assert status == 1 and f"The log is damaged at record {record}." in text, text
    assert f"record {record} is not the one that was signed" in text


@pytest.mark.parametrize("record", [3, 511, 600])
def test_changed_hash_is_told_from_a_changed_record(log: Path, record: int, capsys: pytest.CaptureFixture[str]) -> None:
    number, at = divmod(record, 256)
    path = log / tile_path(0, number, min(256, COUNT - number * 256))
    data = bytearray(path.read_bytes())
    data[at * 32] ^= 1
    path.write_bytes(data)
    status, text = said(capsys, log)
    assert status == 1 and f"The log is damaged at record {record}." in text
    assert f"the hash of record {record} is damaged; the record itself is as it was signed" in text


def test_log_cut_at_its_end_is_called_truncated(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (log / tile_path(None, 2, COUNT - 512)).unlink()
    status, text = said(capsys, log)
    assert status == 4 and "only its first 512 records are there" in text


def test_bundle_gone_from_the_middle_is_damage_at_its_first_record(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (log / tile_path(None, 1)).unlink()
    status, text = said(capsys, log)
    assert status == 1 and "The log is damaged at record 256." in text and "no tombstone covers" in text


def test_rolled_back_log_is_found_by_a_kept_checkpoint(made: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept"
    shutil.copy(made.path / "checkpoint", kept)
    old = make_log(tmp_path / "old", 400, made.key, made.entries[:400])
    assert said(capsys, old.path)[0] == 0
    status, text = said(capsys, old.path, "--checkpoint", str(kept))
    assert status == 4 and "cut or rolled back" in text


def test_grown_log_is_consistent_with_a_kept_checkpoint(made: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = make_log(tmp_path / "old", 400, made.key, made.entries[:400])
    status, text = said(capsys, made.path, "--checkpoint", str(old.path / "checkpoint"))
    assert status == 0 and "consistent with the kept checkpoint of 400 records" in text


@pytest.mark.parametrize("size", [400, COUNT])
def test_log_made_again_with_the_same_key_is_called_forked(
    made: MadeLog, tmp_path: Path, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    old = make_log(tmp_path / "old", size, made.key)  # other associations, so other records
    status, text = said(capsys, made.path, "--checkpoint", str(old.path / "checkpoint"))
    assert status == 5 and "forked" in text


def test_records_and_tiles_made_again_without_the_key_are_called_forked(
    made: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_log(tmp_path / "other", COUNT, made.key)
    shutil.copy(made.path / "checkpoint", other.path / "checkpoint")
    assert said(capsys, other.path)[0] == 5


def test_log_signed_by_another_key_is_called_so(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = make_log(tmp_path / "other", 5)
    shutil.copy(other.path / "vkey", log / "vkey")
    status, text = said(capsys, log)
    assert status == 6 and "signed by an unknown key" in text


def test_missing_log_cannot_be_read(tmp_path: Path, made: MadeLog, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path), "--key", str(made.path / "vkey")]) == 3


@pytest.mark.parametrize("cut", [0, 1, 500, 5000, 100_000])
def test_torn_last_bundle_is_found_at_the_record_where_it_ends(log: Path, cut: int, capsys: pytest.CaptureFixture[str]) -> None:
    path = log / tile_path(None, 2, COUNT - 512)
    data = path.read_bytes()
    path.write_bytes(data[:cut])
    at = record = 0
    while at + 2 <= cut and at + 2 + int.from_bytes(data[at : at + 2], "big") <= cut:
        at += 2 + int.from_bytes(data[at : at + 2], "big")
        record += 1
    status, text = said(capsys, log)
    assert status == 1 and f"The log is damaged at record {512 + record}." in text, text


@pytest.mark.parametrize("cut", [0, 31, 32, 3200])
def test_torn_last_hash_tile_is_found_and_the_records_are_not_blamed(log: Path, cut: int, capsys: pytest.CaptureFixture[str]) -> None:
    path = log / tile_path(0, 2, COUNT - 512)
    path.write_bytes(path.read_bytes()[:cut])
    status, text = said(capsys, log)
    assert status == 1 and "damaged at record 512" in text and "is not the one that was signed" not in text


def test_clock_that_jumped_back_a_year_is_noted_and_the_order_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import time

    from support.logmaker import entries_of

    now = time.time_ns()
    year = 365 * 86400 * 10**9
    entries = [*entries_of(300, 50, now), *entries_of(300, 50, now - year), *entries_of(100, 50, now)]
    made = make_log(tmp_path / "log", 700, entries=entries)
    status, text = said(capsys, made.path)
    assert status == 0 and "the clock was set back" in text and "the order is that of the log" in text


def small(tmp_path: Path) -> MadeLog:
    """A log whose every bit can be tried."""
    return make_log(tmp_path / "small", 3)


def flips(data: bytes) -> Callable[[int], bytes]:
    """Return a function that gives the data with one bit turned over."""
    return lambda bit: data[: bit // 8] + bytes((data[bit // 8] ^ (1 << (bit % 8)),)) + data[bit // 8 + 1 :]


def test_every_single_bit_of_a_small_log_is_guarded_and_the_harm_is_located(tmp_path: Path) -> None:
    from wardtools.logdir import LogDirectory
    from wardtools.verify import Verdict, verify

    made = small(tmp_path)
    log = LogDirectory(made.path)
    assert not verify(log, made.vkey, 1).errors
    files = sorted(path for path in made.path.rglob("*") if path.is_file() and path.name not in ("vkey", "lock"))
    tried = 0
    for path in files:
        data = path.read_bytes()
        name = path.relative_to(made.path).as_posix()
        ends = []
        if "entries" in name:
            at = 0
            while at < len(data):
                at += 2 + int.from_bytes(data[at : at + 2], "big")
                ends.append(at)
        flip = flips(data)
        for bit in range(len(data) * 8):
            path.write_bytes(flip(bit))
            findings = verify(log, made.vkey, 1)
            tried += 1
            assert findings.errors, f"{name}: bit {bit} was not found"
            text = " ".join(findings.errors)
            if ends:
                record = next(i for i, end in enumerate(ends) if bit // 8 < end)
                assert findings.verdict is Verdict.DAMAGED and findings.first_damaged == record, (bit, findings)
            elif name == "checkpoint":
                assert "the checkpoint" in text, (bit, findings)
            else:
                assert findings.first_damaged == bit // 256 and "hash" in text, (bit, findings)
        path.write_bytes(data)
    assert tried > 10_000


@pytest.mark.parametrize("after", [None, 5])
def test_commitment_records_between_stores_have_their_place_in_the_count(
    tmp_path: Path, after: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    leg = Leg("CT1", "192.0.2.10:4242")
    scope = Scope("ward", "ct1", "to-hospital", bytes(16), leg, leg)
    now, sync = time.time_ns(), Quality.SYNCHRONISED
    digest = [("sha256", "dataset", "ab" * 32)]

    def store(seq: int) -> bytes:
        return scope.store(now, sync, seq, "1.2", f"1.2.{seq}", "1.2.840.10008.1.2.1", 9, digest, 0, Outcome.STATUS, Flow.ACCEPTOR)

    def commitment(seq: int) -> bytes:
        return scope.commitment(now, sync, seq, "1.2.77", "1.2", "1.2.1", -1, Flow.REQUESTOR)

    entries = [
        scope.open(now, sync),
        store(1),
        store(2),
        commitment(3),
        store(4),
        commitment(5),
        scope.close(now, sync, 3, "released", after),
    ]
    good = make_log(tmp_path / "good", len(entries), entries=entries)
    assert main(["verify", str(good.path), "--key", str(good.path / "vkey")]) == 0
    assert "could not be made durable" not in capsys.readouterr().out
    for wrong in (
        [*entries[:6], scope.close(now, sync, 2, "released", after)],
        [*entries[:6], scope.close(now, sync, 3, "released", 4)],
        [*entries[:5], commitment(4), *entries[6:]],
    ):
        bad = make_log(tmp_path / f"bad-{len(list(tmp_path.iterdir()))}", len(wrong), entries=wrong)
        assert main(["verify", str(bad.path), "--key", str(bad.path / "vkey")]) == 1


def test_records_of_no_association_do_not_damage_a_log(tmp_path: Path) -> None:
    now, sync = time.time_ns(), Quality.SYNCHRONISED
    bypass = {"event": "begin", "at": stamp(now), "minutes": 5}
    entries = [event_record("bypass", now, sync, {name: bypass.get(name, "x") for name in _KEYS["bypass"]})]
    update = {"event": sorted(UPDATE_EVENTS)[0]}
    entries.append(event_record("update", now, sync, {name: update.get(name, "x") for name in _KEYS["update"]}))
    log = make_log(tmp_path / "log", len(entries), entries=entries)
    assert main(["verify", str(log.path), "--key", str(log.path / "vkey")]) == 0
