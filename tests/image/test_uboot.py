"""Boards that start by U-Boot: which slot, how often, and what is started at all. The two loaders: `support.ubootkit`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support import ubootkit
from support.fitclone import cloned
from support.ubootkit import Disk, Shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=["debians", "ours"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Where disks are made, for a kernel that has the machine start again."""
    ubootkit.need_tools()
    loader = ubootkit.ours()
    if request.param == "ours" and loader is None:
        pytest.skip("UBOOT= names no U-Boot of our configuration (make image-uboot BOARD=qemu_aarch64_uboot, three minutes)")
    return Shop(tmp_path_factory.mktemp("uboot"), loader if request.param == "ours" else None, ubootkit.payload(again=True))


@pytest.fixture
def disk(shop: Shop, folder: Path) -> Disk:
    return shop.disk(folder)


def changed(image: bytes, at: int) -> bytes:
    """Return it with one bit turned."""
    return image[:at] + bytes([image[at] ^ 1]) + image[at + 1 :]


def test_the_preferred_slot_starts_with_the_signed_command_line_of_its_own_place(disk: Disk) -> None:
    said = disk.run(starts=1)
    assert said.slots == "A" and 'dm-mod.create="root,,,ro,0 ' in said.text and "verity 1 PARTLABEL=root_a" in said.text
    assert "sha256,rsa2048:boot+ OK" in said.text
    assert disk.ours is None or disk.counts() == ("A B", "2", "3")
    disk.remember({"BOOT_ORDER": b"B A", "BOOT_A_LEFT": b"3", "BOOT_B_LEFT": b"3"})
    said = disk.run(starts=1)
    assert said.slots == "B" and "verity 1 PARTLABEL=root_b" in said.text
    assert disk.ours is None or disk.counts() == ("B A", "3", "2")


@pytest.mark.parametrize(
    ("order", "a", "b", "slot"),
    [("A B", 1, 3, "A"), ("A B", 0, 3, "B"), ("B A", 3, 1, "B"), ("B A", 3, 0, "A"), ("B", 0, 2, "B"), ("A", 2, 0, "A")],
)
def test_a_slot_without_a_start_left_is_passed_over(disk: Disk, order: str, a: int, b: int, slot: str) -> None:
    disk.remember({"BOOT_ORDER": order.encode(), "BOOT_A_LEFT": b"%d" % a, "BOOT_B_LEFT": b"%d" % b})
    assert disk.run(starts=1).slots == slot


@pytest.mark.parametrize("what", ["kernel", "command line", "device tree", "signature"])
def test_one_bit_turned_and_the_other_slot_starts(shop: Shop, disk: Disk, what: str) -> None:
    image = (shop.images / "boot.vfat").read_bytes()
    places = {
        "kernel": image.index(shop.kernel) + 2000,
        "command line": image.index(b"PARTLABEL=root_a"),
        "device tree": image.index(b"linux,dummy-virt"),
        "signature": image.index(bytes.fromhex(_signature(shop.images / "wardgate.itb", "a"))[:64]) + 20,
    }
    disk.put("a", changed(image, places[what]))
    said = disk.run(starts=1)
    assert said.slots == "B" and "slot a was refused" in said.text
    assert disk.ours is None or disk.counts() == ("A B", "0", "2"), "it is not tried again"


def test_what_is_under_the_signature_is_not_asked_of_the_image(shop: Shop, disk: Disk) -> None:
    """A list in the FIT that is not signed (`hashed-nodes`) said it, until CVE-2026-46728: with a copy of the images the signature held
    over the copy, and what started was another. A list that names nothing that is there changes nothing now."""
    image = (shop.images / "boot.vfat").read_bytes()
    disk.put("a", changed(image, image.index(b"/images/fdt-a\0") + 8))
    assert disk.run(starts=1).slots == "A"


def test_a_copy_of_the_signed_images_does_not_vouch_for_others(shop: Shop, disk: Disk, folder: Path) -> None:
    """CVE-2026-46728, played: seen to start the stranger's kernel by a U-Boot 2025.01 without the repair."""
    evil = shop.kernel.replace(ubootkit.RUNS.encode(), b"EVIL KERNEL!")
    assert len(evil) == len(shop.kernel) and evil != shop.kernel
    made = folder / "wardgate.itb"
    made.write_bytes(cloned((shop.images / "wardgate.itb").read_bytes(), shop.kernel, evil))
    names = subprocess.run(["fdtget", "-l", made, "/images"], check=True, capture_output=True, text=True, timeout=30).stdout
    assert "images" in names.split()
    boot = folder / "boot.vfat"
    boot.write_bytes((shop.images / "boot.vfat").read_bytes())
    subprocess.run(["mcopy", "-o", "-i", boot, made, "::wardgate.itb"], check=True, timeout=30)
    disk.put("a", boot.read_bytes())
    said = disk.run(until=f"EVIL KERNEL!|{ubootkit.RUNS} [^\n]*\n")
    assert "EVIL" not in said.text and said.slots == "B"


def test_another_key_and_the_other_slot_starts(shop: Shop, disk: Disk) -> None:
    if not (shop.folder / "strangers").exists():
        key = ubootkit.make_key(shop.folder / "strangers")
        shop.assemble("stranger", key, shop.kernel, shop.folder / "root")
    disk.put("a", (shop.folder / "stranger/boot.vfat").read_bytes())
    said = disk.run(starts=1)
    assert said.slots == "B" and "Failed to verify required signature" in said.text


def test_a_slot_where_nothing_lies_is_passed_over(disk: Disk) -> None:
    disk.put("a", bytes(1 << 20))
    assert disk.run(starts=1).slots == "B"


def test_with_no_slot_left_it_begins_again(disk: Disk) -> None:
    disk.put("a", bytes(1 << 20))
    disk.put("b", bytes(1 << 20))
    said = disk.run(until="begin again(?s:.*)U-Boot 20")
    assert said.slots == "" and "=>" not in said.text.partition("slot a")[2]


class TestOurs:
    """What only a U-Boot of our configuration holds."""

    @pytest.fixture
    def card(self, shop: Shop, disk: Disk) -> Disk:
        if shop.loader is None:
            pytest.skip("Debian's takes its whole environment from its flash, and stops at a key")
        return disk

    def test_a_slot_that_nobody_marks_good_is_started_three_times_then_the_other_then_all_again(self, card: Disk) -> None:
        said = card.run(starts=7)
        assert said.slots == "AAABBBA" and said.text.count("no slot has a start left") == 1
        assert card.counts() == ("A B", "2", "3")

    def test_nothing_but_the_counting_variables_is_taken_from_the_card(self, shop: Shop, card: Disk) -> None:
        card.put("a", changed(image := (shop.images / "boot.vfat").read_bytes(), image.index(shop.kernel) + 2000))
        evil = b"echo OBEYED; setenv verify n; setenv bootargs OBEYED; load mmc 0:2 ${at} wardgate.itb; bootm ${at}#a"
        names = ("bootcmd", "preboot", "start", "look", "from_a", "from_b", "again", "altbootcmd", "bootargs")
        card.remember(
            {".flags": b"verify:sw,bootcmd:sw", **dict.fromkeys(names, evil), "verify": b"n", "order": b"b a", "stdin": b"serial"}
            | {"BOOT_ORDER": b"A B", "BOOT_A_LEFT": b"3", "BOOT_B_LEFT": b"2", "bootdelay": b"9", "loadaddr": b"0"}
        )
        said = card.run(starts=2)
        assert said.slots == "BB" and "OBEYED" not in said.text and "slot a was refused" in said.text
        assert card.counts() == ("A B", "0", "0"), "those that count are"

    @pytest.mark.parametrize(
        "order",
        [
            b"A; echo OBEYED",
            b"A\x04; echo OBEYED; \x04",
            b"\x04; echo OBEYED",
            b"\x03; echo OBEYED",
            b"A\necho OBEYED\n",
            b"$(echo OBEYED)",
            b"'\"; echo OBEYED; \"'",
            b"`",
            b"A" * 8000,
        ],
    )
    def test_what_stands_in_the_order_is_compared_and_never_run(self, card: Disk, order: bytes) -> None:
        card.remember({"BOOT_ORDER": order, "BOOT_A_LEFT": b"3", "BOOT_B_LEFT": b"3"})
        said = card.run(starts=1)
        assert said.slots == "A" and "OBEYED" not in said.text.replace("echo OBEYED", "")

    @pytest.mark.parametrize("left", [b"3; echo OBEYED", b"3\x04; echo OBEYED; \x04", b"99", b"-1", b"0x3", b"3" * 300])
    def test_a_count_that_is_none_is_no_start(self, card: Disk, left: bytes) -> None:
        card.remember({"BOOT_ORDER": b"A B", "BOOT_A_LEFT": left, "BOOT_B_LEFT": b"1"})
        said = card.run(starts=1)
        assert "OBEYED" not in said.text.replace("echo OBEYED", "")
        # What is not decimal is not taken at all: the built-in count stands.
        assert said.slots == ("B" if left.isdigit() else "A")

    def test_a_card_whose_memory_is_torn_starts_as_a_new_one(self, card: Disk) -> None:
        card.write("env", 0, os.urandom(64))
        card.write("env", 4 << 20, os.urandom(64))
        assert card.run(starts=1).slots == "A" and card.counts() == ("A B", "2", "3")

    def test_one_torn_copy_costs_nothing(self, card: Disk) -> None:
        card.remember({"BOOT_ORDER": b"B A", "BOOT_A_LEFT": b"3", "BOOT_B_LEFT": b"3"})
        card.write("env", 0, os.urandom(64))
        assert card.run(starts=1).slots == "B"

    def test_keys_at_the_console_stop_nothing(self, card: Disk) -> None:
        said = card.run(starts=3, keys=" \x03\r\x03help\r")
        assert said.slots == "AAA" and "=>" not in said.text and "stop autoboot" not in said.text


def _signature(fit: Path, name: str) -> str:
    words = ["fdtget", "-t", "bx", fit, f"/configurations/{name}/signature-1", "value"]
    said = subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout
    return "".join(word.zfill(2) for word in said.split())
