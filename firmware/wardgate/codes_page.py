"""Makes docs/codes.md from the table of failure codes: `python -m wardgate.codes_page >docs/codes.md` (`make codes`)."""

from __future__ import annotations

import sys

from wardgate.codes import Code

_SECTIONS = {
    1: "Configuration",
    2: "Network and processes",
    3: "TLS and certificates",
    4: "Upper layer and relay",
    5: "Policy",
    6: "Custody",
    7: "Keys and tokens",
    8: "ISCL, the plant, hold",
    9: "Updates and slots, the box: what hangs, state, vault, time, supervisor; audit; migrations",
}
_HEAD = """\
# Failure codes

Made by `make codes` from `firmware/wardgate/codes.py`: change it there. Every log line, refusal and abort carries one of these.
*Side* says who has to act: the keeper of the box, of the modality, of the hospital's system, of the network, or of *peer*,
whichever side called or was called; the log line names it. `info` is normal work, `warn` passed but should be looked at,
`error` refused or lost something.
"""


def by_number() -> list[Code]:
    """Return all codes in the order of their numbers."""
    return sorted(Code, key=lambda code: code.value.number)


def page() -> str:
    """Return the page, Markdown."""
    parts = [_HEAD]
    section = 0
    for code in by_number():
        entry = code.value
        if entry.number // 100 != section:
            section = entry.number // 100
            parts.append(
                f"\n## {section}xx {_SECTIONS[section]}\n\n| Code | What happened | Side | Level | What to do |\n|---|---|---|---|---|\n"
            )
        parts.append(
            f"| {code} `{code.name}` | {_cell(entry.sentence)} | {entry.side.value} | {entry.level.value} | {_cell(entry.action)} |\n"
        )
    return "".join(parts)


def listing() -> str:
    """Return one line a code, for a terminal."""
    return "".join(f"{code} {code.value.level.value:5} {code.value.sentence} -> {code.value.action}\n" for code in by_number())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
