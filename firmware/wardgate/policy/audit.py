"""The `audit` table in its checked form: where audit messages go, and how they wait."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from wardgate.policy.endpoint import Endpoint, parse_endpoint
from wardgate.policy.tls import Tls, build_tls


class MessageId(StrEnum):
    """MSGID of the syslog header: PS3.15 A.6, or IHE ITI-20."""

    DICOM = "DICOM+RFC3881"
    IHE = "IHE+RFC-3881"


class Repository(NamedTuple):
    """An audit repository, reached over TLS (RFC 5425) with certificates on both sides."""

    name: str
    connect: Endpoint
    tls: Tls


class Audit(NamedTuple):
    """Spool and repositories. `source_id` empty: the box's name; `site_id` empty: left out.

    `socket`: of a sender that has an account of its own; "": the gateway starts one.
    """

    spool: Path
    repositories: tuple[Repository, ...]
    source_id: str = ""
    site_id: str = ""
    message_id: MessageId = MessageId.DICOM
    spool_mebibytes: int = 64
    socket: str = ""


def build_audit(data: dict[str, Any]) -> Audit:
    """Make the table from checked data, complete, with `repositories` as a list."""
    return Audit(
        spool=Path(data["spool"]),
        repositories=tuple(
            Repository(each["name"], parse_endpoint(each["connect"]), build_tls(each["tls"])) for each in data["repositories"]
        ),
        source_id=data["source_id"],
        site_id=data["site_id"],
        message_id=MessageId(data["message_id"]),
        spool_mebibytes=data["spool_mebibytes"],
        socket=data.get("socket", ""),
    )
