"""`prove` and `check-proof`: a record and its place under a signed checkpoint as one C2SP tlog-proof file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wardgate.custody.checkpoint import open_checkpoint
from wardgate.custody.cosignature import Cosignature, WitnessKey, check_cosignatures, parse_witness_key
from wardgate.custody.cosigned import parse_cosigned
from wardgate.custody.note import NoteError, VerifierKey, parse_key
from wardgate.custody.parse import parse_record
from wardgate.custody.proof import check_proof, encode_proof
from wardgate.custody.tiles import WIDTH, TileError, read_tile, tile_path
from wardgate.custody.tree import ProofError, inclusion_proof, leaf_hash
from wardtools.logdir import LogDirectory


class KeyFileError(Exception):
    """A file that was named for its keys does not hold them."""


def best_note(log: LogDirectory, key: VerifierKey, place: int, witnesses: Sequence[WitnessKey] = ()) -> bytes:
    """Return the checkpoint to prove record `place` under: of those that cover it the one that most of `witnesses` signed, then that most
    witnesses signed at all, then the newest. Raises `ProofError`."""
    if place < 0:
        raise ProofError(f"record {place} is not in the log")
    note = log.note()
    size = open_checkpoint(note, key).size
    found = [] if place >= size else [((0, 0, size), note)]
    for _, each in log.cosigned():
        try:
            if (size := open_checkpoint(each, key).size) > place:
                found.append(((len(check_cosignatures(each, list(witnesses))), len(parse_cosigned(each).witnesses), size), each))
        except NoteError:
            continue
    if not found:
        state = "durable but not yet signed" if place < log.view().durable else "not in the log"
        raise ProofError(f"record {place} is {state}; the checkpoint covers {open_checkpoint(note, key).size} records")
    return max(found)[1]


def make_proof(log: LogDirectory, key: VerifierKey, place: int, witnesses: Sequence[WitnessKey] = ()) -> bytes:
    """Return the proof of record `place`, checked; `witnesses`: whose cosignatures are wanted.

    Raises `ProofError`, `TileError`, `NoteError`, `OSError`."""
    note = best_note(log, key, place, witnesses)
    checkpoint = open_checkpoint(note, key)
    tree = log.tree(checkpoint)
    try:
        entry = tree.bundle(place // WIDTH)[place % WIDTH]
    except FileNotFoundError:
        raise ProofError(f"record {place} was pruned: its hash is still in the tree, its text is not here") from None
    if leaf_hash(entry) != tree.subtree(0, place):
        raise TileError(f"record {place} is not the one that was signed")
    proof = encode_proof(entry, place, inclusion_proof(tree.subtree, place, checkpoint.size), note)
    check_proof(proof, key)
    return proof


def cosigned_by(proof: bytes, witnesses: list[WitnessKey]) -> list[Cosignature]:
    """Return the cosignatures of `witnesses` in a proof. Raises `NoteError` when one is wrong."""
    return check_cosignatures(proof.partition(b"\n\n")[2], witnesses)


def find_instance(log: LogDirectory, instance: str) -> list[tuple[int, bytes]]:
    """Return (index, entry) of every record in which a UID stands, in order: one pass over the bundles. Those not there are passed over."""
    view = log.view()
    needle = f'"{instance}"'.encode()
    found = []
    for number in range(-(-view.signed // WIDTH)):
        try:
            entries = log.tree(view.head).bundle(number) if _holds(log, view.signed, number, needle) else []
        except FileNotFoundError:
            continue
        found += [(place, entry) for place, entry in enumerate(entries, number * WIDTH) if needle in entry]
    return found + [(place, entry) for place, entry in enumerate(view.tail, view.signed) if needle in entry]


def _holds(log: LogDirectory, size: int, number: int, needle: bytes) -> bool:
    return needle in read_tile(log.read, None, number, min(WIDTH, size - number * WIDTH))


def records_not_here(log: LogDirectory) -> int:
    """Return how many signed records have no bundle in this directory: pruned by a tombstone, or taken away; `verify` tells which."""
    size = log.view().signed
    count = 0
    for number in range(-(-size // WIDTH)):
        width = min(WIDTH, size - number * WIDTH)
        if not any((log.path / tile_path(None, number, each)).exists() for each in {width, WIDTH}):
            count += width
    return count


def last_store(log: LogDirectory, instance: str) -> int:
    """Return the index of the last store record of a SOP Instance. Raises `ProofError`."""
    found = [(place, parse_record(entry)) for place, entry in find_instance(log, instance)]
    places = [place for place, record in found if record.type == "store" and record.text("sop_instance") == instance]
    if not places:
        raise ProofError(f"no record of SOP Instance {instance} is in the log")
    return places[-1]


def read_witnesses(paths: list[Path]) -> list[WitnessKey]:
    """Return the keys of witnesses, one vkey a line, at least one a file. Raises `KeyFileError`, `OSError`."""
    found = []
    for path in paths:
        try:
            keys = [parse_witness_key(line) for line in path.read_text("utf-8").split("\n") if line.strip()]
        except (NoteError, UnicodeDecodeError) as error:
            raise KeyFileError(f"{path}: {error}") from error
        if not keys:  # else nobody would be asked for, and whoever asks would not know
            raise KeyFileError(f"{path}: no vkey of a witness is in it")
        found += keys
    return found


def read_key(path: Path) -> VerifierKey:
    """Return the key of a log, of a file with its vkey. Raises `KeyFileError`, `OSError`."""
    try:
        return parse_key(path.read_text("utf-8"))
    except (NoteError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path}: {error}") from error
