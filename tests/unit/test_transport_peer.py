"""Our rules for a peer's certificate: each defect is refused by its own code, in both TLS roles, full and resumed."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.tlskit import make_party, make_tls, peer_context, shake, shared_pki
from wardgate.codes import Code
from wardgate.policy.tls import CrlPolicy, StaleCrl, Tls
from wardgate.transport.context import TlsContexts
from wardgate.transport.crl import CrlStore
from wardgate.transport.errors import PeerRefused
from wardgate.transport.peer import ANONYMOUS, PeerChecker, TlsRole
from wardgate.transport.sessions import SessionCache
from wardgate.transport.tls import TlsChannel

DAY = 86400
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def chain_of(name: str) -> list[bytes]:
    """The chain of leaf `name` as OpenSSL would verify it."""
    pki = shared_pki()
    text = pki.leaf(name).chain.read_text() + pki.root.read_text()
    blocks = text.split("-----BEGIN CERTIFICATE-----")[1:]
    return [ssl.PEM_cert_to_DER_cert("-----BEGIN CERTIFICATE-----" + block) for block in blocks]


def checker(**words: object) -> PeerChecker:
    tls = make_tls(**words)
    return PeerChecker(tls, CrlStore(tls.crls))


def judge(name: str, now: float | None = None, role: TlsRole | None = None, **words: object) -> Code | None:
    """Return the code by which `name` is refused, None when it passes."""
    chain = chain_of(name)
    try:
        checker(**words).check(chain[0], chain, False, time.time() if now is None else now, role)
    except PeerRefused as refused:
        return refused.code
    return None


@pytest.mark.parametrize("name", ["pacs-ecdsa", "pacs-rsa"])
def test_a_good_certificate_passes_with_its_identity(name: str) -> None:
    chain = chain_of(name)
    identity = checker().check(chain[0], chain, False, time.time(), TlsRole.CLIENT)
    assert identity.fingerprint == shared_pki().leaf(name).fingerprint
    assert "pacs.test" in identity.subject_names
    assert "127.0.0.1" in identity.subject_names
    assert identity.not_after > time.time()
    assert identity.warnings == ()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("pacs-expired", Code.CERTIFICATE_EXPIRED),
        ("pacs-future", Code.CERTIFICATE_NOT_YET_VALID),
        ("pacs-rsa1024", Code.CERTIFICATE_KEY_WEAK),
        ("pacs-sha1", Code.CERTIFICATE_HASH_WEAK),
        ("pacs-wrong-name", Code.CERTIFICATE_WRONG_NAME),
        ("pacs-revoked", Code.CERTIFICATE_REVOKED),
        ("pacs-wrong-usage", Code.CERTIFICATE_WRONG_USAGE),
        ("pacs-other-ca", Code.CHAIN_INVALID),
    ],
)
def test_each_defect_is_refused_by_its_own_code(name: str, code: Code) -> None:
    if not shared_pki().leaf(name).chain.exists():
        pytest.skip("no openssl command to make it")
    assert judge(name, role=TlsRole.SERVER) is code


def test_a_chain_to_another_anchor_is_refused() -> None:
    assert judge("pacs-ecdsa", anchors=shared_pki().other_root) is Code.CERTIFICATE_WRONG_ANCHOR


def test_dates_are_judged_at_every_use_of_a_remembered_chain() -> None:
    chain, check, now = chain_of("pacs-ecdsa"), checker(crl_policy=CrlPolicy.OFF).check, time.time()
    check(chain[0], chain, False, now)
    check(chain[0], [], True, now)
    for moment, code in ((now + 366 * DAY, Code.CERTIFICATE_EXPIRED), (now - 2 * DAY, Code.CERTIFICATE_NOT_YET_VALID)):
        with pytest.raises(PeerRefused) as caught:
            check(chain[0], [], True, moment)
        assert caught.value.code is code


def test_names_match_exactly_and_addresses_in_any_spelling() -> None:
    assert judge("pacs-ecdsa", names=("PACS.test.",)) is None
    assert judge("pacs-ecdsa", names=("0:0:0:0:0:0:0:1",)) is None
    assert judge("pacs-ecdsa", names=("other.test", "10.99.1.2")) is None
    assert judge("pacs-ecdsa", names=("test",)) is Code.CERTIFICATE_WRONG_NAME
    assert judge("pacs-ecdsa", names=("*.test",)) is Code.CERTIFICATE_WRONG_NAME
    assert judge("pacs-ecdsa", names=("TEST ONLY pacs-ecdsa",)) is Code.CERTIFICATE_WRONG_NAME  # the common name is no name


def test_fingerprints_pin_beside_names_or_alone() -> None:
    pin = shared_pki().leaf("pacs-ecdsa").fingerprint
    assert judge("pacs-ecdsa", fingerprints=(pin,)) is None
    assert judge("pacs-ecdsa", fingerprints=(pin,), names=()) is None
    assert judge("pacs-rsa", fingerprints=(pin,)) is Code.CERTIFICATE_NOT_PINNED
    assert judge("pacs-ecdsa", fingerprints=(pin,), names=("other.test",)) is Code.CERTIFICATE_WRONG_NAME


def test_without_names_and_fingerprints_nobody_passes_but_by_the_unsafe_switch() -> None:
    assert judge("pacs-ecdsa", names=()) is Code.CERTIFICATE_NOT_BOUND
    assert judge("pacs-ecdsa", names=(), unsafe_allow_any_name=True) is None


def test_a_peer_without_certificate_passes_only_where_mutual_is_off() -> None:
    assert checker(mutual=False).check(b"", [], False, time.time()) is ANONYMOUS
    with pytest.raises(PeerRefused) as caught:
        checker().check(b"", [], False, time.time())
    assert caught.value.code is Code.TLS_NO_CLIENT_CERTIFICATE


def test_a_resumed_session_whose_chain_is_not_remembered_is_refused() -> None:
    leaf = chain_of("pacs-ecdsa")[0]
    with pytest.raises(PeerRefused) as caught:
        checker().check(leaf, [], True, time.time())
    assert caught.value.code is Code.RESUMED_UNKNOWN


def test_a_full_handshake_without_a_verified_chain_is_refused_even_when_the_leaf_is_remembered() -> None:
    chain, check = chain_of("pacs-ecdsa"), checker().check
    check(chain[0], chain, False, time.time())
    with pytest.raises(PeerRefused) as caught:
        check(chain[0], [], False, time.time())
    assert caught.value.code is Code.CHAIN_UNTRUSTED


def test_bytes_that_are_no_certificate_are_refused() -> None:
    with pytest.raises(PeerRefused) as caught:
        checker().check(b"\x30\x03abc", [b"\x30\x03abc"], False, time.time())
    assert caught.value.code is Code.CERTIFICATE_MALFORMED


@pytest.mark.parametrize(
    ("files", "words", "code"),
    [
        ((), {}, Code.CRL_MISSING),
        (("issuing.crl",), {}, Code.CRL_MISSING),  # the issuing CA itself could be revoked by the root
        ((), {"crl_policy": CrlPolicy.IF_PRESENT}, None),
        ((), {"crl_policy": CrlPolicy.OFF}, None),
        (("root.crl", "issuing-wrong-signer.crl"), {}, Code.CRL_MISSING),
        (("root.crl", "issuing-stale.crl"), {}, Code.CRL_STALE),
        (("root.crl", "issuing-stale.crl"), {"crl_policy": CrlPolicy.IF_PRESENT}, Code.CRL_STALE),
        (("root.crl", "issuing-stale.crl"), {"stale_crl": StaleCrl.WARN}, None),
        (("root.crl", "issuing-stale.crl", "issuing.crl"), {}, None),
    ],
)
def test_crls_are_judged_by_policy(files: tuple[str, ...], words: dict[str, object], code: Code | None) -> None:
    crls = tuple(shared_pki().directory / name for name in files)
    assert judge("pacs-ecdsa", crls=crls, **words) is code


def test_a_certificate_on_a_stale_crl_is_revoked_whatever_the_policy() -> None:
    pki = shared_pki()
    crls = (pki.root_crl, pki.directory / "issuing-stale.crl")
    assert judge("pacs-revoked", crls=crls, stale_crl=StaleCrl.WARN) is Code.CERTIFICATE_REVOKED


def test_a_stale_crl_that_is_accepted_leaves_a_warning() -> None:
    pki, chain = shared_pki(), chain_of("pacs-ecdsa")
    tls = make_tls(crls=(pki.root_crl, pki.directory / "issuing-stale.crl"), stale_crl=StaleCrl.WARN)
    identity = PeerChecker(tls, CrlStore(tls.crls)).check(chain[0], chain, False, time.time())
    assert identity.warnings == (Code.CRL_STALE_ACCEPTED,)


def test_the_certificate_is_bound_to_the_ae_title() -> None:
    tls, chain = make_tls(), chain_of("pacs-ecdsa")
    check = PeerChecker(tls, CrlStore(tls.crls))
    identity = check.check(chain[0], chain, False, time.time())

    def refusal(party_tls: Tls, *titles: str, ae_title: str = "PACS") -> Code | None:
        try:
            check.check_ae(identity, make_party(party_tls, *titles), ae_title)
        except PeerRefused as refused:
            return refused.code
        return None

    assert refusal(tls, "PACS") is None
    assert refusal(tls, "PACS", ae_title="PACS ") is None
    assert refusal(tls, "*", ae_title="ANY") is None
    assert refusal(tls, "PACS", ae_title="OTHER") is Code.CERTIFICATE_WRONG_AE
    # Another party behind the same port: its AE title needs its own name and its own anchor.
    assert refusal(make_tls(names=("archive.test",)), "ARCHIVE", ae_title="ARCHIVE") is Code.CERTIFICATE_WRONG_AE
    assert refusal(make_tls(anchors=shared_pki().other_root), "ARCHIVE", ae_title="ARCHIVE") is Code.CERTIFICATE_WRONG_ANCHOR


Judge = Callable[[TlsChannel], Code | None]


def revocable(tmp_path: Path) -> tuple[PeerChecker, Judge, Callable[[str], None]]:
    """Return a checker whose CRL can be replaced on disk, how it judges a channel, and the replacing."""
    pki = shared_pki()
    crl = pki.write_crl(tmp_path / "live.crl", [])
    tls = make_tls(crls=(pki.root_crl, crl))
    check = PeerChecker(tls, CrlStore(tls.crls, every_seconds=0))

    def judge_channel(channel: TlsChannel) -> Code | None:
        try:
            check.check(channel.peer_leaf, channel.peer_chain, channel.resumed, time.time())
        except PeerRefused as refused:
            return refused.code
        return None

    return check, judge_channel, lambda name: pki.write_crl(crl, [pki.leaf(name)]) and None


@pytest.mark.parametrize("version", VERSIONS)
def test_client_revoked_after_its_session_was_cached_is_refused_on_resumption(version: ssl.TLSVersion, tmp_path: Path) -> None:
    _, judge_channel, revoke = revocable(tmp_path)
    context, client_context = TlsContexts(make_tls()).server(), peer_context(server=False, version=version)
    server, client = shake(context, client_context)
    assert judge_channel(server) is None
    again, client = shake(context, client_context, client.session)
    assert again.resumed
    assert judge_channel(again) is None
    revoke("pacs-ecdsa")
    after, client = shake(context, client_context, client.session)
    assert after.resumed  # TLS itself is content
    assert judge_channel(after) is Code.CERTIFICATE_REVOKED


@pytest.mark.parametrize("version", VERSIONS)
def test_server_revoked_after_its_session_was_cached_is_refused_on_resumption(version: ssl.TLSVersion, tmp_path: Path) -> None:
    check, judge_channel, revoke = revocable(tmp_path)
    contexts, cache = TlsContexts(make_tls()), SessionCache()
    server_context = peer_context(server=True, version=version)
    _, client = shake(server_context, contexts.client())
    assert judge_channel(client) is None
    cache.keep("link/pacs", contexts.client(), client)
    revoke("pacs-ecdsa")
    kept = cache.get("link/pacs", contexts.client())
    assert kept is not None
    _, again = shake(server_context, contexts.client(), kept.session)
    assert again.resumed
    assert judge_channel(again) is Code.CERTIFICATE_REVOKED
    # The chain kept beside the session serves a checker that has forgotten it.
    fresh = PeerChecker(make_tls(), CrlStore(shared_pki().crls))
    assert fresh.check(again.peer_leaf, kept.chain, True, time.time()).fingerprint == shared_pki().leaf("pacs-ecdsa").fingerprint
    with pytest.raises(PeerRefused):
        check.check(again.peer_leaf, kept.chain, True, time.time())


def test_an_issuing_ca_or_a_single_certificate_may_be_the_anchor() -> None:
    pki = shared_pki()
    for anchor in (pki.directory / "issuing.pem", pki.leaf("pacs-ecdsa").chain):
        tls = make_tls(anchors=anchor)
        server, _ = shake(TlsContexts(tls).server(), peer_context(server=False))
        check = PeerChecker(tls, CrlStore(tls.crls))
        assert check.check(server.peer_leaf, server.peer_chain, False, time.time()).subject_names


def test_a_chain_that_ends_below_our_anchor_goes_on_to_it_and_needs_its_list() -> None:
    """Another party that shares the port trusts the issuing CA: OpenSSL ends the chain there."""
    chain = chain_of("pacs-ecdsa")
    short = chain[:-1]
    whole = checker().check(chain[0], chain, False, time.time())
    check = checker()
    assert check.check(short[0], short, False, time.time()) == whole
    assert check.check(short[0], [], True, time.time()) == whole
    for words, code in (
        ({"anchors": shared_pki().other_root}, Code.CERTIFICATE_WRONG_ANCHOR),
        ({"crls": (shared_pki().crl,)}, Code.CRL_MISSING),  # the list of the root, for the CA below it
    ):
        with pytest.raises(PeerRefused) as refused:
            checker(**words).check(short[0], short, False, time.time())
        assert refused.value.code is code


def test_memory_of_chains_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.transport.peer._MAX_CHAINS", 1)
    check, first, second = checker(), chain_of("pacs-ecdsa"), chain_of("pacs-rsa")
    for chain in (first, second):
        check.check(chain[0], chain, False, time.time())
    check.check(second[0], [], True, time.time())
    with pytest.raises(PeerRefused):
        check.check(first[0], [], True, time.time())


def test_a_clock_that_was_set_back_does_not_make_an_expired_certificate_good_again() -> None:
    chain, tls = chain_of("pacs-ecdsa"), make_tls()
    now = time.time()
    PeerChecker(tls, CrlStore(tls.crls), now).check(chain[0], chain, False, now - 3600, TlsRole.CLIENT)
    with pytest.raises(PeerRefused) as refused:
        PeerChecker(tls, CrlStore(tls.crls), now + 20 * 365 * DAY).check(chain[0], chain, False, now, TlsRole.CLIENT)
    assert refused.value.code is Code.CERTIFICATE_EXPIRED
