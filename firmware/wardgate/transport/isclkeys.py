"""Where the long-term keys of ISCL are: in a token behind the key service, or (laboratory) in a file of this process.

A file has a line for each key, `auth-1-c2s 0123456789abcdef`: the names of the token's keys without `iscl-`.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from wardgate.codes import Code
from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.softtoken import KeyPair, SoftToken
from wardgate.iscl.terms import SESSION_KEY, Way
from wardgate.iscl.tokens import (
    AUTHENTICATION,
    DERIVATION,
    Authenticate,
    Challenge,
    Check,
    CheckBA,
    Derive,
    MessageKey,
    Operation,
    Respond,
    Result,
    TokenAB,
    TokenBA,
    Verify,
)
from wardgate.token.naming import is_uri

if TYPE_CHECKING:
    from wardgate.iscl.settings import Settings
    from wardgate.policy.model import Iscl

_WAYS: Final = {Way.TO_SERVER: "c2s", Way.TO_CLIENT: "s2c"}
_MAX_FILE_BYTES: Final = 16384
_SECONDS: Final = 15.0
_REFUSED: Final = frozenset({Code.KEYS_ISCL_REFUSED, Code.KEYS_ISCL_REFLECTED})


class KeysUnusable(Exception):
    """The keys of a file cannot be used. `expected` and `found` are for the person who wrote the configuration."""

    code = Code.CONFIG_KEY_UNUSABLE

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"{expected}; {found}")
        self.expected = expected
        self.found = found


class Token(Protocol):
    """Does what `iscl.tokens` asks. Blocks; one thread at a time."""

    def run(self, operations: tuple[Operation, ...]) -> tuple[Result, ...]:
        """Return one result for each operation. Any exception is a token that failed."""

    def close(self) -> None:
        """The ISCL connection is over."""


def check_keys(iscl: Iscl, settings: Settings) -> None:
    """Raise `KeysUnusable` when a key file cannot serve. Keys in a token are the key service's business."""
    masters = {Way.TO_SERVER: iscl.r1.master_to_server, Way.TO_CLIENT: iscl.r1.master_to_client}
    if is_uri(iscl.keys):
        if masters[Way.TO_SERVER] and len(set(masters.values())) == 1 and not iscl.unsafe_allow_equal_keys:
            # One key both ways: a message could be sent back to who said it.
            raise KeysUnusable("another slot for master_to_client than for master_to_server, or unsafe_allow_equal_keys = true", "one slot")
        if settings.key_id != SESSION_KEY:
            raise KeysUnusable("key_id = 16: a static key does not leave the token", f"key_id = {settings.key_id}")
        return
    keys = read_keys(iscl.keys)
    wanted = [(f"{'aes-' if settings.wide else ''}auth-{settings.slot}", (16, 32) if settings.wide else (8,))]
    if settings.key_id != SESSION_KEY:
        wanted.append((f"enc-{settings.key_id}", (8,)))
    master_keys = []
    for way, master in masters.items():
        key = keys.get(f"enc-{master}-{_WAYS[way]}", keys.get(f"enc-{master}", b""))
        if master and len(key) != 8:
            raise KeysUnusable(f"enc-{master} of 8 bytes, hex", f"{iscl.keys} without it")
        master_keys.append(key)
    if all(masters.values()) and master_keys[0] == master_keys[1] and not iscl.unsafe_allow_equal_keys:
        raise KeysUnusable("another master key for each way, or unsafe_allow_equal_keys = true", "equal keys")
    for name, sizes in wanted:
        pair = [keys.get(f"{name}-{way}", keys.get(name, b"")) for way in _WAYS.values()]
        if any(len(key) not in sizes for key in pair):
            raise KeysUnusable(f"{name}-c2s and {name}-s2c of {' or '.join(map(str, sizes))} bytes, hex", f"{iscl.keys} without them")
        if name.endswith(f"auth-{settings.slot}") and pair[0] == pair[1] and not iscl.unsafe_allow_equal_keys:
            raise KeysUnusable("two different keys in a pair, or unsafe_allow_equal_keys = true", "equal keys")


def read_keys(path: str) -> dict[str, bytes]:
    """Return the keys of a file by name. Raises `KeysUnusable`; nothing of a key is ever told."""
    try:
        text = Path(path).read_bytes()[: _MAX_FILE_BYTES + 1].decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise KeysUnusable("a file of keys", f"{path} ({type(error).__name__})") from error
    keys = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, value = line.partition(" ")
        try:
            keys[name] = bytes.fromhex(value)
        except ValueError:
            raise KeysUnusable("lines of a name and hex digits", f"{path}, line {number}") from None
    return keys


def opener(iscl: Iscl, settings: Settings, socket: str) -> TokenOpener:
    """Return what gives a `Token` for each connection. Reads a key file now. Raises `KeysUnusable`."""
    return TokenOpener(iscl, settings, socket)


class TokenOpener:
    """Makes a `Token` for each ISCL connection of one party."""

    def __init__(self, iscl: Iscl, settings: Settings, socket: str) -> None:
        check_keys(iscl, settings)
        self._wide = settings.wide
        self._socket = socket
        self._uri = iscl.keys if is_uri(iscl.keys) else ""
        self._soft: SoftToken | None = None
        if not self._uri:
            keys = read_keys(iscl.keys)
            prefix = "aes-" if settings.wide else ""
            self._soft = FileToken(
                LibPrimitives(),
                {slot: _pair(keys, f"{prefix}auth-{slot}") for slot in range(1, 9)},
                {slot: _pair(keys, f"enc-{slot}") for slot in range(1, 9)},
            )

    @property
    def lane(self) -> str | None:
        """Which token the operations wait for; None: no token."""
        return self._uri.removeprefix("pkcs11:") or None

    def open(self) -> Token:
        """Return the token for one connection; nothing is asked of it yet."""
        return self._soft if isinstance(self._soft, FileToken) else ServiceToken(self._socket, self._uri, self._wide)


def _pair(keys: dict[str, bytes], name: str) -> KeyPair:
    return KeyPair(*(keys.get(f"{name}-{way}", keys.get(name, b"")) for way in ("c2s", "s2c")))


class FileToken(SoftToken):
    """Keys of a file."""

    def close(self) -> None:
        """Nothing."""


class ServiceToken:
    """Keys behind the key service, on one connection to it: the service binds challenges to that."""

    def __init__(self, socket: str, uri: str, wide: bool) -> None:
        self._path = socket
        self._uri = uri
        self._prefix = "aes-auth" if wide else "auth"
        self._client: object | None = None
        self._lock = threading.Lock()
        self._closed = False

    def run(self, operations: tuple[Operation, ...]) -> tuple[Result, ...]:
        """Return one result for each operation. Raises `KeyServiceError`."""
        results: list[Result] = []
        try:
            with self._lock:
                for operation in operations:
                    results.append(self._one(operation) if False not in results else None)
        finally:
            if self._closed:  # meanwhile
                self.close()
        return tuple(results)

    def close(self) -> None:
        """Let go of the connection to the service, unless a thread is using it: then that thread's end does."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                if self._client is not None:
                    self._client.close()  # type: ignore[attr-defined]
                    self._client = None
            finally:
                self._lock.release()

    def _one(self, operation: Operation) -> Result:
        from wardkeys.errors import KeyServiceError
        from wardkeys.iscl_client import IsclClient

        if self._client is None:
            self._client = IsclClient(self._path, self._uri, _SECONDS)
        client = self._client
        assert isinstance(client, IsclClient)
        if isinstance(operation, Challenge):
            return client.challenge(operation.size)
        key = f"{self._prefix}-{operation.slot}-{_WAYS[operation.way]}"
        if isinstance(operation, Respond):
            return client.respond(key, operation.challenge)
        if isinstance(operation, MessageKey):
            if operation.master:
                key = f"enc-{operation.master}"
            if operation.random is None:
                random, made = client.new_session_key(key)
                return random, bytes(made)
            return operation.random, bytes(client.session_key(key, operation.random))
        if isinstance(operation, TokenAB):
            return client.token_ab(key, operation.challenge, operation.server)
        if isinstance(operation, Authenticate):
            return client.mac(key, AUTHENTICATION, operation.data)
        if isinstance(operation, Derive):
            from wardgate.iscl.softtoken import hkdf

            return hkdf(client.mac(key, DERIVATION, operation.salt), operation.salt, operation.info, operation.size)
        if isinstance(operation, Check):
            import hmac

            return hmac.compare_digest(client.mac(key, AUTHENTICATION, operation.data), operation.code)
        try:
            if isinstance(operation, TokenBA):
                theirs = f"{self._prefix}-{operation.slot}-c2s"
                return client.token_ba(key, theirs, operation.challenge, operation.server, operation.token)
            if isinstance(operation, CheckBA):
                client.check_ba(key, operation.nonce, operation.challenge, operation.token)
            else:
                assert isinstance(operation, Verify)
                client.verify(key, operation.challenge, operation.response)
        except KeyServiceError as error:
            if error.code not in _REFUSED:
                raise
            return False
        return True
