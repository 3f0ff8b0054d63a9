"""`audit.socket`: a sender with an account of its own, whose spool and keys are not the gateway's to open; what the master sees of it."""

from __future__ import annotations

import getpass
import json
import os
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unit.test_custody_handover_of_a_log import CUSTODY, GATEWAY, give
from unit.test_policy_audit import AUDIT
from unit.test_policy_config import GOOD
from wardgate.audit import apart, service
from wardgate.audit.apart import look
from wardgate.audit.lists import Lists
from wardgate.audit.outbox import Outbox, socket_of
from wardgate.codes import Code
from wardgate.custody.handover import take
from wardgate.master.auditing import Auditing
from wardgate.master.children import Children
from wardgate.master.events import Events
from wardgate.master.loop import Loop
from wardgate.master.show import lines
from wardgate.policy import apart as policy_apart
from wardgate.policy.files import check_files
from wardgate.policy.keycheck import _named
from wardgate.policy.loader import config_from
from wardgate.policy.mistakes import ConfigErrors, Mistake
from wardgate.policy.model import Config, as_data
from wardgate.transport import crlfetch

SOCKET = "/run/wardgate-audit/audit.sock"
APART = AUDIT.replace('spool = "audit"', f'spool = "/var/lib/audit/spool"\nsocket = "{SOCKET}"')


def parsed(text: str) -> Config:
    return config_from(tomllib.loads(text), Path("/etc/wardgate"), files=False)


def test_with_it_events_go_to_that_socket_and_without_it_to_the_gateways_own() -> None:
    for text, where in ((APART, SOCKET), (AUDIT, "/run/wardgate/audit.sock")):
        config = parsed(GOOD + text)
        assert str(config.audit_socket) == socket_of(as_data(config)) == where


@pytest.mark.parametrize(("where", "code"), [("/run/wardgate/a.sock", Code.CONFIG_CONTRADICTION), ("/" + "x" * 110, Code.CONFIG_BOUNDS)])
def test_a_socket_in_the_gateways_directory_or_too_long_is_a_mistake(where: str, code: Code) -> None:
    with pytest.raises(ConfigErrors) as told:
        parsed(GOOD + APART.replace(SOCKET, where))
    assert {(mistake.place, mistake.code) for mistake in told.value.mistakes} >= {("audit.socket", code)}


@pytest.mark.parametrize("apart", [True, False])
def test_the_gateway_opens_neither_spool_nor_key_of_such_a_sender(tmp_path: Path, apart: bool) -> None:
    tls = {"certificates": [{"chain": str(tmp_path / "c"), "key": str(tmp_path / "k")}]}
    audit = {"spool": str(tmp_path / "no/where"), "socket": SOCKET if apart else "", "repository": [{"tls": tls}]}
    mistakes: list[Mistake] = []
    check_files({"audit": audit}, mistakes)
    places = {mistake.place for mistake in mistakes}
    kept = "audit.repository[0].tls.certificates[0]"
    assert places == {f"{kept}.chain"} | (set() if apart else {"audit.spool", f"{kept}.key"})


@pytest.mark.parametrize("apart", [True, False])
def test_the_gateway_does_not_ask_the_key_service_for_the_keys_of_such_a_sender(apart: bool) -> None:
    places = [place for place, _key, _chain in _named(parsed(GOOD + (APART if apart else AUDIT)))]
    assert any(place.startswith("audit.") for place in places) != apart


def test_each_account_fetches_the_lists_of_what_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(crlfetch, "_points", lambda path: asked.append(path) or [])
    ours = Path("/etc/wardgate/arr-ca.pem")
    apart, child = parsed(GOOD + APART), parsed(GOOD + AUDIT)
    for config, tables, fetched in ((apart, None, False), (child, None, True), (apart, "audit", True)):
        asked.clear()
        assert config.audit is not None
        crlfetch.urls_of(config, tmp_path, None if tables is None else [each.tls for each in config.audit.repositories])
        assert (ours in asked) == fetched
        assert tables is None or len(asked) == 2, "and nothing of the links"


def test_its_lists_come_into_its_own_directory_by_a_policy_whose_keys_are_not_looked_at(tmp_path: Path) -> None:
    audit = AUDIT.replace('spool = "audit"', f'spool = "audit"\nsocket = "{tmp_path}/a/audit.sock"')
    policy = tmp_path / "wardgate.toml"
    policy.write_text(GOOD + audit + 'crl_urls = ["http://127.0.0.1:9/x.crl"]\n')
    assert crlfetch.main(["--audit", str(policy)]) == 1, "nobody answers there"
    assert (tmp_path / "a/crl").is_dir()


@pytest.mark.parametrize("off", [True, False])
def test_lists_are_fetched_at_the_start_and_every_so_often_where_a_repository_wants_them(
    monkeypatch: pytest.MonkeyPatch, off: bool
) -> None:
    begun: list[tuple[str, ...]] = []

    class Ended:
        def __init__(self, argv: tuple[str, ...], **_: object) -> None:
            begun.append(argv)

        def poll(self) -> int:
            return 0

    monkeypatch.setattr("wardgate.audit.lists.subprocess.Popen", Ended)
    text = APART + ('crl_policy = "off"\n' if off else "")
    lists = Lists(parsed(GOOD + text), Path("/p"))
    for now in (1000.0, 1000.5, 1899.0, 1900.5, 1901.0):
        lists.turn(now)
    assert len(begun) == (0 if off else 2)
    assert all(argv[-2:] == ("--audit", "/p") for argv in begun)


def test_it_leaves_when_the_policy_or_a_file_of_its_repositories_is_another_one(tmp_path: Path) -> None:
    policy, anchors = tmp_path / "wardgate.toml", tmp_path / "arr-ca.pem"
    policy.write_text("1")
    config = config_from(tomllib.loads(GOOD + APART), tmp_path, files=False)
    before = look(config, policy)
    assert look(config, policy) == before
    anchors.write_text("new")
    later = look(config, policy)
    assert later != before
    policy.write_text("22")
    assert look(config, policy) != later


def test_a_policy_that_changes_after_it_was_read_and_before_the_sender_is_there_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One program reads it and becomes another, which looks at the file when it begins."""
    policy = tmp_path / "wardgate.toml"
    policy.write_text(GOOD + APART)
    read, became, senders = policy_apart.load, list[list[str]](), list[apart.Apart]()

    def load(path: str, check_files: bool) -> Config:
        config = read(path, check_files=check_files)
        if change:
            policy.write_text(GOOD + APART + "# another\n")
        return config

    def begun(self: Any, config: Config, *_: object) -> None:
        nothing = SimpleNamespace(each_tick=lambda _call: None, event=lambda *_: None)
        self._config, self._loop, self._log = config, nothing, nothing

    monkeypatch.setattr(policy_apart, "load", load)
    monkeypatch.setattr(service.os, "execve", lambda _program, argv, _environment: became.append(argv))
    monkeypatch.setattr(apart.Sender, "__init__", begun)
    monkeypatch.setattr(apart.Sender, "run", lambda sender: senders.append(sender))
    monkeypatch.setattr(apart.Sender, "stop", lambda _self: None)
    monkeypatch.setattr(apart.signal, "signal", lambda *_: None)
    for change in (False, True):
        service.main(["--caller", getpass.getuser(), "-c", str(policy)])
        apart.main(became[-1][became[-1].index("wardgate.audit.apart") + 1 :])
        assert senders[-1]._answer({"do": "policy"}) == {"ok": True, "leaves": change}


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files to other accounts needs root")
def test_the_spool_that_the_gateway_had_is_taken_over_and_two_are_never_made_one(tmp_path: Path) -> None:
    old, new = tmp_path / "wardgate/audit", tmp_path / "audit/spool"
    for path in (old.parent, old, new.parent):
        path.mkdir()
        give(path, GATEWAY)
    give(old / "wal-0000000000000001", GATEWAY) if (old / "wal-0000000000000001").write_text("x") else None
    assert take(old, new, GATEWAY, CUSTODY)
    assert {path.stat().st_uid for path in (new, *new.iterdir())} == {CUSTODY.uid}
    assert not old.exists() and os.listdir(new.parent) == ["spool"], "nothing in the way of a sender under the policy of before"
    old.mkdir()
    assert not take(old, new, GATEWAY, CUSTODY) and old.is_dir()


class Desk:
    """The master's side, with the door of a sender of its own account."""

    def __init__(self, folder: Path) -> None:
        self.loop, self.events, self.path = Loop(), Events("box"), folder / "a.sock"
        self.auditing = Auditing(self.loop, Children(), self.events, ("/bin/false",))
        self.config: dict[str, Any] = {"box": {"run_dir": "/r", "name": "b"}, "audit": {"socket": str(self.path)}, "links": []}
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.door.bind(str(self.path))
        self.door.listen(4)
        self.door.settimeout(60)

    def turn(self) -> None:
        self.auditing._turn()

    @property
    def codes(self) -> list[str]:
        return [code for _, code, _ in self.events.last]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.door.close()
    made.auditing.prepare({"box": {}})


def test_the_master_starts_no_sender_that_has_an_account_and_sees_it_go(desk: Desk) -> None:
    desk.auditing.use({"config": desk.config})
    assert desk.auditing.processes == [] and desk.auditing.pid == os.getpid()
    line, _ = desk.door.accept()
    assert json.loads(line.recv(4096)) == {"do": "policy"}, "a policy that serves: it may be another one"
    line.close()
    desk.turn()
    assert desk.auditing.pid == 0 and desk.codes == ["WG961"]
    desk.turn()
    assert desk.auditing.pid == os.getpid(), "it is called again"


def test_one_that_leaves_for_another_policy_has_not_died(desk: Desk) -> None:
    desk.auditing.use({"config": desk.config})
    line, _ = desk.door.accept()
    line.send(b'{"ok":true,"leaves":true}')
    desk.turn()
    line.close()
    desk.turn()
    assert desk.auditing.pid == 0 and desk.codes == []


def test_one_that_never_comes_is_told_once(desk: Desk) -> None:
    desk.path.unlink()
    desk.auditing.prepare(desk.config)
    for _ in range(300):
        desk.turn()
    assert desk.codes == ["WG209"]


def test_an_emitter_goes_on_after_the_answer_that_is_no_event(desk: Desk) -> None:
    outbox = Outbox(desk.path, "test")
    outbox.put(Code.STARTED, "", {})
    outbox.turn()
    line, _ = desk.door.accept()
    outbox.ask_policy()
    line.send(b'{"ok":true,"leaves":false}')
    line.send(b'{"kept":1}')
    outbox.turn()
    assert outbox.waiting == 0 and outbox.sender == os.getpid()
    line.close()
    outbox.close()


@pytest.mark.parametrize("closed", [True, False])
def test_a_keeper_who_may_not_ask_the_sender_reads_so_and_not_that_it_is_away(closed: bool) -> None:
    process = {"pid": 7, "memory_bytes": 0}
    words: dict[str, Any] = {"box": "b", "stage": "serving", "uptime_seconds": 1, "unsafe": [], "totals": {}, "certificates": []}
    words |= {"master": process, "writer": None, "auditor": process, "generations": [], "errors": [], "audit": None, "audit_closed": closed}
    said = list(lines(words, 0.0))
    assert ("audit: only the gateway's own account may ask" in said) == closed
    assert any("does not answer" in line and line.startswith("AUDIT") for line in said) != closed
    assert "audit sender: pid 7" in said, "of another account's process no memory is seen"
