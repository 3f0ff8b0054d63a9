"""Updates of the Debian image, whole: install, restart, judge, roll back, in one box that lives through all of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import boxlog, boxwords, datasets, imagekit, qemubox
from support.boxsite import Site
from support.imagekit import Image
from support.qemubox import QemuBox
from wardtools.pki import Pki
from wardtools.release.cli import main as release

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(6000)]

INSTALL_SECONDS = 600.0


@dataclass
class Story:
    """What was seen on the way."""

    slots: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    given_up: dict[str, str] = field(default_factory=dict)
    records: list[dict[str, object]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)
    slot_states: list[str] = field(default_factory=list)
    journal: str = ""
    kept: str = ""
    beside: str = ""
    left: str = ""


def records(box: QemuBox) -> list[dict[str, object]]:
    """Return the `update` records of the custody log, from its tiles and write-ahead files."""
    return [json.loads(line) for line in boxlog.pieces(box, r'\{"v":1,"type":"update"[^}]*\}')]


def note(story: Story, box: QemuBox, site: Site) -> None:
    """Wait for service and the judge, send an instance, write down where the box is."""
    box.until("ss -H -ltn | grep -q ':104 '")
    box.until("systemctl show -p ActiveState wardgate-update | grep -q =active", 900)
    story.slots.append(box.slot())
    story.versions.append(box.ask("sed -n 's/^IMAGE_VERSION=//p' /usr/lib/os-release"))
    sent = site.store(*datasets.generate(site.folder / f"study{len(story.slots)}", 1, rows=64, study=len(story.slots)))
    assert sent.returncode == 0, f"{sent.stdout}\n{box.journal()}"
    story.delivered.append(len(site.delivered()))
    story.sizes.append(boxlog.signed(box, story.sizes[-1] if story.sizes else 0))
    story.slot_states.append(box.ask("head -c 100 /efi/grubenv | tr '\\n' ' '"))


def bring(box: QemuBox, site: Site, bundle: Path) -> str:
    """Bring a bundle into the box (through the port of the modality's network no file comes, so by a disk of its own)."""
    del site
    box.ask("mkdir -p /run/stick && (mountpoint -q /run/stick || mount -o ro /dev/vdb /run/stick)")
    return f"/run/stick/{imagekit.name_on_stick(bundle)}"


def update(box: QemuBox, path: str) -> tuple[int, str]:
    """Install as a person would."""
    return box.run(boxwords.as_account("wardgate", f"wardgate update {path} -c /etc/wardgate/wardgate.toml"), INSTALL_SECONDS)


def not_installed(folder: Path, second: Image) -> list[Path]:
    """Return bundles of 9.9.9 that RAUC takes until after its handler: of another board, and one that is damaged far inside."""
    who, made = imagekit.authority(imagekit.BUILD / "keys"), []
    for name, board in (("elsewhere", "wardgate-another-board"), ("damaged", imagekit.COMPATIBLE)):
        out = folder / f"{name}.raucb"
        words = ["sign", second.folder / "bundle", out, "--compatible", board, "--version", "9.9.9", "--certificate", who.certificate]
        assert release([str(word) for word in (*words, "--unsafe-key-file", who.key)]) == 0
        made.append(out)
    with made[1].open("r+b") as file:
        file.seek(made[1].stat().st_size * 6 // 10)
        file.write(bytes(4096))
    return made


def give_up(story: Story, box: QemuBox, path: str, name: str) -> None:
    """Have RAUC install as the client of a server does, which knows of no trial; write down what is left when the box has seen its end."""
    status, said = box.run(boxwords.as_account("wardgate", f"rauc install {path} 2>&1"), INSTALL_SECONDS)
    box.until("! test -e /state/update/trial.json", 120)
    story.given_up[name] = f"{status} {said} {box.run('ls /state/update')[1]}"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Story:
    """1.0.0 is asked to take what it must not; its RAUC for what that refuses after its handler; goes back from 2.0.0, with which its PACS
    is not reached; becomes 2.0.0 when it is; is then given a 3.0.0 whose gateway does not start."""
    imagekit.need_tools()
    folder: Path = tmp_path_factory.mktemp("update")
    first, second, third = imagekit.build("1.0.0"), imagekit.build("2.0.0"), imagekit.build("3.0.0", imagekit.BROKEN)
    site = Site(folder, pki, trial=40)
    disk = site.disk(first)
    failing = not_installed(folder, second)
    bundles = [second.bundle, third.bundle, *failing, *sorted((Path(__file__).parent / "bundles").glob("*.raucb"))]
    stick = imagekit.stick(folder / "stick.img", bundles)
    site.open_pacs()
    told = Story()
    devices = ("-drive", f"file={stick},format=raw,if=virtio,readonly=on")
    try:
        with qemubox.powered(site.box(folder, disk, devices)) as box:
            box.wait_shell()
            note(told, box, site)
            for bundle in bundles[4:]:
                status, said = update(box, bring(box, site, bundle))
                told.refused[bundle.stem] = f"{status} {said}"
            for bundle in failing:
                give_up(told, box, bring(box, site, bundle), bundle.stem)
            status, said = update(box, bring(box, site, second.bundle))
            assert status == 0, f"{said}\n{box.journal()}"
            told.kept = box.ask("cat /state/update/trial.json")
            site.close_pacs()
            box.send("systemctl reboot --no-block")
            box.wait_shell()  # 2.0.0 in slot B: its gateway is well
            told.slots.append(box.slot())
            box.wait_shell(1200)  # the box started again by itself
            site.open_pacs()
            note(told, box, site)
            status, said = update(box, bring(box, site, second.bundle))
            assert status == 0, f"{said}\n{box.journal()}"
            box.send("systemctl reboot --no-block")
            box.wait_shell()
            note(told, box, site)
            box.until("journalctl -b --no-pager -o cat -u wardgate-update | grep -q WG914", 300)
            told.beside = box.run("ls /state/update; systemctl is-active wardgate-update")[1]
            status, said = update(box, bring(box, site, third.bundle))
            assert status == 0, f"{said}\n{box.journal()}"
            box.send("systemctl reboot --no-block")
            box.wait_shell()  # 3.0.0 in slot A: its gateway does not start
            told.slots.append(box.slot())
            box.wait_shell(1200)  # the box started again by itself
            note(told, box, site)
            told.records = records(box)
            told.journal = box.journal(200)
            told.left = box.run("ls /state/update")[1]
            box.send("systemctl poweroff --no-block")
            box.wait_off()
    finally:
        site.close_pacs()
    return told


def test_an_update_runs_in_the_other_slot_and_is_marked_good(story: Story) -> None:
    assert story.slots[2:4] == ["A", "B"]
    assert story.versions[1:3] == ["1.0.0", "2.0.0"]
    assert "ORDER=B A" in story.slot_states[2] and "B_OK=1 B_TRY=0" in story.slot_states[2]


def test_a_release_with_which_the_pacs_is_not_reached_any_more_is_rolled_back_and_may_be_tried_again(story: Story) -> None:
    assert story.slots[:3] == ["A", "B", "A"] and story.versions[:2] == ["1.0.0", "1.0.0"]
    assert "B_OK=0" in story.slot_states[1] and "A_OK=1 A_TRY=0" in story.slot_states[1]
    assert story.records[-5]["event"] == "rolled-back"
    assert story.records[-5]["detail"] == "missing: peer:ct1/pacs", "the gateway itself was well"


def test_the_whole_log_is_checked_by_a_program_that_outlives_the_judge(story: Story) -> None:
    assert story.beside.split()[-1] == "active" and "whole" not in story.beside.split(), story.beside


def test_a_release_whose_gateway_does_not_start_is_rolled_back_without_anybody(story: Story) -> None:
    assert story.slots[4:] == ["A", "B"]
    assert story.versions[-1] == "2.0.0"
    assert "A_OK=0" in story.slot_states[-1] and "B_OK=1 B_TRY=0" in story.slot_states[-1]


def test_what_worked_before_the_install_was_kept_for_the_judge(story: Story) -> None:
    kept = json.loads(story.kept)
    assert {"service", "custody", "vault", "peer:ct1/pacs"} <= set(kept["worked"])
    assert kept["records"] > 0 and kept["new"] == ["B", "2.0.0"]
    assert "trial.json" not in story.left, "nothing is on trial at the end"


def test_each_end_of_an_update_stands_in_the_custody_log(story: Story) -> None:
    ends = [(record["event"], record["from"], record["to"]) for record in story.records if record["event"] != "refused"]
    assert ends == [
        ("installed", "A 1.0.0", "B 2.0.0"),
        ("rolled-back", "A 1.0.0", "B 2.0.0"),
        ("installed", "A 1.0.0", "B 2.0.0"),
        ("good", "A 1.0.0", "B 2.0.0"),
        ("installed", "B 2.0.0", "A 3.0.0"),
        ("rolled-back", "B 2.0.0", "A 3.0.0"),
    ]
    assert "service" in str(story.records[-1]["detail"]), "it says what was missing"


def test_configuration_and_custody_survive_both_ways(story: Story) -> None:
    assert story.delivered == [1, 2, 3, 4], "the same policy serves after each start"
    assert story.sizes == sorted(set(story.sizes))


@pytest.mark.parametrize(
    "bundle, why", [("older", "WG901"), ("other-board", "WG900"), ("other-ca", "WG900"), ("flipped", "WG900"), ("cut", "WG900")]
)
def test_a_bundle_that_must_not_be_installed_is_refused(story: Story, bundle: str, why: str) -> None:
    assert story.refused[bundle].startswith("1 ") and why in story.refused[bundle]


def test_an_install_that_rauc_gives_up_after_its_handler_is_no_trial_and_recorded_as_refused(story: Story) -> None:
    assert not [name for name, left in story.given_up.items() if left.startswith("0 ") or "trial.json" in left], story.given_up
    details = [str(record["detail"]) for record in story.records if record["event"] == "refused" and record["to"] == "B 9.9.9"]
    assert [("another-board" in detail, bool(detail)) for detail in details[-2:]] == [(True, True), (False, True)], details
