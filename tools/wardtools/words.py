"""Records in plain words, one line each, for lists."""

from __future__ import annotations

import time

from wardgate.custody.parse import Record


def describe(record: Record) -> str:
    """Return one line on what a record says, without what stands in other columns."""
    if record.type == "open":
        legs = [record.leg(name) for name in ("acceptor", "requestor")]
        caller, called = (f"{leg.get('ae_title')}@{leg.get('address')}{' ' + leg['tls'] if leg.get('tls') else ''}" for leg in legs)
        return f"{record.association[:8]} {record.text('direction')}: {caller} -> {called}"
    if record.type == "store":
        digest = next((f"{alg}:{value[:12]}" for alg, _, value in record.digests()), "no digest")
        outcome = record.text("status") if record.text("outcome") == "status" else record.text("outcome").upper()
        return (
            f"{record.association[:8]} #{record.text('seq')} {outcome} {record.text('sop_instance')} {record.text('length')} bytes {digest}"
        )
    if record.type == "answer":
        seq, told = record.text("seq"), record.text("told")
        return f"{record.association[:8]} #{seq} SENDER WAS TOLD {told} {record.text('code')} {record.text('sop_instance')}"
    if record.type == "close":
        after = record.number("after")
        unknown = f", instances after record {after}: outcome unknown" if after is not None else ""
        return f"{record.association[:8]} {record.text('ended')}, {record.text('stores')} stores{unknown}"
    if record.type == "token":
        code = f" {record.text('code')}" if record.text("code") else ""
        serial = f" serial {record.text('serial')[:12]}" if record.text("serial") else ""
        detail = f" ({record.text('detail')})" if record.text("detail") else ""
        signing = "" if record.text("signing") == "in" else f", {record.text('unsigned')} records not signed"
        return f"{record.text('event').upper()}{code} {record.text('token')}{serial}{detail}, used by {record.text('users')}{signing}"
    if record.type == "box":
        code = f" {record.text('code')}" if record.text("code") else ""
        detail = f" ({record.text('detail')})" if record.text("detail") else ""
        return f"{record.text('event').upper()}{code}{detail}, happened {record.text('happened')[:23]} ({record.text('happened_quality')})"
    if record.type == "bypass":
        what = "BREAK-GLASS BEGAN" if record.text("event") == "begin" else "BREAK-GLASS ENDED"
        return (
            f"{what} {record.text('at')[:19]}Z by {record.text('how')} ({record.text('who')}): {record.text('reason')};"
            f" in clear to {record.text('targets')}, {record.text('minutes')} minutes, id {record.text('id')}"
        )
    if record.type == "update":
        detail = f" ({record.text('detail')})" if record.text("detail") else ""
        return f"{record.text('event').upper()} {record.text('code')} slot {record.text('from')} -> slot {record.text('to')}{detail}"
    if record.type == "tombstone":
        return f"records before {record.text('below')} were pruned: {record.text('policy')}"
    pairs = [f"{name} {value}" for name, value in record.fields.items() if isinstance(value, str | int)]
    return (", ".join(pairs) or f"{len(record.fields)} fields")[:160]


def plain(text: str) -> str:
    """Return `text` with all that is not printable written out: what peers and cards call themselves may not move a terminal's cursor."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def say(*lines: str) -> None:
    """Print lines, each `plain`."""
    for line in lines:
        print(plain(line))


def utc(seconds: float) -> str:
    """Return Unix seconds as UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds)) if seconds < 1 << 38 else "a time far away"
