"""Runs the benchmark and prints its table: see docs/bench.md. Called by `tools/bench/run`, which does the set-up."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import material, network
from bench.compare import Settings, Tally
from bench.dcmtk import Stock
from bench.places import ROOT, Places
from bench.report import Line, Sense, table
from bench.rows import Rows
from bench.trial import Bench

LOOPBACK_ROWS = {
    "2": Rows.ct_one_association,
    "3": Rows.ct_eight_associations,
    "4": Rows.ct_inwards,
    "6": Rows.small,
    "7": Rows.many,
    "8": Rows.echo,
    "9": Rows.huge,
    "10": Rows.set_up,
}
ALL_ROWS = [*(str(number) for number in range(1, 11)), "13"]


def _rows(text: str) -> list[str]:
    rows = text.split(",")
    if set(rows) - set(ALL_ROWS):
        raise argparse.ArgumentTypeError(f"numbers of rows with commas between: {', '.join(ALL_ROWS)} (for 13 to 17); 11 is --icount")
    return rows


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("1 or more")
    return int(text)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tools/bench/run", description="Wardgate beside stunnel and HAProxy, in ratios.")
    parser.add_argument("--rounds", type=_rounds, default=5)
    parser.add_argument("--rows", type=_rows, default=ALL_ROWS, help="numbers, with commas between")
    parser.add_argument("--records", type=int, default=10_000_000, help="in the custody log of rows 13 to 17 (13 stands for all)")
    parser.add_argument(
        "--icount", action="store_true", help="row 11 too: arm64 instructions under qemu; takes minutes and 300 MB of packages"
    )
    parser.add_argument("--patience", type=int, default=2, help="how often to measure again when other programs were busy")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "bench", help="keeps rig, certificates and data; custody logs go there"
    )
    return parser.parse_args()


def measure(args: argparse.Namespace, places: Places, tally: Tally) -> list[Line]:
    """Measure all rows asked for."""
    settings = Settings(args.rounds, args.patience)
    rows = args.rows
    lines: list[Line] = []
    if {"1", "5"} & set(rows):
        with network.line() as between:
            if "1" in rows:
                lines += attempt(tally, Stock(places, between, tally, settings).lines)
            if "5" in rows:
                lines += attempt(tally, Rows(Bench(places, between), tally, settings).ct_line)
    with network.loopback() as loopback:
        measured = Rows(Bench(places, loopback), tally, settings)
        for row, method in LOOPBACK_ROWS.items():
            if row in rows:
                lines += attempt(tally, partial(method, measured))
        if args.icount:
            from bench import icount

            lines += attempt(tally, partial(icount.lines, Bench(places, loopback), tally))
    if "13" in rows:
        lines += attempt(tally, partial(custody, args, tally))
    return lines


def custody(args: argparse.Namespace, tally: Tally) -> list[Line]:
    """Measure the custody log alone (`tools/bench/custody`)."""
    from bench import logfigures

    folder = args.folder / "custody"
    folder.mkdir(parents=True, exist_ok=True)
    lines, good = logfigures.measure(folder, args.records, min(args.rounds, 3), 50_000)
    if not good:
        tally.fail(AssertionError("the big custody log does not verify"))
    return lines


def attempt(tally: Tally, row: Callable[[], list[Line]]) -> list[Line]:
    """Measure a row. One that breaks is a failure of the run, but does not take the other rows' results with it."""
    try:
        return row()
    except Exception as error:
        traceback.print_exc()
        tally.fail(error)
        return []


def main() -> int:
    """Measure, print, and say with the exit status whether all ran and all bytes were right. A missed speed is only printed."""
    args = arguments()
    if os.geteuid():
        print("bench: needs root, for network namespaces", file=sys.stderr)
        return 2
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that namespaces and programs are cleared away
    places = Places(args.folder.resolve())
    material.prepare(places)
    tally = Tally()
    lines = measure(args, places, tally)
    if not args.icount:
        lines.append(
            Line("11", "arm64 user instructions a byte, CT / stunnel", (), sense=Sense.AT_MOST, must=1.75, note="skipped: --icount")
        )
    wrong = tally.received + tally.recorded
    note = f"{tally.runs} runs: {tally.received} received otherwise than sent, {tally.recorded} recorded otherwise"
    lines.append(Line("12", "bytes or custody digests wrong, over all runs", [wrong], sense=Sense.AT_MOST, must=0, note=note))
    lines.sort(key=lambda line: (int(line.row), line.must is None))
    print(f"\nTLS 1.3, ECDSA P-256, PDU walking, SHA-256 and custody records on; {args.rounds} rounds, medians of ratios within a round.\n")
    print(table(lines))
    if tally.disturbed:
        print(f"\n{tally.disturbed} measurements were kept although other programs used more than 0.15 processors meanwhile.")
    for failure in tally.failures:
        print(f"\nFAILED: {failure}")
    return 1 if wrong or tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
