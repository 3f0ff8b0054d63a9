"""`make supervisor`: what is laid out for a board's microcontroller, made of its pin map."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import mcu

BOARDS = sorted(mcu.TREE.glob("board/*/supervisor.toml"))
NANOPI = mcu.TREE / "board/nanopi_r2s/supervisor.toml"


def _made(words: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(mcu.pins(words), found)
    return found


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.parent.name)
def test_every_board_with_a_supervisor_has_a_whole_pin_map(path: Path, folder: Path) -> None:
    words = tomllib.loads(path.read_text())
    if words["link"] == "none":
        with pytest.raises(mcu.PinError, match="no supervisor"):
            mcu.pins(words)
        return
    made = _made(words)
    for name, pin in words["pins"].items():
        assert made[name.upper()][0] == pin["gpio"]


def test_the_reset_line_of_a_board_is_pulled_and_never_driven_high() -> None:
    words = tomllib.loads(NANOPI.read_text())
    assert _made(words)["BOARD_RESET"] == (10, 0, 1)
    words["pins"]["board_reset"]["active"] = "high"
    assert _made(words)["BOARD_RESET"] == (10, 1, 0)


def test_an_input_has_its_level_and_its_pull() -> None:
    made = _made(tomllib.loads(NANOPI.read_text()))
    assert made["TAMPER"] == (3, 1, 1) and made["BUTTON"] == (4, 0, 1)


@pytest.mark.parametrize(
    ("name", "pin"),
    [
        ("tamper", {"gpio": 30, "pull": "up"}),
        ("tamper", {"gpio": -1, "pull": "up"}),
        ("tamper", {"gpio": True, "pull": "up"}),
        ("tamper", {"gpio": "3", "pull": "up"}),
        ("tamper", {"gpio": 3, "pull": "sideways"}),
        ("tamper", {"gpio": 3}),
        ("tamper", {"gpio": 3, "pull": "up", "active": "sometimes"}),
        ("tamper", {"gpio": 10, "pull": "up"}),
        ("buzzer", {"gpio": 20}),
    ],
)
def test_a_pin_map_with_a_mistake_makes_no_program(name: str, pin: dict[str, Any]) -> None:
    words = tomllib.loads(NANOPI.read_text())
    words["pins"][name] = pin
    with pytest.raises(mcu.PinError):
        mcu.pins(words)


def test_a_pin_map_without_a_pin_makes_no_program() -> None:
    words = tomllib.loads(NANOPI.read_text())
    del words["pins"]["button"]
    with pytest.raises(mcu.PinError, match="button"):
        mcu.pins(words)


def test_what_is_laid_out_is_all_that_is_imported(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, mcu.__file__, "nanopi-r2s", folder / "out"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    laid = {str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*") if path.is_file()}
    assert laid == {"pins.py", *mcu.FILES.values()}
    # Modules of MicroPython, of Python's own here and of the folder: nothing else.
    for path in (folder / "out").rglob("*.py"):
        for line in path.read_text().splitlines():
            if line.startswith(("import ", "from ")):
                name = line.split()[1]
                known = {"machine", "micropython", "select", "sys", "time", "pins"}
                assert name in known or f"{name.replace('.', '/')}.py" in laid, line


def test_a_board_without_a_supervisor_says_so(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, mcu.__file__, "qemu-x86_64", folder / "out"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1 and "no supervisor" in done.stderr and not (folder / "out").exists()
