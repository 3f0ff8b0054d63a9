"""Notes of the forwarder: later ones add to earlier ones, a torn or damaged frame costs no other, a failed disk is begun anew."""

from __future__ import annotations

import errno
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from wardgate.hold import notes as notes_module
from wardgate.hold.files import Files
from wardgate.hold.notes import Notes, decode, encode

SECONDS = 60.0


def opened(folder: Path, files: Files | None = None, there: set[str] | None = None) -> Notes:
    return Notes(files or Files(), str(folder), lambda: there if there is not None else {"a", "b"})


def paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("notes-*"))


def test_later_notes_add_to_earlier_ones_and_null_takes_a_word_away(tmp_path: Path) -> None:
    notes = opened(tmp_path)
    notes.add("a", {"state": "answered", "status": 0})
    notes.sync()
    notes.add("a", {"state": "gone", "status": None})
    notes.add("b", {"word": [1, 2]})
    notes.sync()
    for each in (notes, opened(tmp_path)):
        assert each.of("a") == {"state": "gone"}
        assert each.of("b") == {"word": [1, 2]}
        assert each.of("c") == {}


def test_a_note_that_was_not_synced_is_in_no_new_file_yet(tmp_path: Path) -> None:
    notes = opened(tmp_path)
    notes.add("a", {"state": "answered"})
    assert not paths(tmp_path)
    notes.sync()
    assert len(paths(tmp_path)) == 1


def test_frames_cut_or_changed_anywhere_cost_only_themselves() -> None:
    frames = [encode(stem, {"n": number}) for number, stem in enumerate("abc")]
    data = b"".join(frames)
    for at in range(len(data)):
        found = [note["stem"] for note in decode(data[:at] + bytes((data[at] ^ 0x40,)) + data[at + 1 :])]
        hit = next(number for number in range(3) if at < sum(len(frame) for frame in frames[: number + 1]))
        assert found == [stem for number, stem in enumerate("abc") if number != hit], at
    for size in range(len(data)):
        whole = sum(size >= sum(len(frame) for frame in frames[: number + 1]) for number in range(3))
        assert [note["n"] for note in decode(data[:size])] == list(range(whole))


def test_a_long_file_is_followed_by_one_with_only_what_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes_module, "TURN_BYTES", 500)
    there = {"a", "b"}
    notes = opened(tmp_path, there=there)
    for number in range(30):
        notes.add("a", {"n": number})
        notes.sync()
    notes.add("b", {"n": 1})
    there.discard("a")
    for number in range(30):
        notes.add("b", {"n": number})
        notes.sync()
    (path,) = paths(tmp_path)
    assert path.stat().st_size < 1000
    assert opened(tmp_path).of("a") == {}
    assert opened(tmp_path).of("b") == {"n": 29}


class Failing(Files):
    """Fails writes or syncs while told to, and then leaves half a frame."""

    def __init__(self) -> None:
        self.what = ""

    def write(self, fd: int, data: bytes | memoryview) -> None:
        if self.what == "write":
            super().write(fd, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "made to fail")
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        if self.what == "sync":
            raise OSError(errno.EIO, "made to fail")
        super().sync(fd)


def _note(notes: Notes, number: int) -> None:
    notes.add("a", {"n": number})
    notes.sync()


@pytest.mark.parametrize("what", ["write", "sync"])
def test_after_an_error_everything_is_written_anew(tmp_path: Path, what: str) -> None:
    files = Failing()
    notes = opened(tmp_path, files)
    notes.add("a", {"n": 1})
    notes.sync()
    files.what = what
    for _ in range(2):
        with pytest.raises(OSError, match="made to fail"):
            _note(notes, 2)
    files.what = ""
    notes.add("b", {"n": 3})
    notes.sync()
    assert opened(tmp_path).of("b") == {"n": 3}
    assert opened(tmp_path).of("a") == notes.of("a")
    assert len(paths(tmp_path)) == 1


def test_a_note_too_long_is_refused_before_it_is_known(tmp_path: Path) -> None:
    notes = opened(tmp_path)
    with pytest.raises(ValueError, match="a note of"):
        notes.add("a", {"text": "x" * 10_000})
    assert notes.of("a") == {}


class Standing(Files):
    """Whose new file is not on the disk before `go_on` is set; then it fails, or not."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.fails = False

    def write_whole(self, path: str, data: bytes) -> None:
        self.begun.set()
        assert self.go_on.wait(SECONDS)
        if self.fails:
            raise OSError(errno.EIO, "made to fail")
        super().write_whole(path, data)


@pytest.mark.parametrize("fails", [False, True])
def test_while_a_new_file_is_made_durable_notes_are_taken_and_go_behind_it(tmp_path: Path, fails: bool) -> None:
    files = Standing()
    files.fails = fails
    there = {"a", "b"}
    notes = opened(tmp_path, files, there)
    notes.add("a", {"n": 1})
    notes.add("b", {"n": 1})
    notes.add("gone", {"n": 1})

    def turn() -> None:
        with suppress(OSError):
            notes.sync()

    turning = threading.Thread(target=turn)
    turning.start()
    assert files.begun.wait(SECONDS)

    def add() -> None:
        notes.add("a", {"n": 2})
        assert notes.keep("c", {"n": 3}) is None

    adding = threading.Thread(target=add, daemon=True)
    adding.start()
    adding.join(SECONDS)
    taken = not adding.is_alive()
    there.add("c")
    files.go_on.set()
    turning.join(SECONDS)
    assert taken, "a note waited for the disk"
    files.fails = False
    notes.sync()
    for each in (notes, opened(tmp_path)):
        assert [each.of(stem).get("n") for stem in ("a", "b", "c", "gone")] == [2, 1, 3, None]
    notes.add("b", {"n": 4})
    notes.sync()
    assert opened(tmp_path).of("b") == {"n": 4}
    assert len(paths(tmp_path)) == 1


def test_what_is_kept_is_known_whatever_the_disk_says_and_written_anew_when_it_can_be(tmp_path: Path) -> None:
    files = Failing()
    notes = opened(tmp_path, files)
    notes.add("a", {"n": 1})
    notes.sync()
    files.what = "write"
    error = notes.keep("a", {"n": 2})
    assert error is not None and error.errno == errno.ENOSPC
    assert notes.of("a") == {"n": 2}
    with pytest.raises(OSError, match="made to fail"):
        notes.sync()
    files.what = ""
    notes.sync()
    assert opened(tmp_path).of("a") == {"n": 2}
