"""pynetdicom peers: an SCP that keeps what it was told, and the SCUs of worklist, C-GET, C-MOVE, MPPS and storage commitment."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StorageCommitmentPushModel,
    Verification,
)

from support.datasets import EXPLICIT_LITTLE, Sample
from support.peers import TlsFiles
from support.processes import LOOPBACK, READY_SECONDS, until

COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"  # PS3.4 J.3.5, the well-known SOP Instance


def server_context(tls: TlsFiles) -> ssl.SSLContext:
    """Return a context that requires a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tls.chain, tls.key)
    context.load_verify_locations(tls.anchors)
    return context


def client_context(tls: TlsFiles) -> ssl.SSLContext:
    """Return a context with a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_cert_chain(tls.chain, tls.key)
    context.load_verify_locations(tls.anchors)
    return context


@dataclass(slots=True)
class Told:
    """One thing that a peer was told."""

    kind: str
    instance: str = ""
    data: Any = None
    event_type: int = 0
    instances: list[str] = field(default_factory=list)


class Scp:
    """A pynetdicom SCP for everything in these tests. Use as a context manager. `back`: where C-MOVE sends to, with TLS or in clear."""

    def __init__(self, ae: str, port: int, tls: TlsFiles | None = None, holds: Iterable[Sample] = (), report: str = "") -> None:
        self._entity = AE(ae)
        self._port, self._context, self._report = port, server_context(tls) if tls else None, report
        self.told: list[Told] = []
        self.holds = list(holds)
        self.back: tuple[int, TlsFiles | None] = (0, None)
        self._server: Any = None
        for context in AllStoragePresentationContexts:
            self._entity.add_supported_context(context.abstract_syntax, scu_role=True, scp_role=True)
        for sop_class in (
            Verification,
            ModalityWorklistInformationFind,
            ModalityPerformedProcedureStep,
            PatientRootQueryRetrieveInformationModelGet,
            PatientRootQueryRetrieveInformationModelMove,
        ):
            self._entity.add_supported_context(sop_class)
        self._entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)

    def __enter__(self) -> Scp:
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_GET, self._get),
            (evt.EVT_C_MOVE, self._move),
            (evt.EVT_N_CREATE, self._create),
            (evt.EVT_N_SET, self._set),
            (evt.EVT_N_ACTION, self._action),
            (evt.EVT_N_EVENT_REPORT, self._event),
        ]
        self._server = self._entity.start_server((LOOPBACK, self._port), block=False, ssl_context=self._context, evt_handlers=handlers)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    def wait(self, kind: str, seconds: float = READY_SECONDS) -> Told:
        """Wait until it was told something of `kind` and return that."""
        until(lambda: any(one.kind == kind for one in self.told), f"the peer was told {kind}", seconds)
        return next(one for one in self.told if one.kind == kind)

    def _store(self, event: Any) -> int:
        self.told.append(Told("store", event.request.AffectedSOPInstanceUID, event.request.DataSet.getvalue()))
        return 0x0000

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        for number in range(1, 4):
            match = Dataset()
            match.PatientName, match.PatientID = f"WARD^{number}", f"P{number}"
            yield 0xFF00, match
        yield 0x0000, None

    def _get(self, event: Any) -> Iterator[Any]:
        from pydicom import dcmread

        yield len(self.holds)
        for one in self.holds:
            yield 0xFF00, dcmread(one.path)

    def _move(self, event: Any) -> Iterator[Any]:
        port, tls = self.back
        words: dict[str, Any] = {"contexts": [build_context(CTImageStorage, EXPLICIT_LITTLE)]}
        if tls is not None:
            words["tls_args"] = (client_context(tls), LOOPBACK)
        yield LOOPBACK, port, words
        yield from self._get(event)

    def _create(self, event: Any) -> tuple[int, Dataset]:
        self.told.append(Told("create", event.request.AffectedSOPInstanceUID, event.attribute_list))
        return 0x0000, event.attribute_list

    def _set(self, event: Any) -> tuple[int, Dataset]:
        self.told.append(Told("set", event.request.RequestedSOPInstanceUID, event.modification_list))
        return 0x0000, event.modification_list

    def _action(self, event: Any) -> tuple[int, None]:
        wanted = event.action_information
        self.told.append(Told("action", event.request.RequestedSOPInstanceUID, wanted))
        if self._report == "same association":
            # PS3.4 J.3.3: on the same association, after the response of the N-ACTION has gone.
            after_response(event.assoc, lambda: send_report(event.assoc, wanted))
        return 0x0000, None

    def _event(self, event: Any) -> tuple[int, None]:
        self.told.append(report_told(event))
        return 0x0000, None


def after_response(association: Association, then: Callable[[], object]) -> threading.Event:
    """Do something in a thread of its own once the response of the handler that calls this has been sent; return what says that it has.

    Nothing else is sent meanwhile on this association: its other side waits for that response.
    """
    sent = threading.Event()

    def noted(event: Any) -> None:
        if isinstance(event.pdu, P_DATA_TF):
            sent.set()

    def wait() -> None:
        if sent.wait(READY_SECONDS):
            then()

    association.bind(evt.EVT_PDU_SENT, noted)
    threading.Thread(target=wait, daemon=True).start()
    return sent


def report_told(event: Any) -> Told:
    """Return what an N-EVENT-REPORT of storage commitment says."""
    information = event.event_information
    instances = [str(item.ReferencedSOPInstanceUID) for item in information.get("ReferencedSOPSequence", [])]
    return Told("report", event.request.AffectedSOPInstanceUID, information, event.event_type, instances)


def send_report(association: Association, wanted: Dataset) -> int:
    """Send the N-EVENT-REPORT "all committed" and return the status."""
    information = Dataset()
    information.TransactionUID = wanted.TransactionUID
    information.ReferencedSOPSequence = wanted.ReferencedSOPSequence
    status, _ = association.send_n_event_report(information, 1, StorageCommitmentPushModel, COMMITMENT_INSTANCE)
    return int(status.Status)


@contextlib.contextmanager
def associate(
    port: int, calling: str, called: str, *sop_classes: str, tls: TlsFiles | None = None, roles: Iterable[str] = (), handlers: Any = ()
) -> Iterator[Association]:
    """Open an association for `sop_classes` and release it at the end; for `roles` the SCP role is proposed too (PS3.7 D.3.3.4)."""
    entity = AE(calling)
    for sop_class in sop_classes:
        # One transfer syntax for images: pynetdicom's acceptors would take Implicit VR and its requestors then refuse to send the file.
        entity.add_requested_context(sop_class, *([[EXPLICIT_LITTLE]] if sop_class == CTImageStorage else []))
    tls_args = (client_context(tls), LOOPBACK) if tls else None
    negotiation = [build_role(sop_class, scp_role=True, scu_role=True) for sop_class in roles]
    made = entity.associate(
        LOOPBACK,
        port,
        ae_title=called,
        ext_neg=negotiation,
        tls_args=tls_args,
        evt_handlers=list(handlers),  # type: ignore[arg-type]
    )
    assert made.is_established, f"no association: rejected {made.is_rejected}, aborted {made.is_aborted}"
    try:
        yield made
    finally:
        if made.is_established:
            made.release()


@dataclass(slots=True)
class Commitment:
    """How a request for storage commitment went: status of the N-ACTION, and the report if it came on the same association."""

    status: int
    report: Told | None = None


def request_commitment(
    port: int, samples: Iterable[Sample], calling: str, called: str, stays: bool = False, tls: TlsFiles | None = None
) -> Commitment:
    """N-ACTION for `samples`; with `stays` the association stays open until the N-EVENT-REPORT has come and is answered."""
    wanted = Dataset()
    wanted.TransactionUID = "1.2.826.0.1.3680043.10.1453.77.1"
    wanted.ReferencedSOPSequence = []
    for one in samples:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.sop_class, one.sop_instance
        wanted.ReferencedSOPSequence.append(item)
    got: list[Told] = []
    answered: list[threading.Event] = []

    def reported(event: Any) -> tuple[int, None]:
        got.append(report_told(event))
        answered.append(after_response(event.assoc, lambda: None))
        return 0x0000, None

    handlers = [(evt.EVT_N_EVENT_REPORT, reported)]
    with associate(port, calling, called, StorageCommitmentPushModel, tls=tls, handlers=handlers) as association:
        status, _ = association.send_n_action(wanted, 1, StorageCommitmentPushModel, COMMITMENT_INSTANCE)
        if stays:
            until(lambda: any(one.is_set() for one in answered), "the N-EVENT-REPORT on the same association is answered")
    return Commitment(int(status.Status) if "Status" in status else -1, got[0] if got else None)


def store_as_is(association: Association, one: Sample) -> int:
    """C-STORE of the file's data set bytes as they are; return the status."""
    from pynetdicom import _config

    before = _config.STORE_SEND_CHUNKED_DATASET
    _config.STORE_SEND_CHUNKED_DATASET = True
    try:
        return int(association.send_c_store(Path(one.path)).Status)
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = before
