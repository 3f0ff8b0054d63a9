"""`python -m imagecheck [BUILDROOT_DIR]`: exit status 1 with a mistake. Without a tree, what needs one is named as skipped.

KERNEL_DIR in the environment: a kernel tree that the fragments are held against. UNPINNED=yes: the tree may have been changed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from imagecheck import assemble, features, files, kernel, packages, pin, python, resolve, symbols
from imagecheck.findings import Findings


def run(tree: Path | None) -> Findings:
    """Make every check that can be made."""
    findings = Findings()
    assemble.check(findings)
    packages.check(findings)
    python.check(findings)
    features.check(findings)
    files.overlay(findings)
    files.scripts(findings)
    files.kernel(findings)
    files.board_words(findings)
    files.pin_maps(findings)
    if kernel_tree := os.environ.get("KERNEL_DIR"):
        kernel.check(Path(kernel_tree).resolve(), findings)
    else:
        findings.skip("kernel names and values", "KERNEL_DIR= is not given")
    if tree is None:
        for what in ("symbols", "pinned version", "configurations through Buildroot's kconfig"):
            findings.skip(what, "BUILDROOT_DIR= is not given")
        return findings
    pinned = pin.pinned()
    if not pin.version(tree):
        findings.mistake(str(tree), f"is no Buildroot: BUILDROOT_DIR= the pinned {pinned['version']}, unpacked ({pinned['url']})")
        return findings
    if pin.version(tree) != pinned["version"]:
        findings.mistake(str(tree), f"is Buildroot {pin.version(tree)}, pinned is {pinned['version']}")
    elif pin.digest(tree) != pinned["files"]:
        text = f"says {pinned['version']}, but its files are not those of the pinned release"
        if os.environ.get("UNPINNED") == "yes":
            findings.skip(str(tree), f"UNPINNED=yes, and it {text}")
        else:
            findings.mistake(str(tree), f"{text} (for trying, UNPINNED=yes takes it)")
    else:
        findings.hold(f"{tree} is the pinned {pinned['version']}, file for file")
    symbols.check(tree, findings)
    resolve.check(tree, findings)
    return findings


def main(words: list[str]) -> int:
    """Print what was found."""
    findings = run(Path(words[0]).resolve() if words and words[0] else None)
    for line in findings.held:
        sys.stdout.write(f"ok       {line}\n")
    for line in findings.skipped:
        sys.stdout.write(f"skipped  {line}\n")
    for line in findings.mistakes:
        sys.stdout.write(f"MISTAKE  {line}\n")
    sys.stdout.write(f"image-check: {len(findings.mistakes)} mistakes, {len(findings.skipped)} skipped\n")
    return 1 if findings.mistakes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
