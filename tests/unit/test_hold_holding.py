"""What a holder does with SOP Instance Status (PS3.15 A.1.1 a to f), and what a person signs."""

from __future__ import annotations

import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from support.person import Person
from wardgate.custody.status import After, NotPermitted, State, Status
from wardgate.edit.dataset import COMMENT, DATE_TIME, EQUIPMENT, STATUS
from wardgate.hold import holding
from wardgate.hold.holding import Claim
from wardgate.hold.statement import Named, NotAuthorized, read_signed, statement

AT = 1_790_000_000_123_456_789


@pytest.mark.parametrize(
    ("came", "creating", "state"),
    [
        (None, True, State.OR), (b"NS", True, State.OR), (b"OR", True, State.OR), (b"", True, State.OR),
        (b"AO", True, State.NS), (b"AC", True, State.NS), (b"XX", True, State.NS),
        (None, False, State.NS), (b"OR", False, State.NS), (b"AO", False, State.NS), (b"AC", False, State.NS),
    ],
)  # fmt: skip
def test_what_arrives_on_a_clear_channel_is_ns_but_an_original_of_the_creating_entity(
    came: bytes | None, creating: bool, state: State
) -> None:
    claim = holding.arrived({} if came is None else {STATUS: came}, creating, AT)
    assert claim.state is state
    assert bool(claim.since) is (state is State.OR)


@pytest.mark.parametrize(
    ("came", "state"),
    [(None, State.NS), (b"NS", State.NS), (b"OR", State.RECEIVED_OR), (b"AO", State.RECEIVED_AO), (b"AC", State.AC), (b"XX", State.NS)],
)
def test_what_arrives_inside_the_profile_is_what_it_says_and_an_original_is_not_ours_yet(came: bytes | None, state: State) -> None:
    claim = holding.arrived({} if came is None else {STATUS: came}, False, AT, inside=True)
    assert claim.state is state
    if state in holding.RECEIVED:
        assert holding.taken_over(claim).state in (State.OR, State.AO)
        with pytest.raises(NotPermitted):
            holding.removable(claim)


def test_somebody_elses_claim_is_passed_on_as_it_came() -> None:
    came = {STATUS: b"AO", DATE_TIME: b"2020", COMMENT: b"theirs"}
    assert holding.values(came, Status.AO, Claim(State.AO), "CERT-1") is came
    ours = Claim(State.AO, "20260921141320.123456+0000", "ab", "ours")
    assert holding.values({**came, EQUIPMENT: b"X"}, Status.AO, ours, "")[EQUIPMENT] == b"X"


def test_the_date_time_is_utc_with_its_offset() -> None:
    assert holding.date_time(AT) == "20260921141320.123456+0000"


@pytest.mark.parametrize(
    ("state", "inside", "status", "after"),
    [
        (State.OR, True, Status.OR, State.OR_PENDING), (State.AO, True, Status.AO, State.AO_PENDING),
        (State.AC, True, Status.AC, State.AC), (State.NS, True, Status.NS, State.NS),
        (State.OR, False, Status.NS, State.OR), (State.AO, False, Status.NS, State.AO),
        (State.AC, False, Status.NS, State.AC), (State.NS, False, Status.NS, State.NS),
    ],
)  # fmt: skip
def test_how_each_state_leaves(state: State, inside: bool, status: Status, after: State) -> None:
    way = holding.leaving(Claim(state), inside)
    assert (way.status, way.state) == (status, after)


@pytest.mark.parametrize("state", [State.OR_PENDING, State.AO_PENDING, State.RECEIVED_OR, State.RECEIVED_AO])
def test_nothing_leaves_inside_while_its_holder_is_in_doubt(state: State) -> None:
    with pytest.raises(NotPermitted):
        holding.leaving(Claim(state), True)


def test_rule_d_whole_a_transfer_that_is_committed_or_not() -> None:
    for state, after, end in (
        (State.OR, After.DELETE, State.NONE), (State.OR, After.NS, State.NS), (State.OR, After.AC, State.NS),
        (State.AO, After.DELETE, State.NONE), (State.AO, After.NS, State.NS), (State.AO, After.AC, State.AC),
    ):  # fmt: skip
        pending = holding.pending(Claim(state))
        assert holding.committed(pending, after).state is end
        assert holding.not_committed(pending).state is state


def test_rule_c_an_original_is_never_removable() -> None:
    for state in (State.OR, State.AO, State.OR_PENDING, State.AO_PENDING):
        with pytest.raises(NotPermitted):
            holding.removable(Claim(state))
    holding.removable(Claim(State.AC))
    holding.removable(Claim(State.NS))


def test_rule_b_only_an_original_that_is_here_is_authorized_and_once() -> None:
    claim = holding.authorized(Claim(State.OR, "20200101000000+0000"), AT, "ab" * 32, "seen")
    assert claim == Claim(State.AO, "20260921141320.123456+0000", "ab" * 32, "seen")
    for state in (State.AO, State.NS, State.AC, State.OR_PENDING):
        with pytest.raises(NotPermitted):
            holding.authorized(Claim(state), AT, "", "")


def test_the_four_attributes_say_the_claim_or_nothing_is_touched() -> None:
    claim = Claim(State.AO, "20260921141320.123456+0000", "ab" * 32, "seen")
    came = {STATUS: b"OR", DATE_TIME: b"2020"}
    assert holding.values(came, Status.AO, claim, "CERT-1") == {
        STATUS: b"AO", DATE_TIME: b"20260921141320.123456+0000", EQUIPMENT: b"CERT-1", COMMENT: b"seen",
    }  # fmt: skip
    assert holding.values(came, Status.NS, claim, "CERT-1") == {STATUS: b"NS"}
    for untouched in ({}, {STATUS: b"NS"}, {STATUS: b"", COMMENT: b"x "}):
        assert holding.values(untouched, Status.NS, claim, "CERT-1") is untouched


def test_a_claim_survives_its_note() -> None:
    claim = Claim(State.AO_PENDING, "2026", "ab", "c")
    assert holding.decode(claim.encode()) == claim


# --- statements

TEXT = statement("ward-ct1", "ct1", "00" * 16, "2026-11-29T20:00:00Z", "seen", [Named("1.2.3", "ab" * 32)])


def keys() -> list[ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey]:
    return [ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)]


def test_a_statement_signed_by_a_person_who_may_is_taken_with_every_kind_of_card_key() -> None:
    for key in keys():
        person = Person(key)
        signed = read_signed(person.signs(TEXT), (person.fingerprint,), time.time())
        assert (signed.text, signed.fingerprint) == (TEXT, person.fingerprint)


def test_no_other_person_no_other_text_no_old_certificate() -> None:
    person, other = Person(), Person()
    old = Person(days=-1)
    good = person.signs(TEXT)
    for data, allowed in (
        (good, (other.fingerprint,)),
        (good, ()),
        ({**good, "statement": TEXT.replace("1.2.3", "1.2.4")}, (person.fingerprint,)),
        ({**good, "signature": other.signs(TEXT)["signature"]}, (person.fingerprint,)),
        ({**good, "signature": ""}, (person.fingerprint,)),
        ({**good, "certificate": "x"}, (person.fingerprint,)),
        (person.signs("wardgate authorization v2\n"), (person.fingerprint,)),
        (old.signs(TEXT), (old.fingerprint,)),
        ({}, (person.fingerprint,)),
    ):
        with pytest.raises(NotAuthorized):
            read_signed(data, allowed, time.time())
