"""What state a token is in, and the memory of a refused PIN."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from wardgate.codes import Code
from wardkeys.cryptoki import constants as c
from wardkeys.cryptoki.slots import Token
from wardkeys.errors import KeyServiceError
from wardkeys.pin import Latch, Pin
from wardkeys.state import CODES, Report, State, Wanted, choose, is_low, tries_left

WARD = Wanted(label="ward")


def _token(label: str = "ward", serial: str = "01", reader: str = "Reader 0") -> Token:
    return Token(1, reader, label, serial, "model", "maker", 0)


@pytest.mark.parametrize(
    "found, wanted, others, state",
    [
        ([], WARD, [], State.ABSENT),
        ([_token()], WARD, [], State.PRESENT),
        ([_token("other")], WARD, [], State.WRONG),
        ([_token("other")], WARD, [Wanted(label="other")], State.ABSENT),
        ([_token(), _token("other")], WARD, [], State.PRESENT),
        ([_token(serial="02")], Wanted("ward", "01"), [], State.WRONG),
        ([_token(serial="01"), _token(serial="02")], Wanted("ward", "01"), [], State.PRESENT),
        ([_token(serial="01"), _token(serial="02")], WARD, [], State.FAILED),
        ([_token(serial="01"), _token(serial="01")], WARD, [], State.PRESENT),
        ([_token(reader="Reader 1")], Wanted("ward", reader="Reader 0"), [], State.ABSENT),
        ([_token("other", reader="Reader 1")], Wanted("ward", reader="Reader 0"), [], State.ABSENT),
    ],
)
def test_what_is_in_the_slots_decides(found: list[Token], wanted: Wanted, others: list[Wanted], state: State) -> None:
    judged, there, detail = choose(found, wanted, others)
    assert judged is state
    assert (there is None) == (state not in (State.PRESENT, State.WRONG))
    assert bool(detail) == (state is not State.PRESENT)


def test_every_state_has_a_code_and_its_documented_name() -> None:
    assert set(CODES) == set(State)
    assert {state.value for state in State} == {"present", "absent", "blocked", "wrong", "failed", "pin-refused"}
    assert set(Report("a").shown()) == {"name", "state", "label", "serial", "model", "tries", "detail", "changes"}


def test_tries_are_told_only_when_the_token_tells_them() -> None:
    assert tries_left(0) is None
    assert tries_left(c.CKF_USER_PIN_COUNT_LOW) is None
    assert tries_left(c.CKF_USER_PIN_FINAL_TRY) == 1
    assert tries_left(c.CKF_USER_PIN_LOCKED | c.CKF_USER_PIN_FINAL_TRY) == 0
    assert is_low(c.CKF_USER_PIN_COUNT_LOW)
    assert not is_low(0)


def _pin(folder: Path, text: bytes, mode: int = 0o600) -> str:
    path = folder / "pin"
    path.write_bytes(text)
    path.chmod(mode)
    return str(path)


def test_a_pin_is_wiped_after_its_use(folder: Path) -> None:
    with Pin(_pin(folder, b"1234\n")) as (buffer, length):
        assert (buffer.raw[:length], length) == (b"1234", 4)
    assert not any(buffer.raw)


@pytest.mark.parametrize("text, mode", [(b"", 0o600), (b"\n", 0o600), (b"1" * 65, 0o600), (b"1234", 0o640), (b"1234", 0o604)])
def test_a_bad_pin_file_is_refused(folder: Path, text: bytes, mode: int) -> None:
    with pytest.raises(KeyServiceError) as caught, Pin(_pin(folder, text, mode)):
        pass
    assert caught.value.code is Code.KEYS_PIN_FILE
    assert "1234" not in str(caught.value)


def test_a_refused_pin_stays_refused_until_file_and_operator_agree(folder: Path) -> None:
    pin, memory = _pin(folder, b"1234"), str(folder / "a.pin-refused")
    latch = Latch(memory, pin)
    assert not latch.closed
    latch.close()
    assert latch.closed
    assert not latch.reload(), "the operator alone does not open it"
    assert Latch(memory, pin).closed, "a new process does not open it"
    Path(pin).unlink()
    assert not latch.reload(), "a file that is gone is no other file"
    _pin(folder, b"123456")
    assert latch.closed, "the file alone does not open it"
    assert latch.reload()
    assert not latch.closed
    assert not Latch(memory, pin).closed
    assert "1234" not in "".join(path.read_text() for path in folder.iterdir() if path.name != "pin")


def test_a_latch_that_cannot_be_written_still_holds_in_this_process(folder: Path) -> None:
    latch = Latch(str(folder / "no" / "where"), _pin(folder, b"1234"))
    with pytest.raises(KeyServiceError):
        latch.close()
    assert latch.closed


def test_a_refusal_that_finds_no_room_on_the_disk_outlives_the_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin, memory = _pin(folder, b"1234"), str(folder / "a.pin-refused")
    full = OSError(errno.ENOSPC, "no space left on device")
    with monkeypatch.context() as disk:
        disk.setattr(os, "write", lambda *_: _raise(full))
        disk.setattr(os, "fdopen", lambda *_: _raise(full))
        with pytest.raises(KeyServiceError):
            Latch(memory, pin).close()
    assert Path(memory).exists(), "the name needs no room"
    again = Latch(memory, pin)
    assert again.closed, "a new process does not try the PIN again"
    _pin(folder, b"123456")
    assert again.reload(), "another file and the operator open it all the same"


def test_a_refusal_cut_short_by_a_power_cut_is_a_refusal(folder: Path) -> None:
    (folder / "a.pin-refused").touch()
    assert Latch(str(folder / "a.pin-refused"), _pin(folder, b"1234")).closed


def test_a_refusal_is_on_the_disk_with_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    Latch(str(folder / "a.pin-refused"), _pin(folder, b"1234")).close()
    assert synced == [str(folder / "a.pin-refused"), str(folder)]


def _raise(error: Exception) -> NoReturn:
    raise error
