"""What the thread of a token does for a request, with its session open. The caller is inside `with module:`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardkeys import der, objects
from wardkeys.errors import KeyServiceError
from wardkeys.request import Request
from wardkeys.schemes import SCHEMES, KeyType
from wardkeys.wire import Op

if TYPE_CHECKING:
    from wardkeys.token import TokenThread

MAX_RANDOM: Final = 4096
_MAX_CACHED: Final = 256


def sign(token: TokenThread, request: Request) -> list[bytes]:
    """SIGN. The key behind a URI is looked up once for each login."""
    uri, name, digest = request.fields
    scheme = SCHEMES.get(name)
    if scheme is None:
        raise KeyServiceError(Code.KEYS_SCHEME, "no scheme of that name")
    if scheme.digest_bytes not in (None, len(digest)):
        raise KeyServiceError(Code.KEYS_DIGEST, f"{len(digest)} bytes, {name.decode()} has {scheme.digest_bytes}")
    session = token.session()
    key = token.keys.get(uri)
    if key is None:
        token.check_named(request.uri)
        key = objects.private_key(session, request.uri, token.config.allow_extractable)
        if len(token.keys) >= _MAX_CACHED:
            token.keys.clear()
        token.keys[uri] = key
    if key.type is not scheme.key:
        raise KeyServiceError(Code.KEYS_SCHEME, f"the key is {key.type.value}, {name.decode()} is not")
    if scheme.key is KeyType.EC:
        # FIPS 186-5 6.4.1: the leftmost bits of the hash, as many as the order has; not every token shortens it itself.
        return [der.ecdsa_signature(session.sign(key.handle, scheme.mechanism, digest[: key.size]))]
    return [session.sign(key.handle, scheme.mechanism, scheme.prefix + digest)]


def public(token: TokenThread, request: Request) -> list[bytes]:
    """PUBLIC. Kept, so that it is answered without the token too."""
    token.check_named(request.uri)
    return [token.keep(Op.PUBLIC, request.fields[0], objects.public_key(token.session(), request.uri))]


def certificate(token: TokenThread, request: Request) -> list[bytes]:
    """CERTIFICATE. Kept like a public key."""
    token.check_named(request.uri)
    return [token.keep(Op.CERTIFICATE, request.fields[0], objects.certificate(token.session(), request.uri))]


def random(token: TokenThread, request: Request) -> list[bytes]:
    """RANDOM."""
    token.check_named(request.uri)
    count = int.from_bytes(request.fields[1], "big")
    if len(request.fields[1]) != 2 or not 0 < count <= MAX_RANDOM:
        raise KeyServiceError(Code.KEYS_WIRE, f"count is a u16 from 1 to {MAX_RANDOM}")
    return [token.session().random(count)]


OPERATIONS: Final[dict[int, Callable[[TokenThread, Request], list[bytes]]]] = {
    Op.SIGN: sign,
    Op.PUBLIC: public,
    Op.CERTIFICATE: certificate,
    Op.RANDOM: random,
}
