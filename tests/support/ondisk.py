"""Reads custody records from the files of a log directory without any code of the product: what is on the disk, not what a tool says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.processes import until

_START = b'{"v":1,"type":"'


def records(log_dir: Path) -> list[dict[str, Any]]:
    """Return every record found in any file of the log, once each, in no promised order."""
    files = sorted(log_dir.rglob("*"))
    while True:
        found = _look(files)
        # A checkpoint makes new files before it removes others: what was moved meanwhile lies in one that is not among those looked at.
        if (now := sorted(log_dir.rglob("*"))) == files:
            return found
        files = now


def _look(files: list[Path]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    decoder = json.JSONDecoder()
    for path in files:
        try:
            content = path.read_bytes()
        except OSError:  # a folder, or gone since
            continue
        at = content.find(_START)
        while at >= 0:
            text = content[at : at + 4096].decode("latin-1")
            try:
                record, end = decoder.raw_decode(text)
            except ValueError:  # torn by a crash, or not a record after all
                end = len(_START)
            else:
                found[text[:end]] = record
            at = content.find(_START, at + end)
    return list(found.values())


def stores(log_dir: Path) -> list[dict[str, Any]]:
    """Return the `store` records, oldest first."""
    return sorted((record for record in records(log_dir) if record["type"] == "store"), key=lambda record: str(record["time"]))


def store_of(log_dir: Path, sop_instance: str) -> dict[str, Any]:
    """Return the last record of one SOP Instance, which may still be on its way to the disk.

    Raises `AssertionError` when there is none.
    """
    # An aborted store is recorded after its legs are told: a peer sees the end before the log does.
    until(lambda: stores_of(log_dir, sop_instance), f"a custody record of {sop_instance}")
    return stores_of(log_dir, sop_instance)[-1]


def wait_records(look: Callable[[], object], wanted: object) -> None:
    """Wait until `look()`, at some records, gives `wanted`: a record may come after what a peer was told, or what left the queue.

    Raises `AssertionError` with what it gave last.
    """
    try:
        until(lambda: look() == wanted, "the records are there")
    except AssertionError as error:
        raise AssertionError(f"{error}: {look()}, not {wanted}") from None


def stores_of(log_dir: Path, sop_instance: str) -> list[dict[str, Any]]:
    """Return all records of one SOP Instance, oldest first."""
    return [record for record in stores(log_dir) if record["sop_instance"] == sop_instance]
