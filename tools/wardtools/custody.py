"""`wardtool custody verify|show|prove|check-proof`: needs nothing but the log directory and its public key."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wardgate.custody.checkpoint import Checkpoint, open_checkpoint
from wardgate.custody.note import NoteError, VerifierKey, parse_key
from wardgate.custody.parse import Record, RecordError, parse_record
from wardgate.custody.proof import MAX_PROOF, check_proof, encode_proof
from wardgate.custody.recover import Damaged
from wardgate.custody.tiles import TileError
from wardgate.custody.tree import ProofError, inclusion_proof
from wardtools.dicomfile import DicomFileError, data_set_digest
from wardtools.logdir import LogDirectory
from wardtools.verify import Findings, verify

_TROUBLE = (NoteError, TileError, ProofError, RecordError, Damaged, DicomFileError, OSError)


def main(arguments: list[str]) -> int:
    """Run. Exit status: 0 all is well, 1 something is wrong with the log or the proof, 2 usage, 3 cannot read."""
    parser = argparse.ArgumentParser(prog="wardtool custody", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("verify", help="check signature, tiles, hashes, records, pairs of open and close")
    command.add_argument("log", type=Path)
    command.add_argument("--key", type=Path, required=True, help="file with the log's vkey")
    command.add_argument("--quiet", action="store_true", help="print only what is wrong")
    command = commands.add_parser("show", help="list the records")
    command.add_argument("log", type=Path)
    command.add_argument("--last", type=int, default=0, metavar="N", help="only the last N")
    command = commands.add_parser("prove", help="print the proof of one record as a tlog-proof file")
    command.add_argument("log", type=Path)
    command.add_argument("--key", type=Path, required=True)
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--instance", metavar="UID", help="the last record of this SOP Instance")
    which.add_argument("--index", type=int)
    command = commands.add_parser("check-proof", help="verify a proof file, without the log")
    command.add_argument("proof", type=Path)
    command.add_argument("--key", type=Path, required=True)
    command.add_argument("--dicom", type=Path, help="a DICOM file whose data set must be the one recorded")
    options = parser.parse_args(arguments)
    run = {"verify": _verify, "show": _show, "prove": _prove, "check-proof": _check_proof}[options.command]
    try:
        return run(options)
    except _TROUBLE as error:
        sys.stderr.write(f"wardtool custody {options.command}: {error}\n")
        return 3 if isinstance(error, OSError) else 1


def _key(path: Path) -> VerifierKey:
    return parse_key(path.read_text("utf-8"))


def _verify(options: argparse.Namespace) -> int:
    findings = verify(LogDirectory(options.log), _key(options.key))
    _print_findings(findings, options.quiet)
    return 1 if findings.errors else 0


def _print_findings(findings: Findings, quiet: bool) -> None:
    if not quiet:
        for line in findings.facts:
            print(f"      {line}")
        for line in findings.notes:
            print(f"note  {line}")
    for line in findings.errors:
        print(f"WRONG {line}")
    print("FAILED" if findings.errors else "OK")


def _show(options: argparse.Namespace) -> int:
    log = LogDirectory(options.log)
    view = log.view()
    start = max(0, view.durable - options.last) if options.last else 0
    links: dict[str, str] = {}
    print(f"{'index':>8} {'':1} {'time (UTC)':23} {'link':12} {'type':5} what")
    for place, entry in log.records(view, start):
        record = parse_record(entry)
        if record.type == "open":
            links[record.association] = record.text("link")
        elif record.type == "close":
            link = links.pop(record.association, "")
        link = record.text("link") or (link if record.type == "close" else "")
        mark = " " if place < view.signed else "+"
        print(f"{place:8} {mark} {record.time[:23]:23} {link:12.12} {record.type:5} {describe(record)}")
    print(f"{view.durable} records durable, {view.signed} signed (+: durable, not yet signed)")
    return 0


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
    return f"({len(record.fields)} fields of a type that this program does not know)"


def _prove(options: argparse.Namespace) -> int:
    log = LogDirectory(options.log)
    view = log.view()
    checkpoint = open_checkpoint(view.note, _key(options.key))
    place = options.index
    if place is None:
        place = _find(log, options.instance)
        if place is None:
            raise ProofError(f"no record of SOP Instance {options.instance} is in the log")
    if place >= checkpoint.size:
        state = "durable but not yet signed" if place < view.durable else "not in the log"
        raise ProofError(f"record {place} is {state}; the checkpoint covers {checkpoint.size} records")
    tree = log.tree(checkpoint)
    entry = tree.bundle(place // 256)[place % 256]
    proof = encode_proof(entry, place, inclusion_proof(tree.subtree, place, checkpoint.size), view.note)
    check_proof(proof, _key(options.key))
    sys.stdout.write(proof.decode())
    return 0


def _find(log: LogDirectory, instance: str) -> int | None:
    found = None
    needle = f'"sop_instance":"{instance}"'.encode()
    for place, entry in log.records(log.view(), 0):
        if needle in entry and parse_record(entry).text("sop_instance") == instance:
            found = place
    return found


def _check_proof(options: argparse.Namespace) -> int:
    with options.proof.open("rb") as file:
        proven = check_proof(file.read(MAX_PROOF + 1), _key(options.key))
    checkpoint: Checkpoint = proven.checkpoint
    record = parse_record(proven.entry)
    print(f"record {proven.place} of {checkpoint.size} in {checkpoint.origin}, at {record.time} ({record.quality})")
    print(f"{record.type}: {describe(record)}")
    if options.dicom is not None:
        recorded = [(alg, value) for alg, scope, value in record.digests() if scope == "dataset"]
        if not recorded:
            raise ProofError("the record has no digest of a data set")
        for algorithm, value in recorded:
            if data_set_digest(options.dicom, algorithm) != value:
                raise ProofError(f"{options.dicom}: the data set is not the one recorded ({algorithm})")
        print(f"{options.dicom}: the data set is the one recorded")
    print("OK")
    return 0
