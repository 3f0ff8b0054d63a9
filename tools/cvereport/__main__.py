"""`python -m cvereport SBOM FEED...` (`make cve-report FEED=`): what of a feed applies to an image. Ends with 1 when something is open."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from cvereport.feed import Advisory, FeedError, read
from cvereport.match import Finding, match, products, statements_in


def main(words: Sequence[str]) -> int:
    """Print the report; 0 nothing is open, 1 something is, 2 no report could be made."""
    parser = argparse.ArgumentParser(prog="make cve-report", description=__doc__)
    parser.add_argument("sbom", type=Path)
    parser.add_argument("feed", type=Path, nargs="*", help="NVD JSON 2.0 or OSV: file, folder, .gz, .zip")
    parser.add_argument("--least", type=float, default=0.0, help="only from this CVSS base score on; what has none is always shown")
    options = parser.parse_args(words)
    if not options.feed:
        return _no("FEED= is needed: files or folders that were brought along, NVD JSON 2.0 or OSV (docs/sbom.md)")
    if not options.sbom.is_file():
        return _no(f"{options.sbom} is not there: make sbom with the same BOARD= makes it")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # summaries have letters that not every terminal has
    try:
        document = json.loads(options.sbom.read_text(encoding="utf-8"))
        for component in document["components"]:
            products(component)
        statements = statements_in(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return _no(f"{options.sbom} is no bill of materials of make sbom: {type(error).__name__} {error}")
    read_so_far = Counted(read(*options.feed))
    try:
        found = match(document["components"], read_so_far, statements)
    except FeedError as error:
        return _no(str(error))
    shown = [finding for finding in found if not 0 < finding.advisory.severity < options.least]
    write(shown, sys.stdout)
    inside = [one for one in document["components"] if one.get("scope") != "excluded"]
    named = sum("cpe" in one or str(one.get("purl", "")).startswith(("pkg:pypi/", "pkg:deb/")) for one in inside)
    open_ones = sum(finding.is_open for finding in shown)
    sys.stdout.write(
        f"{read_so_far.count} advisories against {named} of {len(inside)} components: {open_ones} open, {len(shown) - open_ones} answered\n"
    )
    if read_so_far.nameless:
        sys.stdout.write(
            f"not looked for: {read_so_far.nameless} of them names no product, or none of these schemes (NVD has not analysed it)\n"
        )
    for one in inside:
        if "cpe" not in one and not str(one.get("purl", "")).startswith(("pkg:pypi/", "pkg:deb/", "pkg:generic/")):
            sys.stdout.write(f"not looked for (no CPE, no purl): {one['name']} {one.get('version', '')}\n")
    return 1 if open_ones else 0


class Counted:
    """Counts what passes; nothing is kept: a whole feed is larger than the memory of a small machine."""

    def __init__(self, advisories: Iterable[Advisory]) -> None:
        self._advisories, self.count, self.nameless = advisories, 0, 0

    def __iter__(self) -> Iterator[Advisory]:
        for advisory in self._advisories:
            self.count += 1
            self.nameless += not advisory.affected
            yield advisory


def _no(text: str) -> int:
    sys.stderr.write(f"cve-report: {text}\n")
    return 2


def write(found: Sequence[Finding], out: TextIO) -> None:
    """Write a line a finding; open ones come first."""
    for finding in found:
        score = f"{finding.advisory.severity:4.1f}" if finding.advisory.severity else "   ?"
        state = "OPEN" if finding.statement is None else finding.statement.state
        detail = finding.statement.detail if finding.statement is not None else " ".join(finding.advisory.summary.split())
        aliases = f" ({', '.join(finding.advisory.aliases[:3])})" if finding.advisory.aliases else ""
        out.write(f"{state:12} {score} {finding.advisory.id}{aliases} {finding.component} {finding.version}: {detail[:160]}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
