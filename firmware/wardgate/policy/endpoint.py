"""One TCP endpoint, `host:port`. A leaf without `dataclasses`: the master holds endpoints and is kept small."""

from __future__ import annotations

ANY_HOSTS = frozenset({"0.0.0.0", "::"})  # noqa: S104


class Endpoint:
    """Host (a name or an address, IPv6 without brackets) and TCP port 0 to 65535 (0: any, for tests)."""

    __slots__ = ("host", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    @property
    def text(self) -> str:
        """`h:p`, or `[v6]:p`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __eq__(self, other: object) -> bool:
        """Equal when host and port are."""
        return isinstance(other, Endpoint) and (self.host, self.port) == (other.host, other.port)

    def __hash__(self) -> int:
        """Hash of host and port."""
        return hash((self.host, self.port))

    def __repr__(self) -> str:
        """As written in the configuration."""
        return f"Endpoint({self.text})"


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint written as `h:p` or `[v6]:p`. Raises `ValueError` that says what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("no :port at its end")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address is written in brackets, [2001:db8::1]:104")
    if not host or len(host) > 253 or not host.isascii() or any(c.isspace() or c in "/@[]" for c in host):
        raise ValueError("the host is not a name or an address")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ValueError("the port is not a number from 0 to 65535")
    return Endpoint(host, int(port))
