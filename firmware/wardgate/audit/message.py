"""One audit message as XML (PS3.15 A.5.1). Sans-IO.

The children stand in the order of the schema, and nothing is empty (A.5.2). There is no place for a patient: the messages of which the
standard demands one (A.5.3.3, A.5.3.7) are not made (decision 051).
"""

from __future__ import annotations

import time
from binascii import b2a_base64
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wardgate.audit.terms import AccessPoint, Action, Coded, EventId, EventType, ObjectIdType, ObjectRole, ObjectType, Outcome, Role
    from wardgate.audit.terms import SourceType as Source

MAX_OCTETS: Final = 32768  # PS3.15 A.6: what a repository must take at least
MAX_TEXT: Final = 400  # characters of one value; what is longer is cut
_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_ESCAPES: Final = {ord(c): f"&{name};" for c, name in (("&", "amp"), ("<", "lt"), (">", "gt"), ('"', "quot"), ("'", "apos"))}
_ESCAPES.update({ord(c): f"&#{ord(c)};" for c in "\t\n\r"})  # as they are, a parser makes blanks of them in attributes (XML 1.0, 3.3.3)


class MessageTooLong(ValueError):
    """The message has more octets than a repository must take."""


class Participant(NamedTuple):
    """ActiveParticipant (A.5.2). `user_id`: of a process, its name in the local log; empty words are left out."""

    user_id: str
    is_requestor: bool = False
    roles: tuple[Role, ...] = ()
    alternative_user_id: str = ""
    user_name: str = ""
    access_point: str = ""
    access_point_type: AccessPoint | None = None


class Detail(NamedTuple):
    """ParticipantObjectDetail: a word and its value, which travels in base64."""

    kind: str
    value: str


class Object(NamedTuple):
    """ParticipantObjectIdentification (A.5.2)."""

    ident: str
    id_type: ObjectIdType
    kind: ObjectType
    role: ObjectRole
    name: str
    details: tuple[Detail, ...] = ()


class AuditSource(NamedTuple):
    """AuditSourceIdentification (A.5.2): the box, as the site knows it."""

    source_id: str
    site_id: str = ""
    kinds: tuple[Source, ...] = ()


class AuditMessage(NamedTuple):
    """One message. `time_ns`: nanoseconds since 1970, UTC."""

    event: EventId
    types: tuple[EventType, ...]
    action: Action
    time_ns: int
    outcome: Outcome
    source: AuditSource
    participants: tuple[Participant, ...]
    objects: tuple[Object, ...] = ()
    outcome_text: str = ""


def xml(message: AuditMessage) -> bytes:
    """Return the message, UTF-8 without byte order mark. Raises `MessageTooLong`, `ValueError` when it has no participant."""
    if not message.participants:
        raise ValueError("PS3.15 A.5.1: at least one ActiveParticipant")
    data = (_DECLARATION + "".join(_message(message))).encode("utf-8")
    if len(data) > MAX_OCTETS:
        raise MessageTooLong(f"{len(data)} octets")
    return data


def instant(time_ns: int) -> str:
    """Return xsd:dateTime with the zone, to the millisecond."""
    seconds, rest = divmod(time_ns, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 10**6:03d}Z"


def _message(message: AuditMessage) -> Iterator[str]:
    yield "<AuditMessage>"
    yield _open(
        "EventIdentification",
        ("EventActionCode", message.action.value),
        ("EventDateTime", instant(message.time_ns)),
        ("EventOutcomeIndicator", str(int(message.outcome))),
    )
    yield _coded("EventID", message.event.value)
    yield from (_coded("EventTypeCode", kind.value) for kind in message.types)
    yield _text("EventOutcomeDescription", message.outcome_text)
    yield "</EventIdentification>"
    for participant in message.participants:
        yield from _participant(participant)
    source = message.source
    yield _open("AuditSourceIdentification", ("AuditEnterpriseSiteID", source.site_id), ("AuditSourceID", source.source_id))
    yield from (_empty("AuditSourceTypeCode", ("csd-code", kind.value)) for kind in source.kinds)
    yield "</AuditSourceIdentification>"
    for each in message.objects:
        yield from _object(each)
    yield "</AuditMessage>"


def _participant(participant: Participant) -> Iterator[str]:
    point = participant.access_point_type if participant.access_point else None
    yield _open(
        "ActiveParticipant",
        ("UserID", participant.user_id),
        ("AlternativeUserID", participant.alternative_user_id),
        ("UserName", participant.user_name),
        ("UserIsRequestor", "true" if participant.is_requestor else "false"),
        ("NetworkAccessPointID", participant.access_point if point is not None else ""),
        ("NetworkAccessPointTypeCode", str(int(point)) if point is not None else ""),
    )
    yield from (_coded("RoleIDCode", role.value) for role in participant.roles)
    yield "</ActiveParticipant>"


def _object(each: Object) -> Iterator[str]:
    yield _open(
        "ParticipantObjectIdentification",
        ("ParticipantObjectID", each.ident),
        ("ParticipantObjectTypeCode", str(int(each.kind))),
        ("ParticipantObjectTypeCodeRole", str(int(each.role))),
    )
    yield _coded("ParticipantObjectIDTypeCode", each.id_type.value)
    yield _text("ParticipantObjectName", each.name)
    for detail in each.details:
        value = b2a_base64(cut(detail.value).encode("utf-8"), newline=False).decode("ascii")
        yield _empty("ParticipantObjectDetail", ("type", detail.kind), ("value", value), whole=True)
    yield "</ParticipantObjectIdentification>"


def _coded(name: str, value: Coded) -> str:
    return _empty(
        name, ("csd-code", value.code), ("codeSystemName", value.system), ("displayName", value.text), ("originalText", value.text)
    )


def _open(name: str, *attributes: tuple[str, str], whole: bool = False) -> str:
    return f"<{name}" + "".join(f' {word}="{_escaped(value if whole else cut(value))}"' for word, value in attributes if value) + ">"


def _empty(name: str, *attributes: tuple[str, str], whole: bool = False) -> str:
    return _open(name, *attributes, whole=whole)[:-1] + "/>"


def _text(name: str, value: str) -> str:
    return f"<{name}>{_escaped(cut(value))}</{name}>" if value else ""


def cut(value: str) -> str:
    """Return `value`, at most `MAX_TEXT` characters of it, with what XML 1.0 cannot carry (2.2, Char) as U+FFFD."""
    if len(value) > MAX_TEXT:
        value = value[: MAX_TEXT - 3] + "..."
    return "".join(c if _may_stand(ord(c)) else "\ufffd" for c in value)


def _may_stand(c: int) -> bool:
    return c >= 0x20 and not 0xD800 <= c <= 0xDFFF and c & 0xFFFE != 0xFFFE if c not in (0x09, 0x0A, 0x0D) else True


def _escaped(value: str) -> str:
    return value.translate(_ESCAPES)
