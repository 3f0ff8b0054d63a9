"""One add-checkpoint call of C2SP tlog-witness over HTTPS, bounded in size and time."""

from __future__ import annotations

import http.client
import ssl
import time
from base64 import b64encode
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from wardgate.transport.patience import connect_until

_STEP_SECONDS: Final = 10.0  # connect, and each wait for bytes
_TOTAL_SECONDS: Final = 30.0
_MAX_ANSWER: Final = 64 * 1024


class WitnessUnreachable(Exception):
    """No answer that can be used came."""


class Reply(NamedTuple):
    """What a witness answered."""

    status: int
    type: str
    body: bytes

    @property
    def text(self) -> str:
        """The body for a person, short."""
        return self.body[:200].decode("ascii", "replace").strip()

    def size(self) -> int | None:
        """Return the tree size that a 409 carries; None when it is none (another 409)."""
        text = self.body.decode("ascii", "replace")
        digits = text.removesuffix("\n")
        if self.type.split(";")[0].strip() != "text/x.tlog.size" or not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
            return None
        return int(digits)


def encode_request(old: int, proof: list[bytes], note: bytes) -> bytes:
    """Return the body of an add-checkpoint call."""
    lines = [f"old {old}", *(b64encode(step).decode() for step in proof), "", ""]
    return "\n".join(lines).encode() + note


def post(url: str, anchors: Path, body: bytes, until: float) -> Reply:
    """Send `body` to the witness whose submission prefix is `url` (https), until `until` (monotonic). Raises `WitnessUnreachable`."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise WitnessUnreachable(f"{url} is no https address")
    now = time.monotonic()
    deadline = min(now + _TOTAL_SECONDS, until)
    if deadline <= now:
        raise WitnessUnreachable("it took too long")
    try:
        context = ssl.create_default_context(cafile=str(anchors))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port or 443, timeout=min(_STEP_SECONDS, deadline - now), context=context
        )
        try:
            headers = {"Content-Type": "text/plain; charset=utf-8", "Connection": "close"}
            connect_until(connection, deadline)
            connection.request("POST", f"{parts.path.rstrip('/')}/add-checkpoint", body, headers)
            response = connection.getresponse()
            answer = bytearray()
            while chunk := response.read1(65536):
                answer += chunk
                if len(answer) > _MAX_ANSWER:
                    raise WitnessUnreachable("its answer is too long")
            return Reply(response.status, response.headers.get("Content-Type", ""), bytes(answer))
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise WitnessUnreachable(f"{type(error).__name__} {error}") from error
