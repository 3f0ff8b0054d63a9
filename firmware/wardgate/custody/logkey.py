"""The key of a custody log: a file used by a short-lived child, or a key in a token, asked for through the key service.

The private key is never in this process. A log keeps the verifier key that it began with; another key signs nothing in it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from wardgate.codes import Code
from wardgate.custody.files import read_file, sync_directory, write_durably
from wardgate.custody.note import NoteError, VerifierKey, add_signature, key_from_spki
from wardgate.custody.sha import sha256
from wardgate.signer import Scheme
from wardgate.token.naming import is_uri

if TYPE_CHECKING:
    from collections.abc import Callable

    from wardkeys.client import Link

SIGN_SECONDS: Final = 15.0


class SignerAway(Exception):
    """The token or the key service cannot sign now: nothing is wrong with the log. `code` says why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code} {detail}")
        self.code = code
        self.detail = detail


class LogSigner(Protocol):
    """What a log needs of a private key."""

    def public_key(self) -> bytes:
        """Return the SubjectPublicKeyInfo, DER. Raises `ValueError`, `SignerAway`."""
        ...

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """Sign `data` (not a digest of it). Raises `ValueError`, `SignerAway`."""
        ...


class TokenSigner:
    """A key in a token, by its URI. Each call is a connection of its own: the key service may come and go."""

    def __init__(self, uri: str, socket: str) -> None:
        self._uri = uri
        self._socket = socket
        self._link: Link | None = None  # the last one
        self._cancelled = False

    def public_key(self) -> bytes:
        """Return the SubjectPublicKeyInfo, DER. Raises `SignerAway`."""
        return self._ask(lambda link: link.public(self._uri))

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """Sign `data`. Raises `SignerAway`. May take a second when a card does it."""
        digest = data if scheme is Scheme.ED25519 else sha256(data).digest()
        return self._ask(lambda link: link.sign(self._uri, scheme.value, digest))

    def cancel(self) -> None:
        """From another thread: nobody waits for the token any more, and nothing is asked from now on."""
        self._cancelled = True
        if self._link is not None:
            self._link.abandon()

    def _ask(self, ask: Callable[[Link], bytes]) -> bytes:
        from wardkeys.client import Link
        from wardkeys.errors import KeyServiceError

        try:
            with Link(self._socket, SIGN_SECONDS) as self._link:
                if self._cancelled:
                    raise SignerAway(str(Code.KEY_SERVICE_IS_AWAY), "not asked: another writer takes over")
                return ask(self._link)
        except KeyServiceError as error:
            raise SignerAway(str(error.code), error.detail) from error
        except OSError as error:
            raise SignerAway(str(Code.KEY_SERVICE_IS_AWAY), error.strerror or "no answer") from error


def signer_for(key: str, keys_socket: str) -> LogSigner:
    """Return who signs with `key`: a path (development mode), or the URI of a key in a token."""
    if is_uri(key):
        return TokenSigner(key, keys_socket)
    from wardgate.signer import SpawnedSigner

    return SpawnedSigner(key)


class LogKey:
    """Signs notes in the name of one log. Used by one thread at a time."""

    def __init__(self, directory: str, origin: str, signer: LogSigner) -> None:
        self._directory = directory
        self.origin = origin
        self._signer = signer
        self._claimed: VerifierKey | None = None
        self.cancelled = False

    def claim(self) -> VerifierKey:
        """Return the verifier key and keep it in the file `vkey`; a log that began under another key raises `NoteError`.

        Raises `SignerAway` when the token cannot say what its key is.
        """
        key = key_from_spki(self.origin, self._signer.public_key())
        path = os.path.join(self._directory, "vkey")
        try:
            known = read_file(path, 4096).decode("utf-8", "replace").strip()
        except FileNotFoundError:
            write_durably(path, key.text.encode() + b"\n")
            sync_directory(self._directory)
            known = key.text
        if known != key.text and isinstance(self._signer, TokenSigner):  # another card: the log waits for its own
            raise SignerAway(str(Code.TOKEN_KEY_DIFFERS), f"the key has the id {key.key_id.hex()}")
        if known != key.text:
            raise NoteError(f"the log belongs to the key {known[:200]}, the key given is {key.text}")
        self._claimed = key
        return key

    def verifier(self) -> VerifierKey:
        """Return the verifier key, asked for once. Raises as `claim`."""
        return self._claimed or self.claim()

    def forget(self) -> None:
        """Ask for the public key again before the next signature: another token may be there now."""
        self._claimed = None

    def cancel(self) -> None:
        """From another thread: no signature is wanted any more. Whoever waits for one, or is about to ask, gets `SignerAway`."""
        self.cancelled = True
        if isinstance(self._signer, TokenSigner):
            self._signer.cancel()

    def note(self, text: str) -> str:
        """Return `text` as a note with our signature. Raises `NoteError`, `SignerAway`, `ValueError`."""
        key = self.verifier()
        return add_signature(text, key, self._signer.sign(text.encode(), Scheme(key.kind.scheme)))
