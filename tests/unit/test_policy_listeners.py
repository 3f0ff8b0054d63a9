"""Which parties may listen at one port, by what tells their callers apart."""

from __future__ import annotations

from typing import Any

import pytest

from wardgate.codes import Code
from wardgate.policy.listeners import AFTER_THE_HANDSHAKE, check_listeners
from wardgate.policy.mistakes import Mistake
from wardgate.policy.schema import SCHEMA

TLS = {
    "profile": "B.12",
    "certificates": [{"chain": "box.pem", "key": "box.key"}],
    "anchors": "a.pem",
    "mutual": True,
    "session_resumption": True,
    "min_version": "1.2",
}


def party(title: str, address: str = "192.0.2.7", transport: str = "tls", **tls: Any) -> dict[str, Any]:
    table = {"tls": {**TLS, **tls}} if transport == "tls" else {}
    return {"ae_titles": [title], "addresses": [address], "listen": ["192.0.2.1:2762"], "transport": transport, **table}


def judged(*peers: dict[str, Any]) -> list[Mistake]:
    found: list[Mistake] = []
    check_listeners([{"modality": {}, "peer": list(peers)}], found)
    return found


def test_two_archives_behind_one_address_share_a_port_under_two_roots() -> None:
    other = {"anchors": "b.pem", "names": ["b.test"], "crl_policy": "require", "crls": ["b.crl"]}
    assert not judged(party("A"), party("B", **other))
    assert not judged(party("A"), party("*", "192.0.2.0/24", **other))


def test_parties_of_two_links_share_a_port_and_a_source_address() -> None:
    found: list[Mistake] = []
    check_listeners([{"modality": party("A"), "peer": []}, {"modality": {}, "peer": [party("B")]}], found)
    assert not found


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (party("A"), party("A", anchors="b.pem"), "AE titles"),
        (party("A"), party("A ", anchors="b.pem"), "AE titles"),
        (party("*"), party("*"), "AE titles"),
        (party("A"), party("B", profile="B.13"), "tls.profile"),
        (party("A"), party("B", certificates=[{"chain": "other.pem", "key": "other.key"}]), "tls.certificates"),
        (party("A"), party("B", certificates=[], session_resumption=False), "tls.certificates, tls.session_resumption"),
        (party("A"), party("B", min_version="1.3"), "tls.min_version"),
        (party("A"), party("B", mutual=False), "source addresses"),
        (party("A", mutual=False), party("B", mutual=False), "source addresses"),
        (party("A", transport="plain"), party("B", transport="plain"), "source addresses"),
        (party("A"), party("B", transport="plain"), "the transport of"),
        (party("A", transport="iscl"), party("B", transport="iscl"), "ISCL"),
        (party("A", transport="iscl-in-tls"), party("B", transport="iscl-in-tls"), "ISCL"),
    ],
)
def test_what_could_not_be_told_apart_is_refused_with_its_reason(first: dict[str, Any], second: dict[str, Any], named: str) -> None:
    (mistake,) = judged(first, second)
    assert (mistake.place, mistake.code) == ("link[0].peer[1].listen[0]", Code.CONFIG_LISTEN_CLASH)
    assert named in str(mistake)


def test_source_addresses_that_do_not_meet_tell_everybody_apart() -> None:
    assert not judged(party("A"), party("A", "192.0.2.8", profile="B.13", mutual=False))


def test_each_word_of_a_tls_table_is_needed_by_the_handshake_or_judged_after_it() -> None:
    """A word that is new counts for the handshake until somebody has said that it may differ."""
    assert {word.name for word in SCHEMA["tls"]} >= AFTER_THE_HANDSHAKE
