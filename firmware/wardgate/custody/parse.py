"""Reads records back: strict on the types and the version that this program knows, tolerant of types it does not."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Final

from wardgate.custody.record import ALGORITHMS, MAX_DIGESTS, MAX_RECORD, SCOPES, VERSION, Flow, Outcome, Quality, TokenEvent

_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z")
_ASSOCIATION: Final = re.compile(r"[0-9a-f]{32}")
_STATUS: Final = re.compile(r"[0-9A-F]{4}")
_UID: Final = re.compile(r"[0-9.?]{0,64}")
_HEX: Final = re.compile(r"[0-9a-f]+")
_WORD: Final = re.compile(r"[a-z][a-z0-9-]{0,47}")
_SERIAL: Final = re.compile(r"(?:[0-9a-f]{64})?")
_SCOPED: Final = ("box", "link", "direction", "association", "acceptor", "requestor")
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "open": _SCOPED,
    "store": (
        *_SCOPED,
        *("seq", "sent_by", "sop_class", "sop_instance", "transfer_syntax", "length", "digests", "outcome", "status"),
    ),
    "commitment": (*_SCOPED, "seq", "sent_by", "transaction", "sop_class", "sop_instance", "outcome", "reason"),
    "answer": (*_SCOPED, "seq", "sent_by", "sop_class", "sop_instance", "told", "code"),
    "close": ("association", "stores", "ended", "outcome", "after"),
    "tombstone": ("below", "policy"),
    "box": ("box", "id", "event", "happened", "happened_quality", "code", "detail"),
    "bypass": ("event", "box", "id", "at", "how", "who", "reason", "targets", "minutes"),
    "token": ("event", "box", "token", "serial", "users", "code", "detail", "signing", "unsigned"),
    "update": ("event", "box", "from", "to", "code", "detail"),
}
# What an `update` record tells of a release: see docs/update.md.
UPDATE_EVENTS: Final = ("installed", "good", "unproven", "rolled-back", "interrupted", "refused")
_LEG: Final = ("ae_title", "address", "certificate", "tls")


class RecordError(Exception):
    """A record is not what its type requires."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its type and time; `fields` are all others by name, as the log has them."""

    type: str
    time: str
    quality: str
    known: bool
    fields: dict[str, object]

    @property
    def association(self) -> str:
        """The association's id, hex; "" for types without one."""
        return str(self.fields.get("association", ""))

    def text(self, name: str) -> str:
        """Return a field as text."""
        value = self.fields.get(name)
        return "" if value is None else str(value)

    def number(self, name: str) -> int | None:
        """Return a field as a number, None when it is null."""
        value = self.fields.get(name)
        return value if isinstance(value, int) else None

    def leg(self, name: str) -> dict[str, str]:
        """Return the acceptor or requestor leg."""
        value = self.fields.get(name)
        return {str(key): str(item) for key, item in value.items()} if isinstance(value, dict) else {}

    def digests(self) -> list[tuple[str, str, str]]:
        """Return (algorithm, scope, hex) of every digest."""
        value = self.fields.get("digests")
        return [(item["alg"], item["scope"], item["value"]) for item in value] if isinstance(value, list) else []


def parse_record(data: bytes) -> Record:
    """Return what a record says. Raises `RecordError`."""
    if len(data) > MAX_RECORD or not data.isascii():
        raise RecordError(f"{len(data)} bytes, at most {MAX_RECORD}, all ASCII")
    try:
        fields = _DECODER.decode(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise RecordError(f"not JSON: {error}") from error
    if not isinstance(fields, dict) or list(fields)[:2] != ["v", "type"]:
        raise RecordError("a record begins with its version and type")
    version, kind = fields.pop("v"), fields.pop("type")
    if version != VERSION or isinstance(version, bool) or not isinstance(kind, str):
        raise RecordError(f"version {version!r}, type {kind!r}")
    if kind not in _KEYS:
        return Record(kind, str(fields.get("time", "")), str(fields.get("quality", "")), False, fields)
    if tuple(fields) != ("time", "quality", *_KEYS[kind]):
        raise RecordError(f"the fields of {kind!r} are not those of version {VERSION}, in their order")
    time, quality = fields.pop("time"), fields.pop("quality")
    _match(_TIME, time, "time")
    _one_of(Quality, quality, "quality")
    if kind == "tombstone":
        _count(fields["below"], "below")
        return Record(kind, time, quality, True, fields)
    if kind == "box":
        _check_box(fields)
        return Record(kind, time, quality, True, fields)
    if kind == "bypass":
        _check_bypass(fields)
        return Record(kind, time, quality, True, fields)
    if kind == "token":
        _check_token(fields)
        return Record(kind, time, quality, True, fields)
    if kind == "update":
        _check_update(fields)
        return Record(kind, time, quality, True, fields)
    _match(_ASSOCIATION, fields["association"], "association")
    if kind == "close":
        _check_close(fields)
    else:
        _check_scope(fields)
    if kind == "store":
        _check_store(fields)
    elif kind == "commitment":
        _check_commitment(fields)
    elif kind == "answer":
        _check_answer(fields)
    return Record(kind, time, quality, True, fields)


def _check_bypass(fields: dict[str, object]) -> None:
    if fields["event"] not in ("begin", "end"):
        raise RecordError(f"event is {str(fields['event'])[:80]!r}")
    _match(_TIME, fields["at"], "at")
    _count(fields["minutes"], "minutes")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice")
    return fields


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_once)


def _match(pattern: re.Pattern[str], value: object, name: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise RecordError(f"{name} is {str(value)[:80]!r}")


def _one_of(kinds: type[Quality] | type[Outcome] | type[Flow] | type[TokenEvent], value: object, name: str) -> None:
    if value not in _values(kinds):
        raise RecordError(f"{name} is {str(value)[:80]!r}")


@cache
def _values(kinds: type[Enum]) -> tuple[str, ...]:
    return tuple(kind.value for kind in kinds)


def _count(value: object, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RecordError(f"{name} is {str(value)[:80]!r}")


def _check_scope(fields: dict[str, object]) -> None:
    for name in ("box", "link", "direction"):
        if not isinstance(fields[name], str):
            raise RecordError(f"{name} is no text")
    for name in ("acceptor", "requestor"):
        leg = fields[name]
        if not isinstance(leg, dict) or tuple(leg) != _LEG or not all(isinstance(value, str) for value in leg.values()):
            raise RecordError(f"{name} is no leg")


def _check_close(fields: dict[str, object]) -> None:
    _count(fields["stores"], "stores")
    if not isinstance(fields["ended"], str):
        raise RecordError("ended is no text")
    if fields["outcome"] == "unknown":
        _count(fields["after"], "after")
    elif fields["outcome"] != "complete" or fields["after"] is not None:
        raise RecordError(f"outcome is {str(fields['outcome'])[:80]!r}, after {str(fields['after'])[:20]}")


def _check_box(fields: dict[str, object]) -> None:
    """What happened outside of the log's own time: `happened` is then, the record's time is when the log could take it."""
    _match(_ASSOCIATION, fields["id"], "id")
    _match(_TIME, fields["happened"], "happened")
    _one_of(Quality, fields["happened_quality"], "happened_quality")
    _match(_WORD, fields["event"], "event")
    for name in ("box", "code", "detail"):
        if not isinstance(fields[name], str):
            raise RecordError(f"{name} is no text")


def _check_token(fields: dict[str, object]) -> None:
    _one_of(TokenEvent, fields["event"], "event")
    _match(_SERIAL, fields["serial"], "serial")
    _count(fields["unsigned"], "unsigned")
    if fields["signing"] not in ("in", "out"):
        raise RecordError(f"signing is {str(fields['signing'])[:20]!r}")
    for name in ("box", "token", "users", "code", "detail"):
        if not isinstance(fields[name], str):
            raise RecordError(f"{name} is no text")


def _check_update(fields: dict[str, object]) -> None:
    if fields["event"] not in UPDATE_EVENTS:
        raise RecordError(f"event is {str(fields['event'])[:80]!r}")
    for name in ("box", "from", "to", "code", "detail"):
        if not isinstance(fields[name], str):
            raise RecordError(f"{name} is no text")


def _check_commitment(fields: dict[str, object]) -> None:
    _count(fields["seq"], "seq")
    _one_of(Flow, fields["sent_by"], "sent_by")
    for name in ("transaction", "sop_class", "sop_instance"):
        _match(_UID, fields[name], name)
    if fields["outcome"] == "failed":
        _match(_STATUS, fields["reason"], "reason")
    elif fields["outcome"] != "committed" or fields["reason"] is not None:
        raise RecordError(f"outcome is {str(fields['outcome'])[:80]!r}, reason {str(fields['reason'])[:20]}")


def _check_answer(fields: dict[str, object]) -> None:
    _count(fields["seq"], "seq")
    _one_of(Flow, fields["sent_by"], "sent_by")
    for name in ("sop_class", "sop_instance"):
        _match(_UID, fields[name], name)
    _match(_STATUS, fields["told"], "told")
    if not isinstance(fields["code"], str):
        raise RecordError("code is no text")


def _check_store(fields: dict[str, object]) -> None:
    _count(fields["seq"], "seq")
    _count(fields["length"], "length")
    _one_of(Flow, fields["sent_by"], "sent_by")
    _one_of(Outcome, fields["outcome"], "outcome")
    for name in ("sop_class", "sop_instance", "transfer_syntax"):
        _match(_UID, fields[name], name)
    if fields["status"] is not None:
        _match(_STATUS, fields["status"], "status")
    digests = fields["digests"]
    if not isinstance(digests, list) or len(digests) > MAX_DIGESTS:
        raise RecordError("digests is no short list")
    for digest in digests:
        if not isinstance(digest, dict) or tuple(digest) != ("alg", "scope", "value"):
            raise RecordError("a digest is not one")
        _match(_HEX, digest["value"], "digest")
        if not isinstance(digest["alg"], str) or not isinstance(digest["scope"], str):
            raise RecordError("a digest's algorithm or scope is no text")
        if ALGORITHMS.get(digest["alg"]) != len(digest["value"]) or digest["scope"] not in SCOPES:
            raise RecordError(f"digest of an unknown kind: {str(digest['alg'])[:20]!r} {str(digest['scope'])[:20]!r}")
