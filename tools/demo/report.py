"""What the demo prints: steps, checks, a small table, excerpts of what the programs said."""

from __future__ import annotations

import sys

from support.datasets import Sample


class Report:
    """Prints as it goes and remembers whether every check held."""

    def __init__(self) -> None:
        self._failed: list[str] = []
        self._checks = 0

    def step(self, title: str) -> None:
        """Begin a part."""
        self._say(f"\n== {title}")

    def note(self, text: str) -> None:
        """Say something by the way."""
        self._say(f"   {text}")

    def check(self, held: bool, what: str, output: str = "") -> None:
        """Say whether something is as it must be; `output` is shown only when it is not."""
        self._checks += 1
        self._say(f"   {'ok  ' if held else 'FAIL'} {what}")
        if not held:
            self._failed.append(what)
            self.quote(output[-2000:])

    def quote(self, text: str, lines: int = 40) -> None:
        """Show what a program printed: its first `lines` lines."""
        words = text.rstrip().splitlines()
        for line in words[:lines]:
            self._say("      | " + (line if len(line) <= 180 else line[:177] + "..."))
        if len(words) > lines:
            self._say(f"      | ... {len(words) - lines} more lines")

    def table(self, rows: dict[tuple[str, str], list[tuple[Sample, bool]]]) -> None:
        """Print one row a SOP class and transfer syntax."""
        from pydicom.uid import UID

        self._say(f"      {'SOP class':34} {'transfer syntax':34} {'files':>5} {'bytes':>11}  same")
        for (sop_class, syntax), row in rows.items():
            size = sum(sent.length for sent, _ in row)
            same = "yes" if all(equal for _, equal in row) else "NO"
            what = UID(sop_class).name.removesuffix(" Storage")[:34]
            self._say(f"      {what:34} {_short(UID(syntax).name):34} {len(row):5} {size:11,}  {same}")

    def verdict(self) -> int:
        """Print the last line and return the exit status."""
        if self._failed:
            self._say(f"\nFAILED: {len(self._failed)} of {self._checks} checks: " + "; ".join(self._failed))
            return 1
        self._say(f"\nAll {self._checks} checks held.")
        return 0

    @staticmethod
    def _say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _short(name: str) -> str:
    for long, short in (
        (" Image Compression", ""),
        (" (Process 1)", ""),
        (", Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])", " SV1"),
    ):
        name = name.replace(long, short)
    return name[:34]
