"""An association that proposes nothing that can be stored: no open entry, and no instance may pass under it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pair.test_relay_commitment import report
from support.datasets import CT_IMAGE, EXPLICIT_LITTLE, IMPLICIT_LITTLE, VERIFICATION
from support.relaykit import PROVIDER_ABORT, Relay, abort_of, silent, store, until
from support.wire import associate_rq, echo_rq, echo_rsp, pdv
from wardgate.custody.wire import Op, Status
from wardgate.policy.model import Role

WORKLIST = "1.2.840.10008.5.1.4.31"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
PRIVATE = "1.2.826.0.1.3680043.10.1453.9"
ECHO_ONLY = ((1, VERIFICATION, (IMPLICIT_LITTLE,)),)
ASKS = (*ECHO_ONLY, (3, WORKLIST, (IMPLICIT_LITTLE,)))


def test_an_echo_passes_without_an_entry_in_the_log(folder: Path) -> None:
    with Relay(folder) as relay:
        with relay.associate(contexts=ASKS) as pair:
            pair.pass_on(pdv(1, 3, echo_rq()))
            pair.pass_on(pdv(1, 3, echo_rsp()), back=True)
            pair.release()
        relay.settled()
        until(lambda: relay.writer.items, "the hello with the writer")  # nothing of this association waited for it
        assert {item[0] for item in relay.writer.items} == {Op.HELLO}


def test_an_echo_passes_while_the_log_takes_nothing(folder: Path) -> None:
    """Whoever looks whether the PACS is there learns whether the PACS is there."""
    with Relay(folder, prepare=lambda writer: writer.answers.update({Op.OPEN: Status.NO_SPACE})) as relay:
        with relay.associate(Role.PEER, contexts=ECHO_ONLY) as pair:
            pair.release()
        relay.settled()


@pytest.mark.parametrize("other", [CT_IMAGE, GET, PRIVATE])
def test_whoever_proposes_anything_else_beside_it_has_an_open_entry_first(folder: Path, other: str) -> None:
    """Also for a class that is not known, and for C-GET, whose instances come on the same association."""
    with Relay(folder, prepare=lambda writer: writer.hold(Op.OPEN)) as relay, relay.dial() as near:
        near.send(associate_rq("CT1", "PACS", (*ASKS, (5, other, (EXPLICIT_LITTLE,)))))
        with relay.accept() as far:
            assert silent(far)
            relay.writer.release()
            far.whole()
        assert len(relay.writer.ops(Op.OPEN)) == 1


@pytest.mark.parametrize("caller", list(Role))
@pytest.mark.parametrize("message", [store(context=1), report()], ids=["C-STORE", "storage commitment report"])
def test_what_needs_a_record_does_not_pass_under_it(folder: Path, caller: Role, message: Any) -> None:
    with Relay(folder) as relay:
        with relay.associate(caller, contexts=ECHO_ONLY) as pair:
            pair.near.send(message[0])
            assert abort_of(pair.near) == (2, 0)
            assert pair.far.whole() == PROVIDER_ABORT
        relay.settled()
        assert "STORE_NOT_PROPOSED" in relay.codes()
        until(lambda: relay.writer.items, "the hello with the writer")  # nothing of this association waited for it
        assert {item[0] for item in relay.writer.items} == {Op.HELLO}


def test_the_called_side_cannot_store_under_it_either(folder: Path) -> None:
    with Relay(folder) as relay, relay.associate(contexts=ECHO_ONLY) as pair:
        pair.far.send(store(context=1)[0])
        assert abort_of(pair.far) == (2, 0)
        assert pair.near.whole() == PROVIDER_ABORT
