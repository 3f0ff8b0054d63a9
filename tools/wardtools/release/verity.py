"""The hash tree of dm-verity (version 1, SHA-256, blocks of 4096, no superblock), as RAUC appends it to a bundle's payload."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

BLOCK: Final = 4096
_HASH: Final = 32
_PER_BLOCK: Final = BLOCK // _HASH


class Tree(NamedTuple):
    """Root hash, and the blocks of the tree: the topmost level first, as on the disk."""

    root: bytes
    blocks: bytes


def tree_of(blocks: Iterable[bytes], salt: bytes) -> Tree:
    """Return the tree over data blocks of 4096 bytes. Raises `ValueError` when there are fewer than two."""
    hashes = [hashlib.sha256(salt + block).digest() for block in blocks]
    if len(hashes) < 2:
        raise ValueError("a payload of at least two blocks")
    levels: list[bytes] = []
    while len(hashes) > 1:
        packed = [b"".join(hashes[at : at + _PER_BLOCK]).ljust(BLOCK, b"\0") for at in range(0, len(hashes), _PER_BLOCK)]
        levels.append(b"".join(packed))
        hashes = [hashlib.sha256(salt + block).digest() for block in packed]
    return Tree(hashes[0], b"".join(reversed(levels)))


def blocks_of(path: Path, size: int) -> Iterator[bytes]:
    """Yield the first `size` bytes of a file in blocks. Raises `ValueError` when they are no whole blocks, or not there."""
    if size % BLOCK:
        raise ValueError(f"a payload of {size} bytes is no whole number of blocks")
    with path.open("rb") as file:
        for _ in range(size // BLOCK):
            yield _block(file)


def _block(file: BinaryIO) -> bytes:
    block = file.read(BLOCK)
    if len(block) != BLOCK:
        raise ValueError("the payload ends too early")
    return block
