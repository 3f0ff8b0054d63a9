"""The state partition held against its manifest, and the manifest against the anchors in the read-only root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

from wardgate.codes import Code
from wardgate.custody.files import read_file
from wardgate.custody.note import MAX_NOTE, NoteError, UnknownKey, VerifierKey, open_note, parse_key
from wardgate.provision.manifest import MAX_FILE, MAX_FILES, Content, Manifest, ManifestError, check_path, decode

STATE: Final = "/state"
ANCHORS: Final = "/usr/share/wardgate/state-anchors"
MANIFEST: Final = "manifest"
# What somebody signed elsewhere. The box itself writes beside it: `kept`, `floor`.
SIGNED: Final = ("wardgate", "wardkeys", "network")
_MAX_ANCHORS: Final = 16


class StateRefused(Exception):
    """The state is not what was signed. `code` says which rule, `detail` where."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code} {code.value.sentence}: {detail}")
        self.code = code
        self.detail = detail


def read_anchors(path: str | os.PathLike[str] = ANCHORS) -> list[VerifierKey]:
    """Return the keys that may sign a state: one vkey a line, `#` for a comment; none when there is no such file.

    Raises `StateRefused`: a list that cannot be read is not an empty one.
    """
    try:
        lines = read_file(os.fspath(path), 16384).decode("utf-8").splitlines()
        keys = [parse_key(line) for line in lines if line.strip() and not line.startswith("#")]
    except FileNotFoundError:
        return []
    except (OSError, NoteError, UnicodeDecodeError) as error:
        raise StateRefused(Code.STATE_UNREADABLE, f"{os.fspath(path)}: {error}") from error
    if not 0 < len(keys) <= _MAX_ANCHORS:
        raise StateRefused(Code.STATE_UNREADABLE, f"{os.fspath(path)}: {len(keys)} anchors")
    return keys


def collect(root: str | os.PathLike[str]) -> dict[str, Content]:
    """Return what lies in the signed folders, by path. Raises `StateRefused` for what is no plain file, or too much."""
    found: dict[str, Content] = {}
    try:
        for path in _files(os.fspath(root)):
            if len(found) >= MAX_FILES:
                raise StateRefused(Code.STATE_UNREADABLE, f"more than {MAX_FILES} files")
            data = read_file(os.path.join(root, path), MAX_FILE)
            found[check_path(path)] = Content(sha256(data).hexdigest(), len(data))
    except (OSError, ManifestError) as error:
        raise StateRefused(Code.STATE_UNREADABLE, str(error)) from error
    return found


def _files(root: str) -> Iterator[str]:
    folders = list(SIGNED)
    while folders:
        folder = folders.pop()
        if len(folders) > MAX_FILES:
            raise StateRefused(Code.STATE_UNREADABLE, f"more than {MAX_FILES} folders")
        try:
            if not stat.S_ISDIR(os.lstat(os.path.join(root, folder)).st_mode):  # what a link leads to, an account of the box may write
                raise StateRefused(Code.STATE_UNREADABLE, f"{folder} is no folder")
            entries = sorted(os.listdir(os.path.join(root, folder)))
        except FileNotFoundError:
            continue
        for name in entries:
            path = f"{folder}/{name}"
            mode = os.lstat(os.path.join(root, path)).st_mode
            if stat.S_ISDIR(mode):
                folders.append(path)
            elif stat.S_ISREG(mode):
                yield path
            else:
                raise StateRefused(Code.STATE_UNREADABLE, f"{path} is neither file nor folder")


def read_manifest(root: str | os.PathLike[str], anchors: Sequence[VerifierKey]) -> Manifest:
    """Return the manifest, its signature checked. Raises `StateRefused`."""
    try:
        note = read_file(os.path.join(root, MANIFEST), MAX_NOTE)
    except FileNotFoundError:
        raise StateRefused(Code.STATE_NOT_SIGNED, f"{os.fspath(root)}/{MANIFEST} is not there") from None
    except OSError as error:
        raise StateRefused(Code.STATE_UNREADABLE, str(error)) from error
    for key in anchors:
        try:
            return decode(open_note(note, key))
        except UnknownKey:
            continue
        except (NoteError, ManifestError) as error:
            raise StateRefused(Code.STATE_SIGNATURE_WRONG, str(error)) from error
    raise StateRefused(Code.STATE_SIGNATURE_WRONG, "no key that this image trusts has signed it")


def verify(root: str | os.PathLike[str], anchors: Sequence[VerifierKey], least: int = 0) -> Manifest:
    """Return the manifest when every file is the signed one. `least`: the highest number seen. Raises `StateRefused`."""
    manifest = read_manifest(root, anchors)
    if manifest.number < least:
        raise StateRefused(Code.STATE_ROLLED_BACK, f"number {manifest.number}, this box has seen {least}")
    if different := differences(manifest.files, collect(root)):
        raise StateRefused(Code.STATE_CHANGED, ", ".join(different[:5]) + (f" and {len(different) - 5} more" if different[5:] else ""))
    return manifest


def differences(signed: Mapping[str, Content], found: Mapping[str, Content]) -> list[str]:
    """Return what is not as signed, in words, by path."""
    words = {path: "missing" if path not in found else "added" if path not in signed else "changed" for path in {*signed, *found}}
    return sorted(f"{path} {word}" for path, word in words.items() if signed.get(path) != found.get(path))
