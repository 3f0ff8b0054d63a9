"""Who may use which key for what: the `[[user]]` tables of keys.toml.

Without any, every user that may connect may do everything. With one, nobody may do anything that no table says: a worker that is taken
over cannot sign checkpoints, the custody writer cannot answer handshakes. States (STATUS, WATCH) are told to everyone who may connect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final, NamedTuple

from wardkeys.iscl import LABEL
from wardkeys.request import Request
from wardkeys.uri import Uri
from wardkeys.wire import Op


class Purpose(Enum):
    """What a key may be used for."""

    SIGN = "sign"
    AGREE = "agree"  # ECDH
    ISCL = "iscl"
    RANDOM = "random"  # of the token, no key
    LIST = "list"  # names of all objects


class Grant(NamedTuple):
    """One `[[user]]`: this user may use these keys for these purposes. A URI without an object means every key of the token."""

    uid: int
    keys: tuple[Uri, ...]
    purposes: frozenset[Purpose]


_ISCL_KEYS: Final = {  # the fields of a request that name keys; the others use the token alone
    Op.ISCL_RESPOND: (1,),
    Op.ISCL_VERIFY: (1,),
    Op.ISCL_SESSION_KEY: (1,),
    Op.ISCL_ENCRYPT: (1,),
    Op.ISCL_DECRYPT: (1,),
    Op.ISCL_TOKEN_AB: (1,),
    Op.ISCL_TOKEN_BA: (1, 2),
    Op.ISCL_CHECK_BA: (1,),
    Op.ISCL_MAC: (1,),
}


class Permits:
    """Judges requests by the grants."""

    def __init__(self, grants: Sequence[Grant]) -> None:
        self._grants: dict[int, list[Grant]] = {}
        for grant in grants:
            self._grants.setdefault(grant.uid, []).append(grant)

    def allows(self, request: Request) -> bool:
        """May its caller do this? The URI of the request is parsed."""
        if not self._grants or request.op in (Op.STATUS, Op.WATCH):
            return True
        grants = self._grants.get(request.connection.uid, ())
        purpose = _purpose(request.op)
        keys = [key for grant in grants if purpose is None or purpose in grant.purposes for key in grant.keys]
        if request.op in _ISCL_KEYS:
            return all(any(_names(key, asked) for key in keys) for asked in _iscl_keys(request))
        if request.op in (Op.SIGN, Op.AGREE, Op.PUBLIC, Op.CERTIFICATE):
            return any(_names(key, request.uri) for key in keys)
        if request.op == Op.LIST:
            return bool(keys)
        return any(_names(key._replace(object=None, id=None), request.uri) for key in keys)


def _purpose(op: int) -> Purpose | None:
    """Return what must be granted; None: the public half of a key that may be used for anything."""
    if op in (Op.PUBLIC, Op.CERTIFICATE):
        return None
    return {Op.SIGN: Purpose.SIGN, Op.AGREE: Purpose.AGREE, Op.LIST: Purpose.LIST, Op.RANDOM: Purpose.RANDOM}.get(Op(op), Purpose.ISCL)


def _iscl_keys(request: Request) -> Iterator[Uri]:
    for place in _ISCL_KEYS[Op(request.op)]:
        yield request.uri._replace(object=LABEL + request.fields[place].decode("ascii", "replace"), id=None)


def _names(granted: Uri, asked: Uri) -> bool:
    """Does the caller ask for everything that the grant says? Then whatever is found is what was granted, or there is none."""
    return all(want is None or want == have for want, have in zip(granted._replace(type=None), asked, strict=True))
