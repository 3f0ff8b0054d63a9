"""Two witnesses, one of which is away for a while: what they signed together stays until they have signed something newer together."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.logmaker import MadeLog, entries_of, make_log
from support.witness import WitnessProcess
from wardgate.custody import witnessing
from wardgate.custody.cosignature import COSIGNED, check_cosignatures
from wardgate.custody.cosigned import OLDER
from wardgate.custody.export import export
from wardgate.custody.witnesscall import Reply, WitnessUnreachable
from wardgate.custody.witnessing import run
from wardgate.log import Log
from wardtools.custody import main
from wardtools.pki import Pki

SIZES = (5, 30, 300)
SECONDS = 60.0


class Site:
    """A log that grows and two witnesses of it."""

    def __init__(self, place: Path, pki: Pki) -> None:
        entries = list(entries_of(SIZES[-1]))
        first = make_log(place / "at5", 5, entries=entries[:5])
        self.made: list[MadeLog] = [first, *(make_log(place / f"at{size}", size, first.key, entries[:size]) for size in SIZES[1:])]
        self.log = place / "log"
        self.key = str(place / "vkey")
        shutil.copy(first.path / "vkey", self.key)
        self.grow(0)
        for name in ("one", "two"):
            (place / name).mkdir()
        vkeys = [first.path / "vkey"]
        self.one, self.two = (WitnessProcess(place / name, pki, vkeys, f"{name}.test/w") for name in ("one", "two"))

    def grow(self, step: int) -> None:
        """Let the log have `SIZES[step]` records."""
        shutil.copytree(self.made[step].path, self.log, dirs_exist_ok=True)

    def show(self) -> bool:
        """Show the checkpoint to both once."""
        return run(self.log, (self.one.configured, self.two.configured), Log("test"))

    def names(self, note: Path) -> list[str]:
        """Return who signed a note, each signature checked."""
        found = check_cosignatures(note.read_bytes(), [self.one.key, self.two.key])
        return sorted(each.witness.name for each in found)

    @property
    def wkeys(self) -> list[str]:
        """Words for wardtool: both witnesses by their keys."""
        return ["--witness", str(self.one.state / "vkey"), "--witness", str(self.two.state / "vkey")]


@pytest.fixture
def site(pki: Pki, tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, pki)
    yield made
    made.one.kill()
    made.two.kill()


BOTH = ["one.test/w", "two.test/w"]


def test_the_cosignature_of_one_that_is_away_stays_at_the_same_checkpoint(site: Site) -> None:
    assert site.show()
    site.two.kill()
    assert not site.show()
    assert site.names(site.log / COSIGNED) == BOTH


def test_a_checkpoint_that_one_signs_late_has_both(site: Site) -> None:
    site.two.kill()
    assert not site.show()
    assert site.names(site.log / COSIGNED) == BOTH[:1]
    site.two.start()
    site.one.kill()
    assert not site.show()
    assert site.names(site.log / COSIGNED) == BOTH


def test_what_both_signed_stays_until_both_signed_something_newer(site: Site) -> None:
    assert site.show()
    site.two.kill()
    site.grow(1)
    assert not site.show()
    assert site.names(site.log / COSIGNED) == BOTH[:1]
    (older,) = (site.log / OLDER).iterdir()
    assert site.names(older) == BOTH
    site.two.start()
    site.grow(2)
    assert site.show()
    assert site.names(site.log / COSIGNED) == BOTH
    assert list((site.log / OLDER).iterdir()) == []


def test_an_auditor_proves_under_what_both_signed_and_is_told_how_far_each_did(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.show()
    site.two.kill()
    site.grow(1)
    site.show()
    copy = tmp_path / "copy"
    export(str(site.log), str(copy))
    for log in (site.log, copy):
        capsys.readouterr()
        assert main(["prove", str(log), "--key", site.key, "--index", "3", *site.wkeys]) == 0
        proof = tmp_path / "3.tlog-proof"
        proof.write_text(capsys.readouterr().out)
        assert main(["check-proof", str(proof), "--key", site.key, *site.wkeys]) == 0
        assert main(["verify", str(log), "--key", site.key, *site.wkeys]) == 0
        said = capsys.readouterr().out
        assert "witness one.test/w signed the first 30 records" in said
        assert "witness two.test/w signed the first 5 records" in said
    # What only one signed is proved under that one.
    assert main(["prove", str(copy), "--key", site.key, "--index", "20", *site.wkeys]) == 0
    proof.write_text(capsys.readouterr().out)
    assert main(["check-proof", str(proof), "--key", site.key, *site.wkeys[:2]]) == 0
    assert main(["check-proof", str(proof), "--key", site.key, *site.wkeys]) == 1


def test_a_cosignature_damaged_on_the_disk_is_left_out_and_had_again(site: Site) -> None:
    assert site.show()
    note = (site.log / COSIGNED).read_text()
    line = next(line for line in note.splitlines() if "two.test" in line)
    changed = line[:-8] + ("AAAA" if line[-8:-4] != "AAAA" else "BBBB") + line[-4:]
    (site.log / COSIGNED).write_text(note.replace(line, changed))
    site.two.kill()
    assert not site.show()
    assert site.names(site.log / COSIGNED) == BOTH[:1]
    site.two.start()
    assert site.show()
    assert site.names(site.log / COSIGNED) == BOTH


def test_a_witness_that_hangs_does_not_keep_the_others_waiting(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answers only when the second has."""
    post, second = witnessing.post, threading.Event()

    def held(url: str, *words: Any) -> Reply:
        if url == site.one.configured.url:
            assert second.wait(SECONDS), "the second was not asked while the first was waited for"
            return post(url, *words)
        try:
            return post(url, *words)
        finally:
            second.set()

    monkeypatch.setattr(witnessing, "post", held)
    assert site.show()
    assert site.names(site.log / COSIGNED) == BOTH


def test_a_witness_that_never_answers_is_given_up_and_the_others_signatures_are_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    post, over = witnessing.post, threading.Event()

    def held(url: str, *words: Any) -> Reply:
        if url == site.one.configured.url:
            over.wait(SECONDS)
        return post(url, *words)

    monkeypatch.setattr(witnessing, "post", held)
    monkeypatch.setattr(witnessing, "EACH_SECONDS", 8.0)
    assert not site.show()
    assert not over.is_set() and site.names(site.log / COSIGNED) == BOTH[1:]
    said = witnessing.read_status(str(site.log))
    assert (said["one.test/w"]["state"], said["one.test/w"]["detail"]) == ("unreachable", "no answer in 8 s")
    assert said["two.test/w"]["state"] == "cosigned"
    over.set()
    monkeypatch.undo()
    assert site.show()
    assert site.names(site.log / COSIGNED) == BOTH


def test_of_many_witnesses_a_few_are_asked_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock = [0], [0], threading.Lock()

    def counted(*_: Any) -> Reply:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        with lock:
            running[0] -= 1
        raise WitnessUnreachable("not there")

    monkeypatch.setattr(witnessing, "post", counted)
    assert not run(site.log, (site.one.configured,) * 20, Log("test"))
    assert 1 < most[0] <= witnessing.MOST_AT_ONCE
