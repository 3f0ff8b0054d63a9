"""Checks what a configuration claims and only the real thing can tell: TLS profiles by handshake, certificates, keys.

For short-lived processes (`wardgate check`, the resolver): it loads `ssl`, and `cryptography` for a key in a file that is not for TLS.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from wardgate.codes import Code, Level
from wardgate.policy.audit import Repository
from wardgate.policy.mistakes import Mistake
from wardgate.policy.model import Config, Iscl, Party
from wardgate.policy.tls import CrlPolicy, Tls
from wardgate.provision.floor import read_floor

SOON_DAYS: Final = 30
AUDIT: Final = "[audit]"  # in the place of a link: no name of one has brackets
_OURS: Final = "WARDGATE_OPENSSL_CONF"  # set by us in a process that was started again with its OPENSSL_CONF


class OwnCertificate(NamedTuple):
    """A certificate of the box; `not_after` in Unix seconds."""

    link: str
    party: str
    chain: str
    not_after: int

    @property
    def days_left(self) -> int:
        """Whole days until it expires, negative afterwards."""
        return int((self.not_after - time.time()) // 86400)


def restart_with_openssl_conf(config: Config) -> None:
    """Start this program again with the OPENSSL_CONF that a B.13 link needs; does not return then. OpenSSL reads it at start only."""
    from wardgate.transport.process import in_memory, openssl_conf

    text = openssl_conf(config)
    if text is None or os.environ.get(_OURS) == "1":
        return
    environment = {**os.environ, "OPENSSL_CONF": f"/proc/self/fd/{in_memory('openssl.cnf', text)}", _OURS: "1"}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606


def check_claims(config: Config, mistakes: list[Mistake], files: bool = False) -> None:
    """Add a mistake for every TLS claim that is not met and every key that cannot be used.

    With `files` also for every CRL file that cannot be used: it refuses its peers by itself and need not stop the gateway.
    """
    _custody_key(config, mistakes)
    for place, party in _parties(config):
        if party.tls is not None:
            use = Use(bool(party.listen), party.connect is not None)
            _tls(config, party.tls, use, f"{place}.tls", mistakes, files)
        if party.iscl is not None:
            _iscl(party.iscl, f"{place}.iscl", mistakes)
    for place, repository in _repositories(config):
        if config.audit is not None and config.audit.socket and not _may_use(repository.tls):
            continue  # another account's keys: that sender tells by the state of its line
        _tls(config, repository.tls, Use(False, True), f"{place}.tls", mistakes, files)


def own_certificates(config: Config, mistakes: list[Mistake]) -> list[OwnCertificate]:
    """Return every certificate of the box; one that cannot be read is a mistake."""
    from wardgate.transport.errors import PeerRefused

    tables = [
        (place, link.name, party.name, party.tls)
        for index, link in enumerate(config.links)
        for place, party in _parties(config, index)
        if party.tls is not None
    ]
    tables += [(place, AUDIT, repository.name, repository.tls) for place, repository in _repositories(config)]
    found = []
    for place, link_name, party_name, tls in tables:
        for number, pair in enumerate(tls.certificates):
            here = f"{place}.tls.certificates[{number}].chain"
            try:
                ends = _end_of(pair.chain)
            except (OSError, ValueError, PeerRefused) as error:
                mistakes.append(Mistake(here, "a certificate chain, PEM", f"{pair.chain} ({error})", Code.CONFIG_FILE))
                continue
            found.append(OwnCertificate(link_name, party_name, str(pair.chain), ends))
    return found


def _end_of(chain: Path) -> int:
    """Return when the first certificate of a chain ends; all of them are read. Raises `OSError`, `ValueError` and `PeerRefused`."""
    from wardgate.transport.chain import pem_certificates, read_facts

    found = [read_facts(der) for der in pem_certificates(chain.read_text("utf-8", "replace"))]
    if not found:
        raise ValueError("no certificate in it")
    return int(found[0].not_after)


def expired(certificates: list[OwnCertificate]) -> list[Mistake]:
    """Return a mistake for every certificate past its time. Not one that stops the gateway: other links may still be well."""
    return [
        Mistake(
            f"audit, {own.party}" if own.link == AUDIT else f"link {own.link}, {own.party}",
            "a certificate within its time",
            f"{own.chain}, expired {time.strftime('%Y-%m-%d', time.gmtime(own.not_after))}",
            Code.CONFIG_CERTIFICATE_EXPIRED,
        )
        for own in certificates
        if own.days_left < 0
    ]


def wants_crls(config: Config) -> bool:
    """Tell whether some party's CRLs may have to be fetched."""
    return any(tls.crl_policy is not CrlPolicy.OFF for _, tls in config.tls_tables)


def days_text(days_left: int) -> str:
    """Return `3 days left` or `expired 3 days ago`."""
    return f"{days_left} days left" if days_left >= 0 else f"expired {-days_left} days ago"


def expiring(certificates: list[OwnCertificate]) -> list[str]:
    """Return a line for every certificate that has few days left."""
    lines = (f"{own.chain} ({own.link}, {own.party}): {days_text(own.days_left)}" for own in certificates if own.days_left < SOON_DAYS)
    return list(dict.fromkeys(lines))


def _parties(config: Config, only: int | None = None) -> list[tuple[str, Party]]:
    found = []
    for index, link in enumerate(config.links):
        if only in (None, index):
            found.append((f"link[{index}].modality", link.modality))
            found += [(f"link[{index}].peer[{number}]", peer) for number, peer in enumerate(link.peers)]
    return found


def _repositories(config: Config) -> list[tuple[str, Repository]]:
    repositories = config.audit.repositories if config.audit is not None else ()
    return [(f"audit.repository[{index}]", each) for index, each in enumerate(repositories)]


def _may_use(tls: Tls) -> bool:
    """Are all keys of it in files that this account may read?"""
    from wardgate.policy.keyref import TokenKey

    return all(not isinstance(pair.key, TokenKey) and os.access(pair.key, os.R_OK) for pair in tls.certificates)


class Use(NamedTuple):
    """As what a TLS table serves."""

    server: bool
    client: bool


def _tls(config: Config, tls: Tls, use: Use, place: str, mistakes: list[Mistake], files: bool) -> None:
    from wardgate.transport.errors import CrlError
    from wardgate.transport.judge import judge_tls

    for error in judge_tls(tls, use.server, use.client, read_floor(config.box.state).time(time.time()), keys=config.keys):
        if error.code is Code.OWN_CERTIFICATE_EXPIRED or error.code.value.level is not Level.ERROR:
            continue  # `expired` and `Config.unsafe` tell
        if isinstance(error, CrlError):
            if files:
                mistakes.append(Mistake(f"{place}.crls", "a CRL, PEM or DER", _short(error), error.code))
        else:
            mistakes.append(Mistake(place, f"profile {tls.profile} met: {error.code.value.action}", _short(error), error.code))


def _iscl(iscl: Iscl, place: str, mistakes: list[Mistake]) -> None:
    from wardgate.iscl.libcrypto import CiphersMissing, LibPrimitives
    from wardgate.iscl.settings import problems
    from wardgate.transport.isclkeys import KeysUnusable, check_keys
    from wardgate.transport.isclsettings import settings_of

    settings = settings_of(iscl)
    mistakes += [Mistake(f"{place}.{word}", expected, "something else", Code.CONFIG_CONTRADICTION) for word, expected in problems(settings)]
    if settings.weak and not iscl.unsafe_allow_des:
        expected = "extension algorithms that do not rest on single DES or MD5, or unsafe_allow_des = true beside them"
        mistakes.append(Mistake(place, expected, f"{iscl.encryption}, {iscl.mac}, {iscl.method}", Code.CONFIG_UNSAFE_NEEDED))
    try:
        LibPrimitives()
        check_keys(iscl, settings)
    except CiphersMissing as error:
        mistakes.append(Mistake(place, "an OpenSSL with its legacy provider", str(error), error.code))
    except KeysUnusable as error:
        mistakes.append(Mistake(f"{place}.keys", error.expected, error.found, error.code))


def _short(error: Any) -> str:
    sentence = error.code.value.sentence
    return f"{sentence}: {error.detail}" if error.detail else sentence


def _custody_key(config: Config, mistakes: list[Mistake]) -> None:
    from wardgate.policy.keyref import TokenKey
    from wardgate.signer import FileSigner, Scheme

    if isinstance(config.custody.key, TokenKey) or config.custody.socket:  # another account's
        return
    try:
        FileSigner(Path(config.custody.key)).sign(b"check", Scheme.ED25519)
    except Exception as error:  # whatever the parser says, it is the key's file that is wrong
        found = f"{config.custody.key} ({type(error).__name__})"
        mistakes.append(Mistake("custody.key", "an Ed25519 private key, PKCS#8 PEM, not encrypted", found, Code.CONFIG_KEY_UNUSABLE))
