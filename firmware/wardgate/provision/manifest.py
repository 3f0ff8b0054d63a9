"""The manifest of the state partition: which files, with which digests, signed elsewhere. Sans-IO.

A C2SP signed note whose text is

    wardgate-state/1
    number N                       rises with every signature: an older state is refused
    signed 2026-11-29T20:50:00Z    also a time that the clock must not be before
    SHA256 SIZE PATH               one a file, by path
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from wardgate.transport.utctime import unix_seconds

MAX_FILES: Final = 400
MAX_FILE: Final = 4 << 20
_HEAD: Final = "wardgate-state/1"
_NUMBER: Final = re.compile(r"number (0|[1-9][0-9]{0,17})")
_SIGNED: Final = re.compile(r"signed ([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")
_FILE: Final = re.compile(r"([0-9a-f]{64}) (0|[1-9][0-9]{0,8}) (\S+)")
_PATH: Final = re.compile(r"[A-Za-z0-9_@+][A-Za-z0-9._@+-]*(/[A-Za-z0-9_@+][A-Za-z0-9._@+-]*)*")
_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"


class ManifestError(Exception):
    """The text is no manifest."""


class Content(NamedTuple):
    """Of one file: SHA-256 hex, size in bytes."""

    sha256: str
    size: int


class Manifest(NamedTuple):
    """What was signed. `signed`: Unix seconds; `files`: by path below the state partition."""

    number: int
    signed: int
    files: Mapping[str, Content]


def check_path(path: str) -> str:
    """Return a path that may stand in a manifest: relative, no hidden part, no blank. Raises `ManifestError`."""
    if len(path) > 200 or not _PATH.fullmatch(path):
        raise ManifestError(f"no path for a manifest: {path[:80]!r}")
    return path


def encode(manifest: Manifest) -> str:
    """Return the text to be signed. Raises `ManifestError`."""
    if len(manifest.files) > MAX_FILES:
        raise ManifestError(f"{len(manifest.files)} files, at most {MAX_FILES}")
    lines = [_HEAD, f"number {manifest.number}", f"signed {time.strftime(_FORM, time.gmtime(manifest.signed))}"]
    lines += [f"{content.sha256} {content.size} {check_path(path)}" for path, content in sorted(manifest.files.items())]
    return "\n".join([*lines, ""])


def decode(text: str) -> Manifest:
    """Return what a manifest says. Strict: what `encode` would not write is refused. Raises `ManifestError`."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[0] != _HEAD or lines[-1] or len(lines) > MAX_FILES + 4:
        raise ManifestError("not a manifest of a state partition, or one with too many files")
    number, signed = _NUMBER.fullmatch(lines[1]), _SIGNED.fullmatch(lines[2])
    if number is None or signed is None:
        raise ManifestError("number or time is missing")
    try:
        moment = unix_seconds(*(int(part) for part in signed.groups()))
    except ValueError as error:
        raise ManifestError(str(error)) from error
    files: dict[str, Content] = {}
    for line in lines[3:-1]:
        found = _FILE.fullmatch(line)
        if found is None:
            raise ManifestError(f"no file: {line[:80]!r}")
        files[check_path(found[3])] = Content(found[1], int(found[2]))
    manifest = Manifest(int(number[1]), moment, files)
    if encode(manifest) != text:
        raise ManifestError("not as it is written: order, or a path twice")
    return manifest
