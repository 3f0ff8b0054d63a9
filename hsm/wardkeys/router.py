"""Which token a URI means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wardgate.codes import Code
from wardkeys import uri
from wardkeys.errors import KeyServiceError
from wardkeys.token import TokenThread
from wardkeys.uri import Uri, UriError

_MAX_ROUTES: Final = 1024


class Router:
    """Finds the token of a URI by what the configuration says of each; between several, by what is there."""

    def __init__(self, tokens: Sequence[TokenThread]) -> None:
        self.tokens = tokens
        self._routes: dict[bytes, tuple[TokenThread, Uri]] = {}

    def route(self, raw: bytes) -> tuple[TokenThread, Uri]:
        """Return the token and the parsed URI. Raises `KeyServiceError`."""
        known = self._routes.get(raw)
        if known is not None:
            return known
        asked = parsed(raw)
        found = self.candidates(asked)
        if len(found) > 1:
            found = [
                token
                for token in found
                if asked.token in (None, token.holder.report.label) and asked.serial in (None, token.holder.report.serial)
            ]
            if len(found) != 1:
                raise KeyServiceError(Code.KEYS_AMBIGUOUS, "name the token, or its serial")
            return found[0], asked  # not remembered: it depends on what is there
        if not found:
            raise KeyServiceError(Code.KEYS_NO_TOKEN, "")
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        self._routes[raw] = found[0], asked
        return found[0], asked

    def candidates(self, asked: Uri) -> list[TokenThread]:
        """Return the tokens that the URI may mean."""
        return [
            token
            for token in self.tokens
            if (asked.token is None or token.config.wanted.label in (None, asked.token))
            and (asked.serial is None or token.config.wanted.serial in (None, asked.serial))
        ]


def parsed(raw: bytes) -> Uri:
    """Parse a URI of a request. Raises `KeyServiceError`."""
    try:
        return uri.parse(raw.decode("ascii"))
    except UnicodeDecodeError:
        raise KeyServiceError(Code.KEYS_URI, "it is not ASCII") from None
    except UriError as error:
        raise KeyServiceError(Code.KEYS_URI, str(error)) from None
