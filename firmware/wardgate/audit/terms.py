"""Code values of audit messages (PS3.15 A.5; PS3.16 CID 400 to 403), only those that the box uses. Sans-IO."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import NamedTuple


class Coded(NamedTuple):
    """One coded value: `csd-code`, `codeSystemName` and the words for both `displayName` and `originalText`."""

    code: str
    text: str
    system: str = "DCM"


class EventId(Enum):
    """PS3.15 A.5.3, the kind of message (CID 400)."""

    APPLICATION_ACTIVITY = Coded("110100", "Application Activity")  # A.5.3.1
    SECURITY_ALERT = Coded("110113", "Security Alert")  # A.5.3.11


class EventType(Enum):
    """CID 401; those of a Security Alert are CID 403."""

    APPLICATION_START = Coded("110120", "Application Start")
    APPLICATION_STOP = Coded("110121", "Application Stop")
    NODE_AUTHENTICATION = Coded("110126", "Node Authentication")
    EMERGENCY_OVERRIDE_STARTED = Coded("110127", "Emergency Override Started")
    SECURITY_CONFIGURATION = Coded("110129", "Security Configuration")
    HARDWARE_CONFIGURATION = Coded("110130", "Hardware Configuration")
    SOFTWARE_CONFIGURATION = Coded("110131", "Software Configuration")
    AUDIT_RECORDING_STOPPED = Coded("110133", "Audit Recording Stopped")
    EMERGENCY_OVERRIDE_STOPPED = Coded("110138", "Emergency Override Stopped")
    ACCESS_CONTROL_DECISION = Coded("110147", "Access Control Decision")


class Action(Enum):
    """PS3.15 A.5.2, EventActionCode."""

    EXECUTE = "E"


class Outcome(IntEnum):
    """PS3.15 A.5.2, EventOutcomeIndicator. In a Security Alert (A.5.3.11): 0 is informative, 4 and 8 are mitigated, with 12 security
    may be broken."""

    SUCCESS = 0
    MINOR = 4
    SERIOUS = 8
    MAJOR = 12


class Role(Enum):
    """CID 402, RoleIDCode."""

    APPLICATION = Coded("110150", "Application")


class AccessPoint(IntEnum):
    """PS3.15 A.5.2, NetworkAccessPointTypeCode."""

    MACHINE_NAME = 1
    IP_ADDRESS = 2


class SourceType(Enum):
    """PS3.15 A.5.2, AuditSourceTypeCode."""

    APPLICATION_SERVER = "4"


class ObjectType(IntEnum):
    """PS3.15 A.5.2, ParticipantObjectTypeCode."""

    SYSTEM_OBJECT = 2


class ObjectRole(IntEnum):
    """PS3.15 A.5.2, ParticipantObjectTypeCodeRole."""

    SECURITY_RESOURCE = 13


class ObjectIdType(Enum):
    """PS3.15 A.5.3.11: what a Security Alert may be about."""

    NODE_ID = Coded("110182", "Node ID")
    URI = Coded("12", "URI", "RFC-3881")
