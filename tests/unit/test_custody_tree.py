"""The tree against RFC 6962 written down as it stands there, and the tiles against the tree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardgate.custody.tiles import TileBuilder, TileError, TileTree, decode_bundle, encode_entry
from wardgate.custody.tree import (
    ProofError,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
)

ENTRIES = [b"entry %d" % n for n in range(1100)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962 2.1, as it says."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(mth(leaves[:k]), mth(leaves[k:]))


def subtree(level: int, n: int) -> bytes:
    """The hash of a complete subtree over `LEAVES`."""
    return mth(LEAVES[n << level : (n + 1) << level])


def build(size: int) -> tuple[dict[str, bytes], TileBuilder]:
    """Build a tree of `size` entries in memory: its files, its builder."""
    files: dict[str, bytes] = {}
    builder = TileBuilder()
    for entry in ENTRIES[:size]:
        files.update(builder.append(entry))
    files.update(builder.partial())
    return files, builder


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.data())
def test_inclusion_proof_holds_for_its_entry_and_for_no_other(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    root = mth(LEAVES[:size])
    assert root_of(LEAVES[:size]) == root
    path = inclusion_proof(subtree, index, size)
    check_inclusion(LEAVES[index], index, size, path, root)
    with pytest.raises(ProofError):
        check_inclusion(LEAVES[index + 1], index, size, path, root)
    with pytest.raises(ProofError):
        check_inclusion(LEAVES[index], index, size, [*path, bytes(32)], root)
    if path:
        with pytest.raises(ProofError):
            check_inclusion(LEAVES[index], index, size, path[:-1], root)
        with pytest.raises(ProofError):
            check_inclusion(LEAVES[index], index ^ 1, size, path, root)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.data())
def test_consistency_proof_holds_for_a_prefix_and_for_nothing_else(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    root, old_root = mth(LEAVES[:size]), mth(LEAVES[:old])
    path = consistency_proof(subtree, old, size)
    check_consistency(old, old_root, size, root, path)
    with pytest.raises(ProofError):
        check_consistency(old, bytes(32), size, root, path)
    with pytest.raises(ProofError):
        check_consistency(old, old_root, size, bytes(32), path)
    with pytest.raises(ProofError):
        check_consistency(old, old_root, size, root, [*path, bytes(32)])
    if path:
        with pytest.raises(ProofError):
            check_consistency(old, old_root, size, root, path[:-1])


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 513, 1024, 1100])
def test_tiles_give_the_root_the_entries_and_every_subtree(size: int) -> None:
    files, builder = build(size)
    assert builder.root() == mth(LEAVES[:size])
    tree = TileTree(files.__getitem__, size)
    for index in {0, size // 2, size - 1}:
        check_inclusion(LEAVES[index], index, size, inclusion_proof(tree.subtree, index, size), builder.root())
        assert tree.bundle(index // 256)[index % 256] == ENTRIES[index]


@pytest.mark.parametrize("first", [1, 255, 256, 300, 512])
def test_builder_goes_on_from_the_tiles_of_an_earlier_size(first: int) -> None:
    files, builder = build(first)
    again = TileBuilder.load(files.__getitem__, first)
    assert again.root() == builder.root()
    for entry in ENTRIES[first:600]:
        files.update(again.append(entry))
    assert again.root() == mth(LEAVES[:600])
    files.update(again.partial())
    whole, _ = build(600)
    assert all(files[path] == data for path, data in whole.items())


def test_partial_tile_that_is_gone_is_read_from_the_full_one() -> None:
    files, _ = build(600)
    files["tile/1/000.p/1"] = build(300)[0]["tile/1/000.p/1"]

    def read(path: str) -> bytes:
        try:
            return files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    tree = TileTree(read, 300)  # 000 and 001.p/44, of which only 001 is there
    assert root_of(LEAVES[:300]) == mth(LEAVES[:300])
    assert tree.bundle(1) == ENTRIES[256:300]
    proof = inclusion_proof(tree.subtree, 299, 300)
    check_inclusion(LEAVES[299], 299, 300, proof, mth(LEAVES[:300]))


@given(st.binary(max_size=40), st.integers(1, 5))
def test_any_bytes_as_a_bundle_give_entries_or_an_error(data: bytes, width: int) -> None:
    try:
        entries = decode_bundle(data, width)
    except TileError:
        return
    assert data.startswith(b"".join(encode_entry(entry) for entry in entries)) and len(entries) == width
