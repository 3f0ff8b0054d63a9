"""The `tls` table of a party or an audit repository, in its checked form."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from wardgate.policy.keyref import KeyReference, key_reference


class CrlPolicy(StrEnum):
    """Whether a certificate passes without a CRL of its issuer."""

    REQUIRE = "require"
    IF_PRESENT = "if-present"
    OFF = "off"


class StaleCrl(StrEnum):
    """What a CRL past its nextUpdate is worth."""

    REFUSE = "refuse"
    WARN = "warn"


class CertificateFiles(NamedTuple):
    """A certificate chain (PEM, leaf first) and its private key: in a token, or a PEM file."""

    chain: Path
    key: KeyReference


class Tls(NamedTuple):
    """How TLS is spoken with one party, by profile name of PS3.15 Annex B."""

    profile: str
    certificates: tuple[CertificateFiles, ...]
    anchors: Path
    mutual: bool = True
    names: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()  # SHA-256 of the leaf's DER, 64 lower-case hex digits
    crls: tuple[Path, ...] = ()
    crl_urls: tuple[str, ...] = ()
    crl_policy: CrlPolicy = CrlPolicy.REQUIRE
    stale_crl: StaleCrl = StaleCrl.REFUSE
    session_resumption: bool = True
    min_version: str = "1.2"
    unsafe_allow_retired_profile: bool = False
    unsafe_allow_anonymous_peer: bool = False
    unsafe_allow_any_name: bool = False


def build_tls(data: dict[str, Any]) -> Tls:
    """Make the table from checked data."""
    return Tls(
        **{
            **data,
            "certificates": tuple(CertificateFiles(Path(pair["chain"]), key_reference(pair["key"])) for pair in data["certificates"]),
            "anchors": Path(data["anchors"]),
            "names": tuple(data["names"]),
            "fingerprints": tuple(data["fingerprints"]),
            "crls": tuple(Path(text) for text in data["crls"]),
            "crl_urls": tuple(data["crl_urls"]),
            "crl_policy": CrlPolicy(data["crl_policy"]),
            "stale_crl": StaleCrl(data["stale_crl"]),
        }
    )
