"""The table `[audit]`: a good one, each way to get it wrong, and who else reads it: keys, tokens, unsafe switches, OpenSSL, CRLs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from unit.test_policy_config import GOOD
from wardgate.codes import Code
from wardgate.policy.audit import MessageId
from wardgate.policy.loader import config_from
from wardgate.policy.mistakes import ConfigErrors
from wardgate.policy.model import Config, as_data, build, named_keys
from wardgate.token.needs import needs_of

AUDIT = """
[audit]
spool = "audit"
site_id = "Ward 3"
message_id = "IHE+RFC-3881"
[[audit.repository]]
name = "arr"
connect = "arr.example.org:6514"
[audit.repository.tls]
profile = "B.12"
certificates = [{ chain = "box.pem", key = "pkcs11:token=ward-ct1;object=tls;type=private" }]
anchors = "arr-ca.pem"
fingerprints = ["AA"]
""".replace('"AA"', f'"{"AB" * 32}"')


def parsed(text: str) -> Config:
    return config_from(tomllib.loads(text), Path("/etc/wardgate"), files=False)


def test_a_good_table_is_read_whole_and_survives_the_way_to_the_workers() -> None:
    config = parsed(GOOD + AUDIT)
    assert build(as_data(config)) == config
    audit = config.audit
    assert audit is not None
    assert (audit.spool, audit.site_id, audit.message_id) == (Path("/etc/wardgate/audit"), "Ward 3", MessageId.IHE)
    (repository,) = audit.repositories
    assert (repository.name, repository.connect.text) == ("arr", "arr.example.org:6514")
    assert repository.tls.anchors == Path("/etc/wardgate/arr-ca.pem")
    assert repository.tls.fingerprints == ("ab" * 32,)


def test_without_the_table_there_is_no_audit() -> None:
    config = parsed(GOOD)
    assert config.audit is None and build(as_data(config)).audit is None


@pytest.mark.parametrize(
    ("old", "new", "place", "code"),
    [
        ('spool = "audit"', "", "audit.spool", "CONFIG_MISSING"),
        ('spool = "audit"', 'spool = "log"', "audit.spool", "CONFIG_CONTRADICTION"),
        ('spool = "audit"', 'spool = "audit"\nspool_mebibytes = 3', "audit.spool_mebibytes", "CONFIG_BOUNDS"),
        ("IHE+RFC-3881", "RFC3881", "audit.message_id", "CONFIG_VALUE"),
        (":6514", ":0", "audit.repository[0].connect", "CONFIG_BOUNDS"),
        ('"B.12"', '"B.1"', "audit.repository[0].tls.profile", "CONFIG_PROFILE"),
        ('"B.12"', '"B.10"', "audit.repository[0].tls.profile", "CONFIG_UNSAFE_NEEDED"),
        (f'fingerprints = ["{"AB" * 32}"]', "", "audit.repository[0].tls.names", "CONFIG_UNSAFE_NEEDED"),
        ("site_id", "side_id", "audit.side_id", "CONFIG_UNKNOWN_WORD"),
    ],
)
def test_each_mistake_is_named_with_its_place(old: str, new: str, place: str, code: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        parsed(GOOD + AUDIT.replace(old, new))
    assert [(mistake.place, mistake.code) for mistake in caught.value.mistakes] == [(place, Code[code])]


def test_a_table_without_repository_and_a_name_twice_are_mistakes() -> None:
    with pytest.raises(ConfigErrors) as caught:
        parsed(GOOD + '[audit]\nspool = "audit"\nrepository = []\n')
    assert caught.value.mistakes[0].place == "audit.repository"
    second = AUDIT[AUDIT.index("[[audit") :]
    with pytest.raises(ConfigErrors) as caught:
        parsed(GOOD + AUDIT + second)
    assert [(mistake.place, mistake.code) for mistake in caught.value.mistakes] == [("audit.repository[1].name", Code.CONFIG_DUPLICATE)]


def test_with_the_plant_a_repository_must_be_one_that_the_box_may_call() -> None:
    plant = """
[plant]
ports = "router"
modality_port = "m0"
hospital_port = "h0"
[plant.router]
modality_address = "192.0.2.1/24"
hospital_address = "198.51.100.2/24"
[plant.management]
side = "hospital"
address = "198.51.100.2/24"
sources = ["198.51.100.0/24"]
reach = ["198.51.100.9:6514"]
"""
    text = GOOD + AUDIT.replace("arr.example.org:6514", "198.51.100.9:6514") + plant
    places = []
    for changed in (text, text.replace('reach = ["198.51.100.9', 'reach = ["198.51.100.8')):
        try:
            parsed(changed)
            places.append([])
        except ConfigErrors as errors:
            places.append([mistake.place for mistake in errors.mistakes])
    assert "audit.repository[0].connect" not in places[0] and "audit.repository[0].connect" in places[1]


def test_its_keys_and_switches_are_named_like_those_of_links() -> None:
    config = parsed(GOOD + AUDIT.replace('anchors = "arr', 'unsafe_allow_any_name = true\nanchors = "arr'))
    assert "audit, arr" in dict(named_keys(config))
    assert "audit, arr: unsafe_allow_any_name" in config.unsafe
    assert len(config.token_keys) == 1
    (need,) = needs_of(as_data(config), [["[audit]", "arr", "/etc/wardgate/box.pem", 7.0]])
    assert need.users == ["audit:arr"] and need.uses[0].not_after == 7.0


def test_a_repository_under_b13_asks_for_openssls_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    from wardgate.transport import compat
    from wardgate.transport.process import openssl_conf

    monkeypatch.setattr(compat, "can_set_tls13_suites", lambda: False)
    assert openssl_conf(parsed(GOOD + AUDIT)) is None
    assert openssl_conf(parsed(GOOD + AUDIT.replace('"B.12"', '"B.13"'))) is not None
