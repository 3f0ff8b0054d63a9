"""The `associate` edit changes the contexts that policy refuses, and not one byte besides."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import pdu_vectors as vectors
from support.pdu_vectors import APPLICATION, USER, associate, context_ac, context_rq, item
from wardgate.codes import Code
from wardgate.edit import EditError
from wardgate.edit.associate import NothingLeft, answer, leave_out
from wardgate.upperlayer.errors import AbortReason, PduError
from wardgate.upperlayer.pdu import AssociateAC, AssociateRQ, decode

ODD = item(0x99, b"\x03kept", 0xEE)  # an unknown item whose content begins like a context ID
THREE = associate(1, APPLICATION, context_rq(1, "1.1"), ODD, context_rq(3, "1.3", "9.1", "9.2"), context_rq(5, "1.5"), USER)


def refusal(number: int, transfer: str = "1.2.840.10008.1.2") -> bytes:
    return context_ac(number, 1, transfer)


def request(data: bytes) -> AssociateRQ:
    decoded = decode(data)
    assert isinstance(decoded, AssociateRQ)
    return decoded


@pytest.mark.parametrize("data", [vectors.RQ, vectors.ODD_RQ, THREE])
def test_request_with_nothing_refused_is_the_very_same_object(data: bytes) -> None:
    assert leave_out(data, frozenset()) is data


@pytest.mark.parametrize("data", [vectors.AC, vectors.ODD_AC])
def test_answer_with_nothing_refused_is_the_very_same_object(data: bytes) -> None:
    assert answer(data, request(vectors.RQ), frozenset()) is data


def test_refused_context_is_cut_out_and_the_length_mended() -> None:
    assert leave_out(THREE, frozenset({3})) == associate(1, APPLICATION, context_rq(1, "1.1"), ODD, context_rq(5, "1.5"), USER)
    assert leave_out(THREE, frozenset({1, 5})) == associate(1, APPLICATION, ODD, context_rq(3, "1.3", "9.1", "9.2"), USER)


def test_reserved_bytes_of_the_request_stay() -> None:
    extra = context_rq(7, "1.7")
    longer = bytearray(vectors.ODD_RQ + extra)
    longer[2:6] = (len(longer) - 6).to_bytes(4, "big")
    assert leave_out(bytes(longer), frozenset({7})) == vectors.ODD_RQ


def test_nothing_left_is_said_so_that_the_caller_is_rejected() -> None:
    with pytest.raises(NothingLeft):
        leave_out(THREE, frozenset({1, 3, 5}))


def test_context_that_was_not_proposed_cannot_be_left_out() -> None:
    with pytest.raises(EditError, match=r"\[7\]"):
        leave_out(THREE, frozenset({3, 7}))
    with pytest.raises(EditError, match=r"\[7\]"):
        answer(associate(2, APPLICATION, context_ac(1), USER), request(THREE), frozenset({7}))


@pytest.mark.parametrize(
    "refused, answered, expected",
    [
        ({3}, [1, 5], [1, -3, 5]),
        ({1}, [3, 5], [-1, 3, 5]),
        ({5}, [1, 3], [1, 3, -5]),
        ({1, 3}, [5], [-1, -3, 5]),
        ({3, 5}, [1], [1, -3, -5]),
        ({1, 5}, [3], [-1, 3, -5]),
        ({3}, [5, 1], [-3, 5, 1]),  # the called side answers out of order: its own order stays
        ({1}, [], [-1]),
    ],
)
def test_left_out_contexts_are_answered_at_their_place(refused: set[int], answered: list[int], expected: list[int]) -> None:
    ac = associate(2, APPLICATION, *map(context_ac, answered), ODD, USER)
    syntax = {1: "1.2.840.10008.1.2", 3: "9.1", 5: "1.2.840.10008.1.2"}
    wanted = [context_ac(n) if n > 0 else refusal(-n, syntax[-n]) for n in expected]
    assert answer(ac, request(THREE), frozenset(refused)) == associate(2, APPLICATION, *wanted, ODD, USER)


def test_called_side_that_answers_a_context_left_out_is_caught() -> None:
    ac = associate(2, APPLICATION, context_ac(1), context_ac(3), USER)
    with pytest.raises(PduError, match="context 3 is answered and was not proposed") as caught:
        answer(ac, request(THREE), frozenset({3}))
    assert caught.value.offset == ac.index(context_ac(3)) + 4
    assert (caught.value.reason, caught.value.code) == (AbortReason.UNEXPECTED_PARAMETER, Code.CONTEXT_ANSWER_UNASKED)


def test_caller_reads_the_mended_answer_as_a_user_rejection() -> None:
    rq = request(THREE)
    mended = decode(answer(associate(2, APPLICATION, context_ac(1), context_ac(5), USER), rq, frozenset({3})))
    assert isinstance(mended, AssociateAC)
    assert [(context.id, context.result) for context in mended.contexts] == [(1, 0), (3, 1), (5, 0)]


def test_pynetdicom_reads_the_mended_answer() -> None:
    theirs = pytest.importorskip("pynetdicom.pdu").A_ASSOCIATE_AC()
    theirs.decode(answer(associate(2, APPLICATION, context_ac(1), context_ac(5), USER), request(THREE), frozenset({3})))
    assert [(context.context_id, context.result) for context in theirs.presentation_context] == [(1, 0), (3, 1), (5, 0)]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_leaving_out_and_answering_account_for_every_context_once(data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, 127).map(lambda half: half * 2 + 1), min_size=2, max_size=12, unique=True))
    refused = frozenset(data.draw(st.sets(st.sampled_from(ids), max_size=len(ids) - 1)))
    rq = associate(1, APPLICATION, *(context_rq(n, f"1.{n}") for n in ids), ODD, USER)
    passed = request(leave_out(rq, refused))
    assert [context.id for context in passed.contexts] == [n for n in ids if n not in refused]
    ac = associate(2, APPLICATION, *(context_ac(context.id, 0) for context in passed.contexts), ODD, USER)
    mended = answer(ac, request(rq), refused)
    assert mended == associate(2, APPLICATION, *(refusal(n) if n in refused else context_ac(n) for n in ids), ODD, USER)
