"""PDUs that another implementation made, or a hand, decode to what they say and encode to the same bytes."""

from __future__ import annotations

import pytest

from support import pdu_vectors as vectors
from wardgate.upperlayer.associate import ae_field
from wardgate.upperlayer.identity import UserIdentityAC, UserIdentityRQ
from wardgate.upperlayer.items import PresentationContextAC, PresentationContextRQ
from wardgate.upperlayer.pdata import PDV
from wardgate.upperlayer.pdu import Abort, AssociateAC, AssociateRJ, AssociateRQ, PDataTF, ReleaseRP, ReleaseRQ, accepted_contexts, decode
from wardgate.upperlayer.subitems import (
    AsynchronousOperationsWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    ImplementationClassUid,
    ImplementationVersionName,
    MaximumLength,
    RoleSelection,
)
from wardgate.upperlayer.terms import AbortReason, ContextResult, RejectCause, RejectResult
from wardgate.upperlayer.userinfo import UserInformation

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

SUB_ITEMS = (
    MaximumLength(16382),
    ImplementationClassUid.of("1.2.826.0.1.3680043.8.498.1"),
    ImplementationVersionName(b"MODALITY_1"),
    AsynchronousOperationsWindow(3, 2),
    RoleSelection(CT.encode(), 1, 1),
    ExtendedNegotiation(CT.encode(), b"\x02\x00\x03\x00\x01\x00"),
)


@pytest.mark.parametrize("name", vectors.ALL)
def test_what_was_decoded_encodes_to_the_same_bytes(name: str) -> None:
    data = vectors.ALL[name]
    assert decode(data).encode() == data
    assert decode(bytearray(data)) == decode(memoryview(data)) == decode(data)


def test_request_of_pynetdicom_is_read_and_built_as_it_stands() -> None:
    common = CommonExtendedNegotiation(
        CT.encode(), b"1.2.840.10008.4.2", (b"1.2.840.10008.5.1.4.1.1.88.22", b"1.2.840.10008.5.1.4.1.1.2.1")
    )
    built = AssociateRQ.of(
        "PACS",
        "CT1",
        (PresentationContextRQ.of(1, CT, EXPLICIT, IMPLICIT), PresentationContextRQ.of(3, "1.2.840.10008.1.1", IMPLICIT)),
        UserInformation((*SUB_ITEMS, common, UserIdentityRQ(2, 1, b"tech", b"secret"))),
    )
    assert built.encode() == vectors.RQ
    assert decode(vectors.RQ) == built
    assert (built.called_ae, built.calling_ae, built.maximum_length) == ("PACS", "CT1", 16382)
    assert built.application_context == "1.2.840.10008.3.1.1.1" and built.speaks_version_1
    assert [(c.id, c.abstract_syntax, c.transfer_syntaxes) for c in built.contexts] == [
        (1, CT, (EXPLICIT, IMPLICIT)),
        (3, "1.2.840.10008.1.1", (IMPLICIT,)),
    ]


def test_answer_of_pynetdicom_is_read_and_built_as_it_stands() -> None:
    rq = decode(vectors.RQ)
    assert isinstance(rq, AssociateRQ)
    built = AssociateAC.of(
        rq,
        (
            PresentationContextAC.of(1, ContextResult.ACCEPTANCE, EXPLICIT),
            PresentationContextAC.of(3, ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED, IMPLICIT),
        ),
        UserInformation((*SUB_ITEMS, UserIdentityAC(b"ticket"))),
    )
    assert built.encode() == vectors.AC
    assert decode(vectors.AC) == built
    assert accepted_contexts(rq, built) == {1: (CT, EXPLICIT)}


def test_short_pdus_of_pynetdicom_are_read_and_built_as_they_stand() -> None:
    assert decode(vectors.RJ) == AssociateRJ.of(RejectResult.TRANSIENT, RejectCause.LOCAL_LIMIT_EXCEEDED)
    assert decode(vectors.PDATA) == PDataTF((PDV(1, 3, b"cmd!"), PDV(1, 2, bytes(range(8)))))
    assert decode(vectors.RLRQ) == ReleaseRQ()
    assert decode(vectors.RLRP) == ReleaseRP()
    assert decode(vectors.ABORT) == Abort.by_provider(AbortReason.INVALID_PARAMETER_VALUE)


def test_odd_request_shows_what_counts_and_keeps_the_rest() -> None:
    rq = decode(vectors.ODD_RQ)
    assert isinstance(rq, AssociateRQ)
    assert rq.called_ae == "PACS"
    assert rq.calling_ae == r"CT\x01\xff 1"
    assert rq.user_information.maximum_length == 0xFFFFFFFF
    assert [(c.id, c.abstract_syntax, c.transfer_syntaxes) for c in rq.contexts] == [(255, "1.2.840.10008.1.1", (IMPLICIT,))]


def test_odd_answer_shows_what_counts_and_keeps_the_rest() -> None:
    ac = decode(vectors.ODD_AC)
    assert isinstance(ac, AssociateAC)
    assert [(c.id, c.accepted, c.transfer_syntax) for c in ac.contexts] == [(5, True, IMPLICIT), (1, False, ""), (3, False, "")]


def test_reserved_pair_of_source_and_reason_is_kept_without_a_name() -> None:
    rj = decode(vectors.ODD_RJ)
    assert isinstance(rj, AssociateRJ)
    assert (rj.result, rj.source, rj.reason, rj.cause) == (9, 8, 7, None)


def test_pynetdicom_reads_what_we_build() -> None:
    pdus = pytest.importorskip("pynetdicom.pdu")
    for name, data in (("A_ASSOCIATE_RQ", vectors.RQ), ("A_ASSOCIATE_AC", vectors.AC), ("P_DATA_TF", vectors.PDATA)):
        theirs = getattr(pdus, name)()
        theirs.decode(decode(data).encode())
        assert theirs.encode() == data


def test_ae_field_is_padded_with_blanks() -> None:
    assert ae_field("CT1") == b"CT1             "
