"""With which words Buildroot would configure the packages whose parts our units and programs rely on: what counts is the last of each."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from imagecheck.findings import EXTERNAL, Findings

_SECONDS: Final = 900
WANTED: Final[dict[str, tuple[str, ...]]] = {
    # Filters of system calls; a vault opened by TPM or token; the slots' programs.
    "SYSTEMD": (
        "seccomp=enabled",
        "libcryptsetup=enabled",
        "libcryptsetup-plugins=enabled",
        "tpm2=enabled",
        "p11kit=enabled",
        "networkd=true",
    ),
    "NFTABLES": ("--with-json",),
    # The socket of readers is systemd's, and its group decides who may; polkit would.
    "PCSC_LITE": ("--enable-libsystemd", "--enable-libudev", "--disable-polkit"),
    "OPENSC": ("--enable-openssl", "--enable-zlib"),
    "RAUC": ("service=true", "json=enabled", "network=false", "streaming=false"),
    "RAUC_HAWKBIT_UPDATER": ("systemd=enabled",),
    "CRYPTSETUP": ("--with-crypto_backend=openssl", "--disable-ssh-token"),
    # No memory that is written and executed (image/buildroot/external.mk).
    "LIBFFI": ("--enable-exec-static-tramp",),
    # The faster of its two loops; built for another machine it does not find out by itself (the same file).
    "PYTHON3": ("--with-computed-gotos",),
}


def _name(word: str) -> str:
    """Return what a word is about: `--enable-x`, `--disable-x`, `--with-x=y` and `--without-x` are about x, as `-Dx=y` is."""
    name = word.removeprefix("-D").split("=")[0]
    for start in ("--enable-", "--disable-", "--without-", "--with-"):
        name = name.removeprefix(start)
    return name


def misfits(said: str, wanted: tuple[str, ...]) -> list[str]:
    """Return what of `wanted` does not hold of the words of a package, with the word that holds instead."""
    last = {_name(word): word.removeprefix("-D") for word in said.split()}
    return [f"{word} is {last.get(_name(word), 'not there')}" for word in wanted if last.get(_name(word)) != word]


def check(tree: Path, output: Path, board: str, findings: Findings) -> None:
    """Ask the Buildroot in `tree` with the configuration in `output`. Raises nothing: what cannot be asked is a mistake."""
    names = " ".join(f"{package}_CONF_OPTS" for package in WANTED)
    argv = ["make", "-s", "-C", str(tree), f"O={output}", f"BR2_EXTERNAL={EXTERNAL}", "printvars", f"VARS={names}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False)
    lines = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    for package, wanted in WANTED.items():
        for text in misfits(lines.get(f"{package}_CONF_OPTS", ""), wanted):
            findings.mistake(EXTERNAL, f"{board}: {package}: {text}")
    findings.hold(f"{board}: {len(WANTED)} packages are configured with what ours rely on")
