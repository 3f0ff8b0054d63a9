"""Profiles by name: what each may offer, and that contexts are judged by what they really offer."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

import wardgate
from support.tlskit import make_tls, shared_pki
from wardgate.codes import Code
from wardgate.policy import schema
from wardgate.policy.tls import CertificateFiles
from wardgate.transport import compat
from wardgate.transport.context import TlsContexts, judge, offered
from wardgate.transport.errors import ProfileNotMet
from wardgate.transport.process import TEXT
from wardgate.transport.profiles import PROFILES, Standing
from wardgate.transport.prove import negotiates, prove_server
from wardgate.transport.suites import CODES, OPENSSL_NAMES, TLS12

FIRMWARE = Path(wardgate.__file__).parents[1]
TESTS = Path(__file__).parents[1]


def refusal(**words: object) -> ProfileNotMet:
    with pytest.raises(ProfileNotMet) as caught:
        TlsContexts(make_tls(**words)).server()
    return caught.value


def test_b12_offers_the_four_suites_of_rfc_9325_and_tls13_only() -> None:
    contexts = TlsContexts(make_tls())
    for context in (contexts.server(), contexts.client()):
        assert {code for code in offered(context) if code in TLS12} == {0xC02B, 0xC02C, 0xC02F, 0xC030}
        assert {0x1301, 0x1302} <= offered(context)
        assert offered(context) <= {0xC02B, 0xC02C, 0xC02F, 0xC030, 0x1301, 0x1302, 0x1303}
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_b12_server_really_negotiates_what_it_offers() -> None:
    prove_server(TlsContexts(make_tls()).server())


def test_a_suite_not_offered_is_not_negotiated() -> None:
    context = TlsContexts(make_tls()).server()
    assert negotiates(context, 0xC02F)
    assert not negotiates(context, 0xC0AC)
    assert not negotiates(TlsContexts(make_tls("box-ecdsa")).server(), 0xC02F)  # no RSA certificate


def test_b12_is_met_with_one_kind_of_certificate_and_not_with_a_suite_missing() -> None:
    context = TlsContexts(make_tls("box-ecdsa")).server()
    prove_server(context)
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    with pytest.raises(ProfileNotMet) as caught:
        prove_server(context)
    assert caught.value.code is Code.PROFILE_SUITES_MISSING
    assert "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" in caught.value.detail


@pytest.mark.parametrize("name", ["B.1", "B.3"])
def test_profiles_of_tls_1_0_are_refused_even_when_retired_ones_are_allowed(name: str) -> None:
    assert refusal(profile=name, unsafe_allow_retired_profile=True).code is Code.PROFILE_REFUSED


@pytest.mark.parametrize("name", ["B.2", "B.14", "b.12", ""])
def test_unknown_profiles_are_refused(name: str) -> None:
    assert refusal(profile=name).code is Code.PROFILE_UNKNOWN


@pytest.mark.parametrize("name", ["B.9", "B.10", "B.11"])
def test_retired_profiles_need_the_unsafe_switch(name: str) -> None:
    assert refusal(profile=name).code is Code.PROFILE_RETIRED_REFUSED
    prove_server(TlsContexts(make_tls(profile=name, unsafe_allow_retired_profile=True)).server())


def test_min_version_13_does_not_meet_b12_where_tls_12_is_mandatory() -> None:
    assert refusal(min_version="1.3").code is Code.PROFILE_SUITES_MISSING


def test_a_suite_outside_the_profile_is_found() -> None:
    context = TlsContexts(make_tls()).server()
    context.set_ciphers("ECDHE+AESGCM:AES128-SHA")
    with pytest.raises(ProfileNotMet) as caught:
        judge(context, "1.2", as_server=True)
    assert caught.value.code is Code.PROFILE_SUITES_FORBIDDEN


def test_certificate_and_key_that_do_not_belong_together_are_refused() -> None:
    pki = shared_pki()
    mixed = (CertificateFiles(pki.leaf("box-ecdsa").chain, pki.leaf("pacs-ecdsa").key),)
    assert refusal(certificates=mixed).code is Code.OWN_CERTIFICATE_UNREADABLE
    gone = (CertificateFiles(pki.directory / "gone.pem", pki.leaf("pacs-ecdsa").key),)
    assert refusal(certificates=gone).code is Code.OWN_CERTIFICATE_UNREADABLE


def test_a_weak_own_certificate_is_refused() -> None:
    leaf = shared_pki().leaf("pacs-rsa1024")
    assert refusal(certificates=(CertificateFiles(leaf.chain, leaf.key),)).code is Code.OWN_CERTIFICATE_WEAK


def test_anchors_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    assert refusal(anchors=tmp_path / "gone.pem").code is Code.ANCHORS_UNREADABLE
    (tmp_path / "empty.pem").write_text("")
    assert refusal(anchors=tmp_path / "empty.pem").code is Code.ANCHORS_UNREADABLE


def test_a_server_that_is_not_mutual_asks_for_no_certificate_and_a_client_always_checks() -> None:
    contexts = TlsContexts(make_tls(mutual=False))
    assert contexts.server().verify_mode == ssl.CERT_NONE
    assert contexts.client().verify_mode == ssl.CERT_REQUIRED


def test_tables_agree_with_this_openssl() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    real = {cipher["name"]: int(cipher["id"]) & 0xFFFF for cipher in context.get_ciphers()}
    known = {name: code for name, code in CODES.items() if name in real}
    assert known == {name: real[name] for name in known}
    assert [n for n in TLS12.values() if n[1] not in real] == [n for n in TLS12.values() if "CAMELLIA" in n[1]]


def test_every_profile_offers_what_it_requires_and_nothing_else() -> None:
    for profile in PROFILES.values():
        if profile.standing is not Standing.REFUSED:
            assert profile.required12 <= set(profile.offered12) <= profile.allowed12 <= set(OPENSSL_NAMES)


def in_b13_process(script: str, tmp_path: Path) -> str:
    """Run `script` in a process with the OpenSSL configuration that the master makes; return what it printed."""
    conf = tmp_path / "openssl.cnf"
    conf.write_text(TEXT)
    path = os.pathsep.join([str(FIRMWARE), str(TESTS), str(TESTS.parent / "tools")])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "OPENSSL_CONF": str(conf), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(compat.can_set_tls13_suites(), reason="this Python sets the suites itself")
def test_b13_without_its_openssl_configuration_is_refused() -> None:
    mistake = refusal(profile="B.13")
    assert mistake.code is Code.PROFILE_SUITES_MISSING
    assert "TLS_AES_128_CCM_8_SHA256" in mistake.detail
    assert "OPENSSL_CONF" in mistake.detail


def test_b13_in_its_process_negotiates_all_fifteen_suites(tmp_path: Path) -> None:
    script = """
from support.tlskit import make_tls
from wardgate.transport.context import TlsContexts
from wardgate.transport.prove import prove_server
context = TlsContexts(make_tls(profile="B.13")).server()
prove_server(context)
print(len(context.profile.required12 | context.profile.required13))
"""
    assert in_b13_process(script, tmp_path).strip() == "15"


def test_b13_as_server_needs_both_kinds_of_certificate_and_as_client_does_not(tmp_path: Path) -> None:
    script = """
from support.tlskit import make_tls
from wardgate.transport.context import TlsContexts
from wardgate.transport.errors import ProfileNotMet
for names in (["box-ecdsa"], ["box-rsa"]):
    contexts = TlsContexts(make_tls(*names, profile="B.13"))
    contexts.client()
    try:
        contexts.server()
    except ProfileNotMet as error:
        print(error.code.name)
"""
    assert in_b13_process(script, tmp_path).split() == ["PROFILE_CERTIFICATES"] * 2


def test_b12_in_a_b13_process_is_met_but_does_not_accept_ccm_8(tmp_path: Path) -> None:
    script = """
import ssl
from support.tlskit import make_tls, peer_context, shake
from wardgate.transport.context import TlsContexts, outside_profile
context = TlsContexts(make_tls()).server()
print(outside_profile(context, "TLSv1.3", "TLS_AES_128_CCM_8_SHA256"), outside_profile(context, "TLSv1.3", "TLS_AES_128_GCM_SHA256"))
"""
    assert in_b13_process(script, tmp_path).split() == ["True", "False"]


def test_the_names_that_the_configuration_knows_are_those_of_the_profiles_by_their_standing() -> None:
    """`policy` must not import `transport`, so the names are written twice."""
    for standing, names in (
        (Standing.CURRENT, schema.PROFILES),
        (Standing.RETIRED, schema.RETIRED_PROFILES),
        (Standing.REFUSED, tuple(schema.REFUSED_PROFILES.keys() - {"B.2"})),  # ISCL: no profile of TLS, named for who tries it
    ):
        assert sorted(names) == sorted(name for name, profile in PROFILES.items() if profile.standing is standing)
    (word,) = (word for word in schema.SCHEMA["tls"] if word.name == "profile")
    assert all(name in word.meaning for name in schema.PROFILES + schema.RETIRED_PROFILES)


def test_b9_and_b10_differ_in_their_words_alone() -> None:
    """The fall back to TLS 1.0, which makes the difference, is not spoken."""
    first, second = PROFILES["B.9"], PROFILES["B.10"]
    assert first._replace(name=second.name, title=second.title) == second and first.title != second.title
