"""What `wardgate check` says about a party's TLS, and the environment that a B.13 process gets."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from support.tlskit import make_party, make_tls, shared_pki
from wardgate.codes import Code
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.model import Box, Config, Custody, Delivery, Limits, Link, Party, Role
from wardgate.transport import compat
from wardgate.transport.judge import judge_party, own_certificates
from wardgate.transport.process import environment, process_is_ready

HERE = Endpoint("127.0.0.1", 0)


def mistakes(*names: str, **words: Any) -> list[Code]:
    party = make_party(make_tls(*names, **words), listen=(HERE,), connect=HERE)
    return [mistake.code for mistake in judge_party(party, time.time())]


def config(profile: str, folder: Path) -> Config:
    modality = Party("modality", Role.MODALITY, ("CT1",), ())
    link = Link("ct1", True, Delivery.RELAY, frozenset("*"), frozenset(), modality, (make_party(make_tls(profile=profile)),))
    return Config(Box("b", folder), Custody(folder, "o", folder), Limits(), (link,))


def test_a_good_party_has_no_mistake_and_a_plain_one_nothing_to_judge() -> None:
    assert mistakes() == []
    assert list(judge_party(Party("modality", Role.MODALITY, ("CT1",), ()), time.time())) == []


def test_each_mistake_has_its_code(tmp_path: Path) -> None:
    assert mistakes(profile="B.1") == [Code.PROFILE_REFUSED]
    assert mistakes("box-ecdsa") == mistakes("box-rsa") == []  # B.12 does not ask for both
    assert mistakes("box-ecdsa", profile="B.10", unsafe_allow_retired_profile=True) == [Code.PROFILE_RETIRED, Code.PROFILE_SUITES_MISSING]
    assert mistakes("pacs-expired", "box-rsa") == [Code.OWN_CERTIFICATE_EXPIRED]
    assert mistakes(crls=(tmp_path / "gone.crl",)) == [Code.CRL_UNREADABLE]
    assert mistakes(profile="B.10", unsafe_allow_retired_profile=True) == [Code.PROFILE_RETIRED]
    assert mistakes(anchors=tmp_path / "gone.pem") == [Code.ANCHORS_UNREADABLE]


def test_own_certificates_are_listed_with_their_end() -> None:
    own = own_certificates(make_tls())
    assert [each.fingerprint for each in own] == [shared_pki().leaf(name).fingerprint for name in ("box-ecdsa", "box-rsa")]
    assert all(each.not_after > time.time() for each in own)


@pytest.mark.skipif(compat.can_set_tls13_suites(), reason="this Python sets the suites itself")
def test_only_a_configuration_with_b13_needs_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENSSL_CONF", raising=False)
    assert environment(config("B.12", tmp_path), tmp_path) == {}
    assert process_is_ready(config("B.12", tmp_path))
    needed = config("B.13", tmp_path)
    assert not process_is_ready(needed)
    made = environment(needed, tmp_path)
    assert list(made) == ["OPENSSL_CONF"]
    monkeypatch.setenv("OPENSSL_CONF", made["OPENSSL_CONF"])
    assert process_is_ready(needed)
