"""The table `[updates]`: a good one, each way to get it wrong, what `wardgate check` says of it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from unit.test_policy_config import GOOD
from wardgate.codes import Code
from wardgate.policy.files import check_files
from wardgate.policy.loader import config_from
from wardgate.policy.mistakes import ConfigErrors, Mistake
from wardgate.policy.model import Config, as_data, build

UPDATES = """
[updates]
server = "updates.example.org:443"
anchors = "updates-ca.pem"
token = "/var/lib/wardgate/hawkbit.token"
restart_hours = "02:00-04:00"
"""


def parsed(text: str) -> Config:
    return config_from(tomllib.loads(text), Path("/etc/wardgate"), files=False)


def test_a_good_table_is_read_whole_and_survives_the_way_to_the_workers() -> None:
    config = parsed(GOOD + UPDATES)
    assert build(as_data(config)) == config
    updates = config.updates
    assert updates is not None and updates.server.text == "updates.example.org:443"
    assert updates.anchors == Path("/etc/wardgate/updates-ca.pem") and updates.token == Path("/var/lib/wardgate/hawkbit.token")
    assert (updates.tenant, updates.device) == ("DEFAULT", config.box.name), "the box has its own name on the server too"


def test_without_the_table_there_is_no_server() -> None:
    config = parsed(GOOD)
    assert config.updates is None and build(as_data(config)).updates is None


@pytest.mark.parametrize(
    ("old", "new", "place", "code"),
    [
        (":443", ":0", "updates.server", "CONFIG_BOUNDS"),
        ('server = "updates.example.org:443"', "", "updates.server", "CONFIG_MISSING"),
        ('token = "/var/lib/wardgate/hawkbit.token"', "", "updates.token", "CONFIG_MISSING"),
        ('anchors = "updates-ca.pem"', "", "updates.anchors", "CONFIG_MISSING"),
        ("02:00-04:00", "04:00-02:00", "updates.restart_hours", "CONFIG_VALUE"),
        ("restart_hours", "restart_ours", "updates.restart_ours", "CONFIG_UNKNOWN_WORD"),
        ("[updates]", '[updates]\ndevice = "a/b"', "updates.device", "CONFIG_VALUE"),
        ("[updates]", "[updates]\nretry_seconds = 1", "updates.retry_seconds", "CONFIG_BOUNDS"),
        ("[updates]", '[updates]\nssl_verify = "no"', "updates.ssl_verify", "CONFIG_UNKNOWN_WORD"),
    ],
)
def test_each_mistake_is_named_with_its_place(old: str, new: str, place: str, code: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        parsed(GOOD + UPDATES.replace(old, new))
    assert [(mistake.place, mistake.code) for mistake in caught.value.mistakes] == [(place, Code[code])]


def test_a_secret_that_others_can_read_is_a_mistake(folder: Path) -> None:
    (folder / "token").write_text("0123456789abcdef\n")
    (folder / "ca.pem").write_text("x")
    found: dict[int, list[Mistake]] = {}
    for mode in (0o600, 0o640):
        (folder / "token").chmod(mode)
        found[mode] = []
        check_files({"updates": {"token": str(folder / "token"), "anchors": str(folder / "ca.pem")}}, found[mode])
    assert not found[0o600] and [(each.place, each.code) for each in found[0o640]] == [("updates.token", Code.CONFIG_KEY_EXPOSED)]


def test_with_the_plant_the_server_must_be_in_reach() -> None:
    plant = '[plant]\nports = "bridge"\nmodality_port = "eth0"\nhospital_port = "eth1"\n'
    with pytest.raises(ConfigErrors) as caught:
        parsed(GOOD + UPDATES + plant)
    assert ("updates.server", Code.CONFIG_CONTRADICTION) in [(mistake.place, mistake.code) for mistake in caught.value.mistakes]
