"""Asks the key service for the public part of every key that a configuration names in a token, and compares it with the certificates.

A token that is out, or a key service that is not there, is no mistake of the configuration: a warning. Private keys are not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.policy.keyref import TokenKey
from wardgate.policy.mistakes import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from wardgate.policy.model import Config

HOLD: Final = "hold.key"
_SECONDS: Final = 5.0
_WRONG: Final = frozenset({Code.KEYS_NO_TOKEN, Code.KEYS_NO_KEY, Code.KEYS_AMBIGUOUS, Code.KEYS_URI})


def check_token_keys(config: Config, mistakes: list[Mistake]) -> list[str]:
    """Add a mistake for every key that is not in its token, not of its certificate or of no use; return what could not be checked."""
    if not config.token_keys:
        return []
    from wardkeys.client import KeyClient
    from wardkeys.errors import KeyServiceError

    client = KeyClient(str(config.keys.socket), _SECONDS)
    found: dict[TokenKey, bytes | None] = {}
    warnings: list[str] = []
    for place, key, chain in _named(config):
        if key not in found:
            found[key] = None
            try:
                found[key] = client.public(key)
            except KeyServiceError as error:
                if error.code in _WRONG:
                    mistakes.append(Mistake(place, f"a key in a token: {error.code.value.action}", f"{key} ({error.detail})", error.code))
                    continue
                warnings.append(f"{Code.KEYS_NOT_CHECKED} {place}: {key} not checked: {error}")
                if error.code in (Code.KEYS_UNREACHABLE, Code.KEYS_TIMEOUT):
                    break  # nor will it answer for the others
        public = found[key]
        if public is not None:
            _judge(place, key, chain, public, mistakes)
    return warnings


def _named(config: Config) -> Iterator[tuple[str, TokenKey, Path | None]]:
    if isinstance(config.custody.key, TokenKey) and not config.custody.socket:  # else this account may not ask for it
        yield "custody.key", config.custody.key, None
    if config.hold is not None and isinstance(config.hold.key, TokenKey):
        yield HOLD, config.hold.key, None
    tables = [
        (f"link[{index}]." + ("modality" if at == 0 else f"peer[{at - 1}]"), party.tls)
        for index, link in enumerate(config.links)
        for at, party in enumerate(link.parties)
    ]
    repositories = config.audit.repositories if config.audit is not None and not config.audit.socket else ()
    for place, tls in [*tables, *((f"audit.repository[{index}]", each.tls) for index, each in enumerate(repositories))]:
        for number, pair in enumerate(tls.certificates if tls is not None else ()):
            if isinstance(pair.key, TokenKey):
                yield f"{place}.tls.certificates[{number}].key", pair.key, pair.chain


def _judge(place: str, key: TokenKey, chain: Path | None, public: bytes, mistakes: list[Mistake]) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        loaded = load_der_public_key(public)
    except (ValueError, UnsupportedAlgorithm):
        mistakes.append(Mistake(place, "a key of a known kind", key, Code.KEY_KIND))
        return
    if place == HOLD:
        if not _agrees(loaded):
            mistakes.append(Mistake(place, "an EC key, P-256 or P-384", f"{key} ({_kind(loaded)})", Code.KEY_KIND))
    elif chain is None:
        if not _signs_checkpoints(loaded):
            mistakes.append(Mistake(place, "an ECDSA P-256 or Ed25519 key", f"{key} ({_kind(loaded)})", Code.KEY_KIND))
    elif not _is_of(chain, loaded):
        mistakes.append(Mistake(place, f"the key of {chain}", f"{key} ({_kind(loaded)}), another key", Code.KEY_NOT_OF_CERTIFICATE))


def _signs_checkpoints(key: PublicKeyTypes) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    return isinstance(key, ed25519.Ed25519PublicKey) or (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1")


def _agrees(key: PublicKeyTypes) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec

    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in ("secp256r1", "secp384r1")


def _is_of(chain: Path, key: PublicKeyTypes) -> bool:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    from wardgate.transport.chain import first_certificate
    from wardgate.transport.errors import ProfileNotMet

    try:
        return load_der_public_key(first_certificate(chain).spki) == key
    except ProfileNotMet:
        return True  # named where the certificates are judged


def _kind(key: PublicKeyTypes) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
