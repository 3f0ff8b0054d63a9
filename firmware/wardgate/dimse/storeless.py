"""SOP classes in whose messages no SOP Instance is stored: an association that proposes nothing else can have no C-STORE."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# PS3.4 A.4, C.6, K.6.1. C-GET is not here: its instances come as C-STORE on the same association (PS3.4 C.4.3).
_STORE_NOTHING: Final = frozenset(
    {
        "1.2.840.10008.1.1",  # Verification
        "1.2.840.10008.5.1.4.31",  # Modality Worklist Information Model - FIND
        "1.2.840.10008.5.1.4.1.2.1.1",  # Patient Root Query/Retrieve Information Model - FIND
        "1.2.840.10008.5.1.4.1.2.1.2",  # the same, MOVE: its instances come on an association of their own
        "1.2.840.10008.5.1.4.1.2.2.1",  # Study Root, FIND
        "1.2.840.10008.5.1.4.1.2.2.2",  # Study Root, MOVE
        "1.2.840.10008.5.1.4.1.2.3.1",  # Patient/Study Only (retired), FIND
        "1.2.840.10008.5.1.4.1.2.3.2",  # Patient/Study Only (retired), MOVE
    }
)


def may_store(abstract_syntaxes: Iterable[str]) -> bool:
    """Tell whether an association for which these were proposed may have a C-STORE; of a class that is not known it is believed."""
    return not _STORE_NOTHING.issuperset(abstract_syntaxes)
