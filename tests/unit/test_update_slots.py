"""The loader's memory: read, written in place, and RAUC's questions about it. GRUB's own tool agrees with what we read and write."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.units import TREE
from wardgate.update import grubenv, slots
from wardgate.update.grubenv import TRIES, UNREADABLE, GrubenvError, Memory, Slot

SHIPPED = TREE / "image/common/boot/grubenv"


@pytest.fixture
def block(folder: Path) -> Path:
    path = folder / "grubenv"
    shutil.copyfile(SHIPPED, path)
    return path


def test_a_new_box_starts_slot_a_and_has_no_other() -> None:
    memory = grubenv.parse(SHIPPED.read_bytes())
    assert memory == Memory(("A", "B"), Slot(True, 0), Slot(False, 0))
    assert grubenv.write(memory) == SHIPPED.read_bytes()


@pytest.mark.parametrize(
    "order, a, b, primary",
    [
        (("A", "B"), Slot(True, 0), Slot(True, 0), "A"),
        (("B", "A"), Slot(True, 0), Slot(True, 0), "B"),
        (("A", "B"), Slot(False, 0), Slot(True, 0), "B"),
        (("A", "B"), Slot(True, TRIES), Slot(True, 0), "B"),
        (("A", "B"), Slot(True, 2), Slot(True, 0), "A"),
        (("A", "B"), Slot(True, TRIES), Slot(False, 0), "A"),  # nothing else: begin again
        (("B", "A"), Slot(False, 0), Slot(True, TRIES), "B"),
    ],
)
def test_the_next_slot_is_the_preferred_one_that_may_be_tried(order: tuple[str, str], a: Slot, b: Slot, primary: str) -> None:
    assert Memory(order, a, b).primary() == primary


@pytest.mark.parametrize("name, good", list(itertools.product("AB", (True, False))))
def test_marking_a_slot_leaves_the_other_alone_and_begins_its_tries_anew(name: str, good: bool) -> None:
    before = Memory(("B", "A"), Slot(True, 2), Slot(True, 3))
    after = before.marked(name, good=good)
    other = "B" if name == "A" else "A"
    assert after.slot(name) == Slot(good, 0) and after.slot(other) == before.slot(other) and after.order == before.order


def test_an_installed_slot_is_preferred_and_untried() -> None:
    assert Memory(("A", "B"), Slot(True, 0), Slot(False, 3)).preferring("B") == Memory(("B", "A"), Slot(True, 0), Slot(True, 0))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"#" * 1024,
        SHIPPED.read_bytes()[:-1],
        SHIPPED.read_bytes().replace(b"A B", b"A A"),
        SHIPPED.read_bytes().replace(b"TRY=0", b"TRY=9"),
    ],
)
def test_what_is_no_block_is_refused_and_taken_as_grub_takes_it(data: bytes, folder: Path) -> None:
    with pytest.raises(GrubenvError):
        grubenv.parse(data)
    (folder / "bad").write_bytes(data)
    assert slots.read(str(folder / "bad")) == UNREADABLE


def test_rauc_is_answered(block: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(*words: str) -> str:
        assert slots.main(list(words), str(block)) == 0
        return capsys.readouterr().out.strip()

    assert ask("get-primary") == "A"
    assert (ask("get-state", "A"), ask("get-state", "B")) == ("good", "bad")
    ask("set-primary", "B")
    assert (ask("get-primary"), ask("get-state", "B")) == ("B", "good")
    ask("set-state", "B", "bad")
    assert (ask("get-primary"), ask("get-state", "B")) == ("A", "bad")
    for words in (["set-state", "A", "perhaps"], ["get-state"], []):
        assert slots.main(words, str(block)) == 2
    assert slots.main(["get-state", "C"], str(block)) == 1


def test_the_block_is_written_over_itself(block: Path) -> None:
    """The file is never shorter than a block: a power cut finds the old sector or the new one."""
    number = os.stat(block).st_ino
    slots.save(slots.read(str(block)).preferring("B"), str(block))
    assert os.stat(block).st_ino == number and block.stat().st_size == 1024
    changed = [at for at, (a, b) in enumerate(zip(SHIPPED.read_bytes(), block.read_bytes(), strict=True)) if a != b]
    assert changed and max(changed) < 512, "one sector changes"


def test_grubs_own_tool_agrees(block: Path) -> None:
    tool = shutil.which("grub-editenv")
    if tool is None:
        pytest.skip("grub-editenv is not installed (apt-get install grub-common)")
    slots.save(Memory(("B", "A"), Slot(True, 1), Slot(True, 2)), str(block))
    done = subprocess.run([tool, str(block), "list"], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split("\n")[:5] == ["ORDER=B A", "A_OK=1", "A_TRY=1", "B_OK=1", "B_TRY=2"]
    subprocess.run([tool, str(block), "set", "ORDER=A B", "B_OK=0"], timeout=30, check=True)
    assert slots.read(str(block)) == Memory(("A", "B"), Slot(True, 1), Slot(False, 2))
