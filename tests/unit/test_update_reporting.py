"""Before the client of an update server starts: who is told what, and when the client gets nothing. The server is a stand-in that writes
down what it is asked; goosebit is asked in tests/interop/test_hawkbit_report.py."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from wardgate.codes import Code
from wardgate.log import Log
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.updates import Updates
from wardgate.update import reporting
from wardgate.update.box import Box
from wardgate.update.installing import Refused
from wardgate.update.owed import Ending, Owed
from wardgate.update.server import ServerAway
from wardgate.update.trial import Phase, Side, Trial

SECRET = "0123456789abcdef"
OWED = Owed("ab" * 20, "2.0.0", Ending.GOOD)


class Standing:
    """A server: `wants` is the bundle of its open action."""

    told: list[tuple[str, Owed]]

    def __init__(self, wants: str = "", away: bool = False) -> None:
        self.wants, self.away, self.told = wants, away, []

    def open_action(self, bundle: str) -> str | None:
        if self.away:
            raise ServerAway("away")
        return "7" if bundle == self.wants else None

    def close(self, action: str, owed: Owed) -> None:
        self.told.append((action, owed))


class Config:
    """As much of a configuration as is asked."""

    def __init__(self, updates: Updates | None) -> None:
        self.updates = updates


class Place:
    """A box with a state folder, a release, and a folder for the client."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        for name in ("state", "run"):
            (folder / name).mkdir()
        (folder / "release").write_text('IMAGE_ID=wardgate-test\nIMAGE_VERSION="2.0.0"\n')
        (folder / "token").write_text(f"{SECRET}\n")
        (folder / "ca.pem").write_text("anchors\n")
        self.box = Box(Log("test"), str(folder / "state"), os_release=str(folder / "release"))
        self.updates: Updates | None = Updates(Endpoint("updates.test", 443), folder / "ca.pem", folder / "token", "ward-ct1")
        self.server = Standing()
        monkeypatch.setattr(reporting, "Server", lambda updates, token: self.server)

    @property
    def given(self) -> Path:
        return self.folder / "run/client.conf"

    def begin(self) -> None:
        reporting.begin(self.box, Config(self.updates), Log("test"), str(self.folder / "run"))  # type: ignore[arg-type]


@pytest.fixture
def place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(folder, monkeypatch)


def test_the_client_gets_its_configuration_and_the_authorities_of_policy_and_no_others(place: Place) -> None:
    place.begin()
    read = configparser.ConfigParser()
    read.read(place.given)
    client = read["client"]
    assert client["hawkbit_server"] == "updates.test:443" and client["ssl"] == client["ssl_verify"] == "true"
    assert client["target_name"] == "ward-ct1" and client["auth_token"] == SECRET and client["post_update_reboot"] == "false"
    assert dict(read["device"]) == {"hw_boardname": "wardgate-test", "hw_revision": "default", "sw_version": "2.0.0"}
    assert place.given.stat().st_mode & 0o777 == 0o600
    certificates = place.folder / "run/certs"
    assert [path.name for path in certificates.iterdir()] == ["ca-certificates.crt"]
    assert (certificates / "ca-certificates.crt").read_text() == "anchors\n" and certificates.stat().st_mode & 0o777 == 0o755


def test_the_server_is_told_once_of_the_action_that_wanted_the_bundle(place: Place) -> None:
    place.box.owe(OWED)
    place.server.wants = OWED.bundle
    place.begin()
    place.begin()
    assert place.server.told == [("7", OWED)] and place.given.exists()


def test_a_server_that_wants_something_else_by_now_is_told_nothing(place: Place) -> None:
    place.box.owe(OWED)
    place.server.wants = "cd" * 20
    place.begin()
    assert place.server.told == [] and place.box.owed() is None and place.given.exists()


def test_while_the_server_cannot_be_told_the_client_does_not_begin(place: Place) -> None:
    place.begin()
    place.box.owe(OWED)
    place.server.away = True
    with pytest.raises(Refused) as refused:
        place.begin()
    assert refused.value.code is Code.UPDATE_SERVER_AWAY and SECRET not in str(refused.value)
    assert not place.given.exists() and place.box.owed() == OWED


def test_while_a_slot_waits_for_its_trial_the_client_does_not_begin(place: Place) -> None:
    place.begin()
    place.box.keep(Trial(Phase.INSTALLED, "boot-1", Side("A", "1.0.0"), Side("B", "2.0.0"), frozenset()))
    place.begin()
    assert not place.given.exists() and not (place.folder / "run/certs").exists()


def test_without_a_server_in_the_policy_the_client_does_not_begin(place: Place) -> None:
    place.begin()
    place.updates = None
    place.begin()
    assert not place.given.exists()


@pytest.mark.parametrize("token", ["", "short", f"{SECRET}\nauth_token = x", f"{SECRET} x", "a" * 257, "\xff" * 20])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(place: Place, token: str) -> None:
    (place.folder / "token").write_text(token)
    with pytest.raises(Refused) as refused:
        place.begin()
    assert refused.value.code is Code.UPDATE_TOKEN and not place.given.exists()
    assert not token or token not in str(refused.value)


def test_what_is_owed_and_cannot_be_read_is_told_and_goes(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (place.folder / "state/owed.json").write_text("{")
    place.begin()
    assert "WG925" in capsys.readouterr().err and place.box.owed() is None and place.given.exists()
