"""`python -m cvereport SBOM FEED...` (`make cve-report FEED=`): what of a feed applies to an image. Ends with 1 when something is open."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from cvereport.feed import FeedError, read
from cvereport.match import Finding, match, statements_in


def main(words: Sequence[str]) -> int:
    """Print the report; 0 nothing is open, 1 something is, 2 no report could be made."""
    parser = argparse.ArgumentParser(prog="make cve-report", description=__doc__)
    parser.add_argument("sbom", type=Path)
    parser.add_argument("feed", type=Path, nargs="+", help="NVD JSON 2.0 or OSV: file, folder, .gz, .zip")
    parser.add_argument("--least", type=float, default=0.0, help="only from this CVSS base score on; what has none is always shown")
    options = parser.parse_args(words)
    try:
        document = json.loads(options.sbom.read_text())
        advisories = [advisory for path in options.feed for advisory in read(path)]
        found = match(document["components"], advisories, statements_in(document))
    except (OSError, ValueError, KeyError, FeedError) as error:
        sys.stderr.write(f"cve-report: {error}\n")
        return 2
    shown = [finding for finding in found if not 0 < finding.advisory.severity < options.least]
    write(shown, sys.stdout)
    inside = [one for one in document["components"] if one.get("scope") != "excluded"]
    named = sum("cpe" in one or str(one.get("purl", "")).startswith(("pkg:pypi/", "pkg:deb/")) for one in inside)
    open_ones = sum(finding.is_open for finding in shown)
    sys.stdout.write(
        f"{len(advisories)} advisories against {named} of {len(inside)} components: {open_ones} open, {len(shown) - open_ones} answered\n"
    )
    for one in inside:
        if "cpe" not in one and not str(one.get("purl", "")).startswith(("pkg:pypi/", "pkg:deb/", "pkg:generic/")):
            sys.stdout.write(f"not looked for (no CPE, no purl): {one['name']} {one.get('version', '')}\n")
    return 1 if open_ones else 0


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
