"""ISCL requests of a caller: one connection, because the service binds challenges to it. Every call raises `KeyServiceError`."""

from __future__ import annotations

from typing import Final, Self

from wardgate.codes import Code
from wardkeys.client import DEFAULT_SECONDS, Link
from wardkeys.errors import KeyServiceError
from wardkeys.wire import Op

_REDRAWS: Final = 8


class IsclClient:
    """ISCL with the keys of the token that `uri` names. Key names: auth-N-s2c, auth-N-c2s, enc-N, and the same after aes-."""

    def __init__(self, path: str, uri: str, seconds: float = DEFAULT_SECONDS) -> None:
        self._link = Link(path, seconds)
        self._uri = uri.encode()

    def close(self) -> None:
        """Close; challenges that were not used are forgotten."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def challenge(self, count: int = 8) -> bytes:
        """Return a challenge of the token, 8 or 16 bytes; it may be answered once, on this connection."""
        return self._link.one(Op.ISCL_CHALLENGE, self._uri, bytes((count,)))

    def respond(self, key: str, challenge: bytes) -> bytes:
        """Return the 8-byte response to the peer's challenge (INTERNAL AUTHENTICATE)."""
        return self._link.one(Op.ISCL_RESPOND, self._uri, key.encode(), challenge)

    def verify(self, key: str, challenge: bytes, response: bytes) -> None:
        """Check the peer's response to a challenge given by `challenge` (EXTERNAL AUTHENTICATE)."""
        self._link.call(Op.ISCL_VERIFY, self._uri, key.encode(), challenge, response)

    def session_key(self, key: str, random: bytes) -> bytearray:
        """Return the session key that RND leads to; the caller wipes it. Raises with KEYS_ISCL_WEAK: the sender draws another RND."""
        return bytearray(self._link.one(Op.ISCL_SESSION_KEY, self._uri, key.encode(), random))

    def new_session_key(self, key: str) -> tuple[bytes, bytearray]:
        """Return (RND of the token, session key), drawn again while it is weak."""
        for _ in range(_REDRAWS):
            random = self._link.random(self._uri.decode(), 8)
            try:
                return random, self.session_key(key, random)
            except KeyServiceError as error:
                if error.code is not Code.KEYS_ISCL_WEAK:
                    raise
        raise KeyServiceError(Code.KEYS_ISCL_WEAK, f"{_REDRAWS} times: the token's random numbers are not random")

    def encrypt(self, key: str, vector: bytes, data: bytes) -> bytes:
        """Return whole blocks encrypted under a static slot, CBC; at most 61440 bytes."""
        return self._link.one(Op.ISCL_ENCRYPT, self._uri, key.encode(), vector, data)

    def decrypt(self, key: str, vector: bytes, data: bytes) -> bytes:
        """Return whole blocks decrypted under a static slot, CBC."""
        return self._link.one(Op.ISCL_DECRYPT, self._uri, key.encode(), vector, data)

    def token_ab(self, key: str, challenge: bytes, server: bytes) -> tuple[bytes, bytes]:
        """Client, extension 0x80000001: return (TokenAB, own nonce) for the server's 16-byte challenge and name."""
        token, nonce = self._two(self._link.call(Op.ISCL_TOKEN_AB, self._uri, key.encode(), challenge, server))
        return token, nonce

    def token_ba(self, key: str, key_ab: str, challenge: bytes, own: bytes, token: bytes) -> bytes:
        """Server, extension 0x80000001: check TokenAB against the own challenge and name, return TokenBA."""
        return self._link.one(Op.ISCL_TOKEN_BA, self._uri, key.encode(), key_ab.encode(), challenge, own, token)

    def check_ba(self, key: str, nonce: bytes, challenge: bytes, token: bytes) -> None:
        """Client, extension 0x80000001: check TokenBA."""
        self._link.call(Op.ISCL_CHECK_BA, self._uri, key.encode(), nonce, challenge, token)

    def mac(self, key: str, purpose: str, data: bytes) -> bytes:
        """Return AES-CMAC over purpose and data: check values and HKDF input of extension 0x80000002."""
        return self._link.one(Op.ISCL_MAC, self._uri, key.encode(), purpose.encode(), data)

    @staticmethod
    def _two(fields: list[bytes]) -> tuple[bytes, bytes]:
        if len(fields) != 2:
            raise KeyServiceError(Code.KEYS_WIRE, "an answer of two fields was expected")
        return fields[0], fields[1]
