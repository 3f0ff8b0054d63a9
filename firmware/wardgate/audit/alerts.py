"""Which codes are audited, and as which message of PS3.15 A.5.3. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wardgate.audit.message import AuditMessage, AuditSource, Detail, Object, Participant
from wardgate.audit.terms import (
    AccessPoint,
    Action,
    EventId,
    EventType,
    ObjectIdType,
    ObjectRole,
    ObjectType,
    Outcome,
    Role,
    SourceType,
)
from wardgate.codes import Code
from wardgate.iscl.errors import CODES, ProviderReason

if TYPE_CHECKING:
    from wardgate.audit.event import AuditEvent


class Meaning(NamedTuple):
    """What a code becomes."""

    event: EventId
    type: EventType
    outcome: Outcome


def _alert(kind: EventType, outcome: Outcome, *names: str) -> dict[Code, Meaning]:
    return {Code[name]: Meaning(EventId.SECURITY_ALERT, kind, outcome) for name in names}


_REFUSED: Final = Outcome.SERIOUS  # mitigated (A.5.3.11): the connection was refused or dropped
# PS3.15 A.5.3.11: CID 403 has no value of its own for a channel whose integrity broke. It is the node authentication of PS3.15 B.12 and
# of the legacy channel that did not hold, so 110126; the code and the provider reason say which.
MEANINGS: Final[dict[Code, Meaning]] = {
    Code.STARTED: Meaning(EventId.APPLICATION_ACTIVITY, EventType.APPLICATION_START, Outcome.SUCCESS),
    Code.STOPPED: Meaning(EventId.APPLICATION_ACTIVITY, EventType.APPLICATION_STOP, Outcome.SUCCESS),
    **_alert(EventType.NODE_AUTHENTICATION, _REFUSED, "TLS_INTEGRITY", "ISCL_MAC_FAILURE", "ISCL_DECRYPT_FAILURE"),
    **_alert(EventType.NODE_AUTHENTICATION, _REFUSED, "ISCL_AUTHENTICATION_FAILURE", "ISCL_FRAMING_ERROR", "ISCL_CARD_ERROR"),
    **_alert(EventType.NODE_AUTHENTICATION, Outcome.MINOR, "ISCL_TIMEOUT", "ISCL_TRUNCATED", "ISCL_CARRIER_ENDED", "TLS_TRUNCATED"),
    **_alert(
        EventType.NODE_AUTHENTICATION,
        _REFUSED,
        *("TLS_FAILED", "TLS_PEER_NOT_TLS", "TLS_VERSION_MISMATCH", "TLS_NO_COMMON_SUITE", "TLS_NO_CLIENT_CERTIFICATE", "TLS_WEAK"),
        *("CHAIN_UNTRUSTED", "CHAIN_INVALID", "SUITE_OUTSIDE_PROFILE", "CLEAR_ON_TLS_PORT", "OBSOLETE_TLS_HELLO", "NO_LINK"),
        *("CERTIFICATE_EXPIRED", "CERTIFICATE_NOT_YET_VALID", "CERTIFICATE_REVOKED", "CRL_MISSING", "CRL_STALE"),
        *("CERTIFICATE_KEY_WEAK", "CERTIFICATE_HASH_WEAK", "CERTIFICATE_WRONG_NAME", "CERTIFICATE_NOT_PINNED"),
        *("CERTIFICATE_WRONG_ANCHOR", "CERTIFICATE_WRONG_AE", "CERTIFICATE_WRONG_USAGE", "CERTIFICATE_NOT_BOUND"),
        *("CERTIFICATE_MALFORMED", "RESUMED_UNKNOWN"),
    ),
    **_alert(
        EventType.NODE_AUTHENTICATION,
        Outcome.MINOR,  # the peer refused us, or went away
        *("PEER_DISTRUSTS_US", "PEER_SAYS_EXPIRED", "PEER_SAYS_REVOKED", "PEER_REJECTS_CERTIFICATE", "PEER_HANDSHAKE_FAILURE"),
        *("PEER_WANTS_CERTIFICATE", "PEER_DENIES_ACCESS", "PEER_ALERT", "PEER_SAYS_DECRYPT_ERROR"),
        *("TLS_ENDED_IN_HANDSHAKE", "ISCL_ENDED_IN_HANDSHAKE"),
    ),
    **_alert(
        EventType.ACCESS_CONTROL_DECISION,
        Outcome.MINOR,  # policy refused the association
        *("CALLING_AE_REFUSED", "CALLED_AE_REFUSED", "DIRECTION_REFUSED", "NO_CONTEXT_LEFT"),
    ),
    **_alert(
        EventType.HARDWARE_CONFIGURATION,
        _REFUSED,
        *("TOKEN_IS_ABSENT", "TOKEN_IS_ANOTHER", "TOKEN_IS_SWAPPED", "TOKEN_HAS_EXPIRED", "TOKEN_IS_BLOCKED", "TOKEN_PIN_IS_REFUSED"),
        *("TOKEN_HAS_FAILED", "KEY_SERVICE_IS_AWAY"),
    ),
    **_alert(EventType.HARDWARE_CONFIGURATION, Outcome.SUCCESS, "TOKEN_IS_BACK"),
    **_alert(EventType.HARDWARE_CONFIGURATION, Outcome.MAJOR, "BOX_OPENED"),  # what was done to it then is not known
    **_alert(EventType.SECURITY_CONFIGURATION, Outcome.SUCCESS, "RELOADED", "STATE_HOLDS"),  # another policy, keys or certificates serve
    **_alert(
        EventType.SECURITY_CONFIGURATION,
        _REFUSED,
        *("RELOAD_REFUSED", "STATE_NOT_SIGNED", "STATE_SIGNATURE_WRONG", "STATE_CHANGED", "STATE_ROLLED_BACK", "STATE_UNREADABLE"),
    ),
    **_alert(EventType.SOFTWARE_CONFIGURATION, Outcome.SUCCESS, "UPDATE_INSTALLED", "UPDATE_GOOD"),
    **_alert(EventType.SOFTWARE_CONFIGURATION, Outcome.MINOR, "UPDATE_UNPROVEN", "UPDATE_INTERRUPTED"),
    **_alert(EventType.SOFTWARE_CONFIGURATION, _REFUSED, "UPDATE_REFUSED", "UPDATE_OLDER", "UPDATE_ROLLED_BACK", "UPDATE_NO_WAY_BACK"),
    **_alert(EventType.EMERGENCY_OVERRIDE_STARTED, Outcome.MAJOR, "BREAK_GLASS_STARTED"),  # nothing is protected while it lasts
    **_alert(EventType.EMERGENCY_OVERRIDE_STOPPED, Outcome.SUCCESS, "BREAK_GLASS_ENDED"),
    **_alert(EventType.AUDIT_RECORDING_STOPPED, Outcome.MAJOR, "AUDIT_DROPPED", "AUDIT_EVENTS_LOST", "AUDIT_SPOOL_DAMAGED"),
}
AUDITED: Final = frozenset(code.value.number for code in MEANINGS)  # numbers: asked for every line of the log
_BY_NUMBER: Final = {code.value.number: (code, meaning) for code, meaning in MEANINGS.items()}
# PS3.15 B.12 wants a documented provider reason: that of TLS is 0 (docs/conformance.md), those of ISCL are in docs/iscl.md.
_REASONS: Final = {
    **{code: f"0x{reason:02x}" for reason, code in CODES.items()},
    **{Code.ISCL_CARRIER_ENDED: f"0x{ProviderReason.FRAMING_ERROR:02x}", Code.TLS_INTEGRITY: "0"},
}
_DETAILS: Final = (("link", "Link"), ("side", "Leg"), ("phase", "Phase"), ("port", "Port"), ("users", "Users"), ("repeated", "Repeated"))


def message_of(event: AuditEvent, box: str, source_id: str, site_id: str = "") -> AuditMessage | None:
    """Return the audit message of an event on the box named `box`; None when its code is not audited."""
    found = _BY_NUMBER.get(event.code)
    if found is None:
        return None
    code, meaning = found
    activity = meaning.event is EventId.APPLICATION_ACTIVITY
    # A.5.2: UserID of a process is the identifier used in the local log; one name for the box in all messages.
    reporter = Participant(
        user_id=event.who,
        roles=(Role.APPLICATION,) if activity else (),
        user_name="Wardgate",
        access_point=box,
        access_point_type=AccessPoint.MACHINE_NAME,
    )
    performers = (Participant(event.words["by"]),) if event.words.get("by") else ()  # A.5.3.11: UserIsRequestor false
    return AuditMessage(
        event=meaning.event,
        types=(meaning.type,),
        action=Action.EXECUTE,
        time_ns=event.time_ns,
        outcome=meaning.outcome,
        source=AuditSource(source_id, site_id, (SourceType.APPLICATION_SERVER,)),
        participants=(reporter, *performers),
        objects=() if activity else (_about(code, event, box),),
        outcome_text="" if activity else f"{code} {code.value.sentence}",
    )


def _about(code: Code, event: AuditEvent, box: str) -> Object:
    """A.5.3.11: the node that it is about, with the Alert Description that must be there, and our own words beside it."""
    words = event.words
    why = f": {words['detail']}" if words.get("detail") else ""
    details = [Detail("Alert Description", f"{code} {code.value.sentence}{why}"), Detail("Failure Code", str(code))]
    reason = _REASONS.get(code, "")
    if reason:
        details.append(Detail("Provider Reason", reason))
    if words.get("at"):
        details.append(Detail("Network Address", words["at"]))
    details += [Detail(kind, words[word]) for word, kind in _DETAILS if words.get(word)]
    # A.5.3.11: a Node ID has the form node@domain, or is an IP address.
    node = _host(words.get("at", "")) or box
    return Object(node, ObjectIdType.NODE_ID, ObjectType.SYSTEM_OBJECT, ObjectRole.SECURITY_RESOURCE, event.peer or node, tuple(details))


def _host(address: str) -> str:
    """Return the host of `host:port` or `[v6]:port`."""
    return address.rpartition(":")[0].strip("[]")
