"""The seam for changes to what passes: an *edit* is a sans-IO stage with its own rule and its own code.

Everything that the gateway does not edit leaves as the very bytes that came in. So an edit

* has one rule that says when it applies, and when it does not, it returns the object it was given, not a copy;
* changes no byte that its rule does not name, and keeps the length where the standard lets it;
* knows no socket, clock, file or key: bytes in, bytes out, and raises rather than guesses;
* is named here, and its use is logged with its own code, so that a log tells what the box changed.

`associate`: leave presentation contexts out that policy refuses, and answer them in the peer's place.
`response`: put another status into a response. `dataset`: other values for SOP Instance Status and its companions, in the stream;
`reframe` puts what it returns back into P-DATA-TF.
"""

from __future__ import annotations

from enum import Enum

from wardgate.upperlayer.errors import LocalError


class Edit(Enum):
    """Every edit there is, by the name that logs and records use."""

    ASSOCIATE = "associate"
    RESPONSE = "response"
    DATASET = "dataset"


class EditError(LocalError):
    """An edit was asked for something that it cannot do: our bug."""
