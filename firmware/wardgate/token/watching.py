"""The part of the key service's protocol that the master speaks: WATCH and STATUS. Sans-IO.

Written again here, small: the codec of `wardkeys.wire` brings `typing`, which the master does without.
"""

from __future__ import annotations

import json

STATUS, WATCH = 6, 7
MAX_PACKET = 65536
_VERSION, _ANSWER = 1, 0x80
_HEAD = 8  # version u8, op u8, id u32, status u16


class WatchError(Exception):
    """The key service refused, or sent what is not its protocol."""


def request(op: int, number: int) -> bytes:
    """Return a request without fields."""
    return bytes((_VERSION, op)) + number.to_bytes(4, "big")


def report_in(packet: bytes) -> object:
    """Return what a STATUS or WATCH message says. Raises `WatchError`."""
    if len(packet) < _HEAD + 2 or len(packet) > MAX_PACKET or packet[0] != _VERSION or packet[1] not in (STATUS | _ANSWER, WATCH | _ANSWER):
        raise WatchError(f"a packet of {len(packet)} bytes that is no report")
    status = int.from_bytes(packet[6:8], "big")
    size = int.from_bytes(packet[8:10], "big")
    text = packet[10 : 10 + size]
    if status:
        raise WatchError(f"WG{status:03d} {text[:200].decode('utf-8', 'replace')}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WatchError("a report that is not JSON") from error
