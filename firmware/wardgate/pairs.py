"""Command lines of pairs, `--option VALUE`, of programs that every start of the box runs: `argparse` costs more than what they read."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def pairs(program: str, words: Sequence[str], wanted: Sequence[str], others: Sequence[str] = ()) -> dict[str, str]:
    """Return the value of each option in `words`: of all that are `wanted`, and of `others` that are there, none twice.

    Raises `SystemExit` with status 2 when it is otherwise, after saying how `python -m program` is called.
    """
    found = dict(zip(words[::2], words[1::2], strict=False))
    known = {*wanted, *others}
    if len(words) != 2 * len(found) or not set(wanted) <= set(found) <= known:
        usage = [f"{name} {name.lstrip('-').upper()}" for name in wanted] + [f"[{name} {name.lstrip('-').upper()}]" for name in others]
        sys.stderr.write(f"usage: python -m {program} {' '.join(usage)}\n")
        raise SystemExit(2)
    return found
