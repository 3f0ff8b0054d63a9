"""The listening sockets: opened once, kept over generations while their endpoint stays in the configuration."""

from __future__ import annotations

from wardgate.policy.endpoint import parse_endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from typing import Any

    from wardgate.policy.endpoint import Endpoint


def wanted(config: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Return the endpoints of a configuration, as text, each with its `[link name, party name]`s."""
    found: dict[str, list[list[str]]] = {}
    for link in config["links"]:
        for party in (link["modality"], *link["peers"]):
            for endpoint in party["listen"]:
                found.setdefault(endpoint, []).append([link["name"], party["name"]])
    return found


class ListenError(Exception):
    """An endpoint that cannot be opened."""


class Listeners:
    """The sockets by endpoint text."""

    def __init__(self, listen: Callable[[Endpoint], socket.socket]) -> None:
        self._listen = listen
        self._sockets: dict[str, socket.socket] = {}

    def open(self, endpoints: Iterable[str]) -> list[str]:
        """Open those that are not open yet and return them. Raises `ListenError`; then nothing has changed."""
        opened: list[str] = []
        for text in endpoints:
            if text in self._sockets:
                continue
            try:
                self._sockets[text] = self._listen(parse_endpoint(text))
            except OSError as error:
                self.close(opened)
                raise ListenError(f"{text}: {error.strerror or error}") from error
            opened.append(text)
        return opened

    def close(self, endpoints: Iterable[str]) -> None:
        """Close these."""
        for text in list(endpoints):
            sock = self._sockets.pop(text, None)
            if sock is not None:
                sock.close()

    def close_all_but(self, endpoints: Iterable[str]) -> None:
        """Close every socket that is not of `endpoints`."""
        keep = set(endpoints)
        self.close([text for text in self._sockets if text not in keep])

    def fd(self, endpoint: str) -> int:
        """Return the descriptor of an open endpoint."""
        return self._sockets[endpoint].fileno()
