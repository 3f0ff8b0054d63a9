"""Migrations in the Debian image: one that works, one that fails halfway, and one of a release that is left for another reason.

One box lives through all of it. The product has no step, so these releases bring their own (`support.migrating`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import boxlog, boxwords, datasets, imagekit, migrating, qemubox
from support.boxsite import Site
from support.migrating import STATE_FILE, VAULT_FILE
from support.qemubox import QemuBox
from wardtools.pki import Pki

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(3600)]

_MAKE = """
import os, pwd
who = pwd.getpwnam("wardgate")
os.makedirs("/state/wardtest", exist_ok=True)
for path in ("/state/wardtest", FILES):
    if path.count("/") > 2:
        with open(path, "w") as file:
            file.write("format 1\\n")
        os.chmod(path, 0o600)
    os.chown(path, who.pw_uid, who.pw_gid)
"""
MAKE = boxwords.script(_MAKE.replace("FILES", f'"{STATE_FILE}", "{VAULT_FILE}"'))
# As words of the shell: busybox puts more than one blank between columns.
_LOOK = f"for f in {STATE_FILE} {VAULT_FILE}; do set -- $(ls -ln $f); echo $1 $3 $4; cat $f; done"
_OWN = "ls /state/migration /var/lib/wardgate/migration 2>/dev/null | tr '\\n' ' '"
_STATUS = "wardgate update status -c /etc/wardgate/wardgate.toml"


@dataclass
class Moment:
    """The box in service under one release, judged."""

    slot: str
    version: str
    files: str
    own: str
    status: str
    policy: str
    log_size: int
    delivered: int
    journal: str
    standing: str


@dataclass
class Story:
    """1.0.0, 2.0.0, 2.0.0 after 3.0.0, 2.0.0 after 4.0.0; what the log says at the end."""

    moments: list[Moment] = field(default_factory=list)
    updates: list[dict[str, object]] = field(default_factory=list)
    put_back: list[dict[str, object]] = field(default_factory=list)
    verified: int = -1


def look(story: Story, box: QemuBox, site: Site) -> None:
    """Wait for service and the judge, send an instance, write down what there is."""
    box.until("ss -H -ltn | grep -q ':104 '")
    box.until("systemctl show -p ActiveState wardgate-update | grep -q =active", 900)
    count = len(story.moments) + 1
    sent = site.store(*datasets.generate(site.folder / f"study{count}", 1, rows=64, study=count))
    assert sent.returncode == 0, f"{sent.stdout}\n{box.journal()}"
    story.moments.append(
        Moment(
            slot=box.slot(),
            version=box.ask("sed -n 's/^IMAGE_VERSION=//p' /usr/lib/os-release"),
            files=box.run(_LOOK)[1],
            own=box.run(_OWN)[1].strip(),
            status=box.ask(_STATUS),
            policy=box.ask("sha256sum /etc/wardgate/wardgate.toml"),
            log_size=boxlog.signed(box, story.moments[-1].log_size if story.moments else 0),
            delivered=len(site.delivered()),
            journal=box.run("journalctl -b --no-pager -o cat -u wardgate-migrate -u wardgate-migrate-vault")[1],
            standing=box.run("wardgate state show")[1],
        )
    )


def install(box: QemuBox, version: str) -> None:
    """Install as a person would, and start the box again."""
    box.ask("mkdir -p /run/stick && (mountpoint -q /run/stick || mount -o ro /dev/vdb /run/stick)")
    command = f"wardgate update /run/stick/v{version}.raucb -c /etc/wardgate/wardgate.toml"
    status, said = box.run(boxwords.as_account("wardgate", command), 900)
    assert status == 0, f"{said}\n{box.journal()}"
    box.send("systemctl reboot --no-block")
    box.wait_shell()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Story:
    """1.0.0 becomes 2.0.0, whose steps work; is given a 3.0.0 whose migration fails, and a 4.0.0 whose gateway does not start."""
    imagekit.need_tools(asked=True)
    folder: Path = tmp_path_factory.mktemp("migration")
    first, second = imagekit.build("1.0.0"), imagekit.build("2.0.0", migrating.release(2))
    third = imagekit.build("3.0.0", migrating.release(3, fails_halfway=True))
    fourth = imagekit.build("4.0.0", {**migrating.release(3), **imagekit.BROKEN})
    site = Site(folder, pki, trial=60)
    disk = site.disk(first)
    stick = imagekit.stick(folder / "stick.img", [second.bundle, third.bundle, fourth.bundle])
    site.open_pacs()
    told = Story()
    devices = ("-drive", f"file={stick},format=raw,if=virtio,readonly=on")
    try:
        with qemubox.powered(site.box(folder, disk, devices)) as box:
            box.wait_shell()
            box.until("ss -H -ltn | grep -q ':104 '")
            box.ask(MAKE)
            look(told, box, site)
            install(box, "2.0.0")
            look(told, box, site)
            for bad in ("3.0.0", "4.0.0"):
                install(box, bad)
                box.wait_shell(1200)  # the box started again by itself
                look(told, box, site)
            records = [json.loads(line) for line in boxlog.pieces(box, r'\{"v":1,"type":"(update|box)"[^}]*\}')]
            told.updates = [record for record in records if record["type"] == "update"]
            told.put_back = [record for record in records if record["event"] == "files-put-back"]
            told.verified = box.run("wardgate update whole -c /etc/wardgate/wardgate.toml", 120)[0]
            box.send("systemctl poweroff --no-block")
            box.wait_off()
    finally:
        site.close_pacs()
    return told


def both(lines: str) -> str:
    """What `_LOOK` says of both files."""
    return f"-rw------- 900 900\n{lines}" * 2


def test_a_release_without_steps_leaves_everything_alone(story: Story) -> None:
    one = story.moments[0]
    assert (one.slot, one.version, one.files, one.own) == ("A", "1.0.0", both("format 1\n"), "/state/migration:")
    assert "format of state: 1, this release knows 1\n" in one.status and "WG98" not in one.journal


def test_a_release_with_steps_migrates_both_areas_and_is_good(story: Story) -> None:
    two = story.moments[1]
    assert (two.slot, two.version) == ("B", "2.0.0"), two
    assert two.files == both("format 1\nformat 2\n"), two.journal
    assert two.journal.count("WG980") == 2
    # A person's command has not the test's steps: it says what the product knows.
    assert "format of state: 2, " in two.status and "copies kept of 1 files, format 1, by 2.0.0" in two.status


def test_a_migration_that_fails_halfway_rolls_back_by_itself(story: Story) -> None:
    after = story.moments[2]
    assert (after.slot, after.version) == ("B", "2.0.0"), after
    assert after.files == story.moments[1].files, "byte for byte those of 2.0.0, with owner and permissions"
    ends = [record for record in story.updates if str(record["to"]).endswith("3.0.0")]
    assert [record["event"] for record in ends] == ["installed", "rolled-back"]
    assert ends[-1]["detail"] == "missing: migration"


def test_a_release_that_migrated_and_does_not_work_is_left_and_its_files_put_back(story: Story) -> None:
    after = story.moments[3]
    assert (after.slot, after.version) == ("B", "2.0.0"), after
    assert after.files == story.moments[1].files, after.journal
    assert after.journal.count("WG982") == 2 and after.standing == ""
    detail = str([record for record in story.updates if str(record["to"]).endswith("4.0.0")][-1]["detail"])
    assert detail.startswith("files put back: state 3 > 2, vault 3 > 2; missing: ") and "service" in detail


def test_what_was_put_back_stands_in_the_custody_log(story: Story) -> None:
    assert sorted(str(record["detail"]) for record in story.put_back) == ["state 3 > 2", "vault 3 > 2"]
    assert {record["code"] for record in story.put_back} == {"WG982"}


def test_policy_and_custody_log_survive_every_way(story: Story) -> None:
    assert len({moment.policy for moment in story.moments}) == 1
    assert [moment.delivered for moment in story.moments] == [1, 2, 3, 4]
    sizes = [moment.log_size for moment in story.moments]
    assert sizes == sorted(set(sizes)) and story.verified == 0
