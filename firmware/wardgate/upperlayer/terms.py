"""The numbers of PS3.8 section 9.3 and PS3.7 annex D by name: PDU and item types, results, sources, reasons."""

from __future__ import annotations

from enum import Enum, IntEnum


class Role(Enum):
    """Which side of one association a machine plays: who opened it, or who was called (PS3.8 7.1)."""

    REQUESTOR = "requestor"
    ACCEPTOR = "acceptor"


class PduType(IntEnum):
    """First byte of a PDU (PS3.8 9.3.1)."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class ItemType(IntEnum):
    """First byte of a variable item (PS3.8 9.3.2, 9.3.3, annex D; PS3.7 D.3.3)."""

    APPLICATION_CONTEXT = 0x10
    PRESENTATION_CONTEXT_RQ = 0x20
    PRESENTATION_CONTEXT_AC = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS_UID = 0x52
    ASYNCHRONOUS_OPERATIONS_WINDOW = 0x53
    ROLE_SELECTION = 0x54
    IMPLEMENTATION_VERSION_NAME = 0x55
    EXTENDED_NEGOTIATION = 0x56
    COMMON_EXTENDED_NEGOTIATION = 0x57
    USER_IDENTITY_RQ = 0x58
    USER_IDENTITY_AC = 0x59


class ContextResult(IntEnum):
    """Answer to one presentation context (PS3.8 9.3.3.2)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


class RejectResult(IntEnum):
    """Whether it is worth to ask again (PS3.8 9.3.4)."""

    PERMANENT = 1
    TRANSIENT = 2


class RejectCause(Enum):
    """Source and reason of an A-ASSOCIATE-RJ; a reason has its meaning only within its source (PS3.8 9.3.4)."""

    NO_REASON = (1, 1)
    APPLICATION_CONTEXT_NOT_SUPPORTED = (1, 2)
    CALLING_AE_NOT_RECOGNIZED = (1, 3)
    CALLED_AE_NOT_RECOGNIZED = (1, 7)
    ACSE_NO_REASON = (2, 1)
    PROTOCOL_VERSION_NOT_SUPPORTED = (2, 2)
    TEMPORARY_CONGESTION = (3, 1)
    LOCAL_LIMIT_EXCEEDED = (3, 2)


class AbortSource(IntEnum):
    """Who aborted (PS3.8 9.3.8)."""

    USER = 0
    PROVIDER = 2


class AbortReason(IntEnum):
    """Why the provider aborted; with source `USER` it is not significant (PS3.8 9.3.8)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER_VALUE = 6


class IdentityType(IntEnum):
    """How a user is named in sub-item 58H (PS3.7 D.3.3.7.1)."""

    USER_NAME = 1
    USER_NAME_AND_PASSCODE = 2
    KERBEROS = 3
    SAML = 4
    JSON_WEB_TOKEN = 5
