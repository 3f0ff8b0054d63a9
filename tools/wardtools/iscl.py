"""`wardtool iscl decode`: prints the ISCL messages of a capture field by field and says which reconstruction fits.

What a person does when a real peer appears stands in docs/iscl.md. Read names, lengths and methods here; data are never printed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from wardgate.iscl.reconstruction import R1
from wardgate.iscl.softtoken import KeyPair
from wardgate.iscl.terms import ACK, NAK, Encryption, Mac, MessageId, Method
from wardtools.capture import MAX_FILE_BYTES, CaptureError, Stream, streams
from wardtools.isclwire import fit
from wardtools.isclwire.messages import READINGS, Reading, Row, both, score

USAGE = """\
usage: wardtool iscl decode CAPTURE [--keys C2S_HEX S2C_HEX]
  CAPTURE   pcap or pcapng; TCP connections that are no ISCL are skipped
  --keys    laboratory keys of the authentication slot, 8 bytes each: tries which R1 alternatives make responses and MACs come out right
"""
_NAMED = {"method": Method, "encryption": Encryption, "mac": Mac}
_SECRET = frozenset({"data"})


def main(words: list[str]) -> int:
    """Run it; exit status 0: something was ISCL, 1: nothing was, 2: wrongly called or unreadable."""
    keys: KeyPair | None = None
    if len(words) == 5 and words[2] == "--keys":
        try:
            keys = KeyPair(bytes.fromhex(words[3]), bytes.fromhex(words[4]))
        except ValueError:
            keys = KeyPair(b"", b"")
        if len(keys.to_server) != 8 or len(keys.to_client) != 8:
            sys.stderr.write("a key has 16 hex digits\n")
            return 2
        words = words[:2]
    if len(words) != 2 or words[0] != "decode":
        sys.stderr.write(USAGE)
        return 2
    try:
        with Path(words[1]).open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
        connections = streams(data)
    except (OSError, CaptureError) as error:
        sys.stderr.write(f"{words[1]}: {error}\n")
        return 2
    shown = sum(show(caller, called, keys, sys.stdout) for caller, called in connections)
    if not shown:
        sys.stdout.write(f"no ISCL among {len(connections)} TCP connections\n")
    return 0 if shown else 1


def show(caller: Stream, called: Stream, keys: KeyPair | None, out: TextIO) -> bool:
    """Print one connection; false when it is no ISCL."""
    scores = {reading: score(caller, called, reading) for reading in READINGS}
    best = max(scores, key=lambda reading: (scores[reading][0] - scores[reading][1], -READINGS.index(reading)))
    if scores[best][0] == 0:
        return False
    out.write(f"connection {caller.source} -> {called.source}\n")
    for reading, (good, bad) in scores.items():
        mark = "fits" if scores[reading] == scores[best] else "does not fit"
        out.write(f"  {reading.text}: {good} messages read, {bad} not: {mark}\n")
    found, ends = both(caller, called, best)
    for row in found:
        _row(row, out)
    for end in ends:
        out.write(f"  {end}\n")
    for stream in (caller, called):
        if stream.gap:
            out.write(f"  bytes of {stream.source} are missing in the capture\n")
    _fits(found, best, keys, out)
    return True


def _row(row: Row, out: TextIO) -> None:
    side = "server" if row.from_server else "client"
    try:
        name = MessageId(row.header.message_id).name.lower().replace("_", " ")
    except ValueError:
        name = "unknown message"
    out.write(f"  packet {row.packet}, {side}: {name} {row.header.message_id:08x}, {row.header.length} bytes\n")
    for field in ("indicator", "time_stamp", "error_number", "reserved_1", "reserved_2"):
        if getattr(row.header, field):
            out.write(f"    header {field} {getattr(row.header, field):08x} (R1 sends 0)\n")
    if row.message is None:
        out.write(f"    not read: {row.error}\n    body {row.body[:64].hex()}{'...' if len(row.body) > 64 else ''}\n")
        return
    if row.message.option:
        out.write(f"    option {row.message.option:08x}\n")
    for field, value in row.message.fields.items():
        out.write(f"    {field} {_value(field, value)}\n")


def _value(field: str, value: int | bytes) -> str:
    if isinstance(value, bytes):
        if field in _SECRET:
            return f"{len(value)} bytes"
        return f"{len(value)} bytes, {value.hex()}" + (f" {value.decode('ascii')!r}" if field == "name" and value.isascii() else "")
    text = f"{value:08x} ({value})"
    if field == "status":
        return {ACK: "ACK", NAK: "NAK"}.get(value, text)
    if field in _NAMED:
        try:
            return f"{text} {_NAMED[field](value).name}"
        except ValueError:
            return f"{text} unknown"
    return text


def _fits(found: list[Row], reading: Reading, keys: KeyPair | None, out: TextIO) -> None:
    messages = list(fit.captured(found))
    if keys is None:
        out.write(f"  {len(messages)} protected messages; with --keys their MACs tell which R1 alternatives fit\n")
        return
    for name, came_out in fit.responses(found, keys).items():
        out.write(f"  response = E(K, challenge), {name}: {'fits' if came_out else 'does not fit'}\n")
    tried = [(fit.fits(messages, keys, reading, r1), r1) for r1 in fit.alternatives(shared=True)]
    best = max((good for good, _ in tried), default=0)
    total = min(len(messages), fit.MAX_MESSAGES)
    out.write(f"  MACs: {best} of {total} messages come out right at best\n")
    if not best:
        return
    right = [r1 for good, r1 in tried if good == best]
    for field in (
        "derivation",
        "swap_64bit",
        "padding",
        "chain_mac",
        "chain_messages",
        "shared_register",
        "order_b_as_message",
        "des_mac_key",
        "order_sign",
    ):
        values = sorted({_word(getattr(r1, field)) for r1 in right})
        told = values[0] if len(values) == 1 else f"not told apart by this capture ({', '.join(values)})"
        default = _word(getattr(R1, field))
        out.write(f"    {field}: {told}" + ("" if values == [default] or len(values) > 1 else f" (R1: {default})") + "\n")


def _word(value: object) -> str:
    return str(getattr(value, "value", value)).lower()
