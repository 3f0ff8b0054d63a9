"""Checks everything in a custody log that can be checked with the public key alone, and says where it is wrong."""

from __future__ import annotations

from wardgate.custody.checkpoint import Checkpoint, open_checkpoint
from wardgate.custody.note import NoteError, UnknownKey, VerifierKey
from wardgate.custody.recover import Damaged
from wardgate.custody.tiles import WIDTH, TileError, tile_path
from wardgate.custody.tree import EMPTY_ROOT, ProofError, check_consistency, consistency_proof
from wardtools.climb import Climb
from wardtools.findings import Findings, Verdict
from wardtools.leaves import check_all
from wardtools.logdir import LogDirectory, View
from wardtools.pairs import Stretch, Whole

_TRIES = 3

__all__ = ["Findings", "Verdict", "verify", "verify_since"]


def verify(log: LogDirectory, key: VerifierKey, processes: int = 0, strict: bool = False) -> Findings:
    """Check checkpoint, tiles, root, records and write-ahead frames. Raises `OSError` when the log cannot be read.

    `processes` 0: one a processor. `strict`: every field of every record, not only what joins it to others.
    """
    for _ in range(_TRIES):
        findings, view = _verify(log, key, processes, strict)
        if not findings.errors or view is None or view.note == _note(log):
            break  # else the writer went on meanwhile, and may have pruned what was missing
    return findings


def verify_since(log: LogDirectory, key: VerifierKey, kept: bytes, findings: Findings) -> None:
    """Check the log against a checkpoint that was kept elsewhere: is it the same log, grown?"""
    try:
        old = open_checkpoint(kept, key)
    except UnknownKey as error:
        findings.wrong(f"the kept checkpoint: {error}", Verdict.UNKNOWN_KEY)
        return
    except NoteError as error:
        findings.wrong(f"the kept checkpoint cannot be used: {error}", Verdict.UNREADABLE)
        return
    try:
        new = open_checkpoint(log.note(), key)
    except FileNotFoundError:
        new = Checkpoint(old.origin, 0, EMPTY_ROOT)
    except NoteError:
        return  # said already
    _compare(log, old, new, findings)


def _compare(log: LogDirectory, old: Checkpoint, new: Checkpoint, findings: Findings) -> None:
    if old.size > new.size:
        findings.kept = new.size
        findings.wrong(
            f"the kept checkpoint covers {old.size} records, the log's own only {new.size}: it was cut or rolled back", Verdict.TRUNCATED
        )
        return
    try:
        if old.size:
            path = [] if old.size == new.size else consistency_proof(log.tree(new).subtree, old.size, new.size)
            check_consistency(old.size, old.root, new.size, new.root, path)
    except ProofError:
        findings.wrong(
            f"the log of {new.size} records is not the continuation of the one of {old.size} records that was kept", Verdict.FORKED
        )
        return
    except (TileError, OSError) as error:
        findings.wrong(f"no consistency proof can be made: {error}")
        return
    findings.facts.append(f"consistent with the kept checkpoint of {old.size} records: nothing before it was changed, removed or moved")


def _note(log: LogDirectory) -> bytes:
    try:
        return log.note()
    except OSError:
        return b""


def _verify(log: LogDirectory, key: VerifierKey, processes: int, strict: bool) -> tuple[Findings, View | None]:
    findings = Findings()
    try:
        view = _view(log, findings)
    except NoteError as error:
        findings.wrong(f"the checkpoint: {error}")
        return findings, None
    is_signed = False
    if view.head.origin:
        try:
            open_checkpoint(view.note, key)
            is_signed = True
        except UnknownKey as error:
            findings.wrong(f"the checkpoint: {error}", Verdict.UNKNOWN_KEY)
        except NoteError as error:
            findings.wrong(f"the checkpoint: {error}")
        else:
            root = view.head.root.hex()
            findings.facts.append(f"checkpoint of {view.head.origin}: {view.head.size} records signed, root {root}")
    whole = Whole(findings)
    climb = Climb(log, view.head, findings, is_signed)
    if view.head.origin and not findings.kinds & {Verdict.UNKNOWN_KEY}:
        below = _below(log, view)
        whole.below = below
        for checked in check_all(log.path, view.signed, processes, strict):
            climb.take(checked)
            whole.join(checked.pairs)
        climb.finish()
    _tail(view, whole)
    climb.judge_missing([tombstone for tombstone in whole.tombstones if tombstone[0] < view.signed])
    _say(view, whole, climb, findings)
    return findings, view


def _view(log: LogDirectory, findings: Findings) -> View:
    try:
        return log.view()
    except Damaged as error:
        findings.wrong(f"write-ahead files: {error}", record=error.record)
        try:
            return log.signed_view()
        except FileNotFoundError:
            return View(0, 0, [], Checkpoint("", 0, b""), b"", True)


def _below(log: LogDirectory, view: View) -> int:
    """Return the index of the first record whose bundle is there."""
    for number in range(-(-view.signed // WIDTH)):
        width = min(WIDTH, view.signed - number * WIDTH)
        if (log.path / tile_path(None, number, width)).exists() or (log.path / tile_path(None, number)).exists():
            return number * WIDTH
    return 0


def _tail(view: View, whole: Whole) -> None:
    stretch = Stretch(view.signed)
    for place, entry in enumerate(view.tail, view.signed):
        stretch.take(place, entry)
    whole.join(stretch)


def _say(view: View, whole: Whole, climb: Climb, findings: Findings) -> None:
    if not view.has_wal:
        findings.note("there is no write-ahead file: records after the checkpoint, if there were any, are gone")
    if view.torn:
        findings.note(f"the write-ahead file ends in {view.torn} bytes that are no record: cut off by a crash, or damaged")
    if whole.backwards:
        findings.note(
            f"the clock was set back: {whole.backwards} times a record is older than the one before it; the order is that of the log"
        )
    for name, span in whole.open.items():
        since = "before the records that are kept" if span.opened is None else f"since record {span.opened}"
        findings.note(f"association {name} is open {since}")
    others = sum(whole.counts.values())
    counts = {**whole.counts, "store": max(0, view.durable - climb.missing_records - others)}
    types = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if count) or "none"
    findings.facts.append(f"records: {types}; {whole.unknown} associations with an unknown end")
    findings.facts.append(f"{view.durable} records durable, of which {view.durable - view.signed} are not yet signed")
