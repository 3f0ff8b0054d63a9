"""The words of `[audit]`."""

from __future__ import annotations

from typing import Final

from wardgate.policy.schema import REQUIRED, Kind, Word

AUDIT_SCHEMA: Final[dict[str, tuple[Word, ...]]] = {
    "audit": (
        Word("spool", Kind.PATH, REQUIRED, "directory in which messages wait; made with mode 0700"),
        Word(
            "socket",
            Kind.PATH,
            "",
            "where an audit sender with an account of its own takes events: `/run/wardgate-audit/audit.sock` in the image; without it the"
            " gateway starts one under its own account",
        ),
        Word("spool_mebibytes", Kind.INTEGER, 64, "most that may wait, MiB; then the oldest go, counted and told", 4, 65536),
        Word("source_id", Kind.TEXT, "", "AuditSourceID of messages; without it `box.name`"),
        Word("site_id", Kind.TEXT, "", "AuditEnterpriseSiteID of messages; without it there is none"),
        Word(
            "message_id",
            Kind.CHOICE,
            "DICOM+RFC3881",
            "MSGID of the syslog header: as in PS3.15 A.6, or as in IHE ITI-20",
            choices=("DICOM+RFC3881", "IHE+RFC-3881"),
        ),
        Word("repository", Kind.TABLE, REQUIRED, "an audit repository", many=True, least=1, table="audit.repository"),
    ),
    "audit.repository": (
        Word("name", Kind.NAME, REQUIRED, "name in log lines and status; what it has had is remembered by it"),
        Word("connect", Kind.ENDPOINT, REQUIRED, "where it listens for syslog over TLS (RFC 5425), port 6514 as a rule"),
        Word("tls", Kind.TABLE, REQUIRED, "how TLS is spoken with it", table="tls"),
    ),
}
MAX_REPOSITORIES: Final = 8
