"""Retention: removes the oldest entry bundles as configured, never a hash tile. `python -m wardgate.custody.pruning CONFIG`.

A short-lived program that the master starts now and then, or a timer where the log has an account of its own (`--apart`). The order is: a
tombstone record is durable, a checkpoint covers it, only then files go; so whoever misses an entry finds the signed word for it. Hash
tiles of every level stay: all proofs for what is left, and consistency proofs from any old checkpoint, still work (C2SP tlog-tiles,
"Pruning": a minimum index).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.custody.client import WriterGone, ask
from wardgate.custody.clock import kernel_quality
from wardgate.custody.event import TOMBSTONE, append, tombstone_record
from wardgate.custody.files import read_file, sync_directory, write_durably
from wardgate.custody.parse import RecordError, parse_record
from wardgate.custody.record import Quality
from wardgate.custody.seal import read_checkpoint
from wardgate.custody.tiles import MAX_BUNDLE, WIDTH, TileError, decode_bundle, tile_path
from wardgate.custody.wire import Op
from wardgate.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardgate.policy.model import Custody

WAIT_SECONDS: Final = 300.0  # for the checkpoint over the tombstone; else the next round goes on
_POLL_SECONDS: Final = 0.5
_WRITER_SECONDS: Final = 30.0
_DAY: Final = 86400
_HINT: Final = "pruned"  # file with the index of the newest tombstone and what it is over
_MEBIBYTE: Final = 1 << 20


def first_kept(directory: str, bundles: int) -> int:
    """Return the number of the first full bundle that is there; `bundles` when none is. They go from the front only."""
    low, high = 0, bundles
    while low < high:
        middle = (low + high) // 2
        if os.path.exists(os.path.join(directory, tile_path(None, middle))):
            high = middle
        else:
            low = middle + 1
    return low


def too_old(directory: str, first: int, bundles: int, before_seconds: float) -> int:
    """Return the number of the first bundle with a record not older than `before_seconds` (Unix)."""
    limit = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(max(0.0, before_seconds)))
    number = first
    while number < bundles:
        entries = decode_bundle(read_file(os.path.join(directory, tile_path(None, number)), MAX_BUNDLE), WIDTH)
        if any(parse_record(entry).time >= limit for entry in reversed(entries)):  # all: a clock may have been set back in between
            break
        number += 1
    return number


def too_much(directory: str, first: int, bundles: int, room: int) -> int:
    """Return the number of the first bundle to keep so that full bundles take at most `room` bytes."""
    number = bundles
    while number > first:
        room -= os.stat(os.path.join(directory, tile_path(None, number - 1))).st_size
        if room < 0:
            break
        number -= 1
    return number


def wanted(directory: str, custody: Custody, signed: int, oldest_open: int, now: float) -> tuple[int, str]:
    """Return the index below which records should go, and by which policy; what an open association began with stays."""
    bundles = min(signed, oldest_open) // WIDTH
    first = first_kept(directory, signed // WIDTH)
    policies = []
    if custody.retention_days:
        policies.append(
            (too_old(directory, first, bundles, now - custody.retention_days * _DAY), f"older than {custody.retention_days} days")
        )
    if custody.retention_mebibytes:
        number = too_much(directory, first, signed // WIDTH, custody.retention_mebibytes * _MEBIBYTE)
        policies.append((min(number, bundles), f"more than {custody.retention_mebibytes} MiB"))
    number, policy = max(policies, default=(first, ""))
    return max(number, first) * WIDTH, policy


def last_tombstone(directory: str, signed: int) -> tuple[int, int]:
    """Return (index, below) of the newest tombstone; (-1, 0) when there is none. The hint that `prune` left saves reading all."""
    with contextlib.suppress(OSError, ValueError):
        index, below = (int(word) for word in read_file(os.path.join(directory, _HINT), 64).split())
        return index, below  # `_signed` sees whether it is true before anything goes
    if first_kept(directory, signed // WIDTH) == 0:
        return -1, 0
    for number in range((signed - 1) // WIDTH, first_kept(directory, signed // WIDTH) - 1, -1):
        width = min(WIDTH, signed - number * WIDTH)
        entries = decode_bundle(read_file(_bundle(directory, number, width), MAX_BUNDLE), width)
        for place in range(width - 1, -1, -1):
            if entries[place].startswith(b'{"v":1,"type":"tombstone"'):
                return number * WIDTH + place, parse_record(entries[place]).number("below") or 0
    return -1, 0


def _bundle(directory: str, number: int, width: int) -> str:
    path = os.path.join(directory, tile_path(None, number, width))
    return path if os.path.exists(path) else os.path.join(directory, tile_path(None, number))


def remove(directory: str, below: int) -> int:
    """Remove the full bundles under a signed tombstone, from the front; return how many. Raises `OSError`."""
    gone = 0
    folders = set()
    for number in range(below // WIDTH):
        path = os.path.join(directory, tile_path(None, number))
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        gone += 1
        folders.add(os.path.dirname(path))
    for folder in sorted(folders):
        sync_directory(folder)
    return gone


def sweep_partials(directory: str) -> int:
    """Remove partial tiles whose full tile is durable: a crash after a checkpoint may leave them. Return how many directories."""
    gone = 0
    for place, folders, _ in os.walk(os.path.join(directory, "tile")):
        left = [name for name in folders if name.endswith(".p") and os.path.exists(os.path.join(place, name.removesuffix(".p")))]
        above = place
        while left and len(above) >= len(directory):  # the sealer may have made the full tile a moment ago
            sync_directory(above)
            above = os.path.dirname(above)
        for name in left:
            for file in os.listdir(os.path.join(place, name)):
                os.unlink(os.path.join(place, name, file))
            os.rmdir(os.path.join(place, name))
            gone += 1
    return gone


def prune(
    custody: Custody,
    socket: str,
    log: Log,
    now: Callable[[], float] = time.time,
    quality: Callable[[], Quality] = kernel_quality,
    wait_seconds: float = WAIT_SECONDS,
) -> int:
    """Prune once; return the exit status: 0 done or nothing to do, 1 not this time."""
    directory = str(custody.log)
    if custody.retention_days and quality() is not Quality.SYNCHRONISED:  # a clock in the future would make all too old
        log.event(Code.CUSTODY_PRUNE_CLOCK)
        custody = custody._replace(retention_days=0)
    try:
        checkpoint = read_checkpoint(directory)
        if checkpoint is None:
            return 0
        report = json.loads(ask(socket, Op.STAT, _WRITER_SECONDS))
        below, policy = wanted(directory, custody, checkpoint.size, int(report["oldest_open"]), now())
        index, buried = last_tombstone(directory, checkpoint.size)
        if below > buried and below > first_kept(directory, checkpoint.size // WIDTH) * WIDTH:
            record = tombstone_record(int(now() * 1e9), quality(), below, policy)
            index, buried = append(socket, record, _WRITER_SECONDS), below
            write_durably(os.path.join(directory, _HINT), f"{index} {below}\n".encode())
        if index < 0:
            return 0
        if not _signed(directory, index, buried, wait_seconds):
            log.event(Code.CUSTODY_PRUNE_WAITS, tombstone=index)
            return 1
        gone = remove(directory, buried)
        sweep_partials(directory)
    except (OSError, ValueError, KeyError, TileError, RecordError, WriterGone) as error:
        log.event(Code.CUSTODY_PRUNE_FAILED, detail=error)
        return 1
    if gone:
        log.event(Code.CUSTODY_PRUNED, below=buried, tombstone=index, bundles=gone)
    return 0


def _signed(directory: str, index: int, below: int, wait_seconds: float) -> bool:
    """Wait until a checkpoint covers record `index`, and see that the record there is the tombstone of all before `below`."""
    deadline = time.monotonic() + wait_seconds
    while True:
        checkpoint = read_checkpoint(directory)
        if checkpoint is not None and checkpoint.size > index:
            break
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    number = index // WIDTH
    width = min(WIDTH, checkpoint.size - number * WIDTH)
    entry = decode_bundle(read_file(_bundle(directory, number, width), MAX_BUNDLE), width)[index % WIDTH]
    record = parse_record(entry)
    if record.type != TOMBSTONE or record.number("below") != below:
        os.unlink(os.path.join(directory, _HINT))
        raise ValueError(f"record {index} is not the tombstone that the file {_HINT} names")
    return True


def main(arguments: list[str]) -> int:
    """Prune once as the configuration says; 2 on wrong usage."""
    apart = arguments[:1] == ["--apart"]
    if len(arguments) != 1 + apart or arguments[-1].startswith("-"):
        sys.stderr.write("usage: python -m wardgate.custody.pruning [--apart] CONFIG\n")
        return 2
    from wardgate.policy import load

    config = load(arguments[-1], check_files=False)
    if apart and not config.custody.socket:
        return 0  # the master does it
    return prune(config.custody, os.fspath(config.writer_socket), Log("pruning"))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
