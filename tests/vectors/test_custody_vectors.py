"""Vectors that others made: RFC 6962 trees (the published test data of Certificate Transparency), the notes and paths of C2SP."""

from __future__ import annotations

import pytest

from wardgate.custody.checkpoint import parse_checkpoint
from wardgate.custody.note import NoteError, open_note, parse_key, split_note
from wardgate.custody.tiles import number_path, tile_path, tiles_at
from wardgate.custody.tree import EMPTY_ROOT, leaf_hash, root_of

LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n\n"
    "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
).encode()


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:size]]
    assert root_of(leaves).hex() == ROOTS[size]
    assert EMPTY_ROOT.hex() == ROOTS[0]


def test_note_of_the_specification_is_opened_and_a_changed_one_is_not() -> None:
    key = parse_key(VKEY)
    assert key.text == VKEY
    assert open_note(NOTE, key) == "This is an example message.\n"
    with pytest.raises(NoteError, match="wrong"):
        open_note(NOTE.replace(b"example message", b"example massage"), key)
    with pytest.raises(NoteError, match="no signature"):
        open_note(NOTE, key._replace(name="example.com/bar"))


def test_checkpoint_of_the_specification_is_parsed() -> None:
    text, signatures = split_note(CHECKPOINT)
    checkpoint = parse_checkpoint(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text == text
    assert [name for name, _, _ in signatures] == ["example.com/behind-the-sofa"]


def test_paths_and_widths_are_those_of_tlog_tiles() -> None:
    assert number_path(1234067) == "x001/x234/067"
    assert (number_path(0), number_path(999), number_path(1000)) == ("000", "999", "x001/000")
    assert tile_path(0, 273, 112) == "tile/0/273.p/112"
    assert tile_path(None, 1234067) == "tile/entries/x001/x234/067"
    tiles = list(tiles_at(70000))
    assert sum(level == 0 and width == 256 for level, _, width in tiles) == 273
    assert [tile for tile in tiles if tile[2] < 256 or tile[0] > 0] == [(0, 273, 112), (1, 0, 256), (1, 1, 17), (2, 0, 1)]
    assert list(tiles_at(256)) == [(0, 0, 256), (1, 0, 1)]
