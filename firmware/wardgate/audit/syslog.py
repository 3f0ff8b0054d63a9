"""Syslog messages (RFC 5424) and their framing on a stream (RFC 5425 4.3), as PS3.15 A.6 asks for. Sans-IO."""

from __future__ import annotations

import time
from typing import Final

FACILITY: Final = 10  # security and authorization (PS3.15 A.6)
SEVERITY: Final = 5  # notice
PRI: Final = FACILITY * 8 + SEVERITY  # RFC 5424 6.2.1
DICOM: Final = "DICOM+RFC3881"  # PS3.15 A.6
IHE: Final = "IHE+RFC-3881"  # IHE ITI-20
_NIL: Final = "-"
_HOSTNAME, _APP_NAME, _PROCID, _MSGID = 255, 48, 128, 32  # RFC 5424 6, octets


def encode(time_ns: int, host: str, app: str, process: str, msgid: str, message: bytes) -> bytes:
    """Return one syslog message: header, no structured data, `message` as it is (UTF-8, no byte order mark, which IHE discourages).

    `time_ns`: nanoseconds since 1970. What may not stand in a header word becomes `?`, what is too long is cut (RFC 5424 6.2).
    """
    seconds, rest = divmod(time_ns, 10**9)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1000:06d}Z"
    words = (_word(host, _HOSTNAME), _word(app, _APP_NAME), _word(process, _PROCID), _word(msgid, _MSGID))
    return f"<{PRI}>1 {stamp} {' '.join(words)} {_NIL} ".encode("ascii") + message


def frame(message: bytes) -> bytes:
    """Return the message with its length in front: MSG-LEN SP SYSLOG-MSG (RFC 5425 4.3)."""
    return b"%d %s" % (len(message), message)


def _word(text: str, most: int) -> str:
    return "".join(c if "!" <= c <= "~" else "?" for c in text[:most]) or _NIL
