"""What is done with a token for a request, with its session open. The caller is inside `with module:`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardkeys import der, iscl_token, objects
from wardkeys.errors import KeyServiceError
from wardkeys.holder import Holder
from wardkeys.request import Request
from wardkeys.schemes import SCHEMES, KeyType
from wardkeys.wire import Op

if TYPE_CHECKING:
    from wardkeys.cardholder import CardHolder

MAX_RANDOM: Final = 4096
_MAX_CACHED: Final = 256


def sign(token: Holder, request: Request) -> list[bytes]:
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
        token.named(request.uri)
        key = objects.private_key(session, request.uri, token.config.allow_extractable)
        if len(token.keys) >= _MAX_CACHED:
            token.keys.clear()
        token.keys[uri] = key
    if key.type is not scheme.key:
        raise KeyServiceError(Code.KEYS_SCHEME, f"the key is {key.type.value}, {name.decode()} is not")
    if scheme.key is KeyType.EC:
        # FIPS 186-5 6.4.1: the leftmost bits of the hash, as many as the order has; not every token shortens it itself.
        return [der.ecdsa_signature(token.sign(session, key.handle, name, scheme.mechanism, digest[: key.size]))]
    return [token.sign(session, key.handle, name, scheme.mechanism, scheme.prefix + digest)]


def agree(token: Holder, request: Request) -> list[bytes]:
    """AGREE. Only an EC key does it; the module refuses one without CKA_DERIVE."""
    _uri, point = request.fields
    session = token.session()
    token.named(request.uri)
    key = objects.private_key(session, request.uri, token.config.allow_extractable)
    if key.type is not KeyType.EC:
        raise KeyServiceError(Code.KEYS_SCHEME, f"the key is {key.type.value}, only EC keys agree")
    if len(point) != 2 * key.size + 1 or point[0] != 4:
        raise KeyServiceError(Code.KEYS_DIGEST, f"a point of {len(point)} bytes, {2 * key.size + 1} are needed, the first 04")
    return [session.agree(key.handle, point, key.size)]


def public(token: Holder, request: Request) -> list[bytes]:
    """PUBLIC. Kept, so that it is answered without the token too."""
    token.named(request.uri)
    return [token.keep(Op.PUBLIC, request.fields[0], objects.public_key(token.session(), request.uri))]


def certificate(token: Holder, request: Request) -> list[bytes]:
    """CERTIFICATE. Kept like a public key."""
    token.named(request.uri)
    return [token.keep(Op.CERTIFICATE, request.fields[0], objects.certificate(token.session(), request.uri))]


def random(token: Holder | CardHolder, request: Request) -> list[bytes]:
    """RANDOM."""
    keys = iscl_token.keys_of(token, request)
    count = int.from_bytes(request.fields[1], "big")
    if len(request.fields[1]) != 2 or not 0 < count <= MAX_RANDOM:
        raise KeyServiceError(Code.KEYS_WIRE, f"count is a u16 from 1 to {MAX_RANDOM}")
    return [keys.random(count)]


_OF_TOKENS: Final[dict[int, Callable[[Holder, Request], list[bytes]]]] = {
    Op.SIGN: sign,
    Op.AGREE: agree,
    Op.PUBLIC: public,
    Op.CERTIFICATE: certificate,
}
OPERATIONS: Final = frozenset((*_OF_TOKENS, Op.RANDOM, *iscl_token.OPERATIONS))


def perform(token: Holder | CardHolder, request: Request) -> list[bytes]:
    """Do what the request asks. Raises `KeyServiceError`, `Ckr`, `CardError`."""
    of_token = _OF_TOKENS.get(request.op)
    if of_token is None:
        return random(token, request) if request.op == Op.RANDOM else iscl_token.OPERATIONS[request.op](token, request)
    if not isinstance(token, Holder):
        raise KeyServiceError(Code.KEYS_TOKEN_REFUSED, "the card's ISCL application does not do that")
    return of_token(token, request)
