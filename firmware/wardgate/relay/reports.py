"""Storage commitment that passes through (PS3.4 annex J): a report of one side is understood, and recorded for each instance.

It passes as it comes. What answers it waits for the records, as a C-STORE response does; without them the answer becomes
0110, processing failure, so that the side that reported does it again. A report that comes twice is recorded twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wardgate.codes import Code
from wardgate.dimse.commitment import MAX_BYTES, CommitmentError, read_report

if TYPE_CHECKING:
    from wardgate.custody.record import Flow as SentBy
    from wardgate.relay.association import Association


class PassingReport:
    """One N-EVENT-REPORT: gathered as it passes, then its records."""

    __slots__ = ("_data", "_failed", "_left", "_sent_by", "_transfer_syntax", "_whole", "message", "then")

    def __init__(self, message: int, transfer_syntax: str, sent_by: SentBy) -> None:
        self.message = message
        self.then: Callable[[bool], None] | None = None  # told when all records are written, or not
        self._transfer_syntax = transfer_syntax
        self._sent_by = sent_by
        self._data = bytearray()
        self._left = 0
        self._failed = False
        self._whole = False

    def take(self, data: memoryview) -> None:
        """Gather the data set, up to a bound."""
        if len(self._data) <= MAX_BYTES:
            self._data += data[: MAX_BYTES + 1 - len(self._data)]

    def whole(self, association: Association) -> None:
        """The data set has passed: write a record for each instance."""
        ledger = association.ledger
        assert ledger is not None
        data, self._data = self._data, bytearray()
        try:
            report = read_report(data, self._transfer_syntax)
        except CommitmentError as error:
            association.gate.event(error.code, association.titles, link=association.link.name, detail=error)
            self._whole = True
            self._tell()
            return
        failed = sum(reference.reason >= 0 for reference in report.references)
        association.gate.event(
            Code.COMMITMENT_FAILED if failed else Code.COMMITMENT_REPORTED, association.titles, link=association.link.name,
            transaction=report.transaction, committed=len(report.references) - failed, failed=failed,
        )  # fmt: skip
        self._left = len(report.references)
        for reference in report.references:
            ledger.commitment(report.transaction, reference, self._sent_by, self._recorded)
        self._whole = True
        self._tell()

    def _recorded(self, durable: bool) -> None:
        self._left -= 1
        self._failed |= not durable
        self._tell()

    def ask(self, then: Callable[[bool], None]) -> None:
        """Call `then(durable)` when all records are written, which may be now.

        An answer that comes before its report is whole waits for nothing: there is no record, and the rest may never come.
        """
        if not self._whole:
            then(False)
            return
        self.then = then
        self._tell()

    def _tell(self) -> None:
        if self._whole and not self._left and self.then is not None:
            then, self.then = self.then, None
            then(not self._failed)
