"""The rules between records: every association opens once, its sequence numbers rise, its close entry counts right.

A log is checked in stretches, each perhaps in a process of its own; `Stretch` follows the associations of one, `join` puts the
ends together. Store records of an association share most of their text: once one was parsed, a `Run` knows what the next must have
at which place, and only whether it has it is looked at; what is signed is anyway what the writer wrote.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from wardgate.custody.parse import Record, RecordError, parse_record
from wardtools.findings import Findings

_STORE: Final = b'{"v":1,"type":"store","time":"'
_SEQ: Final = b',"seq":'
_NAME: Final = b'"association":"'
_NAME_DIGITS: Final = 32
_NUMBERS: Final = [b"%d," % number for number in range(1 << 16)]  # sequence numbers as records have them


@dataclass(slots=True)
class Span:
    """What a stretch knows of one association. `opened` None: its open entry lies before the stretch."""

    opened: int | None
    first_place: int
    first_seq: int = 0  # of the first store or close here
    last_seq: int = 0
    last_index: int = 0
    stores: int = 0
    others: int = 0  # commitment records: they have sequence numbers too
    closed: tuple[int, int, int | None] | None = None  # place, stores that it says, `after`


class Run:
    """Store records of one association: `scope` stands at `at` in each, its sequence number and a comma behind it."""

    __slots__ = ("at", "name", "scope", "span")

    def __init__(self, name: bytes, scope: bytes, at: int, span: Span) -> None:
        self.name = name
        self.scope = scope
        self.at = at
        self.span = span

    def expected(self, most: int) -> tuple[bytes, slice, slice, list[bytes]]:
        """Return what the next records have: the scope, where it is, where a number with a comma follows it, and these, one a record.

        At most `most`, and only numbers of as many digits.
        """
        first = self.span.last_seq + 1
        digits = len(str(first))
        end = self.at + len(self.scope)
        return self.scope, slice(self.at, end), slice(end, end + digits + 1), _NUMBERS[first : min(first + most, 10**digits)]

    def goes_on(self, entry: bytes) -> bool:
        """Whether an entry is the next record."""
        return entry.startswith(b"%b%d," % (self.scope, self.span.last_seq + 1), self.at)

    def note(self, count: int, last_index: int) -> None:
        """Add `count` records that were seen to follow; the last is at `last_index`."""
        if not count:
            return
        span = self.span
        span.stores += count
        span.last_seq += count
        span.last_index = last_index


@dataclass(slots=True)
class Stretch:
    """Follows the records of one stretch, which begins at `start`."""

    start: int
    findings: Findings = field(default_factory=Findings)
    open: dict[str, Span] = field(default_factory=dict)
    ended: dict[str, Span] = field(default_factory=dict)  # closed here, but opened before
    closed: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    tombstones: list[tuple[int, int, str]] = field(default_factory=list)  # place, below, policy
    unknown: int = 0
    backwards: int = 0
    last_time: str = ""
    runs: dict[bytes, Run] = field(default_factory=dict)  # by association id, hex
    likely: Run | None = None  # the last two records went on with it
    _last: Run | None = None  # the last record did

    def follow(self, place: int, entry: bytes, strict: bool = False) -> None:
        """Follow one record. `strict`: read every field of it."""
        run = None if strict else self.run_of(entry)
        if run is not None and run.goes_on(entry):
            run.note(1, place)
            self.likely = run if run is self._last else None
            self._last = run
            return
        self.likely = self._last = None
        if strict or not self.begin_run(place, entry):
            self.take(place, entry)

    def run_of(self, entry: bytes) -> Run | None:
        """Return the run that an entry may go on with."""
        at = entry.find(_NAME) + len(_NAME)
        return self.runs.get(entry[at : at + _NAME_DIGITS])

    def begin_run(self, place: int, entry: bytes) -> bool:
        """Follow a store record by what joins it to others alone; False when it takes more than that."""
        at = entry.find(_NAME) + len(_NAME)
        name = entry[at : at + _NAME_DIGITS].decode("latin-1")
        span = self.open.get(name)
        end = entry.find(_SEQ, at)
        digits = entry[end + len(_SEQ) : entry.find(b",", end + len(_SEQ))]
        if span is None or end < 0 or not digits.isdigit() or not entry.startswith(_STORE):
            return False
        self._count(place, int(digits), name, span)
        self._remember(name, entry, span)
        return True

    def take(self, place: int, entry: bytes) -> None:
        """Follow one record, reading every field of it."""
        try:
            record = parse_record(entry)
        except RecordError as error:
            self.findings.wrong(f"record {place}: {error}", record=place)
            return
        if record.type != "store":
            self.counts[record.type] = self.counts.get(record.type, 0) + 1
        if not record.known:
            return
        if record.type == "tombstone":
            self.tombstones.append((place, record.number("below") or 0, record.text("policy")))
            return
        if record.type == "token":
            self._token(place, record)
            return
        if record.type == "answer":  # outside of the numbers of its association, and perhaps behind its end
            self.findings.note(
                f"record {place}: the sender of sequence number {record.number('seq')} was told {record.text('told')}, whatever its record"
                f" says (association {record.association})"
            )
            return
        if not record.association:  # box, update, bypass and what else belongs to none
            return
        if self.last_time > record.time:
            self.backwards += 1
        self.last_time = record.time
        name = record.association
        span = self.open.get(name)
        if record.type == "open":
            if span is not None or name in self.closed:
                self.findings.wrong(f"record {place}: association {name} is opened twice", record=place)
            self.open[name] = Span(place, place, last_index=place)
            return
        if span is None:
            if name in self.closed:
                self.findings.wrong(f"record {place}: {record.type} after the close entry, association {name}", record=place)
                return
            span = self.open[name] = Span(None, place, last_index=-1)
        if record.type == "store":
            self._count(place, record.number("seq") or 0, name, span)
            self._remember(name, entry, span)
        elif record.type == "commitment":
            self._count(place, record.number("seq") or 0, name, span)
            span.stores -= 1
            span.others += 1
        else:
            self._close(place, record, span)
            del self.open[name]
            self.runs.pop(name.encode(), None)
            self.closed.add(name)
            if span.opened is None:
                self.ended[name] = span

    def _token(self, place: int, record: Record) -> None:
        """Note when the log grew without signatures: what was written then was durable only."""
        if record.text("event") == "signing-stopped":
            self.findings.note(f"record {place}: from here on nothing could be signed ({record.text('code')})")
        elif record.text("event") == "signing-resumed":
            self.findings.note(f"record {place}: checkpoints are signed again")

    def _remember(self, name: str, entry: bytes, span: Span) -> None:
        start, end = entry.find(b'"box":'), entry.find(b',"seq":')
        if 0 < start < end:
            self.runs[name.encode()] = Run(name.encode(), entry[start : end + 7], start, span)

    def _count(self, place: int, seq: int, name: str, span: Span) -> None:
        if span.opened is None and not span.first_seq:
            span.first_seq = seq  # what came before is judged by `join`
        else:
            check_seq(self.findings, place, span.last_seq, seq, name)
        span.last_seq = max(seq, span.last_seq)
        span.last_index = place
        span.stores += 1

    def _close(self, place: int, record: Record, span: Span) -> None:
        after = record.number("after")
        span.closed = (place, record.number("stores") or 0, after)
        if after is not None:
            self.unknown += 1
            self.findings.note(f"instances after record {after}: outcome unknown (association {record.association})")
        if span.opened is not None:
            check_close(self.findings, span, record.association)


def check_seq(findings: Findings, place: int, last: int, seq: int, association: str) -> None:
    """Judge a sequence number by the one before."""
    if seq <= last:
        findings.wrong(f"record {place}: sequence number {seq} after {last}, association {association}", record=place)
    elif seq > last + 1:
        findings.note(
            f"record {place}: no record with sequence number {last + 1} to {seq - 1} (could not be made durable), association {association}"
        )


def check_close(findings: Findings, span: Span, association: str) -> None:
    """Judge a close entry by what was counted."""
    if span.closed is None:
        return
    place, stores, after = span.closed
    if stores < max(span.stores, span.last_seq - span.others):
        findings.wrong(
            f"record {place}: says {stores} stores, the log has {span.stores}, up to sequence number {span.last_seq}", record=place
        )
    elif stores + span.others > span.last_seq and after is None:
        findings.note(
            f"record {place}: no record with sequence number {span.last_seq + 1} to {stores + span.others} (could not be made durable),"
            f" association {association}"
        )
    if after is not None and after != span.last_index:
        findings.wrong(f"record {place}: says that outcomes are unknown after {after}, the last is {span.last_index}", record=place)


@dataclass(slots=True)
class Whole:
    """The stretches put together, in their order. `below`: records before this index were pruned."""

    findings: Findings
    below: int = 0
    open: dict[str, Span] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    tombstones: list[tuple[int, int, str]] = field(default_factory=list)
    unknown: int = 0
    backwards: int = 0
    _pruned: set[str] = field(default_factory=set)

    def join(self, stretch: Stretch) -> None:
        """Add the next stretch."""
        findings = self.findings
        for line in stretch.findings.errors:
            findings.wrong(line, record=stretch.findings.first_damaged)
        for line in stretch.findings.notes:
            findings.note(line)
        for name, number in stretch.counts.items():
            self.counts[name] = self.counts.get(name, 0) + number
        self.tombstones += stretch.tombstones
        self.unknown += stretch.unknown
        self.backwards += stretch.backwards
        for name in stretch.closed - stretch.ended.keys():
            if name in self.closed or name in self.open:
                findings.wrong(f"association {name} is opened twice", record=stretch.start)
        for name, span in (*stretch.ended.items(), *stretch.open.items()):
            before = self.open.get(name)
            if span.opened is not None:
                if before is not None or name in self.closed:
                    findings.wrong(f"record {span.opened}: association {name} is opened twice", record=span.opened)
                self.open[name] = span
                continue
            if before is None:
                if name in self.closed or not self.below:
                    findings.wrong(f"record {span.first_place}: no open entry for it, association {name}", record=span.first_place)
                    continue
                before = Span(None, span.first_place, span.first_seq, max(0, span.first_seq - 1))  # it began among the pruned ones
                self._pruned.add(name)
            if span.first_seq:
                check_seq(findings, span.first_place, before.last_seq, span.first_seq, name)
                before.last_seq = span.last_seq
                before.last_index = span.last_index
            before.stores += span.stores
            before.others += span.others
            before.closed = span.closed
            self.open[name] = before
            if span.closed is not None:
                if name not in self._pruned:
                    check_close(findings, before, name)
                del self.open[name]
                self.closed.add(name)
        self.closed |= stretch.closed
