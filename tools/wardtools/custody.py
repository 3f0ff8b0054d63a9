"""`wardtool custody verify|show|prove|check-proof`: needs nothing but the log directory and its public key.

Exit status of verify: 0 intact; 1 damaged; 3 cannot be read; 4 truncated or rolled back; 5 forked; 6 signed by an unknown key; with
--dicom: 0 identical; 10 same UID, other encoding or content; 11 unknown UID. Of the others: 0 good, 1 wrong, 3 cannot be read. 2: usage.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wardgate.custody.checkpoint import Checkpoint, open_checkpoint
from wardgate.custody.cosignature import WitnessKey, check_cosignatures
from wardgate.custody.files import read_file
from wardgate.custody.note import MAX_NOTE, NoteError, VerifierKey
from wardgate.custody.parse import RecordError, parse_record
from wardgate.custody.proof import MAX_PROOF, check_proof
from wardgate.custody.recover import Damaged
from wardgate.custody.tiles import TileError
from wardgate.custody.tree import ProofError
from wardtools.dicomfile import DicomFileError, read_meta
from wardtools.findings import Findings, Verdict
from wardtools.inhand import compare
from wardtools.logdir import LogDirectory
from wardtools.proving import KeyFileError, cosigned_by, find_instance, last_store, make_proof, read_key, read_witnesses, records_not_here
from wardtools.verify import verify, verify_since
from wardtools.words import describe, plain, say, utc

_TROUBLE = (NoteError, TileError, ProofError, RecordError, Damaged, DicomFileError, OSError)


def main(arguments: list[str]) -> int:
    """Run one command; the exit statuses are in the module's text."""
    parser = argparse.ArgumentParser(prog="wardtool custody", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    _verify_arguments(commands.add_parser("verify", help="check a log whole, against a kept checkpoint, or a DICOM file against it"))
    command = commands.add_parser("show", help="list the records, or tell the life of one instance or study")
    command.add_argument("log", type=Path)
    command.add_argument("uid", nargs="*", help="SOP Instance UIDs: tell their life")
    command.add_argument("--last", type=int, default=0, metavar="N", help="only the last N")
    command.add_argument("--dicom", type=Path, nargs="+", default=[], help="DICOM files or folders: tell the life of their instances")
    command.add_argument("--report", type=Path, metavar="FILE", help="write it as an HTML page with the proofs in it")
    command.add_argument("--key", type=Path, help="file with the log's vkey; needed by --report")
    command.add_argument("--witness", type=Path, action="append", default=[], help="file with vkeys of witnesses")
    command = commands.add_parser("prove", help="print the proof of one record as a tlog-proof file")
    command.add_argument("log", type=Path)
    command.add_argument("--key", type=Path, required=True)
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--instance", metavar="UID", help="the last store record of this SOP Instance")
    which.add_argument("--index", type=int)
    command.add_argument(
        "--witness", type=Path, action="append", default=[], help="file with vkeys of witnesses: prefer a checkpoint that they signed"
    )
    command = commands.add_parser("check-proof", help="verify a proof file, without the log")
    command.add_argument("proof", type=Path)
    command.add_argument("--key", type=Path, required=True)
    command.add_argument(
        "--witness", type=Path, action="append", default=[], help="file with vkeys of witnesses, all of which must have signed"
    )
    command.add_argument("--dicom", type=Path, help="a DICOM file whose data set must be the one recorded")
    options = parser.parse_args(arguments)
    run = {"verify": _verify, "show": _show, "prove": _prove, "check-proof": _check_proof}[options.command]
    try:
        return run(options)
    except _TROUBLE as error:
        sys.stderr.write(f"wardtool custody {options.command}: {plain(str(error))}\n")
        return 3 if isinstance(error, OSError) else 1
    except KeyFileError as error:
        sys.stderr.write(f"wardtool custody {options.command}: {plain(str(error))}\n")
        return 2


def _verify_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("log", type=Path)
    command.add_argument("--key", type=Path, required=True, help="file with the log's vkey")
    command.add_argument(
        "--checkpoint", type=Path, action="append", default=[], help="a checkpoint kept from earlier: is this the same log?"
    )
    command.add_argument("--witness", type=Path, action="append", default=[], help="file with vkeys of witnesses")
    command.add_argument("--dicom", type=Path, nargs="+", default=[], help="compare DICOM files with their records; the log is not checked")
    command.add_argument("--processes", type=int, default=0, help="how many to use; 0: one a processor")
    command.add_argument("--strict", action="store_true", help="read every field of every record too")
    command.add_argument("--quiet", action="store_true", help="print only what is wrong")


def _verify(options: argparse.Namespace) -> int:
    log, key = LogDirectory(options.log), read_key(options.key)
    if options.dicom:
        return _in_hand(log, key, options)
    witnesses = read_witnesses(options.witness)
    findings = Findings()
    try:
        findings = verify(log, key, options.processes, options.strict)
        for path in options.checkpoint:
            verify_since(log, key, read_file(str(path), MAX_NOTE), findings)
        _witnesses(log, key, witnesses, findings)
    except OSError as error:
        findings.wrong(str(error), Verdict.UNREADABLE)
    _print_findings(findings, options.quiet)
    return findings.verdict.value


def _witnesses(log: LogDirectory, key: VerifierKey, witnesses: list[WitnessKey], findings: Findings) -> None:
    """Say who outside has seen this log, and how far."""
    if not witnesses:
        findings.note("no witness was named: that the owner of the log's key did not make it all again cannot be shown")
        return
    seen: dict[str, tuple[int, int]] = {}
    for path, note in log.cosigned():
        try:
            found = check_cosignatures(note, witnesses)
            size = open_checkpoint(note, key).size
        except NoteError as error:
            findings.wrong(f"{path}: {error}")
            continue
        for cosignature in found:
            seen[cosignature.witness.name] = max((size, cosignature.time_seconds), seen.get(cosignature.witness.name, (0, 0)))
        if found:
            verify_since(log, key, note, findings)
    for name, (size, seconds) in seen.items():
        findings.facts.append(f"witness {name} signed the first {size} records at {utc(seconds)}")
    if not seen:
        findings.note("none of the witnesses named has signed a checkpoint of this log")


def _in_hand(log: LogDirectory, key: VerifierKey, options: argparse.Namespace) -> int:
    open_checkpoint(log.note(), key)
    gone = records_not_here(log)
    worst = 0
    for path in options.dicom:
        instance = read_meta(path).sop_instance
        if not instance:
            raise DicomFileError(f"{path}: no SOP Instance UID in the file meta group (0002,0003)")
        records = [(place, parse_record(entry)) for place, entry in find_instance(log, instance)]
        found = compare(path, records)
        signed = open_checkpoint(log.note(), key).size
        for place, _ in records if found.place is None else [(found.place, None)]:
            if place < signed:
                make_proof(log, key, place)  # raises when that record is not under the signed root
        say(*found.lines(str(path)))
        if found.place is not None and found.place >= signed:
            say(f"  record {found.place} is not signed yet: who can write the disk of the box can have made it")
        elif gone and found.place is None:
            say(f"  {gone} records are not in this directory, pruned or taken away (`verify` tells which): what they say is not known")
        worst = max(worst, found.answer.value)
    return worst


def _print_findings(findings: Findings, quiet: bool) -> None:
    if not quiet:
        for line in findings.facts:
            say(f"      {line}")
        for line in findings.notes:
            say(f"note  {line}")
    for line in findings.errors:
        say(f"WRONG {line}")
    say(f"{'FAILED' if findings.errors else 'OK'}: {findings.sentence}")


def _show(options: argparse.Namespace) -> int:
    log = LogDirectory(options.log)
    if options.uid or options.dicom:
        from wardtools.timeline import show

        key = read_key(options.key) if options.key else None
        return show(log, options.uid, options.dicom, key, read_witnesses(options.witness), options.report)
    view = log.view()
    start = max(0, view.durable - options.last) if options.last else 0
    links: dict[str, str] = {}
    say(f"{'index':>8} {'':1} {'time (UTC)':23} {'link':12} {'type':5} what")
    for place, entry in log.records(view, start):
        record = parse_record(entry)
        if record.type == "open":
            links[record.association] = record.text("link")
        elif record.type == "close":
            link = links.pop(record.association, "")
        link = record.text("link") or (link if record.type == "close" else "")
        mark = " " if place < view.signed else "+"
        say(f"{place:8} {mark} {record.time[:23]:23} {link:12.12} {record.type:5} {describe(record)}")
    say(f"{view.durable} records durable, {view.signed} signed (+: durable, not yet signed)")
    return 0


def _prove(options: argparse.Namespace) -> int:
    log, key = LogDirectory(options.log), read_key(options.key)
    open_checkpoint(log.note(), key)
    place = last_store(log, options.instance) if options.index is None else options.index
    # A file for others, in UTF-8 (C2SP signed-note), not in the letters of this terminal.
    sys.stdout.buffer.write(make_proof(log, key, place, read_witnesses(options.witness)))
    sys.stdout.buffer.flush()
    return 0


def _check_proof(options: argparse.Namespace) -> int:
    with options.proof.open("rb") as file:
        data = file.read(MAX_PROOF + 1)
    proven = check_proof(data, read_key(options.key))
    checkpoint: Checkpoint = proven.checkpoint
    record = parse_record(proven.entry)
    say(f"record {proven.place} of {checkpoint.size} in {checkpoint.origin}, at {record.time} ({record.quality})")
    say(f"{record.type}: {describe(record)}")
    witnesses = read_witnesses(options.witness)
    seen = cosigned_by(data, witnesses)
    for cosignature in seen:
        say(f"witness {cosignature.witness.name} signed that checkpoint at {utc(cosignature.time_seconds)}")
    for witness in witnesses:
        if witness not in [cosignature.witness for cosignature in seen]:
            raise ProofError(f"no cosignature of witness {witness.name}")
    if options.dicom is not None:
        found = compare(options.dicom, [(proven.place, record)])
        say(*found.lines(str(options.dicom)))
        if found.answer.value:
            return found.answer.value
    say("OK")
    return 0
