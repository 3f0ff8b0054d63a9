"""`wardtool custody show UID`: finds the records of SOP Instances in a log and tells their life."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from wardgate.custody.cosignature import Cosignature, WitnessKey
from wardgate.custody.note import NoteError, VerifierKey
from wardgate.custody.parse import parse_record
from wardgate.custody.tiles import WIDTH, TileError, decode_bundle, read_tile
from wardgate.custody.tree import ProofError
from wardtools.dicomfile import DicomFileError, read_meta
from wardtools.inhand import InHand, compare
from wardtools.life import Context, Moment, moment
from wardtools.logdir import LogDirectory, View
from wardtools.proving import cosigned_by, make_proof
from wardtools.words import say, utc

_MAX_FILES = 100_000
_MAX_PROOFS = 20  # of one instance


@dataclass(slots=True)
class Life:
    """One instance: what happened, a proof of each record that is signed, and the file in hand when there is one."""

    instance: str
    moments: list[Moment] = field(default_factory=list)
    proofs: dict[int, bytes] = field(default_factory=dict)  # index of the record -> tlog-proof
    wrong: dict[int, str] = field(default_factory=dict)  # index of a record that is not as it was signed -> why
    no_proof: str = ""
    seen: list[Cosignature] = field(default_factory=list)
    in_hand: list[tuple[str, InHand]] = field(default_factory=list)


def show(
    log: LogDirectory, instances: list[str], files: list[Path], key: VerifierKey | None, witnesses: list[WitnessKey], report: Path | None
) -> int:
    """Tell the life of `instances` and of those in `files`; with `report` as a page.

    Return 0; 1 when a record is not as it was signed, or the key given did not sign the log; 11 when the log knows none.
    """
    named = dict.fromkeys(instances)
    by_instance: dict[str, list[Path]] = {}
    for path in _each(files):
        try:
            uid = read_meta(path).sop_instance
        except DicomFileError:
            if path in files:
                raise
            continue  # a folder may hold other files, such as a DICOMDIR's neighbours
        by_instance.setdefault(uid, []).append(path)
    view = log.view()
    lives = tell(log, view, [uid for uid in dict.fromkeys([*named, *by_instance]) if uid], by_instance)
    if key is not None:
        for life in lives:
            _prove(log, key, witnesses, life)
    if report is not None:
        from wardtools.page import page

        if key is None:
            raise ProofError("--report needs --key: a page without checked proofs would only look like one")
        report.write_text(page(lives, view, key), "utf-8")
        say(f"{report}: {len(lives)} instances, {sum(1 for life in lives if life.proofs)} with a proof")
    else:
        for life in lives:
            say(*lines(life))
        if key is None:
            say("(not checked: without --key nothing here was compared with what was signed)")
    if any(life.wrong or (life.no_proof and any(one.is_signed for one in life.moments)) for life in lives):
        return 1
    return 0 if any(life.moments for life in lives) else 11


def _each(paths: list[Path]) -> Iterator[Path]:
    count = 0
    for path in paths:
        for place, folders, names in os.walk(path) if path.is_dir() else [(str(path.parent), [], [path.name])]:
            folders.sort()
            for name in sorted(names):
                count += 1
                if count > _MAX_FILES:
                    raise DicomFileError(f"more than {_MAX_FILES} files")
                yield Path(place) / name


def tell(log: LogDirectory, view: View, instances: list[str], files: dict[str, list[Path]]) -> list[Life]:
    """Return the life of each instance: one pass for its records, one for what surrounds them."""
    lives = {uid: Life(uid) for uid in instances}
    found: list[tuple[int, bytes]] = list(_with(log, view, [f'"{uid}"'.encode() for uid in instances]))
    records = [(place, parse_record(entry)) for place, entry in found]
    names = {record.association for _, record in records if record.association}
    context = Context()
    needles = [f'"association":"{name}"'.encode() for name in names]
    for place, entry in _with(log, view, [*needles, b'"type":"token"']):
        if b'"type":"store"' in entry[:24]:
            continue
        record = parse_record(entry)
        if record.type == "token":
            context.tokens.append((place, record))
        elif record.type in ("open", "close"):
            (context.opens if record.type == "open" else context.closes)[record.association] = (place, record)
    passed: set[str] = set()
    for (place, entry), (_, record) in zip(found, records, strict=True):
        for uid, life in lives.items():
            if f'"{uid}"'.encode() in entry:
                one = moment(place, record, context, view.signed)
                if record.type == "commitment" and uid not in passed:
                    one = replace(one, remarks=(*one.remarks, "NO record before this one says that the instance passed the box"))
                if record.type == "store":
                    passed.add(uid)
                life.moments.append(one)
    for uid, life in lives.items():
        mine = [(place, record) for place, record in records if record.text("sop_instance") == uid]
        life.in_hand = [(path.name, compare(path, mine)) for path in files.get(uid, [])]
    return list(lives.values())


def _with(log: LogDirectory, view: View, needles: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield (index, entry) of the entries that hold one of `needles`."""
    if not needles:
        return
    for number in range(-(-view.signed // WIDTH)):
        width = min(WIDTH, view.signed - number * WIDTH)
        try:
            data = read_tile(log.read, None, number, width)
        except FileNotFoundError:
            continue  # pruned; `verify` says whether a tombstone covers it
        if any(needle in data for needle in needles):
            for place, entry in enumerate(decode_bundle(data, width), number * WIDTH):
                if any(needle in entry for needle in needles):
                    yield place, entry
    for place, entry in enumerate(view.tail, view.signed):
        if any(needle in entry for needle in needles):
            yield place, entry


def _prove(log: LogDirectory, key: VerifierKey, witnesses: list[WitnessKey], life: Life) -> None:
    """See that all records of a life that are signed are as they were signed; attach the proofs of the newest."""
    places = [one.place for one in life.moments if one.is_signed]
    if not places:
        life.no_proof = "no record of it is signed yet" if life.moments else "no record"
        return
    try:
        for place in places:
            try:
                life.proofs[place] = make_proof(log, key, place, witnesses)
            except (ProofError, TileError) as error:
                life.wrong[place] = str(error)
        life.proofs = dict(list(life.proofs.items())[-_MAX_PROOFS:])
        if life.proofs:
            life.seen = cosigned_by(life.proofs[max(life.proofs)], witnesses)
    except NoteError as error:
        life.no_proof = str(error)


def lines(life: Life) -> list[str]:
    """Return a life as lines for a terminal."""
    out = [f"SOP Instance {life.instance}"]
    if not life.moments:
        out.append("  the log has no record of it")
    for one in life.moments:
        signed = "signed" if one.is_signed else "durable, not signed yet"
        if one.place in life.wrong:
            signed = f"NOT AS IT WAS SIGNED ({life.wrong[one.place]})"
        out.append(f"  {one.time[:23]}Z  {one.sentence}")
        out.append(f"      record {one.place}, {signed}; {one.clock}")
        out += [f"      {remark}" for remark in one.remarks]
    if life.proofs:
        out.append(f"  proof: in the signed log (checked): records {', '.join(map(str, life.proofs))}")
    elif life.no_proof:
        out.append(f"  no proof: {life.no_proof}")
    out += [f"  witness {one.witness.name} signed at {utc(one.time_seconds)}" for one in life.seen]
    for name, found in life.in_hand:
        out += [f"  {line}" for line in found.lines(name)]
    return out
