"""Audit in tests: the table of the configuration, and an audit message taken apart field by field."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from support.processes import LOOPBACK
from wardtools.pki import Pki

_LINE = re.compile(r"<(\d+)>1 (\S+) (\S+) (\S+) (\S+) (\S+) - (<\?xml .*)")


def audit_table(folder: Path, pki: Pki, ports: Iterable[int], key: str = "", **words: object) -> str:
    """Return `[audit]` with one repository a port (`r0`, `r1`, ...), TOML; the spool is `folder/audit`. `key`: of `box-ecdsa`."""
    leaf = pki.leaf("box-ecdsa")
    table = {"spool": str(folder / "audit"), **words}
    parts = ["[audit]", *(f"{name} = {json.dumps(value)}" for name, value in table.items())]
    for number, port in enumerate(ports):
        parts += [
            "[[audit.repository]]",
            f'name = "r{number}"',
            f'connect = "{LOOPBACK}:{port}"',
            "[audit.repository.tls]",
            'profile = "B.12"',
            f'certificates = [{{ chain = "{leaf.chain}", key = "{key or leaf.key}" }}]',
            f'anchors = "{pki.root}"',
            'names = ["pacs.test"]',
            'crl_policy = "off"',
        ]
    return "\n".join(parts) + "\n"


class Told(NamedTuple):
    """One message of a repository: header words, and the XML's facts."""

    pri: int
    host: str
    app: str
    process: str
    msgid: str
    event: str
    types: list[str]
    outcome: str
    time: str
    user: str
    source: str
    object_id: str
    object_name: str
    details: dict[str, str]
    root: ElementTree.Element


def told(line: str) -> Told:
    """Take a syslog message apart."""
    match = _LINE.fullmatch(line)
    assert match is not None, line
    root = ElementTree.fromstring(match[7])
    assert root.tag == "AuditMessage"
    identification = root.find("EventIdentification")
    participant = root.find("ActiveParticipant")
    source = root.find("AuditSourceIdentification")
    about = root.find("ParticipantObjectIdentification")
    event_id = root.find("EventIdentification/EventID")
    assert identification is not None and participant is not None and source is not None and event_id is not None
    details = (
        {} if about is None else {d.get("type", ""): b64decode(d.get("value", "")).decode() for d in about.iter("ParticipantObjectDetail")}
    )
    return Told(
        int(match[1]),
        match[3],
        match[4],
        match[5],
        match[6],
        event_id.get("csd-code", ""),
        [kind.get("csd-code", "") for kind in identification.iter("EventTypeCode")],
        identification.get("EventOutcomeIndicator", ""),
        identification.get("EventDateTime", ""),
        participant.get("UserID", ""),
        source.get("AuditSourceID", ""),
        "" if about is None else about.get("ParticipantObjectID", ""),
        "" if about is None else about.findtext("ParticipantObjectName", ""),
        details,
        root,
    )
