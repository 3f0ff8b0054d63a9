"""Makes the records of the custody log: one line of ASCII JSON with a fixed order of keys, at most `MAX_RECORD` bytes.

A `Scope` holds what is the same in all records of an association, ready as text, so that a store record costs one format.
Whatever comes in from a peer is bounded and escaped. No patient data: UIDs, lengths, digests, AE titles, addresses.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from wardgate.custody.parse import Record

VERSION: Final = 1
MAX_RECORD: Final = 2048
MAX_DIGESTS: Final = 3
ALGORITHMS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}  # name -> hex digits
SCOPES: Final = frozenset({"dataset", "dataset-sent"})
_UID: Final = re.compile(r"[0-9.]{1,64}")  # PS3.5 9.1
_HEX: Final = re.compile(r"[0-9a-f]+")
_ENDED: Final = re.compile(r"[A-Za-z0-9_. -]{1,48}")
_COUNT: Final = 2**64


class Quality(Enum):
    """How far the time of a record can be trusted."""

    SYNCHRONISED = "synchronised"
    UNSYNCHRONISED = "unsynchronised"
    UNKNOWN = "unknown"


class Outcome(Enum):
    """What is known of a store request: the peer's status, that its data set was cut, or nothing."""

    STATUS = "status"
    ABORTED = "aborted"
    UNKNOWN = "unknown"


class Flow(Enum):
    """Which leg sent the instance."""

    ACCEPTOR = "acceptor"
    REQUESTOR = "requestor"


class TokenEvent(Enum):
    """What a `token` record tells."""

    INSERTED = "inserted"
    REMOVED = "removed"
    REFUSED = "refused"  # it is there, and may not be used
    SIGNING_STOPPED = "signing-stopped"
    SIGNING_RESUMED = "signing-resumed"


class TokenNews(NamedTuple):
    """What happened to a token. `serial`: SHA-256 of its serial number, hex, or ""; `users`: who needs it, such as `ct1/pacs,custody`."""

    event: TokenEvent
    box: str
    token: str
    serial: str = ""
    users: str = ""
    code: str = ""
    detail: str = ""


class Leg(NamedTuple):
    """One side of an association. `certificate`: SHA-256 of the leaf, hex, or ""; `tls`: version and suite, or ""."""

    ae_title: str
    address: str
    certificate: str = ""
    tls: str = ""


class Scope:
    """What all records of one association share. `association`: 16 bytes, never used twice."""

    __slots__ = ("_association", "_common", "_fixed", "association")

    def __init__(self, box: str, link: str, direction: str, association: bytes, acceptor: Leg, requestor: Leg) -> None:
        if len(association) != 16:
            raise ValueError("an association id has 16 bytes")
        self.association = association
        self._association = f'"association":"{association.hex()}"'
        self._fixed = (
            f'"box":{quoted(box, 96)},"link":{quoted(link, 96)},"direction":{quoted(direction, 16)},'
            f'{self._association},"acceptor":{_leg(acceptor)},"requestor":'
        )
        self._common = self._fixed + _leg(requestor)

    def set_requestor(self, requestor: Leg) -> None:
        """Say more of the requestor leg, once its handshake is done."""
        self._common = self._fixed + _leg(requestor)

    def open(self, time_ns: int, quality: Quality) -> bytes:
        """Return the open entry. `time_ns`: UTC nanoseconds since 1970."""
        return f'{{"v":1,"type":"open","time":"{stamp(time_ns)}","quality":"{quality._value_}",{self._common}}}'.encode("ascii")

    def store(
        self,
        time_ns: int,
        quality: Quality,
        seq: int,
        sop_class: str,
        sop_instance: str,
        transfer_syntax: str,
        length: int,
        digests: Sequence[tuple[str, str, str]],
        status: int | None,
        outcome: Outcome,
        flow: Flow,
    ) -> bytes:
        """Return the record of one C-STORE request. `length`: bytes of data set; `digests`: (algorithm, scope, hex)."""
        if status is None:
            word = "null"
        else:
            word = f'"{status & 0xFFFF:04X}"'
        if len(digests) == 1:
            sums = _digest(*digests[0])
        else:
            sums = ",".join([_digest(*digest) for digest in digests[:MAX_DIGESTS]])
        return (
            f'{{"v":1,"type":"store","time":"{stamp(time_ns)}","quality":"{quality._value_}",{self._common},"seq":{seq % _COUNT:d},'
            f'"sent_by":"{flow._value_}","sop_class":"{uid(sop_class)}","sop_instance":"{uid(sop_instance)}",'
            f'"transfer_syntax":"{uid(transfer_syntax)}","length":{length % _COUNT:d},"digests":[{sums}],'
            f'"outcome":"{outcome._value_}","status":{word}}}'
        ).encode("ascii")

    def commitment(
        self, time_ns: int, quality: Quality, seq: int, transaction: str, sop_class: str, sop_instance: str, reason: int, flow: Flow
    ) -> bytes:
        """Return the record of what a storage commitment report says of one instance. `reason`: why it failed, -1: it is committed."""
        outcome, word = ("committed", "null") if reason < 0 else ("failed", f'"{reason & 0xFFFF:04X}"')
        return (
            f'{{"v":1,"type":"commitment","time":"{stamp(time_ns)}","quality":"{quality._value_}",{self._common},"seq":{seq % _COUNT:d},'
            f'"sent_by":"{flow._value_}","transaction":"{uid(transaction)}","sop_class":"{uid(sop_class)}",'
            f'"sop_instance":"{uid(sop_instance)}","outcome":"{outcome}","reason":{word}}}'
        ).encode("ascii")

    def answer(
        self, time_ns: int, quality: Quality, seq: int, sop_class: str, sop_instance: str, told: int, code: str, flow: Flow
    ) -> bytes:
        """Return the record of what the sender of an instance was told in place of the status that record `seq` may have."""
        return (
            f'{{"v":1,"type":"answer","time":"{stamp(time_ns)}","quality":"{quality._value_}",{self._common},"seq":{seq % _COUNT:d},'
            f'"sent_by":"{flow._value_}","sop_class":"{uid(sop_class)}","sop_instance":"{uid(sop_instance)}",'
            f'"told":"{told & 0xFFFF:04X}","code":{quoted(code, 8)}}}'
        ).encode("ascii")

    def close(self, time_ns: int, quality: Quality, stores: int, ended: str, after: int | None = None) -> bytes:
        """Return the close entry. `after`: outcomes of instances after the record of that index are unknown."""
        return close_record(self.association, time_ns, quality, stores, ended, after)


def close_record(association: bytes, time_ns: int, quality: Quality, stores: int, ended: str, after: int | None) -> bytes:
    """Return a close entry. With `after`: what became of instances after the record of that index is unknown."""
    if not _ENDED.fullmatch(ended):
        ended = re.sub(r"[^A-Za-z0-9_. -]", "?", ended)[:48].replace("?", "_") or "_"
    outcome, place = ("complete", "null") if after is None else ("unknown", f"{after % _COUNT:d}")
    return (
        f'{{"v":1,"type":"close","time":"{stamp(time_ns)}","quality":"{quality._value_}","association":"{association.hex()}",'
        f'"stores":{stores % _COUNT:d},"ended":"{ended}","outcome":"{outcome}","after":{place}}}'
    ).encode("ascii")


def token_record(time_ns: int, quality: Quality, news: TokenNews, signing: bool, unsigned: int) -> bytes:
    """Return a token entry. `signing`: can checkpoints be signed; `unsigned`: records before this one that no checkpoint covers."""
    return (
        f'{{"v":1,"type":"token","time":"{stamp(time_ns)}","quality":"{quality._value_}","event":"{news.event._value_}",'
        f'"box":{quoted(news.box, 96)},"token":{quoted(news.token, 128)},"serial":{quoted(news.serial, 64)},'
        f'"users":{quoted(news.users, 256)},"code":{quoted(news.code, 8)},"detail":{quoted(news.detail, 160)},'
        f'"signing":"{"in" if signing else "out"}","unsigned":{unsigned % _COUNT:d}}}'
    ).encode("ascii")


def parse(data: bytes) -> Record:
    """Return what `data` says. Raises `RecordError`. Strict on known types, tolerant of unknown ones."""
    from wardgate.custody.parse import parse_record

    return parse_record(data)


_stamped: tuple[int, str] = (-1, "")


def stamp(time_ns: int) -> str:
    """Return RFC 3339 UTC with nine digits; the text of the second is kept for the next call."""
    global _stamped
    second, rest = divmod(time_ns, 1_000_000_000)
    kept, text = _stamped
    if kept != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _stamped = (second, text)
    return f"{text}.{rest:09d}Z"


def uid(text: str) -> str:
    """Return `text` as a UID: at most 64 characters, anything but digits and dots replaced by `?`."""
    if _UID.fullmatch(text):
        return text
    return re.sub(r"[^0-9.]", "?", text[:64])


@lru_cache(maxsize=256)  # AE titles, fingerprints and suites come again with every association
def quoted(text: str, limit: int) -> str:
    """Return `text` as a JSON string of printable ASCII, at most `limit` bytes between the quotes."""
    if len(text) <= limit and text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    out = []
    room = limit
    for char in text[:limit]:
        point = ord(char)
        if char in '"\\':
            piece = "\\" + char
        elif 0x20 <= point < 0x7F:
            piece = char
        elif point < 0x10000:
            piece = f"\\u{point:04x}"
        else:
            piece = "?"
        room -= len(piece)
        if room < 0:
            break
        out.append(piece)
    return '"' + "".join(out) + '"'


def _leg(leg: Leg) -> str:
    return (
        f'{{"ae_title":{quoted(leg.ae_title, 96)},"address":{quoted(leg.address, 64)},'
        f'"certificate":{quoted(leg.certificate, 64)},"tls":{quoted(leg.tls, 96)}}}'
    )


def _digest(algorithm: str, scope: str, value: str) -> str:
    if ALGORITHMS.get(algorithm) != len(value) or scope not in SCOPES or not _HEX.fullmatch(value):
        raise ValueError(f"not a digest of a known kind: {algorithm!r} {scope!r}")
    return f'{{"alg":"{algorithm}","scope":"{scope}","value":"{value}"}}'
