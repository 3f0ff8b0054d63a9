"""The state table of PS3.8 9.2 (Table 9-10) and its actions (Tables 9-6 to 9-9), in the standard's own words.

Nothing here decides: `machine` reads it. An empty cell is one that the table does not have.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final


class State(IntEnum):
    """PS3.8 9.2.1, Tables 9-1 to 9-5."""

    Sta1 = 1  # idle
    Sta2 = 2  # transport open, awaiting A-ASSOCIATE-RQ
    Sta3 = 3  # awaiting local A-ASSOCIATE response
    Sta4 = 4  # awaiting transport connection
    Sta5 = 5  # awaiting A-ASSOCIATE-AC or -RJ
    Sta6 = 6  # established
    Sta7 = 7  # awaiting A-RELEASE-RP
    Sta8 = 8  # awaiting local A-RELEASE response
    Sta9 = 9  # release collision, requestor: awaiting local response
    Sta10 = 10  # release collision, acceptor: awaiting A-RELEASE-RP
    Sta11 = 11  # release collision, requestor: awaiting A-RELEASE-RP
    Sta12 = 12  # release collision, acceptor: awaiting local response
    Sta13 = 13  # awaiting close of the transport


class Event(IntEnum):
    """PS3.8 9.2.2; `_PDU` events came from the peer, `_REQUEST` and `_RESPONSE` ones from our own user."""

    ASSOCIATE_REQUEST = 1
    TRANSPORT_CONFIRM = 2
    AC_PDU = 3
    RJ_PDU = 4
    TRANSPORT_INDICATION = 5
    RQ_PDU = 6
    ACCEPT_RESPONSE = 7
    REJECT_RESPONSE = 8
    PDATA_REQUEST = 9
    PDATA_PDU = 10
    RELEASE_REQUEST = 11
    RELEASE_RQ_PDU = 12
    RELEASE_RP_PDU = 13
    RELEASE_RESPONSE = 14
    ABORT_REQUEST = 15
    ABORT_PDU = 16
    TRANSPORT_CLOSED = 17
    ARTIM_EXPIRED = 18
    INVALID_PDU = 19


class Effect(Enum):
    """What the caller has to do, in the order in which `UpperLayer.handle` returns it."""

    OPEN_TRANSPORT = "open transport"
    ACCEPT_TRANSPORT = "accept transport"
    CLOSE_TRANSPORT = "close transport"
    START_ARTIM = "start ARTIM"  # start again when it runs
    STOP_ARTIM = "stop ARTIM"  # nothing when it does not run
    SEND_RQ = "send A-ASSOCIATE-RQ"
    SEND_AC = "send A-ASSOCIATE-AC"
    SEND_RJ = "send A-ASSOCIATE-RJ"
    SEND_PDATA = "send P-DATA-TF"
    SEND_RELEASE_RQ = "send A-RELEASE-RQ"
    SEND_RELEASE_RP = "send A-RELEASE-RP"
    SEND_ABORT_USER = "send A-ABORT, source 0"
    SEND_ABORT_PROVIDER = "send A-ABORT, source 2"
    INDICATE_ASSOCIATE = "indicate A-ASSOCIATE"
    CONFIRM_ACCEPT = "confirm A-ASSOCIATE, accepted"
    CONFIRM_REJECT = "confirm A-ASSOCIATE, rejected"
    INDICATE_PDATA = "indicate P-DATA"
    INDICATE_RELEASE = "indicate A-RELEASE"
    CONFIRM_RELEASE = "confirm A-RELEASE"
    INDICATE_ABORT = "indicate A-ABORT"
    INDICATE_P_ABORT = "indicate A-P-ABORT"


Step = tuple[tuple[Effect, ...], State]

_E = Effect

# The three actions that hang on a question have a variant for each answer: the sign after their name (see `machine`).
ACTIONS: Final[dict[str, Step]] = {
    # Table 9-6, association establishment
    "AE-1": ((_E.OPEN_TRANSPORT,), State.Sta4),
    "AE-2": ((_E.SEND_RQ,), State.Sta5),
    "AE-3": ((_E.CONFIRM_ACCEPT,), State.Sta6),
    "AE-4": ((_E.CONFIRM_REJECT, _E.CLOSE_TRANSPORT), State.Sta1),
    "AE-5": ((_E.ACCEPT_TRANSPORT, _E.START_ARTIM), State.Sta2),
    "AE-6": ((_E.STOP_ARTIM, _E.INDICATE_ASSOCIATE), State.Sta3),
    "AE-6 not acceptable": ((_E.STOP_ARTIM, _E.SEND_RJ, _E.START_ARTIM), State.Sta13),
    "AE-7": ((_E.SEND_AC,), State.Sta6),
    "AE-8": ((_E.SEND_RJ, _E.START_ARTIM), State.Sta13),
    # Table 9-7, data transfer
    "DT-1": ((_E.SEND_PDATA,), State.Sta6),
    "DT-2": ((_E.INDICATE_PDATA,), State.Sta6),
    # Table 9-8, association release
    "AR-1": ((_E.SEND_RELEASE_RQ,), State.Sta7),
    "AR-2": ((_E.INDICATE_RELEASE,), State.Sta8),
    "AR-3": ((_E.CONFIRM_RELEASE, _E.CLOSE_TRANSPORT), State.Sta1),
    "AR-4": ((_E.SEND_RELEASE_RP, _E.START_ARTIM), State.Sta13),
    "AR-5": ((_E.STOP_ARTIM,), State.Sta1),
    "AR-6": ((_E.INDICATE_PDATA,), State.Sta7),
    "AR-7": ((_E.SEND_PDATA,), State.Sta8),
    "AR-8": ((_E.INDICATE_RELEASE,), State.Sta9),
    "AR-8 acceptor": ((_E.INDICATE_RELEASE,), State.Sta10),
    "AR-9": ((_E.SEND_RELEASE_RP,), State.Sta11),
    "AR-10": ((_E.CONFIRM_RELEASE,), State.Sta12),
    # Table 9-9, association abort
    "AA-1": ((_E.SEND_ABORT_USER, _E.START_ARTIM), State.Sta13),
    "AA-2": ((_E.STOP_ARTIM, _E.CLOSE_TRANSPORT), State.Sta1),
    "AA-3": ((_E.INDICATE_ABORT, _E.CLOSE_TRANSPORT), State.Sta1),
    "AA-3 provider": ((_E.INDICATE_P_ABORT, _E.CLOSE_TRANSPORT), State.Sta1),
    "AA-4": ((_E.INDICATE_P_ABORT,), State.Sta1),
    "AA-5": ((_E.STOP_ARTIM,), State.Sta1),
    "AA-6": ((), State.Sta13),
    "AA-7": ((_E.SEND_ABORT_PROVIDER,), State.Sta13),
    "AA-8": ((_E.SEND_ABORT_PROVIDER, _E.INDICATE_P_ABORT, _E.START_ARTIM), State.Sta13),
}


def _row(first: State, cells: str) -> dict[State, str]:
    """Read the cells of one event from state `first` on; a dot is an empty cell."""
    return {State(first + at): cell for at, cell in enumerate(cells.split()) if cell != "."}


_S = State

# Table 9-10; the rows are events, the cells go from the state named to the right.
TABLE: Final[dict[Event, dict[State, str]]] = {
    Event.ASSOCIATE_REQUEST: {_S.Sta1: "AE-1"},
    Event.TRANSPORT_CONFIRM: {_S.Sta4: "AE-2"},
    Event.AC_PDU: _row(_S.Sta2, "AA-1 AA-8 . AE-3 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-6"),
    Event.RJ_PDU: _row(_S.Sta2, "AA-1 AA-8 . AE-4 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-6"),
    Event.TRANSPORT_INDICATION: {_S.Sta1: "AE-5"},
    Event.RQ_PDU: _row(_S.Sta2, "AE-6 AA-8 . AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-7"),
    Event.ACCEPT_RESPONSE: {_S.Sta3: "AE-7"},
    Event.REJECT_RESPONSE: {_S.Sta3: "AE-8"},
    Event.PDATA_REQUEST: {_S.Sta6: "DT-1", _S.Sta8: "AR-7"},
    Event.PDATA_PDU: _row(_S.Sta2, "AA-1 AA-8 . AA-8 DT-2 AR-6 AA-8 AA-8 AA-8 AA-8 AA-8 AA-6"),
    Event.RELEASE_REQUEST: {_S.Sta6: "AR-1"},
    Event.RELEASE_RQ_PDU: _row(_S.Sta2, "AA-1 AA-8 . AA-8 AR-2 AR-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-6"),
    Event.RELEASE_RP_PDU: _row(_S.Sta2, "AA-1 AA-8 . AA-8 AA-8 AR-3 AA-8 AA-8 AR-10 AR-3 AA-8 AA-6"),
    Event.RELEASE_RESPONSE: {_S.Sta8: "AR-4", _S.Sta9: "AR-9", _S.Sta12: "AR-4"},
    Event.ABORT_REQUEST: _row(_S.Sta3, "AA-1 AA-2 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1"),
    Event.ABORT_PDU: _row(_S.Sta2, "AA-2 AA-3 . AA-3 AA-3 AA-3 AA-3 AA-3 AA-3 AA-3 AA-3 AA-2"),
    Event.TRANSPORT_CLOSED: _row(_S.Sta2, "AA-5 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AR-5"),
    Event.ARTIM_EXPIRED: {_S.Sta2: "AA-2", _S.Sta13: "AA-2"},
    Event.INVALID_PDU: _row(_S.Sta2, "AA-1 AA-8 . AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-7"),
}
