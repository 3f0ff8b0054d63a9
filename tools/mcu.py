"""Lays out what is copied to the supervisor of a board: `tools/mcu.py BOARD FOLDER` (`make supervisor BOARD=`).

`pins.py` is made of the board's supervisor.toml; the rest is copied as it is.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

TREE: Final = Path(__file__).parents[1]
# Where it lies in the tree -> where on the microcontroller: the same names, so that the same imports hold.
FILES: Final = {
    "firmware/supervisor/main.py": "main.py",
    "firmware/supervisor/core.py": "supervisor/core.py",
    "firmware/supervisor/pico.py": "supervisor/pico.py",
    "firmware/supervisor/switch.py": "supervisor/switch.py",
    "firmware/wardgate/supervisor/protocol.py": "wardgate/supervisor/protocol.py",
}
INPUTS: Final = ("card_switch", "tamper", "button")
OUTPUTS: Final = ("light_green", "light_amber", "light_red", "board_reset")
_PULLS: Final = {"up": 1, "down": 0, "none": -1}
_LEVELS: Final = {"low": 0, "high": 1}
GPIOS: Final = 30  # of an RP2040


class PinError(Exception):
    """A pin map that no program can be made of; the text names the pin."""


def pins(words: dict[str, Any]) -> str:
    """Return `pins.py` of a pin map. Raises `PinError`."""
    if words.get("link") != "usb" or words.get("mcu") != "rp2040":
        raise PinError("this board has no supervisor (link = usb, mcu = rp2040)")
    found = words.get("pins", {})
    if set(found) != {*INPUTS, *OUTPUTS}:
        raise PinError(f"wanted and not there, or not known: {sorted(set(found) ^ {*INPUTS, *OUTPUTS})}")
    lines = ['"""Made by `make supervisor`. Inputs: number, active level, pull. Outputs: number, active level, open drain."""', ""]
    for name in (*INPUTS, *OUTPUTS):
        pin = found[name]
        gpio, level = pin.get("gpio"), _LEVELS.get(pin.get("active", "high"))
        last = _PULLS.get(pin.get("pull")) if name in INPUTS else int(name == "board_reset" and level == 0)
        if type(gpio) is not int or not 0 <= gpio < GPIOS or level is None or last is None:
            raise PinError(f"{name}: {pin}")
        lines.append(f"{name.upper()} = ({gpio}, {level}, {last})")
    if len({found[name]["gpio"] for name in found}) != len(found):
        raise PinError("one pin for two")
    return "\n".join(lines) + "\n"


def boards() -> list[str]:
    """Return the boards that have a supervisor."""
    maps = sorted((TREE / "board").glob("*/supervisor.toml"))
    return [path.parent.name for path in maps if tomllib.loads(path.read_text()).get("link") != "none"]


def lay_out(board: str, folder: Path) -> None:
    """Make `folder` anew. Raises `PinError`, `OSError`."""
    made = pins(tomllib.loads((TREE / "board" / board / "supervisor.toml").read_text()))
    shutil.rmtree(folder, ignore_errors=True)
    for source, target in FILES.items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TREE / source, path)
    (folder / "pins.py").write_text(made)


def main() -> int:
    """Do it, and say how it goes on."""
    board, folder = sys.argv[1].replace("-", "_"), Path(sys.argv[2])
    if board not in boards():
        sys.stderr.write(f"supervisor: no supervisor of BOARD={sys.argv[1]}; BOARD= one of {' '.join(boards())}\n")
        return 1
    try:
        lay_out(board, folder)
    except (PinError, OSError) as error:
        sys.stderr.write(f"supervisor of {board}: {error}\n")
        return 1
    sys.stdout.write(f"{folder}: copy what is in it to a microcontroller with MicroPython (docs/supervisor.md)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
