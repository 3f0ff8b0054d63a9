"""Who has a keyboard at the box's console gets neither GRUB's prompt nor a shell; a box that hangs is started again by its watchdog."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import imagekit, qemubox
from support.boxsite import Site
from support.qemubox import BOOT_SECONDS, QemuBox
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1800)]

ESCAPE, CONTROL_C, CONTROL_D, DELETE, F10 = b"\x1b", b"\x03", b"\x04", b"\x1b[3~", b"\x1b[21~"
# As telnet says it (RFC 854): with QEMU's word `telnet` it reaches the serial line, where Linux takes the key behind it for SysRq.
BREAK = b"\xff\xf3"
KEYS = (ESCAPE, b"c", b"e", CONTROL_C, b"\r", DELETE, F10, CONTROL_D, b" ")
WORDS = (b"root\r", b"root\r", CONTROL_C, ESCAPE, b"\r", CONTROL_D, BREAK + b"h", BREAK + b"b", b"\x1c", b"\x1a", b"id\r")
# What the firmware says when its own keys are over.
STARTS = "BdsDxe: starting"
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
PROMPTS = ("grub>", "grub rescue>", "GNU GRUB", "login:", "Password:", "maintenance", "sulogin", "uid=0", "sysrq:", "$ ", "# ")


@dataclass
class Seen:
    """What was on the console while keys came; boots by their ids; seconds until a box that hung spoke again."""

    console: str = ""
    typed: int = 0
    first: str = ""
    after_keys: str = ""
    serves: str = ""
    hung: str = ""
    after_hang: str = ""
    serves_again: str = ""
    seconds: float = 0.0


@contextlib.contextmanager
def typing(line: socket.socket) -> Iterator[list[bytes]]:
    """Somebody who presses keys all the time; the list is what was pressed."""
    done, pressed = threading.Event(), []

    def press() -> None:
        for key in itertools.cycle(KEYS):
            if done.wait(0.1):
                return
            line.sendall(key)
            pressed.append(key)

    hand = threading.Thread(target=press)
    hand.start()
    try:
        yield pressed
    finally:
        done.set()
        hand.join()


def read_off(line: socket.socket) -> None:
    """Take what the console says, which is in the box's log too: QEMU waits for who does not read."""
    with contextlib.suppress(OSError):
        while line.recv(1 << 16):
            pass


def wait_console(box: QemuBox, word: str, count: int = 1) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while box.console.count(word) < count:
        assert time.monotonic() < deadline, f"no {word!r}:\n{box.console[-3000:]}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Seen:
    """One box: keys from GRUB to service and in it, then its first process is brought to a stop."""
    imagekit.need_tools(asked=True)
    folder: Path = tmp_path_factory.mktemp("cs")
    site, made = Site(folder, pki), Seen()
    disk = site.disk(imagekit.build("1.0.0"))
    with qemubox.powered(site.box(folder, disk, typed=True)) as box, box.channel(folder / "console.sock") as line:
        threading.Thread(target=read_off, args=(line,), daemon=True).start()
        wait_console(box, STARTS)
        with typing(line) as pressed:
            box.wait_shell()
            made.first = box.ask(BOOT_ID)
            box.in_service()
        made.typed = len(pressed)
        for word in WORDS:
            line.sendall(word)
            time.sleep(0.3)
        made.after_keys, made.serves = box.ask(BOOT_ID), box.ask("ss -H -ltn")
        made.console = box.console.partition(STARTS)[2]
        # Until here a busy machine may stand still for longer than the box may.
        box.monitor("watchdog_action reset")
        began = time.monotonic()
        box.send("kill -SEGV 1")
        wait_console(box, STARTS, 2)
        made.seconds = time.monotonic() - began
        box.monitor("watchdog_action none")
        made.hung = box.console
        box.wait_shell()
        made.after_hang = box.ask(BOOT_ID)
        box.in_service()
        made.serves_again = box.ask("ss -H -ltn")
    print(f"{made.typed} keys; reset {made.seconds:.1f} s after the stop")
    return made


def test_keys_at_the_console_bring_no_prompt(seen: Seen) -> None:
    assert seen.typed > 50 and "Wardgate: slot A" in seen.console, seen.console
    assert [word for word in PROMPTS if word in seen.console] == [], seen.console


def test_keys_at_the_console_do_not_keep_the_box_from_service(seen: Seen) -> None:
    assert "192.0.2.1:104 " in seen.serves
    assert seen.after_keys == seen.first, "it started again"


def test_a_box_whose_first_process_hangs_is_reset_and_serves_again(seen: Seen) -> None:
    # The kernel says it when the first process has let go of it: nothing pets it any more.
    assert "watchdog did not stop!" in seen.hung, seen.hung[-2000:]
    assert seen.after_hang != seen.first and "192.0.2.1:104 " in seen.serves_again
