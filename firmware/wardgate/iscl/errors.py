"""What goes wrong in ISCL: the conditions that an implementer distinguishes, ours beside them, and the documented provider reasons.

`IsclError` is the peer's or the token's fault and ends the connection. `LocalError` is a defect of Wardgate.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final

from wardgate.codes import Code


class ProviderReason(IntEnum):
    """Local, never sent: the channel is closed by then. PS3.15-2000 B.2 wants them documented."""

    MAC_FAILURE = 0x10
    DECRYPT_FAILURE = 0x11
    AUTHENTICATION_FAILURE = 0x12
    FRAMING_ERROR = 0x13
    TIMEOUT = 0x14
    CARD_ERROR = 0x15


class Condition(Enum):
    """Published numbers 65, 69 and 100 to 115; 200 and above are ours. Each with its provider reason."""

    SECURITY_BREACH = (65, ProviderReason.AUTHENTICATION_FAILURE, "the peer is not who it should be, or reflects")
    BAD_SECURITY_MODE = (69, ProviderReason.FRAMING_ERROR, "encryption, MAC or key differ from what is configured")
    BAD_OPTION = (100, ProviderReason.FRAMING_ERROR, "the Option field has a value that means nothing here")
    BAD_LENGTH = (101, ProviderReason.FRAMING_ERROR, "a length does not fit the message")
    LOCAL_CARD = (102, ProviderReason.CARD_ERROR, "the token of the box failed")
    REMOTE_CARD = (103, ProviderReason.CARD_ERROR, "the peer reports that its card failed")
    BAD_MESSAGE_ID = (104, ProviderReason.FRAMING_ERROR, "a message that is unknown or not due")
    BAD_VERSION = (105, ProviderReason.FRAMING_ERROR, "another version of the protocol")
    BAD_METHOD = (106, ProviderReason.AUTHENTICATION_FAILURE, "another authentication method or key pair")
    BAD_BLOCK_LENGTH = (107, ProviderReason.FRAMING_ERROR, "a block length outside what was negotiated")
    NAK_RECEIVED = (108, ProviderReason.FRAMING_ERROR, "the peer said no")
    TRANSMISSION_FAILED = (109, ProviderReason.FRAMING_ERROR, "the connection ended inside a message")
    PEER_LENGTH_TOO_SMALL = (110, ProviderReason.FRAMING_ERROR, "the peer takes less than is needed")
    LOCAL_LENGTH_TOO_SMALL = (111, ProviderReason.FRAMING_ERROR, "the message is longer than the box takes")
    DECRYPTION_FAILED = (112, ProviderReason.DECRYPT_FAILURE, "the padding of the decrypted data is wrong")
    BAD_MAC = (113, ProviderReason.MAC_FAILURE, "the MAC does not fit the message")
    RANDOM_EXPECTED = (114, ProviderReason.FRAMING_ERROR, "data came before the random number of its session key")
    CLOSE_REFUSED = (115, ProviderReason.FRAMING_ERROR, "the peer refuses to close")
    AUTHENTICATION_FAILED = (200, ProviderReason.AUTHENTICATION_FAILURE, "a response is wrong, or the peer found ours wrong")
    THROUGH_REFUSED = (201, ProviderReason.FRAMING_ERROR, "data in through mode, which is not secured and not taken")
    LATE = (202, ProviderReason.TIMEOUT, "the peer did not answer in time")
    LIFE_OVER = (203, ProviderReason.TIMEOUT, "the connection is older than it may become")
    KEY_WORN = (204, ProviderReason.FRAMING_ERROR, "a static key has protected all the data that it may")
    NOT_ISCL = (205, ProviderReason.FRAMING_ERROR, "the first bytes are no ISCL header")
    NOT_ZERO = (206, ProviderReason.FRAMING_ERROR, "a header field that must be zero is not")

    @property
    def number(self) -> int:
        """The published number, or ours."""
        return self.value[0]

    @property
    def reason(self) -> ProviderReason:
        """The documented provider reason."""
        return self.value[1]


CODES: Final = {
    ProviderReason.MAC_FAILURE: Code.ISCL_MAC_FAILURE,
    ProviderReason.DECRYPT_FAILURE: Code.ISCL_DECRYPT_FAILURE,
    ProviderReason.AUTHENTICATION_FAILURE: Code.ISCL_AUTHENTICATION_FAILURE,
    ProviderReason.FRAMING_ERROR: Code.ISCL_FRAMING_ERROR,
    ProviderReason.TIMEOUT: Code.ISCL_TIMEOUT,
    ProviderReason.CARD_ERROR: Code.ISCL_CARD_ERROR,
}


class IsclError(Exception):
    """The connection is over. `to_send`: what the peer should still get (a NAK); empty after an integrity failure."""

    dead = True

    def __init__(self, condition: Condition, detail: str = "", to_send: bytes = b"", reason: ProviderReason | None = None) -> None:
        text = condition.value[2] + (f": {detail}" if detail else "")
        self.provider_reason = reason if reason is not None else condition.reason
        super().__init__(f"ISCL {condition.number} {text} (provider reason 0x{self.provider_reason:02x})")
        self.condition = condition
        self.detail = detail
        self.to_send = to_send
        self.code = CODES[self.provider_reason]


class LocalError(Exception):
    """Wardgate itself used the engine wrongly: our bug."""

    code = Code.WORKER_DEFECT
