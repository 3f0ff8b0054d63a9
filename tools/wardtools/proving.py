"""`prove` and `check-proof`: a record and its place under a signed checkpoint as one C2SP tlog-proof file."""

from __future__ import annotations

from pathlib import Path

from wardgate.custody.checkpoint import open_checkpoint
from wardgate.custody.cosignature import COSIGNED, Cosignature, WitnessKey, check_cosignatures, parse_witness_key
from wardgate.custody.files import read_file
from wardgate.custody.note import MAX_NOTE, NoteError, VerifierKey
from wardgate.custody.parse import parse_record
from wardgate.custody.proof import check_proof, encode_proof
from wardgate.custody.tiles import WIDTH, TileError, read_tile
from wardgate.custody.tree import ProofError, inclusion_proof, leaf_hash
from wardtools.logdir import LogDirectory


def best_note(log: LogDirectory, key: VerifierKey, place: int) -> bytes:
    """Return the checkpoint to prove record `place` under: the cosigned one when it covers it, else the newest. Raises `ProofError`."""
    try:
        note = read_file(str(log.path / COSIGNED), MAX_NOTE)
        if open_checkpoint(note, key).size > place:
            return note
    except (OSError, NoteError):
        pass
    note = log.note()
    checkpoint = open_checkpoint(note, key)
    if place >= checkpoint.size:
        state = "durable but not yet signed" if place < log.view().durable else "not in the log"
        raise ProofError(f"record {place} is {state}; the checkpoint covers {checkpoint.size} records")
    return note


def make_proof(log: LogDirectory, key: VerifierKey, place: int) -> bytes:
    """Return the proof of record `place`, checked. Raises `ProofError`, `TileError`, `NoteError`, `OSError`."""
    note = best_note(log, key, place)
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
    """Return (index, entry) of every record that names a SOP Instance, in order: one pass over the bundles."""
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


def last_store(log: LogDirectory, instance: str) -> int:
    """Return the index of the last store record of a SOP Instance. Raises `ProofError`."""
    places = [place for place, entry in find_instance(log, instance) if parse_record(entry).type == "store"]
    if not places:
        raise ProofError(f"no record of SOP Instance {instance} is in the log")
    return places[-1]


def read_witnesses(paths: list[Path]) -> list[WitnessKey]:
    """Return the keys of witnesses, one vkey a line. Raises `NoteError`, `OSError`."""
    return [parse_witness_key(line) for path in paths for line in path.read_text("utf-8").split("\n") if line.strip()]
