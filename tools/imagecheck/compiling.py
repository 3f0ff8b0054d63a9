"""What the commands that compile something for a board have in common: what may be missing, how long it took, what the compiler said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

_JOBS: Final = 2


class Command(NamedTuple):
    """One such command. `boards`: those it knows; `tools`: what it calls, `packages` where they come from.

    `build(board, jobs)` compiles and returns lines that say what came out. It may raise `RuntimeError` and `subprocess.TimeoutExpired`.
    """

    name: str
    boards: Collection[str]
    tools: Collection[str]
    packages: str
    build: Callable[[str, int], list[str]]


def compiled(command: Command, words: list[str], wrong: str = "") -> int:
    """Compile for the board that `words` name, and say what came out. `wrong`: what is wrong with its other settings. Returns 0, 1 when it
    could not be compiled, 2 for a mistake of the caller's. JOBS: how many compilers at a time."""
    board = words[0].replace("-", "_") if words else ""
    if board not in command.boards:
        return _fail(command, f"BOARD= one of {' '.join(command.boards)}", 2)
    if wrong:
        return _fail(command, wrong, 2)
    if missing := [tool for tool in command.tools if shutil.which(tool) is None]:
        return _fail(command, f"not installed: {' '.join(missing)} ({command.packages})", 1)
    began = time.monotonic()
    try:
        lines = command.build(board, int(os.environ.get("JOBS") or _JOBS))
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return _fail(command, str(error), 1)
    sys.stdout.write("\n".join(lines) + f", after {time.monotonic() - began:.0f} s\n")
    return 0


def _fail(command: Command, why: str, status: int) -> int:
    sys.stderr.write(f"{command.name}: {why}\n")
    return status
