"""Where an association stands."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """Where an association stands. Each has its deadline; the value says what is waited for."""

    SHAKING = "TLS handshake of the caller"
    REQUEST = "A-ASSOCIATE-RQ"
    OPENING = "connection to the called side"
    ANSWER = "answer of the called side"
    ESTABLISHED = "established"
    RELEASING = "release"
    ENDING = "close by the caller"
    OVER = "over"
