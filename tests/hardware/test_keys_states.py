"""Tokens that go, return, are wrong, blocked, refuse the PIN: states, and never a restart of anything."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.keyservice import KeyService
from support.processes import until
from support.slowtoken import SlowToken
from support.softhsm import PIN, SoftHsm
from wardgate.codes import Code
from wardkeys.errors import KeyServiceError

URI = "pkcs11:token=ward;object=key"
DIGEST = bytes(32)


class Rig:
    """A SoftHSM token `ward` behind the module that can be pulled, and a key service."""

    def __init__(self, folder: Path) -> None:
        self.hsm = SoftHsm(folder)
        self.serial = self.hsm.new_token("ward")
        self.hsm.provision("ward", ("key", "p256"))
        self.slow = SlowToken(folder, self.hsm)
        self.service = KeyService(folder, self.slow.env)

    def start(self, **words: object) -> KeyService:
        self.service.add_token("ward", self.slow.module, **words)
        return self.service.start()

    def sign(self) -> bytes:
        return self.service.client.sign(URI, "ecdsa-sha256", DIGEST)


@pytest.fixture
def rig(folder: Path) -> Iterator[Rig]:
    made = Rig(folder)
    yield made
    made.service.stop()


def _code(action: Callable[[], object]) -> Code:
    with pytest.raises(KeyServiceError) as caught:
        action()
    return caught.value.code


def test_a_pulled_token_fails_the_next_use_at_once_and_works_again_when_it_is_back(rig: Rig) -> None:
    service = rig.start()
    public = service.client.public(URI)
    pid = service.program.pid
    for turn in range(3):
        assert rig.sign()
        rig.slow.say("out")
        assert _code(rig.sign) is Code.KEYS_TOKEN_ABSENT
        service.until_state("ward", "absent")
        assert service.client.public(URI) == public, "a public key needs no token"
        assert service.client.list() == []
        rig.slow.say("0")
        service.until_state("ward", "present")
        assert service.row("ward")["changes"] == 3 + 2 * turn
    assert rig.sign()
    assert service.program.pid == pid and service.program.running()


def test_a_pulled_token_is_seen_without_being_used(rig: Rig) -> None:
    service = rig.start()
    with service.client.watch() as watch:
        assert [row["state"] for row in watch.first["tokens"]] == ["present"]
        rig.slow.say("out")
        (row,) = watch.receive()["tokens"]
        assert (row["state"], row["changes"]) == ("absent", 2)
        rig.slow.say("0")
        (row,) = watch.receive()["tokens"]
        assert (row["state"], row["serial"], row["changes"]) == ("present", rig.serial, 3)


def test_a_token_that_fails_once_is_looked_at_and_used_again(rig: Rig) -> None:
    service = rig.start()
    rig.slow.say("fail")
    assert _code(rig.sign) is Code.KEYS_TOKEN_FAILED
    rig.slow.say("0")
    until(lambda: service.state("ward") == "present" and rig.sign(), "it signs again")


def test_softhsm_tokens_moved_away_and_back_are_absent_and_present(folder: Path) -> None:
    hsm = SoftHsm(folder)
    hsm.new_token("ward")
    hsm.provision("ward", ("key", "p256"))
    service = KeyService(folder, hsm.env)
    service.add_token("ward", hsm.module)
    try:
        service.start()
        for _ in range(2):
            assert service.client.sign(URI, "ecdsa-sha256", DIGEST)
            hsm.remove()
            assert _code(lambda: service.client.sign(URI, "ecdsa-sha256", DIGEST)) is Code.KEYS_TOKEN_ABSENT
            hsm.put_back()
            service.until_state("ward", "present")
        assert service.client.sign(URI, "ecdsa-sha256", DIGEST)
    finally:
        service.stop()


def test_a_sibling_of_a_returning_token_goes_on_when_the_module_restarts(folder: Path) -> None:
    hsm = SoftHsm(folder)
    for label in ("one", "two"):
        hsm.new_token(label)
        hsm.provision(label, ("key", "p256"))
    service = KeyService(folder, hsm.env)
    for label in ("one", "two"):
        service.add_token(label, hsm.module)

    def sign(label: str) -> bytes:
        return service.client.sign(f"pkcs11:token={label};object=key", "ecdsa-sha256", DIGEST)

    try:
        service.start()
        assert sign("one") and sign("two")
        (there,) = [path for path in hsm.tokens.iterdir() if path.name.replace("-", "").endswith(str(service.row("two")["serial"]))]
        away = folder / "away"
        there.rename(away)
        service.until_state("two", "absent")
        assert sign("one")
        away.rename(there)
        until(lambda: sign("one") and service.state("two") == "present", "two is back")
        assert sign("one") and sign("two")
        assert service.row("one")["changes"] == 1, "one never looked lost"
    finally:
        service.stop()


def test_another_card_is_refused_by_name(folder: Path) -> None:
    hsm = SoftHsm(folder)
    hsm.new_token("other")
    service = KeyService(folder, hsm.env)
    service.add_token("ward", hsm.module)
    try:
        service.start()
        assert service.state("ward") == "wrong"
        assert "other" in str(service.row("ward")["detail"])
        assert _code(lambda: service.client.sign(URI, "ecdsa-sha256", DIGEST)) is Code.KEYS_TOKEN_WRONG
    finally:
        service.stop()


def test_a_card_of_the_same_label_and_another_serial_is_wrong(rig: Rig) -> None:
    service = rig.start(serial="0000000000000001")
    assert service.state("ward") == "wrong"
    assert rig.slow.logins == 0


def test_a_wrong_pin_uses_exactly_one_try(rig: Rig) -> None:
    service = rig.start(pin="000000")
    assert service.state("ward") == "pin-refused"
    assert _code(rig.sign) is Code.KEYS_PIN_REFUSED
    rig.slow.say("out")
    service.until_state("ward", "absent")
    rig.slow.say("0")
    service.until_state("ward", "pin-refused")
    service.reload()
    until(lambda: "WG702" in service.log, "it was told to reload")
    service.stop()
    service.start()
    assert service.state("ward") == "pin-refused"
    assert rig.slow.logins == 1, "neither requests, nor return, nor reload, nor a restart try it again"
    service.set_pin("ward", PIN)
    assert service.state("ward") == "pin-refused", "a new file alone is not tried"
    service.reload()
    service.until_state("ward", "present")
    assert rig.sign()
    assert rig.slow.logins == 2


def test_the_last_try_is_left_to_people(rig: Rig) -> None:
    rig.slow.say("last")
    service = rig.start()
    row = service.row("ward")
    assert (row["state"], row["tries"]) == ("pin-refused", 1)
    assert rig.slow.logins == 0


def test_a_blocked_card_is_named_so_and_not_tried(rig: Rig) -> None:
    rig.slow.say("locked")
    service = rig.start()
    row = service.row("ward")
    assert (row["state"], row["tries"]) == ("blocked", 0)
    assert _code(rig.sign) is Code.KEYS_TOKEN_BLOCKED
    assert rig.slow.logins == 0
    rig.slow.say("0")
    service.until_state("ward", "present")


def test_a_missing_pin_file_is_named_and_taken_when_it_comes(rig: Rig) -> None:
    pin = rig.service.add_token("ward", rig.slow.module)
    pin.unlink()
    rig.service.start()
    row = rig.service.row("ward")
    assert row["state"] == "failed" and "WG722" in str(row["detail"])
    rig.service.set_pin("ward", PIN)
    rig.service.until_state("ward", "present")


def test_a_module_that_cannot_be_loaded_is_a_failed_token_and_the_others_work(rig: Rig) -> None:
    rig.service.add_token("none", "/nonexistent/module.so")
    service = rig.start()
    assert service.state("none") == "failed"
    assert _code(lambda: service.client.sign("pkcs11:token=none;object=x", "ecdsa-sha256", DIGEST)) is Code.KEYS_MODULE
    assert rig.sign()


def test_neither_pin_nor_digest_reaches_the_log_or_the_disk(rig: Rig) -> None:
    service = rig.start(pin="98123476")
    service.set_pin("ward", PIN)
    service.reload()
    service.until_state("ward", "present")
    rig.sign()
    assert "98123476" not in service.log and PIN not in service.log
    kept = [path for path in service.folder.iterdir() if path.is_file() and path.suffix not in (".pin", ".so", ".toml")]
    assert not any(PIN.encode() in path.read_bytes() for path in kept)


def test_a_reload_is_not_kept_until_the_next_signal_when_it_finds_the_main_thread_about_to_sleep(rig: Rig) -> None:
    """Python runs a handler in its main thread, which a signal that another thread takes does not wake: the same for certain."""
    service = rig.start(pin="98123476")
    service.set_pin("ward", PIN)
    pid = service.program.pid
    other = next(int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.tgkill(pid, other, signal.SIGHUP) == 0, os.strerror(ctypes.get_errno())
    service.until_state("ward", "present")


@pytest.mark.skipif(shutil.which("gdb") is None and not Path("/proc/self/mem").exists(), reason="no way to read another process")
def test_the_pin_is_not_in_the_services_memory_while_it_works(rig: Rig) -> None:
    """As far as our own code goes: SoftHSM masks what it keeps."""
    pin = "PIN73519462"
    subprocess.run(
        ["pkcs11-tool", "--module", rig.hsm.module, "--token-label", "ward", "--login", "--pin", PIN, "--change-pin", "--new-pin", pin],
        env={**rig.hsm.env, "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        timeout=60,
    )
    service = rig.start(pin=pin)
    assert rig.sign()
    assert not _in_memory(service.program.pid, pin.encode())


def _in_memory(pid: int, wanted: bytes) -> bool:
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            area, rights = line.split()[:2]
            low, high = (int(part, 16) for part in area.split("-"))
            if "rw" not in rights or high - low > 1 << 28:
                continue
            memory.seek(low)
            try:
                if wanted in memory.read(high - low):
                    return True
            except OSError:
                continue
    return False
