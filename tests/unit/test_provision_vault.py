"""Making and opening the vault: what is decided, and which commands run, with the commands stood in for."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import struct
from pathlib import Path

import pytest

from wardgate.codes import Code
from wardgate.log import Log
from wardgate.provision import blkpg, standing
from wardgate.provision.vault import (
    Act,
    Content,
    Marker,
    Policy,
    PolicyError,
    Recovery,
    Step,
    Unlock,
    content,
    decide,
    grow_steps,
    is_pin_refused,
    make_steps,
    open_steps,
    parse_pin,
    parse_policy,
)
from wardgate.provision.vaultboot import PinRefused, StepFailed, VaultBoot, run_step, undisturbed

UUID = "0f1e2d3c-0000-4000-8000-000000000001"


def _luks(uuid: str = UUID, version: int = 2) -> bytes:
    return (b"LUKS\xba\xbe" + version.to_bytes(2, "big")).ljust(168, b"\0") + uuid.encode().ljust(40, b"\0") + bytes(1000)


@pytest.mark.parametrize(
    "head, found",
    [
        (bytes(4096), (Content.BLANK, "")),
        (_luks(), (Content.VAULT, UUID)),
        (_luks(version=1), (Content.FOREIGN, "")),
        (bytes(512) + b"x" + bytes(100), (Content.FOREIGN, "")),
        (bytes(16384) + b"SKUL\xba\xbe", (Content.FOREIGN, "")),  # the second header alone: a vault that was damaged
    ],
)
def test_what_lies_on_a_partition_is_told(head: bytes, found: tuple[Content, str]) -> None:
    assert content(head) == found


@pytest.mark.parametrize(
    "found, uuid, marker, act",
    [
        (Content.BLANK, "", Marker(), Act.MAKE),
        (Content.BLANK, "", Marker(UUID), Act.LOST),
        (Content.BLANK, "", Marker(is_making=True), Act.MAKE),
        (Content.VAULT, UUID, Marker(), Act.OPEN),
        (Content.VAULT, UUID, Marker(UUID), Act.OPEN),
        (Content.VAULT, "another", Marker(UUID), Act.LOST),
        (Content.VAULT, UUID, Marker(is_making=True), Act.MAKE),
        (Content.FOREIGN, "", Marker(), Act.FOREIGN),
        (Content.FOREIGN, "", Marker(UUID), Act.LOST),
        (Content.FOREIGN, "", Marker(is_making=True), Act.FOREIGN),
    ],
)
def test_a_vault_is_made_on_a_blank_partition_and_only_once(found: Content, uuid: str, marker: Marker, act: Act) -> None:
    assert decide(found, uuid, marker) is act


def test_the_policy_names_how_it_is_opened() -> None:
    text = 'unlock = ["pkcs11", "tpm2"]\ntpm2_pcrs = [7, 11]\npkcs11_uri = "pkcs11:token=ward"\nrecovery = "none"\n'
    assert parse_policy(text) == Policy((Unlock.PKCS11, Unlock.TPM2), (7, 11), "pkcs11:token=ward", Recovery.NONE)
    assert parse_policy("") == Policy()


@pytest.mark.parametrize(
    "text",
    [
        "unlock = []",
        'unlock = ["passphrase"]',
        'unlock = ["tpm2", "tpm2"]',
        "tpm2_pcrs = [24]",
        "tpm2_pcrs = []",
        'pkcs11_uri = "auto,headless=false"',
        'pkcs11_uri = "pkcs11:a b"',
        'recovery = "mail"',
        "word = 1",
        "unlock = 5",
        "=",
    ],
)
def test_a_mistake_in_the_policy_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)


def test_the_tpm_opens_it_only_where_nobody_added_to_what_is_signed() -> None:
    """PCR 12 has what systemd's stub was told besides: words of the firmware's tables, credentials and extensions beside the program."""
    (enrol,) = (step for step in make_steps("systemd-cryptsetup", "/dev/x", Policy(), "/key") if step.word == "enrol the TPM")
    assert "--tpm2-pcrs=7+12" in enrol.argv


def test_no_way_in_is_left_but_those_of_the_policy() -> None:
    steps = make_steps("systemd-cryptsetup", "/dev/x", Policy((Unlock.TPM2, Unlock.PKCS11)), "/key")
    enrol, prove = ["systemd-cryptenroll"] * 2, ["systemd-cryptsetup", "cryptsetup"] * 2
    assert [step.argv[0] for step in steps] == ["cryptsetup", "cryptsetup", "mkfs.ext4", "cryptsetup", *enrol, *prove, *enrol]
    assert steps[-1].argv[-2:] == ("--wipe-slot=0", "/dev/x")  # the first key, last
    assert [step.is_secret for step in steps].count(True) == 1
    without = make_steps("systemd-cryptsetup", "/dev/x", Policy(recovery=Recovery.NONE), "/key")
    assert not any(step.is_secret for step in without)


def test_it_is_opened_without_asking_anybody() -> None:
    steps = open_steps("/usr/bin/systemd-cryptsetup", "/dev/x", Policy((Unlock.TPM2, Unlock.PKCS11)))
    assert all("headless=true" in step.argv[-1] and step.argv[4] == "-" for step in steps)
    assert ["tpm2-device=auto" in step.argv[-1] for step in steps] == [True, False]


def test_growing_moves_the_second_table_before_it_grows_() -> None:
    assert ["gpt-bak-std" in step.argv for step in grow_steps("/dev/sda", 7)] == [True, False, False]


def test_what_the_kernel_is_told_of_a_partition_is_as_it_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """linux/blkpg.h on a machine of 64 bits: struct blkpg_ioctl_arg of 24 bytes, struct blkpg_partition of 152."""
    seen = []

    def ioctl(fd: int, request: int, argument: bytes) -> None:
        op, _, size, place = struct.unpack("iiiP", argument)
        seen.append((request, len(argument), op, size, ctypes.string_at(place, size)))

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    (tmp_path / "disk").write_bytes(b"")
    blkpg.resize(str(tmp_path / "disk"), 7, 2048, 524288)
    ((request, length, op, size, data),) = seen
    assert (request, length, op, size) == (0x1269, 24, 3, 152)
    assert struct.unpack_from("qqi", data) == (2048 * 512, 524288 * 512, 7) and not any(data[20:])


class Stage:
    """A partition in a file, and a command runner that notes and obeys."""

    def __init__(self, folder: Path) -> None:
        self.device, self.state, self.console = folder / "vault", folder / "state", folder / "console"
        self.verdicts = folder / "verdicts"
        for path in (self.state / "floor", self.state / "kept", self.state / "wardgate", self.verdicts):
            path.mkdir(parents=True)
        self.device.write_bytes(bytes(1 << 16))
        self.ran: list[str] = []
        self.fails = ""
        self.refuses = False
        self.key = b""
        self.pins: list[str] = []

    def run(self, step: Step, key: int) -> str:
        self.ran.append(step.word)
        if step.pin:
            self.pins.append(step.pin)
            if self.refuses:
                raise PinRefused(f"{step.word}: PIN incorrect")
        if self.fails and self.fails in step.word:
            raise StepFailed(f"{step.word}: no")
        if "luksFormat" in step.argv:
            self.key = os.pread(key, 100, 0)
            self.device.write_bytes(_luks())
        return "bcde-fghi\n" if step.is_secret else ""

    def bring_pin(self, text: str) -> None:
        (self.state / "wardgate/vault.toml").write_text('unlock = ["tpm2", "pkcs11"]')
        (self.state / "wardvault").mkdir(exist_ok=True)
        (self.state / "wardvault/pin").write_text(text)

    def boot(self) -> int:
        self.ran.clear()
        return VaultBoot(str(self.device), str(self.state), str(self.console), Log("vault"), self.run, str(self.verdicts)).go()

    @property
    def verdict(self) -> dict[str, object]:
        return standing.verdict("vault", str(self.verdicts)) or {}

    @property
    def kept(self) -> list[str]:
        return [json.loads(path.read_text())["event"] for path in sorted((self.state / "kept").glob("*.json"))]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_the_first_boot_makes_the_vault_and_shows_the_recovery_key_once_on_the_console(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stage.boot() == 0
    assert stage.ran[0] == "make the vault" and stage.ran[-1] == "open by tpm2"
    assert len(stage.key) == 64 and stage.key.strip(b"\0")
    assert stage.console.read_text().count("bcde-fghi") == 1
    assert "bcde-fghi" not in capsys.readouterr().err
    assert not any("bcde" in path.read_text() for path in stage.state.rglob("*") if path.is_file())
    assert stage.kept == ["vault-made"]
    stage.console.unlink()
    assert stage.boot() == 0
    assert stage.ran == ["open by tpm2"] and not stage.console.exists()


@pytest.mark.parametrize("cut", ["make the vault", "open it", "enrol the TPM", "make the recovery key", "throw the first key away"])
def test_a_making_that_was_cut_short_is_done_again_and_never_half_used(stage: Stage, cut: str) -> None:
    stage.fails = cut
    assert stage.boot() == 1
    assert "open by tpm2" not in stage.ran
    assert stage.verdict["good"] is False and cut in str(stage.verdict["why"])
    stage.fails = ""
    assert stage.boot() == 0
    assert stage.ran[0] == "make the vault"


def test_a_vault_that_does_not_open_is_a_named_state_and_is_kept_for_the_log_once(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert stage.boot() == 0
    stage.fails = "open by"
    assert [stage.boot() for _ in range(3)] == [1, 1, 1]
    assert stage.verdict["closed"] is True
    assert stage.kept == ["vault-made", "vault-closed"]
    assert str(Code.VAULT_CLOSED) in capsys.readouterr().err


def test_a_token_opens_when_the_tpm_does_not(stage: Stage) -> None:
    (stage.state / "wardgate/vault.toml").write_text('unlock = ["tpm2", "pkcs11"]')
    assert stage.boot() == 0
    stage.fails = "open by tpm2"
    assert stage.boot() == 0
    assert stage.ran == ["open by tpm2", "open by pkcs11"]


@pytest.mark.parametrize("blank", [True, False])
def test_a_vault_that_is_gone_or_another_one_is_not_made_again(stage: Stage, blank: bool) -> None:
    assert stage.boot() == 0
    stage.device.write_bytes(bytes(1 << 16) if blank else _luks("another"))
    assert stage.boot() == 1
    assert stage.ran == [] and stage.verdict["lost"] is True


def test_what_is_not_blank_is_never_written_over(stage: Stage) -> None:
    stage.device.write_bytes(bytes(1080) + b"\x53\xef" + bytes(1000))  # an ext4 superblock's magic
    before = stage.device.read_bytes()
    assert stage.boot() == 1
    assert stage.ran == [] and stage.device.read_bytes() == before


@pytest.mark.parametrize("is_made", [False, True])
def test_a_policy_with_a_mistake_makes_and_opens_nothing_and_is_told_as_that(
    stage: Stage, is_made: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if is_made:
        assert stage.boot() == 0
    (stage.state / "wardgate/vault.toml").write_text('unlock = ["passphrase"]')
    assert stage.boot() == 1
    assert stage.ran == []
    assert stage.verdict["policy"] is True and "vault.toml" in str(stage.verdict["why"])
    said = capsys.readouterr().err
    assert str(Code.VAULT_POLICY_WRONG) in said and str(Code.VAULT_NOT_MADE) not in said


def test_a_pin_file_with_a_mistake_is_told_as_that_and_not_shown(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.bring_pin("64 8219\n")
    assert stage.boot() == 1
    said = capsys.readouterr().err
    assert stage.ran == [] and "wardvault/pin" in str(stage.verdict["why"])
    assert str(Code.VAULT_POLICY_WRONG) in said and "8219" not in said


def test_a_damaged_marker_makes_nothing(stage: Stage) -> None:
    (stage.state / "floor/vault.json").write_text("{")
    assert stage.boot() == 1
    assert stage.ran == []


def test_udev_is_kept_from_the_disk_and_a_disk_that_somebody_holds_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"")
    with undisturbed(str(disk)), disk.open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)  # as udev does
    monkeypatch.setattr("wardgate.provision.vaultboot._LOCK_SECONDS", 0.3)
    with disk.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        with pytest.raises(StepFailed), undisturbed(str(disk)):
            raise AssertionError("it is held")


def test_the_tokens_pin_reaches_the_steps_of_the_token_alone(stage: Stage) -> None:
    stage.bring_pin("648219\n")
    assert stage.boot() == 0
    assert stage.ran.count("enrol the token") == 1 and stage.ran[-1] == "open by tpm2"
    assert stage.pins == ["648219"] * 2, "enrolled, and seen to open"
    stage.fails = "open by tpm2"
    assert stage.boot() == 0
    assert stage.pins == ["648219"] * 3


def test_a_pin_that_the_token_refused_is_put_away_and_not_tried_again(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.bring_pin("648219")
    assert stage.boot() == 0
    stage.refuses, stage.fails = True, "open by"
    assert [stage.boot() for _ in range(3)] == [1, 1, 1]
    assert len(stage.pins) == 3, "twice while it was made, once in vain"
    said = capsys.readouterr().err
    assert str(Code.VAULT_PIN_REFUSED) in said and "648219" not in said
    stage.bring_pin("111111")
    stage.refuses, stage.fails = False, "open by tpm2"
    assert stage.boot() == 0


@pytest.mark.parametrize("data", [b"", b"\n", b"12 34", b"1" * 65, b"\xff1234", b"12\n34"])
def test_a_file_that_is_no_pin_is_refused(data: bytes) -> None:
    with pytest.raises(PolicyError):
        parse_pin(data)


@pytest.mark.parametrize(
    "said, refused",
    [
        ("PIN for token 'ward-ct1' is incorrect, please try again.", True),
        ("PIN of security token is blocked, reset it first: PIN has been locked, please reset PIN of security token.", True),
        ("PIN expired, please reset PIN for token", True),
        ("Security token 'x' not present", False),
        ("Successfully logged into security token 'x' with PIN", False),
    ],
)
def test_a_refused_pin_is_told_from_a_token_that_is_not_there(said: str, refused: bool) -> None:
    assert is_pin_refused(said) is refused


def test_a_program_that_waits_for_another_pin_was_refused_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.provision.vaultboot._STEP_SECONDS", 5.0)
    with pytest.raises(PinRefused):
        run_step(Step("enrol the token", ("sh", "-c", "echo PIN for token is incorrect >&2; exec sleep 100"), pin="1"), -1)


def test_a_program_finds_the_pin_in_its_environment_and_only_then() -> None:
    argv = ("sh", "-c", "printf %s ${PIN-none}")
    assert run_step(Step("open by pkcs11", argv, pin="648219"), -1) == "648219"
    assert run_step(Step("open by tpm2", argv), -1) == "none"
    module = ("sh", "-c", "printf %s ${SYSTEMD_CRYPTSETUP_USE_TOKEN_MODULE-none}")
    assert run_step(Step("open by pkcs11", module, pin="648219"), -1) == "0", "the module would take the PIN away from who needs it"
    assert run_step(Step("open by tpm2", module), -1) == "none"
    with pytest.raises(PinRefused):
        run_step(
            Step("open by pkcs11", ("sh", "-c", "echo PIN for token is incorrect >&2; echo end >&2; echo end >&2; exit 1"), pin="1"), -1
        )


def test_a_step_that_makes_a_device_ends_when_its_name_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = tmp_path / "vault-new"
    late = f"(sleep 0.3; touch {node}) >/dev/null 2>&1 </dev/null & echo said"
    assert run_step(Step("open it", ("sh", "-c", late), node=str(node)), -1) == "said\n"
    assert node.exists()
    monkeypatch.setattr("wardgate.provision.vaultboot._NODE_SECONDS", 0.1)
    with pytest.raises(StepFailed, match=r"open it: .*other was not there within"):
        run_step(Step("open it", ("true",), node=str(tmp_path / "other")), -1)


def test_the_file_system_is_made_on_a_device_that_was_waited_for() -> None:
    (made,) = [step for step in make_steps("systemd-cryptsetup", "/dev/v", Policy(), "/k") if step.argv[0] == "mkfs.ext4"]
    (opened,) = [step for step in make_steps("systemd-cryptsetup", "/dev/v", Policy(), "/k") if step.argv[:2] == ("cryptsetup", "open")]
    assert opened.node and opened.node in made.argv


def test_a_token_that_was_enrolled_by_its_uri_opens_by_what_the_vault_remembers() -> None:
    policy = Policy((Unlock.PKCS11,), pkcs11_uri="pkcs11:token=ward")
    (enrolled,) = [step for step in make_steps("systemd-cryptsetup", "/dev/v", policy, "/k") if step.word == "enrol the token"]
    assert "--pkcs11-token-uri=pkcs11:token=ward" in enrolled.argv
    (opened,) = open_steps("systemd-cryptsetup", "/dev/v", policy)
    assert "pkcs11-uri=auto" in opened.argv[-1].split(",")


@pytest.mark.parametrize("way", ["tpm2", "pkcs11"])
def test_a_way_that_was_enrolled_and_does_not_open_leaves_no_vault_behind(stage: Stage, way: str) -> None:
    stage.bring_pin("648219")
    stage.fails = f"prove it: open by {way}"
    assert stage.boot() == 1
    assert "throw the first key away" not in stage.ran and "make the recovery key" not in stage.ran
    assert stage.verdict["good"] is False and way in str(stage.verdict["why"]) and not stage.console.exists()
    stage.fails = ""
    assert stage.boot() == 0
    assert stage.ran[0] == "make the vault"
