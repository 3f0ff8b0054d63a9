"""What instances in hold carry for the log and the log has not: put in before their associations are given up."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping

from wardgate.custody.journal import Journal
from wardgate.custody.state import Entry

# Given associations and their last sequence numbers, what a queue has behind them: (association, seq, record), in order. Raises `OSError`.
Find = Callable[[Mapping[bytes, int]], Iterable[tuple[bytes, int, bytes]]]


def catch_up(journal: Journal, entries: Iterable[Entry], find: Find) -> int:
    """Put into the batch what `find` has for these open entries; return how many records. Raises `OSError`: not all that there is."""
    added = 0
    for association, seq, record in find({entry.association: entry.last_seq for entry in entries}):
        put = journal.catch_up(association, seq, record)
        if put is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        added += put
    return added
