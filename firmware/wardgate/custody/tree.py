"""The Merkle tree of RFC 6962: hashes, inclusion and consistency proofs, and their checks. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from wardgate.custody.sha import sha256

EMPTY_ROOT: Final = sha256(b"").digest()
Subtree = Callable[[int, int], bytes]  # (level, n) -> hash of entries n * 2**level up to (n + 1) * 2**level, a complete subtree


class ProofError(Exception):
    """A proof does not show what it should."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry (RFC 6962 2.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 6962 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root above complete subtrees of falling size, left to right (RFC 6962 2.1)."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    peaks: list[tuple[int, bytes]] = []
    for leaf in leaves:
        level, top = 0, leaf
        while peaks and peaks[-1][0] == level:
            top = node_hash(peaks.pop()[1], top)
            level += 1
        peaks.append((level, top))
    return fold([top for _, top in peaks])


def range_root(subtree: Subtree, start: int, stop: int) -> bytes:
    """Return the root over entries `start` up to `stop`, where `start` is a multiple of the largest power of two in the range."""
    hashes = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        hashes.append(subtree(level, start >> level))
        start += 1 << level
    return fold(hashes)


def inclusion_proof(subtree: Subtree, index: int, size: int) -> list[bytes]:
    """Return the audit path of entry `index` in a tree of `size` entries, leaf's sibling first (RFC 6962 2.1.1)."""
    if not 0 <= index < size:
        raise ProofError(f"no entry {index} in a tree of {size}")
    path = []
    start, stop = 0, size
    while stop - start > 1:
        split = start + (1 << (stop - start - 1).bit_length() - 1)
        if index < split:
            path.append(range_root(subtree, split, stop))
            stop = split
        else:
            path.append(range_root(subtree, start, split))
            start = split
    return path[::-1]


def consistency_proof(subtree: Subtree, old: int, size: int) -> list[bytes]:
    """Return the proof that the tree of `old` entries is a prefix of that of `size` (RFC 6962 2.1.2)."""
    if not 0 < old <= size:
        raise ProofError(f"no proof from {old} to {size} entries")
    path = []
    start, stop = 0, size
    whole = True  # the old tree's root is a hash the verifier has
    while old != stop:
        split = start + (1 << (stop - start - 1).bit_length() - 1)
        if old <= split:
            path.append(range_root(subtree, split, stop))
            stop = split
        else:
            path.append(range_root(subtree, start, split))
            start = split
            whole = False
    if not whole:
        path.append(range_root(subtree, start, stop))
    return path[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Raise `ProofError` unless `path` shows `leaf` at `index` under `root` (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofError(f"no entry {index} in a tree of {size}")
    here, last, top = index, size - 1, leaf
    for step in path:
        if last == 0:
            raise ProofError("the path is too long")
        if here & 1 or here == last:
            top = node_hash(step, top)
            while not here & 1 and here:
                here >>= 1
                last >>= 1
        else:
            top = node_hash(top, step)
        here >>= 1
        last >>= 1
    if last:
        raise ProofError("the path is too short")
    if top != root:
        raise ProofError("the path leads to another root")


def check_consistency(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Raise `ProofError` unless `path` shows the tree of `old` entries to be a prefix of that of `size` (RFC 9162 2.1.4.2)."""
    if not 0 < old <= size:
        raise ProofError(f"no proof from {old} to {size} entries")
    steps = list(path)
    if old == size:
        if steps or old_root != root:
            raise ProofError("trees of one size with two roots")
        return
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        raise ProofError("the path is too short")
    here, last = old - 1, size - 1
    while here & 1:
        here >>= 1
        last >>= 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofError("the path is too long")
        if here & 1 or here == last:
            first = node_hash(step, first)
            second = node_hash(step, second)
            while not here & 1 and here:
                here >>= 1
                last >>= 1
        else:
            second = node_hash(second, step)
        here >>= 1
        last >>= 1
    if last or first != old_root or second != root:
        raise ProofError("the path does not join the two roots")
