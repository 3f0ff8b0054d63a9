"""A plain PACS with storage commitment as SCP, whose reports can be made late, partial, repeated, wrong, or never."""

from __future__ import annotations

import contextlib
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from support.netdicom import COMMITMENT_INSTANCE, after_response, client_context, server_context
from support.peers import TlsFiles
from support.processes import LOOPBACK


class CommitPacs:
    """Use as a context manager. `back`: port of the box for reports on an association of their own; 0: on the same one.

    `hold_back`: requests are answered and not reported until `report` is called. `failed`: instances reported as failed, with their reason.
    """

    def __init__(self, port: int, back: int = 0, ae: str = "PACS", modality: str = "CT1", tls: TlsFiles | None = None) -> None:
        self.port, self.back, self.ae, self.modality, self.tls = port, back, ae, modality, tls
        self.commits = True  # is the service there?
        self.hold_back = False
        self.failed: dict[str, int] = {}
        self.silent: set[str] = set()  # instances that a report leaves out
        self.extra: list[tuple[str, str]] = []  # instances reported that nobody asked for: (class, instance)
        self.refuses: dict[str, int] = {}  # instances that are not stored, with their status
        self.action_status = 0x0000
        self.stored: list[str] = []
        self.bytes: dict[str, list[bytes]] = {}  # data sets as they came, each time
        self.requests: list[Dataset] = []
        self.answers: list[int] = []  # statuses of the N-EVENT-REPORT-RSPs
        self._server: Any = None

    def __enter__(self) -> CommitPacs:
        entity = AE(self.ae)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax)
        entity.add_supported_context(Verification)
        if self.commits:
            entity.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._action)]
        context = server_context(self.tls) if self.tls else None
        self._server = entity.start_server((LOOPBACK, self.port), block=False, ssl_context=context, evt_handlers=handlers)  # type: ignore[arg-type]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    def _store(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid not in self.refuses:
            self.stored.append(uid)
            self.bytes.setdefault(uid, []).append(event.request.DataSet.getvalue())
        return self.refuses.get(uid, 0x0000)

    def _action(self, event: Any) -> tuple[int, None]:
        wanted = event.action_information
        if self.action_status:
            return self.action_status, None
        self.requests.append(wanted)
        if not self.hold_back:
            after_response(event.assoc, lambda: self._later(wanted, event.assoc))
        return 0x0000, None

    def _later(self, wanted: Dataset, association: Any) -> None:
        if self.back:
            with contextlib.suppress(AssertionError):  # the test may be over and its box gone; what must arrive is looked for there
                self.report(wanted)
        else:
            self._say(association, wanted)

    def report(self, wanted: Dataset, transaction: str = "") -> int:
        """Report on an association of its own, as its SCP (PS3.4 J.3.3); return the status."""
        entity = AE(self.ae)
        entity.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True, scu_role=False)
        tls = (client_context(self.tls), LOOPBACK) if self.tls else None
        made = entity.associate(LOOPBACK, self.back, ae_title=self.modality, ext_neg=[role], tls_args=tls)
        assert made.is_established, "the box takes the association of a report"
        try:
            return self._say(made, wanted, transaction)
        finally:
            made.release()

    def _say(self, association: Any, wanted: Dataset, transaction: str = "") -> int:
        information = Dataset()
        information.TransactionUID = transaction or wanted.TransactionUID
        good, bad = [], []
        for item in wanted.ReferencedSOPSequence:
            uid = str(item.ReferencedSOPInstanceUID)
            if uid in self.silent:
                continue
            if uid in self.failed:
                item.FailureReason = self.failed[uid]
                bad.append(item)
            else:
                good.append(item)
        for sop_class, uid in self.extra:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            good.append(item)
        if good:
            information.ReferencedSOPSequence = good
        if bad:
            information.FailedSOPSequence = bad
        status, _ = association.send_n_event_report(information, 2 if bad else 1, StorageCommitmentPushModel, COMMITMENT_INSTANCE)
        code = int(status.Status) if "Status" in status else -1
        self.answers.append(code)
        return code
