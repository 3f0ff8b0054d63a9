"""Updates from a server: goosebit under TLS on the hospital port, rauc-hawkbit-updater in the box; one box that is told four versions."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import boxlog, boxwords, goose, imagekit, qemubox
from support.boxsite import Site
from support.goose import Goose
from support.processes import free_port, until
from support.qemubox import PACS, QemuBox
from support.wire import Wire, dial
from wardtools.pki import Pki
from wardtools.release.cli import main as release

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(5400)]

NAME, SECRET = "ward-test", "4f2d0a51b9c64f2d0a51b9c6"
UPDATES = """
[updates]
server = "{server}:{port}"
anchors = "/etc/wardgate/root.pem"
token = "/var/lib/wardgate/hawkbit.token"
retry_seconds = 10
"""
INSTALL_SECONDS = 1500.0


@dataclass
class Story:
    """What was seen on the way. `states`, `told`: what the server was told after each version that it wanted."""

    slots: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    records: list[dict[str, str]] = field(default_factory=list)
    trial: dict[str, object] = field(default_factory=dict)
    process: str = ""
    fetched: str = ""
    marking: str = ""
    secrets: str = ""
    while_open: tuple[str, str] = ("", "")
    journal: str = ""


def note(story: Story, box: QemuBox) -> None:
    """Wait for service and the judge; write down where the box is."""
    box.until("ss -H -ltn | grep -q ':104 '", 900)
    box.until("systemctl is-active -q wardgate-update", 900)
    story.slots.append(box.slot())
    story.versions.append(box.ask("sed -n 's/^IMAGE_VERSION=//p' /usr/lib/os-release"))


def ends(server: Goose, box: QemuBox, *states: str, seconds: float = INSTALL_SECONDS) -> str:
    """Wait until the server was told one of `states`, and return it."""
    try:
        until(lambda: server.state(NAME) in states, f"the server is told one of {states}", seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{server.state(NAME)}\n{server.log[-2000:]}\n{journal(box)}") from error
    return server.state(NAME)


def journal(box: QemuBox) -> str:
    """Return what the services of an update said."""
    units = ["wardgate-hawkbit", "wardgate-hawkbit-begin", "rauc", "'wardgate-install@*'", "wardgate-restart", "wardgate-update"]
    return box.run(f"journalctl -b --no-pager -o short-monotonic {' '.join(f'-u {unit}' for unit in units)} | tail -n 90")[1]


def until_with_an_association(box: QemuBox, wire: Wire, command: str, seconds: float) -> None:
    """Wait until a line of shell succeeds in the box, and use the association meanwhile."""
    deadline = time.monotonic() + seconds
    while box.run(command)[0] != 0:
        assert time.monotonic() < deadline, f"not within {seconds} s: {command}\n{journal(box)}"
        wire.echo()
        time.sleep(10)


def wants(story: Story, server: Goose, box: QemuBox, software: str, *states: str) -> None:
    """Have the server want a version; wait for one of `states` and write down what it was told."""
    server.assign(NAME, software)
    story.states.append(ends(server, box, *states))
    story.told.append(server.told(NAME))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Story:
    """A bundle of another release key, 2.0.0, then 1.5.0, then 3.0.0, which does not work."""
    imagekit.need_tools(asked=True)
    if reason := goose.missing():
        pytest.skip(reason)
    folder: Path = tmp_path_factory.mktemp("hawkbit")
    first, second, older, broken = (imagekit.build(*words) for words in (("1.0.0",), ("2.0.0",), ("1.5.0",), ("3.0.0", imagekit.BROKEN)))
    stranger = imagekit.authority(folder / "stranger", "TEST ONLY another CA")
    foreign = folder / "foreign.raucb"
    words = ["sign", second.folder / "bundle", foreign, "--compatible", imagekit.COMPATIBLE, "--version", "2.5.0"]
    assert release([str(word) for word in (*words, "--certificate", stranger.certificate, "--unsafe-key-file", stranger.key)]) == 0
    site, port = Site(folder, pki, trial=150), free_port()
    site.files["wardgate/wardgate.toml"] = str(site.files["wardgate/wardgate.toml"]) + UPDATES.format(server=PACS, port=port)
    site.vault["wardgate/hawkbit.token"] = f"{SECRET}\n"
    site.private["wardgate/hawkbit.token"] = "wardgate"
    leaf = pki.issue("goose", dns=("localhost",), addresses=(PACS, "127.0.0.1"))
    told = Story()
    site.open_pacs()
    try:
        with Goose(folder, port, leaf, pki.root) as server, qemubox.powered(site.box(folder, site.disk(first))) as box:
            server.device(NAME, SECRET)
            there = [server.upload(bundle) for bundle in (foreign, second.bundle, older.bundle, broken.bundle)]
            box.wait_shell(900)
            note(told, box)
            ends(server, box, "Registered", seconds=600)
            told.process = box.ask(f"{boxwords.PROCESSES} | grep rauc-hawkbit-update[r]")
            told.marking = box.run(boxwords.as_account("wardfetch", "rauc status mark-bad 2>&1"))[1]
            wants(told, server, box, there[0], "Error", "Finished")
            server.assign(NAME, there[1])
            # DCMTK's PACS takes one association at a time: the look at what works has to be over.
            until(lambda: "Copying image" in server.told(NAME), "the slot is written", INSTALL_SECONDS)
            with dial(site.modality_ports[104], seconds=120.0) as wire:
                wire.associate()
                waits = "journalctl -b -o cat -u wardgate-restart | grep -q WG924"
                until_with_an_association(box, wire, waits, INSTALL_SECONDS)
                time.sleep(20)
                wire.echo()
                told.while_open = (server.state(NAME), box.slot())
                told.trial = json.loads(box.ask("cat /state/update/trial.json"))
                told.fetched = box.run("ls -A /vault/hawkbit; systemctl is-active wardgate-hawkbit")[1]
                told.secrets = box.run(f"journalctl -b --no-pager | grep -c {SECRET}; ps -ef e | grep -v grep | grep -c {SECRET}")[1]
                told.journal = journal(box)
                wire.release()
            box.wait_shell(900)  # by itself
            note(told, box)
            told.states.append(ends(server, box, "Finished", "Error"))
            told.told.append(server.told(NAME))
            wants(told, server, box, there[2], "Error")
            told.slots.append(box.slot())
            server.assign(NAME, there[3])
            box.wait_shell(INSTALL_SECONDS)  # 3.0.0 in slot A
            told.slots.append(box.slot())
            box.wait_shell(1200)  # the box goes back by itself
            note(told, box)
            told.states.append(ends(server, box, "Finished", "Error"))
            told.told.append(server.told(NAME))
            told.records = [json.loads(line) for line in boxlog.pieces(box, r'\{"v":1,"type":"update"[^}]*\}')]
            told.journal += journal(box)
    finally:
        site.close_pacs()
    return told


def test_the_server_is_told_that_a_bundle_of_another_key_is_refused(story: Story) -> None:
    assert story.states[0] == "Error", story.journal
    assert story.slots[0] == "A" and story.versions[0] == "1.0.0"


def test_what_worked_was_kept_before_the_slot_was_written_as_by_our_own_command(story: Story) -> None:
    assert {"service", "custody", "vault", "peer:ct1/pacs"} <= set(story.trial["worked"])  # type: ignore[call-overload]
    assert story.trial["phase"] == "installed" and len(str(story.trial["fetched"])) == 40


def test_a_box_does_not_start_again_while_an_association_runs_and_the_server_waits(story: Story) -> None:
    assert story.while_open == ("Running", "A"), story.journal
    assert story.fetched.split() == ["inactive"], "what was fetched is not kept, and the client asks for nothing meanwhile"


def test_the_server_is_told_of_success_when_the_slot_was_judged_good(story: Story) -> None:
    assert story.slots[1] == "B" and story.versions[1] == "2.0.0"
    assert story.states[1] == "Finished" and "version 2.0.0: good" in story.told[1], f"{story.told}\n{story.journal}"


def test_a_server_that_wants_an_older_version_gets_it_refused_and_is_told(story: Story) -> None:
    assert story.states[2] == "Error" and story.slots[2] == "B", story.journal


def test_a_release_that_does_not_work_is_rolled_back_and_the_server_is_told(story: Story) -> None:
    assert story.slots[3:] == ["A", "B"] and story.versions[-1] == "2.0.0"
    assert story.states[3] == "Error" and "version 3.0.0: rolled back" in story.told[3], f"{story.told}\n{story.journal}"


def test_each_end_stands_in_the_custody_log(story: Story) -> None:
    events = [(record["event"], record["to"]) for record in story.records if record["event"] != "refused"]
    assert events == [("installed", "B 2.0.0"), ("good", "B 2.0.0"), ("installed", "A 3.0.0"), ("rolled-back", "A 3.0.0")]


def test_the_client_runs_in_an_account_that_may_mark_no_slot(story: Story) -> None:
    assert story.process.split()[0] == "wardfetch"
    assert "AccessDenied" in story.marking or "rejected" in story.marking.lower(), story.marking


def test_the_devices_secret_stands_in_no_journal_and_no_command_line(story: Story) -> None:
    assert story.secrets.split() == ["0", "0"]
