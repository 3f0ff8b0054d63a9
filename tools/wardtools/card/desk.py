"""The person at the workstation: what is asked, typed and read from files. Secrets are never words of the command line."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from wardgate.codes import Code
from wardkeys.card.errors import CardError
from wardkeys.card.management import FACTORY, ManagementKey, management_key, written

MAX_FILE_BYTES = 65536


class NotConfirmed(Exception):
    """The person did not say yes; nothing was changed."""


def confirm(what: str, word: str, *, yes: bool) -> None:
    """Say what will be destroyed, and have `word` typed for it. Raises `NotConfirmed`."""
    sys.stderr.write(f"{what}\n")
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotConfirmed("no terminal to ask on; --yes does not ask")
    sys.stderr.write(f"Type {word} to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != word:
        raise NotConfirmed("not confirmed")


def secret(name: str, path: Path | None, *, new: bool = False) -> bytes:
    """Return a PIN or PUK from its file, or from the terminal without echo; a new one is asked for twice. Raises `CardError`, `OSError`."""
    if path is not None:
        value = read(path, 64).strip()
    else:
        value = _typed(f"{name}: ")
        if new and _typed(f"{name}, once more: ") != value:
            raise CardError(Code.CARD_INPUT, "the two are not the same")
    if not value:
        raise CardError(Code.CARD_INPUT, f"no {name}")
    return value


def stored_key(path: Path | None) -> ManagementKey:
    """Return the management key in a file, the factory's where none is named. Raises `CardError`, `OSError`."""
    return FACTORY if path is None else management_key(read(path, 256).decode("ascii", "replace"))


def store_key(path: Path, key: ManagementKey) -> None:
    """Write a management key to a new file of mode 0600, durably. Raises `OSError`."""
    store(path, (written(key) + "\n").encode(), 0o600)


def store(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a new file durably; one that is there is never overwritten. Raises `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return a small file's content. Raises `CardError` where it is longer than `limit`, `OSError`."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise CardError(Code.CARD_INPUT, f"{path}: longer than {limit} bytes")
    return content


def _typed(prompt: str) -> bytes:
    if not sys.stdin.isatty():
        raise CardError(Code.CARD_INPUT, f"{prompt.rstrip(': ')}: no terminal to ask on; name a file")
    return getpass.getpass(prompt).encode()
