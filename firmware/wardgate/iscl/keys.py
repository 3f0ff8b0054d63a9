"""The keys of one message.

Base suites: what the token made of the random number. Extension suites: HKDF-Expand (RFC 5869) of the connection's key, over the random
number and the body of the transmission request, so that the parameters and the length of the message are bound to its keys.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

from wardgate.iscl.deskeys import is_weak, odd_parity
from wardgate.iscl.terms import KEY_BYTES, MAC_KEY_BYTES, Encryption, Mac, Way

CONNECTION_KEY_BYTES: Final = 32
_LABEL: Final = b"wardgate iscl r1 "
_OF_DES: Final = (Encryption.DES_CBC, Encryption.TRIPLE_DES_CBC)


class MessageKeys(NamedTuple):
    """`random`: what order B of MD5 encrypts."""

    encryption: bytes
    mac: bytes
    random: bytes


def label(way: Way) -> bytes:
    """Return the HKDF info of a connection's key for one way."""
    return _LABEL + b"connection, " + way.value.encode()


def expand(connection_key: bytes, encryption: Encryption, mac: Mac, random: bytes, request: bytes) -> MessageKeys | None:
    """Return the keys of one message of an extension suite; None: a DES key among them is weak, draw again."""
    keys = []
    for purpose, size, des in (
        (b"encryption", KEY_BYTES[encryption], encryption in _OF_DES),
        (b"mac", MAC_KEY_BYTES[mac], mac is Mac.RETAIL),
    ):
        key = b"" if not size else hmac.digest(connection_key, _LABEL + purpose + b"\0" + request + random + b"\1", hashlib.sha256)[:size]
        if des:
            key = odd_parity(key)
            if is_weak(key):
                return None
        keys.append(key)
    return MessageKeys(keys[0], keys[1], random)
