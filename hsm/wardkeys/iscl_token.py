"""ISCL keys in a PKCS#11 token, and the ISCL requests. The caller is inside `with module:`.

DES keys are CKK_DES3 with three equal parts: E(K), D(K), E(K) is E(K), and tokens that no longer do single DES still do that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardkeys import iscl, objects
from wardkeys.cryptoki import constants as c
from wardkeys.cryptoki.session import Session, mechanism
from wardkeys.errors import KeyServiceError
from wardkeys.holder import Holder
from wardkeys.request import Request
from wardkeys.wire import Op

if TYPE_CHECKING:
    from wardkeys.cardholder import CardHolder, CardKeys

    AnyHolder = Holder | CardHolder

_MECHANISMS: Final = {c.CKK_DES3: (c.CKM_DES3_ECB, c.CKM_DES3_CBC), c.CKK_AES: (c.CKM_AES_ECB, c.CKM_AES_CBC)}
_PROBE: Final = {c.CKK_DES3: b"ISCLpair", c.CKK_AES: b"ISCL pair is two"}


class TokenKeys:
    """`iscl.IsclKeys` of a PKCS#11 token: the secret key labelled iscl-NAME."""

    def __init__(self, session: Session, known: dict[str, objects.SecretKey], allow_extractable: bool) -> None:
        self._session = session
        self._known = known
        self._allow_extractable = allow_extractable

    def random(self, count: int) -> bytes:
        """Return random bytes of the token."""
        return self._session.random(count)

    def find(self, key: str) -> objects.SecretKey:
        """Return the key of that name, looked up once for each login."""
        found = self._known.get(key)
        if found is None:
            found = objects.secret_key(self._session, iscl.LABEL + key, self._allow_extractable)
            if found.type != (c.CKK_AES if key.startswith("aes-") else c.CKK_DES3):
                raise KeyServiceError(Code.KEYS_SCHEME, f"{iscl.LABEL}{key} is of another type")
            self._known[key] = found
        return found

    def block(self, key: str, data: bytes) -> bytes:
        """Return one block encrypted."""
        found = self.find(key)
        return self._session.encrypt(found.handle, mechanism(_MECHANISMS[found.type][0]), data)

    def cbc(self, key: str, vector: bytes, data: bytes, encrypt: bool) -> bytes:
        """Return whole blocks encrypted or decrypted."""
        found = self.find(key)
        how = mechanism(_MECHANISMS[found.type][1], vector)
        return (self._session.encrypt if encrypt else self._session.decrypt)(found.handle, how, data)

    def cmac(self, key: str, data: bytes) -> bytes:
        """Return the AES-CMAC of `data`."""
        return self._session.sign(self.find(key).handle, mechanism(c.CKM_AES_CMAC), data)

    def verify(self, key: str, challenge: bytes, response: bytes) -> None:
        """What EXTERNAL AUTHENTICATE does on a card."""
        iscl.verify(self, key, challenge, response)

    def token_ab(self, key: str, challenge: bytes, peer: bytes) -> tuple[bytes, bytes]:
        """Return (TokenAB, own nonce)."""
        return iscl.token_ab(self, key, challenge, peer)

    def token_ba(self, key: str, key_ab: str, challenge: bytes, own: bytes, token: bytes) -> bytes:
        """Judge TokenAB, return TokenBA."""
        return iscl.token_ba(self, key, key_ab, challenge, own, token)

    def check_ba(self, key: str, nonce: bytes, challenge: bytes, token: bytes) -> None:
        """Judge TokenBA."""
        iscl.check_ba(self, key, nonce, challenge, token)

    def check_master(self, key: str) -> None:
        """R1 lets authentication keys be masters too."""

    def refuse_equal(self, key: str) -> None:
        """Raise `KeyServiceError` when both keys of the pair are one: every response could be reflected."""
        other = iscl.other_of_pair(key)
        try:
            kind = self.find(other).type
        except KeyServiceError as error:
            if error.code is Code.KEYS_NO_KEY:
                return
            raise
        if self.block(key, _PROBE[kind]) == self.block(other, _PROBE[kind]):
            raise KeyServiceError(Code.KEYS_ISCL_EQUAL, f"{key} and {other}")


def keys_of(token: AnyHolder, request: Request) -> TokenKeys | CardKeys:
    """Return the ISCL keys of what the URI names. Raises `KeyServiceError`."""
    if isinstance(token, Holder):
        token.named(request.uri)
        return TokenKeys(token.session(), token.secrets, token.config.allow_extractable)
    return token.iscl_keys(request.uri)


def _pair_key(token: AnyHolder, keys: TokenKeys | CardKeys, key: str) -> str:
    """Check the pair once for each login."""
    if key not in token.pairs:
        if not token.config.allow_equal_iscl_keys:
            keys.refuse_equal(key)
        token.pairs |= {key}
    return key


def challenge(token: AnyHolder, request: Request) -> list[bytes]:
    """ISCL_CHALLENGE."""
    keys = keys_of(token, request)
    count = int.from_bytes(request.fields[1], "big")
    if count not in (iscl.DES_BLOCK, iscl.NONCE) or len(request.fields[1]) != 1:
        raise KeyServiceError(Code.KEYS_WIRE, "a challenge has 8 or 16 bytes")
    made = keys.random(count)
    request.connection.give(made)
    return [made]


def respond(token: AnyHolder, request: Request) -> list[bytes]:
    """ISCL_RESPOND. A challenge that this caller gave itself is a reflection."""
    _, name, value = request.fields
    keys = keys_of(token, request)
    if value in request.connection.challenges:
        raise KeyServiceError(Code.KEYS_ISCL_REFLECTED, "the peer's challenge is our own")
    return [iscl.respond(keys, _pair_key(token, keys, iscl.authentication_key(name)), value)]


def verify(token: AnyHolder, request: Request) -> list[bytes]:
    """ISCL_VERIFY. The challenge is used up, whatever comes out."""
    _, name, value, response = request.fields
    keys = keys_of(token, request)
    _take(request, value)
    keys.verify(_pair_key(token, keys, iscl.authentication_key(name)), value, response)
    return []


def _take(request: Request, value: bytes) -> None:
    if not request.connection.take(value):
        raise KeyServiceError(Code.KEYS_ISCL_CHALLENGE, "")


def session_key(token: AnyHolder, request: Request) -> list[bytes]:
    """ISCL_SESSION_KEY."""
    keys = keys_of(token, request)
    keys.check_master(request.fields[1].decode("ascii", "replace"))
    return [iscl.session_key(keys, request.fields[1], request.fields[2])]


def encrypt(token: AnyHolder, request: Request) -> list[bytes]:
    """ISCL_ENCRYPT."""
    _, name, vector, data = request.fields
    return [iscl.crypt(keys_of(token, request), name, vector, data, encrypt=True)]


def decrypt(token: AnyHolder, request: Request) -> list[bytes]:
    """ISCL_DECRYPT."""
    _, name, vector, data = request.fields
    return [iscl.crypt(keys_of(token, request), name, vector, data, encrypt=False)]


def token_ab(token: AnyHolder, request: Request) -> list[bytes]:
    """ISCL_TOKEN_AB: the client's."""
    _, name, value, peer = request.fields
    keys = keys_of(token, request)
    if value in request.connection.challenges:
        raise KeyServiceError(Code.KEYS_ISCL_REFLECTED, "the peer's challenge is our own")
    key = _pair_key(token, keys, iscl.aes_key(name))
    made, nonce = keys.token_ab(key, iscl.sized(value, iscl.NONCE, "challenge"), iscl.side_name(peer))
    request.connection.give(nonce)
    return [made, nonce]


def token_ba(token: AnyHolder, request: Request) -> list[bytes]:
    """ISCL_TOKEN_BA: the server's."""
    _, name, name_ab, value, own, given = request.fields
    keys = keys_of(token, request)
    _take(request, iscl.sized(value, iscl.NONCE, "challenge"))
    key, key_ab = (_pair_key(token, keys, iscl.aes_key(one)) for one in (name, name_ab))
    return [keys.token_ba(key, key_ab, value, iscl.side_name(own), given)]


def check_ba(token: AnyHolder, request: Request) -> list[bytes]:
    """ISCL_CHECK_BA: the client's."""
    _, name, nonce, value, given = request.fields
    keys = keys_of(token, request)
    _take(request, nonce)
    keys.check_ba(_pair_key(token, keys, iscl.aes_key(name)), nonce, iscl.sized(value, iscl.NONCE, "challenge"), given)
    return []


def mac(token: AnyHolder, request: Request) -> list[bytes]:
    """ISCL_MAC."""
    return [iscl.mac(keys_of(token, request), *request.fields[1:])]


OPERATIONS: Final[dict[int, Callable[[AnyHolder, Request], list[bytes]]]] = {
    Op.ISCL_CHALLENGE: challenge,
    Op.ISCL_RESPOND: respond,
    Op.ISCL_VERIFY: verify,
    Op.ISCL_SESSION_KEY: session_key,
    Op.ISCL_ENCRYPT: encrypt,
    Op.ISCL_DECRYPT: decrypt,
    Op.ISCL_TOKEN_AB: token_ab,
    Op.ISCL_TOKEN_BA: token_ba,
    Op.ISCL_CHECK_BA: check_ba,
    Op.ISCL_MAC: mac,
}
