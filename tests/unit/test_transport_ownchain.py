"""Our own chain: completed once, sent as OpenSSL would send it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from support.tlskit import make_tls, peer_context, shake, shared_pki
from wardgate.policy.tls import CertificateFiles
from wardgate.transport.chain import pem_certificates
from wardgate.transport.context import TlsContexts
from wardgate.transport.ownchain import completed
from wardgate.transport.tls import TlsChannel


def certificates(file: Path) -> list[bytes]:
    """Return those of a PEM file, DER."""
    return pem_certificates(file.read_text("ascii"))


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A chain file with nothing but the leaf of `box-ecdsa`, which the issuing CA signed, which the root signed."""
    file = tmp_path / "leaf.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(certificates(shared_pki().leaf("box-ecdsa").chain)[0]))
    return file


@pytest.fixture
def anchors(tmp_path: Path) -> Path:
    """A file with an unrelated CA, the issuing CA and the root."""
    pki = shared_pki()
    file = tmp_path / "anchors.pem"
    file.write_text("".join(path.read_text() for path in (pki.other_root, pki.directory / "issuing.pem", pki.root)))
    return file


def completed_of(chain: Path, *anchors: Path) -> list[bytes]:
    """Return the certificates that are loaded for `chain`."""
    with completed(chain, anchors) as file:
        return certificates(file)


def sent(channel: TlsChannel) -> list[bytes]:
    """Return the certificates that the other side sent to `channel`, DER."""
    tls: Any = channel._object
    if hasattr(tls, "get_unverified_chain"):  # 3.13
        return list(tls.get_unverified_chain())
    return [bytes(each.public_bytes(2)) for each in tls._sslobj.get_unverified_chain()]


def test_leaf_alone_is_completed_with_its_issuers(alone: Path, anchors: Path) -> None:
    pki = shared_pki()
    wanted = [*certificates(alone), *certificates(pki.directory / "issuing.pem"), *certificates(pki.root)]
    assert completed_of(alone, anchors) == wanted
    assert completed_of(alone, pki.other_root, pki.directory / "issuing.pem") == wanted[:2]


def test_chain_with_issuers_in_its_file_is_loaded_as_it_is(anchors: Path) -> None:
    leaf = shared_pki().leaf("box-ecdsa")
    with completed(leaf.chain, [anchors]) as file:
        assert file == leaf.chain


def test_leaf_without_issuer_among_anchors_is_loaded_as_it_is(alone: Path) -> None:
    with completed(alone, [shared_pki().other_root]) as file:
        assert file == alone


def test_certificate_with_name_of_issuer_but_another_key_is_no_issuer(alone: Path, tmp_path: Path) -> None:
    from wardtools.pki import Pki

    impostor = Pki(tmp_path / "impostor").directory / "issuing.pem"
    with completed(alone, [impostor]) as file:
        assert file == alone


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\xff"])
def test_what_cannot_be_read_is_left_to_who_loads_it(tmp_path: Path, alone: Path, anchors: Path, text: str) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text(text, "latin-1")
    for chain, among in ((bad, anchors), (alone, bad), (tmp_path / "none.pem", anchors), (alone, tmp_path / "none.pem")):
        with completed(chain, [among]) as file:
            assert file == chain


@pytest.mark.parametrize("as_server", [True, False])
def test_peer_is_sent_what_openssl_would_have_found(alone: Path, anchors: Path, as_server: bool) -> None:
    key = shared_pki().leaf("box-ecdsa").key
    contexts = TlsContexts(make_tls(certificates=(CertificateFiles(alone, key),), anchors=anchors))
    ours = contexts.server() if as_server else contexts.client()
    theirs = peer_context(server=not as_server)
    plain = peer_context("", server=as_server)  # the file as it is: OpenSSL looks for the issuers in every handshake
    plain.load_verify_locations(anchors)
    plain.load_cert_chain(alone, key)
    seen = [sent(shake(box, theirs)[1] if as_server else shake(theirs, box)[0]) for box in (ours, plain)]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 3


def test_issuers_are_not_looked_for_again_in_handshakes(alone: Path, anchors: Path) -> None:
    """They are sent by a context that has no anchors to look among."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with completed(alone, [anchors]) as file:
        server.load_cert_chain(file, shared_pki().leaf("box-ecdsa").key)
    assert len(sent(shake(server, peer_context(server=False))[1])) == 3
