"""The state tables: which message may come when, and what then is done. Nothing here decides; `engine` and its parts read it.

Three machines run side by side: the connection, and once it is open one sender and one receiver, because each direction runs its own
sequence of request, data and MAC. A cell that is not there is a message that is not due: the connection ends with `refusal`.
States marked `token` wait for the token, not for the peer.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from wardgate.iscl.errors import Condition
from wardgate.iscl.terms import MessageId as M


class State(Enum):
    """Of the connection."""

    START = "not begun"
    # the server, which speaks first
    LINE_ANSWER = "server waits for the line check response"
    AUTH_ANSWER = "server waits for the authentication response"
    CHALLENGING = "server's token draws a challenge"  # token
    PASS2 = "server waits for pass 2"
    ANSWERING = "server's token makes the response of pass 3"  # token
    COMPLETION = "server waits for the completion"
    # the client
    LINE = "client waits for the line check request"
    AUTH = "client waits for the authentication request"
    PASS1 = "client waits for pass 1"
    DRAWING = "client's token draws a challenge"  # token
    REPLYING = "client's token makes the response of pass 2"  # token
    PASS3 = "client waits for pass 3"
    DERIVING = "client's token derives the keys of the connection"  # token
    # both
    JUDGING = "the token judges the peer's response"  # token
    OPEN = "messages pass"
    CLOSING = "waits for the disconnection response"
    CLOSED = "over"


class Sending(Enum):
    """Of our own messages, in `State.OPEN` and `State.CLOSING`."""

    IDLE = "nothing to send"
    KEY = "the token makes the key"  # token
    RESPONSE = "waits for the transmission response"
    RANDOM = "waits for the answer to the random number"


class Receiving(Enum):
    """Of the peer's messages."""

    IDLE = "between messages"
    HELD = "a message is announced and waits for room on our side"
    RANDOM = "waits for the random number of the session key"
    KEY = "the token makes the key"  # token
    DATA = "waits for data"
    MAC = "waits for the MAC"


class Do(Enum):
    """What a message makes the engine do: names of its methods."""

    LINE_REQUEST = "line_request"
    LINE_RESPONSE = "line_response"
    AUTH_REQUEST = "auth_request"
    AUTH_RESPONSE = "auth_response"
    PASS1 = "pass1"
    PASS2 = "pass2"
    PASS3 = "pass3"
    COMPLETION = "completion"
    TO_SENDER = "to_sender"
    TO_RECEIVER = "to_receiver"
    DISCONNECT_REQUEST = "disconnect_request"
    DISCONNECT_RESPONSE = "disconnect_response"
    REQUEST = "request"
    COLLISION = "collision"
    RESPONSE = "response"
    RANDOM_REQUEST = "random_request"
    RANDOM_RESPONSE = "random_response"
    DATA = "data"
    MAC = "mac"


_FOR_SENDER: Final = (M.TRANSMISSION_RESPONSE, M.RANDOM_RESPONSE)
_FOR_RECEIVER: Final = (M.TRANSMISSION_REQUEST, M.RANDOM_REQUEST, M.DATA, M.MAC)

CONNECTION: Final[dict[tuple[State, M], Do]] = {
    (State.LINE_ANSWER, M.LINE_RESPONSE): Do.LINE_RESPONSE,
    (State.AUTH_ANSWER, M.AUTH_RESPONSE): Do.AUTH_RESPONSE,
    (State.PASS2, M.PASS2): Do.PASS2,
    (State.COMPLETION, M.COMPLETION): Do.COMPLETION,
    (State.LINE, M.LINE_REQUEST): Do.LINE_REQUEST,
    (State.AUTH, M.AUTH_REQUEST): Do.AUTH_REQUEST,
    (State.PASS1, M.PASS1): Do.PASS1,
    (State.PASS3, M.PASS3): Do.PASS3,
    **{(State.OPEN, message): Do.TO_SENDER for message in _FOR_SENDER},
    **{(State.OPEN, message): Do.TO_RECEIVER for message in _FOR_RECEIVER},
    (State.OPEN, M.DISCONNECT_REQUEST): Do.DISCONNECT_REQUEST,
    # We asked to close; what the peer had begun to say still passes.
    **{(State.CLOSING, message): Do.TO_RECEIVER for message in _FOR_RECEIVER},
    (State.CLOSING, M.DISCONNECT_REQUEST): Do.DISCONNECT_REQUEST,
    (State.CLOSING, M.DISCONNECT_RESPONSE): Do.DISCONNECT_RESPONSE,
}

SENDER: Final[dict[tuple[Sending, M], Do]] = {
    (Sending.RESPONSE, M.TRANSMISSION_RESPONSE): Do.RESPONSE,
    (Sending.RANDOM, M.RANDOM_RESPONSE): Do.RANDOM_RESPONSE,
}

RECEIVER: Final[dict[tuple[Receiving, M], Do]] = {
    (Receiving.IDLE, M.TRANSMISSION_REQUEST): Do.REQUEST,
    (Receiving.RANDOM, M.RANDOM_REQUEST): Do.RANDOM_REQUEST,
    (Receiving.DATA, M.DATA): Do.DATA,
    (Receiving.MAC, M.MAC): Do.MAC,
}

# Half duplex only: what a transmission request means while our own message is under way. The TCP client wins.
HALF_DUPLEX: Final[dict[Sending, Do]] = {
    Sending.IDLE: Do.REQUEST,
    Sending.KEY: Do.REQUEST,
    Sending.RESPONSE: Do.COLLISION,
}


def refusal(message: M, receiving: Receiving) -> Condition:
    """Return what is wrong with a message that no cell takes."""
    if message is M.THROUGH:
        return Condition.THROUGH_REFUSED
    if message is M.DATA and receiving is Receiving.RANDOM:
        return Condition.RANDOM_EXPECTED
    return Condition.BAD_MESSAGE_ID
