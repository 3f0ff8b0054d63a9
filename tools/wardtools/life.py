"""One SOP Instance's life as the custody log has it, in plain words: what each record that names it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from wardgate.custody.parse import Record
from wardtools.inhand import syntax_name

HERE: Final = "hold"  # address of a leg that was the box itself
_QUALITY: Final = {
    "synchronised": "clock synchronised",
    "unsynchronised": "clock NOT synchronised: the time may be wrong",
    "unknown": "it is not known whether the clock was synchronised",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened: the record's index and time, a sentence, further remarks. `is_signed`: a checkpoint covers it."""

    place: int
    time: str
    quality: str
    sentence: str
    remarks: tuple[str, ...]
    is_signed: bool

    @property
    def clock(self) -> str:
        """The quality of the time in words."""
        return _QUALITY.get(self.quality, "the record does not say how good the clock was")


@dataclass(slots=True)
class Context:
    """What is known beside the records of an instance: association ends, and what tokens did, each (index, record) in order."""

    opens: dict[str, tuple[int, Record]] = field(default_factory=dict)
    closes: dict[str, tuple[int, Record]] = field(default_factory=dict)
    tokens: list[tuple[int, Record]] = field(default_factory=list)

    def token_at(self, place: int) -> str:
        """Say what the last token record before `place` was."""
        last = None
        for index, record in self.tokens:
            if index < place:
                last = record
        if last is None:
            return "no record before it says anything of a card"
        name = last.text("token") or "the card"
        signing = {"in": "; the log could be signed", "out": "; the log could not be signed then"}.get(last.text("signing"), "")
        return f"card: {name} {last.text('event') or 'changed'} at {last.time[:19]}Z{signing}"


def moment(place: int, record: Record, context: Context, signed: int) -> Moment:
    """Return what a record says of the instance that it names."""
    if record.type == "store":
        sentence, remarks = _store(place, record, context)
    elif record.type == "commitment":
        sentence, remarks = _commitment(record)
    elif record.type == "answer":
        sentence, remarks = _answer(record)
    elif record.type == "sop-instance-status":
        sentence, remarks = _status(record)
    else:
        sentence, remarks = _other(record)
    return Moment(place, record.time, record.quality, sentence, tuple(remarks), place < signed)


def _store(place: int, record: Record, context: Context) -> tuple[str, list[str]]:
    came = record.text("sent_by")
    source, target = record.leg(came), record.leg("requestor" if came == "acceptor" else "acceptor")
    link = f"box {record.text('box')}, link {record.text('link')}"
    digests = record.digests()
    arrived = [f"{alg} {value}" for alg, scope, value in digests if scope == "dataset"]
    left = [f"{alg} {value}" for alg, scope, value in digests if scope == "dataset-sent"]
    if target.get("address") == HERE:
        sentence = f"Arrived from {_leg(source)} at {link}; the box took it, to send it on to {target.get('ae_title')}. {_end(record)}"
    elif source.get("address") == HERE:
        sentence = f"Forwarded by {link}, for {source.get('ae_title') or 'an unnamed AE'}, to {_leg(target)}. {_end(record)}"
    else:
        sentence = f"Arrived from {_leg(source)} at {link}; left for {_leg(target)}. {_end(record)}"
    remarks = [
        f"{record.text('length')} bytes of data set in {syntax_name(record.text('transfer_syntax'))}",
        f"digest as it arrived: {', '.join(arrived) or 'none recorded'}",
        f"digest as it left: {', '.join(left)}: named attributes were edited on the way" if left else "left byte for byte as it arrived",
    ]
    if target.get("certificate"):
        remarks.append(f"receiver's certificate (SHA-256): {target['certificate']}")
    elif source.get("certificate"):
        remarks.append(f"sender's certificate (SHA-256): {source['certificate']}")
    remarks.append(context.token_at(place))
    opened = context.opens.get(record.association)
    closed = context.closes.get(record.association)
    if opened is not None:
        remarks.append(f"association opened at {opened[1].time[:19]}Z (record {opened[0]})")
    if closed is not None:
        unknown = closed[1].number("after")
        lost = f"; instances after record {unknown}: outcome unknown" if unknown is not None else ""
        remarks.append(f"association ended at {closed[1].time[:19]}Z: {closed[1].text('ended')} (record {closed[0]}){lost}")
    else:
        remarks.append("the association has not ended yet, as far as the log goes")
    return sentence, remarks


def _commitment(record: Record) -> tuple[str, list[str]]:
    """Storage commitment (PS3.4 J.3.3): who said what to whom."""
    came = record.text("sent_by")
    source, target = record.leg(came), record.leg("requestor" if came == "acceptor" else "acceptor")
    by = f"{source.get('ae_title') or 'an unnamed AE'}" if source.get("address") != HERE else "The box"
    to = "the box" if target.get("address") == HERE else target.get("ae_title") or "an unnamed AE"
    if record.text("outcome") == "committed":
        sentence = f"Committed: {by} reported to {to} that it is safely stored (storage commitment)."
    else:
        sentence = f"NOT committed: {by} reported to {to} that storage commitment failed, reason {record.text('reason')}."
    return sentence, [f"box {record.text('box')}, link {record.text('link')}", f"transaction {record.text('transaction')}"]


def _answer(record: Record) -> tuple[str, list[str]]:
    """What the sender heard in place of what the record of the same number says."""
    sender = record.leg(record.text("sent_by")).get("ae_title") or "an unnamed AE"
    sentence = f"{sender} was told {record.text('told')} for it ({record.text('code')}), because its record was not durable in time."
    return sentence, [
        f"box {record.text('box')}, link {record.text('link')}",
        f"sequence number {record.text('seq')} of association {record.association}: a record of that number says what the receiver said",
    ]


_STATUS_WORDS: Final = {
    "NONE": "not here any more",
    "NS": "not specified (NS)",
    "OR": "original (OR)",
    "AO": "authorized original (AO)",
    "AC": "authorized copy (AC)",
    "OR_PENDING": "original (OR), sent and not yet committed",
    "RECEIVED_OR": "original (OR), received and not yet confirmed",
    "RECEIVED_AO": "authorized original (AO), received and not yet confirmed",
    "AO_PENDING": "authorized original (AO), sent and not yet committed",
}


def _status(record: Record) -> tuple[str, list[str]]:
    """SOP Instance Status on a link that holds (PS3.15 A.1.1)."""
    before, after = (_STATUS_WORDS.get(record.text(name), record.text(name)) for name in ("before", "after"))
    peer = record.text("peer")
    what = {
        "authorized": f"Authorized for diagnostic use by the person with certificate {record.text('by')[:16]}...",
        "transferred": f"The original was transferred to {peer}",
        "taken over": "The box has committed the original to the modality and is its holder now",
        "committed": f"{peer} has committed the original and is its holder now",
        "not committed": f"{peer} has not committed the original: the box is still its holder",
    }.get(record.text("event"), record.text("event").capitalize())
    remarks = [f"box {record.text('box')}, link {record.text('link')}, PS3.15 {record.text('rule')}"]
    remarks += [f"{name}: {record.text(name)}" for name in ("digest", "by", "statement", "signature", "transaction") if record.text(name)]
    return f"{what}. SOP Instance Status at the box: {before}, now {after}.", remarks


def _leg(leg: dict[str, str]) -> str:
    how = f"under {leg['tls']}" if leg.get("tls") else "without transport protection"
    return f"{leg.get('ae_title') or 'an unnamed AE'} ({leg.get('address') or 'no address'}, {how})"


def _end(record: Record) -> str:
    """Say how a C-STORE ended (PS3.4 B.2.3, PS3.7 C)."""
    outcome, status = record.text("outcome"), record.text("status")
    if outcome == "aborted":
        return "It was cut off and did not arrive whole."
    if outcome != "status":
        return "Nobody answered: whether it was stored is not known."
    if status == "0000":
        return "The receiver answered 0000: success."
    if status.startswith("B") or status in ("0001", "0107", "0116"):
        return f"The receiver answered {status}: stored, with a warning."
    return f"The receiver answered {status}: not stored."


def _other(record: Record) -> tuple[str, list[str]]:
    """Records of types that are not known here: their name and their plain fields."""
    fields = [f"{name.replace('_', ' ')}: {value}" for name, value in record.fields.items() if isinstance(value, str | int)]
    return f"{record.type.replace('-', ' ').capitalize()}.", fields
