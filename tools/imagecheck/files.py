"""The overlay's permissions, the shell scripts, and the names in kernel fragments."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

from imagecheck.assemble import boards
from imagecheck.findings import COMMON, EXTERNAL, Findings
from mcu import PinError, pins

_KERNEL = re.compile(r'^(CONFIG_[A-Z0-9_]+=(y|m|n|-?[0-9]+|0x[0-9a-f]+|"[^"]*")|# CONFIG_[A-Z0-9_]+ is not set)$')
# Loader -> words of board.toml that it needs beside.
_LOADERS = {"grub": set[str](), "uboot": {"dtb", "disk", "fit_load", "fit_kernel", "loader"}}


def overlay(findings: Findings) -> None:
    """Programs are executable, nothing else is; no special bits, no secrets. finish.sh takes the group's write bit off."""
    paths = sorted((COMMON / "overlay").rglob("*"))
    for path in paths:
        if path.is_symlink() or path.is_dir():
            continue
        mode = path.stat().st_mode & 0o7777
        program = path.parent.name in ("bin", "sbin", "libexec") or path.read_bytes()[:2] == b"#!"
        if mode & 0o7002:
            findings.mistake(path, f"mode {mode:04o}: others may write, or a special bit")
        if bool(mode & 0o100) != program:
            findings.mistake(path, f"mode {mode:04o}: {'a program' if program else 'no program'}")
        if b"PRIVATE KEY" in path.read_bytes():
            findings.mistake(path, "a private key")
    findings.hold(f"{len(paths)} files and folders in the overlay")


def scripts(findings: Findings) -> None:
    """`sh -n` for each, shellcheck where it is present."""
    found = [path for base in (EXTERNAL, COMMON, EXTERNAL.parent / "debian") for path in sorted(base.rglob("*")) if _is_script(path)]
    for path in found:
        done = subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            findings.mistake(path, done.stderr.strip()[:300])
        if not path.stat().st_mode & 0o100:
            findings.mistake(path, "is not executable")
    if shutil.which("shellcheck") is None:
        findings.skip("shellcheck", "is not installed (apt-get install shellcheck)")
    elif found:
        argv = ["shellcheck", "--format=gcc", "--shell=sh", *map(str, found)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        for line in done.stdout.splitlines():
            place, _, text = line.partition(":")
            findings.mistake(Path(place), text)
    findings.hold(f"{len(found)} shell scripts")


def kernel(findings: Findings) -> None:
    """Each line is a CONFIG_ word; no name stands with two values in the fragments of one board."""
    fragments = sorted([*EXTERNAL.glob("kernel/*.fragment"), *EXTERNAL.glob("board/*/*.fragment")])
    for path in fragments:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            comment = line.startswith("# ") and not line.startswith("# CONFIG_")
            if line and not comment and not _KERNEL.match(line):
                findings.mistake(path, f"line {number}: {line}")
    for board in boards():
        text = (EXTERNAL / "board" / board / "board.config").read_text()
        named = re.search(r'^BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES="([^"]*)"$', text, re.M)
        words: dict[str, str] = {}
        for name in named[1].split() if named else []:
            path = EXTERNAL / name.replace("$(BR2_EXTERNAL_WARDGATE_PATH)/", "")
            if not path.is_file():
                findings.mistake(EXTERNAL / "board" / board / "board.config", f"{name} is not there")
                continue
            for line in path.read_text().splitlines():
                if _KERNEL.match(line):
                    key = line.removeprefix("# ").split("=")[0].split(" ")[0]
                    if words.setdefault(key, line) != line:
                        findings.mistake(path, f"{line}, and before: {words[key]}")
    findings.hold(f"{len(fragments)} kernel and loader fragments (names well-formed)")


def board_words(findings: Findings) -> None:
    """Each board says what the scripts read."""
    for board in boards():
        path = EXTERNAL / "board" / board / "board.toml"
        said = tomllib.loads(path.read_text())
        wanted = {"arch", "compatible", "bootloader", "kernel", "console", "root_hash_trusted_by"}
        missing = (wanted | _LOADERS.get(str(said.get("bootloader")), set())) - said.keys()
        if missing or said["bootloader"] not in _LOADERS or not str(said["compatible"]).startswith("wardgate-"):
            findings.mistake(path, f"lacks {sorted(missing)}, or a word is wrong")


def pin_maps(findings: Findings) -> None:
    """Each board has a pin map that a program can be made of, or says that it has no supervisor."""
    for board in boards():
        path = EXTERNAL / "board" / board / "supervisor.toml"
        said = tomllib.loads(path.read_text()) if path.is_file() else {}
        try:
            if said != {"link": "none"}:
                pins(said)
        except PinError as error:
            findings.mistake(path, str(error))


def _is_script(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and (path.suffix == ".sh" or path.read_bytes()[:9] == b"#!/bin/sh")
