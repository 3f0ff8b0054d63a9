"""The test PKI as the tests use it: TLS files for DCMTK peers, certificate pairs and CRLs for the box."""

from __future__ import annotations

from pathlib import Path

from support.config import PeerPlan
from support.peers import TlsFiles
from wardtools.pki import Pki


def dcmtk(pki: Pki, name: str = "pacs-rsa") -> TlsFiles:
    """Return what a DCMTK program needs to be `name`.

    DCMTK sends only the leaf of a chain file; OpenSSL completes the chain from the trust store, so the issuing CA is put there too.
    RSA: DCMTK 3.6.7 refuses ECDSA certificates under TLS 1.2.
    """
    anchors = pki.directory / "dcmtk-anchors.pem"
    if not anchors.exists():
        other = pki.other_root.read_bytes()  # for the peers of the wrong CA: they must be able to send their chain
        anchors.write_bytes(pki.root.read_bytes() + (pki.directory / "issuing.pem").read_bytes() + other)
    leaf = pki.leaf(name)
    return TlsFiles(leaf.chain, leaf.key, anchors)


def pacs_plan(pki: Pki, **changes: object) -> PeerPlan:
    """Return a hospital peer under mutual TLS with CRLs required, as the box sees it."""
    box = tuple((pki.leaf(name).chain, pki.leaf(name).key) for name in ("box-ecdsa", "box-rsa"))
    settings: dict[str, object] = {
        "certificates": box,
        "anchors": pki.root,
        "names": ("pacs.test",),
        "crls": pki.crls,
        "crl_policy": "require",
    }
    return PeerPlan(**{**settings, **changes})  # type: ignore[arg-type]


def custody_key(pki: Pki) -> Path:
    """Return the Ed25519 key of the custody log."""
    return pki.directory / "custody.pem"
