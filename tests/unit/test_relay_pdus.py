"""Association PDUs read once: what is kept, and what never is."""

from __future__ import annotations

import pytest

from wardgate.relay import pdus
from wardgate.relay.pdus import MAX_BYTES, MAX_KEPT, Pdus
from wardgate.upperlayer.associate import AssociateAC, AssociateRQ
from wardgate.upperlayer.errors import PduError
from wardgate.upperlayer.identity import UserIdentityRQ
from wardgate.upperlayer.items import AbstractSyntax, PresentationContextAC, PresentationContextRQ, TransferSyntax
from wardgate.upperlayer.pdu import accepted_contexts, decode
from wardgate.upperlayer.subitems import MaximumLength
from wardgate.upperlayer.terms import ContextResult
from wardgate.upperlayer.userinfo import UserInformation

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT = TransferSyntax(b"1.2.840.10008.1.2")
SECRET = b"not-for-the-memory"


def request(calling: str = "CT1", *more: MaximumLength | UserIdentityRQ, classes: tuple[str, ...] = (CT, MR)) -> AssociateRQ:
    contexts = tuple(PresentationContextRQ(2 * place + 1, (AbstractSyntax.of(name), IMPLICIT)) for place, name in enumerate(classes))
    return AssociateRQ.of("PACS", calling, contexts, UserInformation((MaximumLength(16384), *more)))


def reply(rq: AssociateRQ, second: ContextResult) -> AssociateAC:
    contexts = (PresentationContextAC(1, ContextResult.ACCEPTANCE, (IMPLICIT,)), PresentationContextAC(3, second, (IMPLICIT,)))
    return AssociateAC.of(rq, contexts, UserInformation((MaximumLength(8192),)))


def test_the_same_bytes_are_read_once_and_say_what_decode_says() -> None:
    memory = Pdus(1 << 20)
    data = request().encode()
    first = memory.read(data)
    assert memory.read(bytes(bytearray(data))) is first
    assert first.value == decode(data)
    assert (first.calling, first.called, first.maximum_length) == ("CT1", "PACS", 16384)
    assert first.contexts == ((1, CT), (3, MR))


def test_one_byte_more_or_other_is_read_anew() -> None:
    memory = Pdus(1 << 20)
    assert memory.read(request("CT1").encode()).calling == "CT1"
    assert memory.read(request("CT2").encode()).calling == "CT2"


def test_an_answer_is_agreed_with_its_own_request_only() -> None:
    memory = Pdus(1 << 20)
    one, other = request(), request(classes=(MR, CT))
    answer = reply(one, ContextResult.ACCEPTANCE)
    read = memory.read(answer.encode())
    for rq in (one, other, one):
        assert read.agreed(rq) == accepted_contexts(rq, answer)


def test_who_changes_what_was_agreed_changes_nobody_elses() -> None:
    memory = Pdus(1 << 20)
    rq = request()
    read = memory.read(reply(rq, ContextResult.ACCEPTANCE).encode())
    read.agreed(rq).clear()
    assert set(read.agreed(rq)) == {1, 3}


def test_a_passcode_is_not_kept() -> None:
    memory = Pdus(1 << 20)
    data = request("CT1", UserIdentityRQ(2, 0, b"user", SECRET)).encode()
    assert memory.read(data) is not memory.read(data)
    assert len(memory) == 0


def test_strangers_cannot_make_it_keep_more_than_its_bound() -> None:
    memory = Pdus(1 << 20)
    for number in range(3 * MAX_KEPT):
        memory.read(request(f"CT{number}").encode())
    assert len(memory) == MAX_KEPT


def test_a_long_pdu_is_not_kept() -> None:
    memory = Pdus(1 << 20)
    long = request(classes=tuple(f"1.2.840.10008.5.1.4.1.1.{number:020d}" for number in range(120))).encode()
    assert len(long) > MAX_BYTES
    memory.read(long)
    assert len(memory) == 0


def test_a_pdu_that_is_wrong_is_wrong_each_time() -> None:
    memory = Pdus(1 << 20)
    data = bytearray(request().encode())
    data[74] = 0x20  # PS3.8 9.3.2: the application context becomes a presentation context
    for _ in range(2):
        with pytest.raises(PduError):
            memory.read(bytes(data))
    assert len(memory) == 0


def test_the_bound_of_the_configuration_holds_here_too() -> None:
    with pytest.raises(PduError):
        Pdus(100).read(request().encode())


def test_the_one_used_last_goes_last() -> None:
    memory = pdus.Pdus(1 << 20)
    often = request("OFTEN").encode()
    first = memory.read(often)
    for number in range(2 * MAX_KEPT):
        memory.read(request(f"CT{number}").encode())
        assert memory.read(often) is first
