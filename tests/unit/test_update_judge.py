"""The judge of a new slot: one test a cell of its table; versions; what is kept of a trial and what a start makes of it."""

from __future__ import annotations

import pytest

from wardgate.update import trial as trials
from wardgate.update import version
from wardgate.update.judge import CUSTODY, SERVICE, VAULT, Judgement, Outcome, Seen, Verdict, judge, worked
from wardgate.update.trial import Phase, Side, Situation, Trial, TrialError, situation

WORKS, FAILS, CONTRADICTS = Outcome.WORKS, Outcome.FAILS, Outcome.CONTRADICTS
PEER, TOKEN = "peer:ct1/pacs", "token:card"
TRIAL = Trial(Phase.INSTALLED, "boot-1", Side("A", "1.0.0"), Side("B", "2.0.0"), frozenset({SERVICE, PEER}), 7)


def seen(records: int | None = 10, **checks: Outcome) -> Seen:
    named = {"service": SERVICE, "custody": CUSTODY, "vault": VAULT, "peer": PEER, "token": TOKEN}
    return Seen({SERVICE: WORKS, **{named[name]: outcome for name, outcome in checks.items()}}, records)


@pytest.mark.parametrize("name", [SERVICE, CUSTODY, VAULT, PEER, TOKEN])
@pytest.mark.parametrize(
    "now, waited, verdict",
    [
        (WORKS, 0.0, Verdict.GOOD),
        (WORKS, 300.0, Verdict.GOOD),
        (FAILS, 0.0, Verdict.WAIT),
        (FAILS, 299.9, Verdict.WAIT),
        (FAILS, 300.0, Verdict.BAD),
        (CONTRADICTS, 0.0, Verdict.BAD),
        (CONTRADICTS, 300.0, Verdict.BAD),
    ],
)
def test_what_worked_before_has_to_work_again_within_the_time(name: str, now: Outcome, waited: float, verdict: Verdict) -> None:
    made = judge(frozenset({name}), 10, Seen({SERVICE: WORKS, name: now}, 10), waited, 300.0)
    assert made == Judgement(verdict, () if verdict is Verdict.GOOD else (name,))


@pytest.mark.parametrize("now", list(Outcome))
@pytest.mark.parametrize("waited", [0.0, 300.0])
def test_what_did_not_work_before_is_not_asked_for(now: Outcome, waited: float) -> None:
    assert judge(frozenset({SERVICE}), 0, seen(peer=now, custody=now, token=now), waited, 300.0).verdict is Verdict.GOOD


@pytest.mark.parametrize("now", [FAILS, CONTRADICTS])
@pytest.mark.parametrize("vault", [{}, {VAULT: FAILS}])
def test_a_box_that_served_nobody_before_is_not_asked_to_and_stays_unproven(now: Outcome, vault: dict[str, Outcome]) -> None:
    """As with a vault that was closed at the install and is closed now."""
    baseline, dead = frozenset({PEER}), Seen({PEER: WORKS, SERVICE: now, **vault}, None)
    assert judge(baseline, 0, dead, 0.0, 300.0) == Judgement(Verdict.WAIT, ())
    assert judge(baseline, 0, dead, 300.0, 300.0) == Judgement(Verdict.UNPROVEN, ())


def test_what_worked_is_asked_for_also_where_nobody_was_served() -> None:
    assert judge(frozenset({PEER}), 0, Seen({PEER: FAILS, SERVICE: FAILS}, None), 300.0, 300.0) == Judgement(Verdict.BAD, (PEER,))


def test_a_box_that_served_nobody_before_and_serves_now_is_good() -> None:
    assert judge(frozenset(), 0, Seen({SERVICE: WORKS}, 1), 0.0, 300.0).verdict is Verdict.GOOD


@pytest.mark.parametrize("waited, verdict", [(0.0, Verdict.WAIT), (300.0, Verdict.BAD)])
def test_a_vault_that_was_closed_and_is_open_now_has_the_gateway_asked_for(waited: float, verdict: Verdict) -> None:
    opened = Seen({VAULT: WORKS, SERVICE: FAILS}, None)
    assert judge(frozenset(), 0, opened, waited, 300.0) == Judgement(verdict, (SERVICE,))


def test_a_vault_that_was_open_while_nobody_was_served_does_not_have_the_gateway_asked_for() -> None:
    assert judge(frozenset({VAULT}), 0, Seen({VAULT: WORKS, SERVICE: FAILS}, None), 300.0, 300.0).verdict is Verdict.UNPROVEN


def test_a_check_that_is_gone_fails() -> None:
    assert judge(frozenset({PEER}), 0, seen(), 300.0, 300.0) == Judgement(Verdict.BAD, (PEER,))


@pytest.mark.parametrize("records, verdict", [(9, Verdict.BAD), (10, Verdict.GOOD), (11, Verdict.GOOD)])
def test_a_custody_log_that_lost_records_is_bad_at_once(records: int, verdict: Verdict) -> None:
    assert judge(frozenset({CUSTODY}), 10, seen(records, custody=WORKS), 0.0, 300.0).verdict is verdict


def test_all_that_is_missing_is_named() -> None:
    made = judge(frozenset({PEER, TOKEN, VAULT}), 0, seen(peer=FAILS, token=WORKS, vault=FAILS), 1.0, 300.0)
    assert made.missing == (PEER, VAULT)


def test_the_baseline_is_what_works() -> None:
    assert worked(seen(peer=WORKS, token=FAILS, custody=CONTRADICTS)) == {SERVICE, PEER}


@pytest.mark.parametrize(
    "phase, slot, boot, wanted",
    [
        (None, "A", "boot-1", Situation.NONE),
        (Phase.INSTALLING, "A", "boot-1", Situation.NOT_STARTED),
        (Phase.INSTALLED, "A", "boot-1", Situation.NOT_STARTED),
        (Phase.FAILED, "A", "boot-1", Situation.NOT_STARTED),
        (Phase.INSTALLING, "A", "boot-2", Situation.INTERRUPTED),
        (Phase.INSTALLED, "A", "boot-2", Situation.ROLLED_BACK),
        (Phase.FAILED, "A", "boot-2", Situation.ROLLED_BACK),
        (Phase.INSTALLING, "B", "boot-2", Situation.ON_TRIAL),  # the power went between the loader's word and ours
        (Phase.INSTALLED, "B", "boot-2", Situation.ON_TRIAL),
        (Phase.FAILED, "B", "boot-3", Situation.ON_TRIAL),
        (Phase.UNPROVEN, "B", "boot-2", Situation.UNPROVEN),
        (Phase.UNPROVEN, "B", "boot-3", Situation.UNPROVEN),
        (Phase.UNPROVEN, "A", "boot-4", Situation.ROLLED_BACK),
    ],
)
def test_what_a_start_makes_of_a_trial(phase: Phase | None, slot: str, boot: str, wanted: Situation) -> None:
    assert situation(None if phase is None else TRIAL._replace(phase=phase), slot, boot) is wanted


def test_a_trial_of_more_checks_than_are_read_is_kept_by_the_most_telling_ones() -> None:
    side = Side("A", "1.0.0")
    own = {SERVICE, CUSTODY, VAULT, *(f"token:{number}" for number in range(8))}
    peers = {f"peer:{number:03}{'x' * 152}" for number in range(400)}
    kept = trials.read(trials.write(Trial(Phase.FAILED, "b", side, side, frozenset(own | peers), 5, tuple(sorted(own | peers)))))
    assert own <= kept.worked and len(kept.worked) == trials.MAX_CHECKS
    assert sorted(kept.worked - own) == sorted(peers)[: len(kept.worked - own)], "always the same ones"
    assert 0 < len(kept.missing) <= trials.MAX_CHECKS


def test_a_trial_is_read_as_it_was_kept() -> None:
    for one in (TRIAL, TRIAL._replace(phase=Phase.FAILED, missing=(PEER, "custody-records"), worked=frozenset())):
        assert trials.read(trials.write(one)) == one


@pytest.mark.parametrize(
    "old, new",
    [
        ('"v": 1', '"v": 2'),
        ('"installed"', '"perhaps"'),
        ('"records": 7', '"records": -1'),
        ('"records": 7', '"records": true'),
        ('"A"', '"C"'),
        ('"1.0.0"', '"1.0.0\\n"'),
        ('"peer:ct1/pacs"', '"peer; rm"'),
        ('"peer:ct1/pacs"', "5"),
        ('"missing": []', '"missing": {}'),
        ("{", "["),
    ],
)
def test_a_file_that_is_no_trial_is_refused(old: str, new: str) -> None:
    text = trials.write(TRIAL).decode()
    assert old in text
    with pytest.raises(TrialError):
        trials.read(text.replace(old, new, 1).encode())


def test_a_trial_with_a_word_missing_or_too_many_names_is_refused() -> None:
    with pytest.raises(TrialError):
        trials.read(b'{"v": 1, "records": 0}')
    with pytest.raises(TrialError):
        trials.read(trials.write(TRIAL).replace(b'"peer:ct1/pacs"', b", ".join(b'"peer:%d"' % number for number in range(257))))


@pytest.mark.parametrize(
    "bundle, running, older",
    [("1.0.0", "1.0.1", True), ("1.0.1", "1.0.1", False), ("1.2", "1.2.0", False), ("1.10.0", "1.9.9", False), ("0.9", "1", True)],
)
def test_versions_are_compared_as_numbers(bundle: str, running: str, older: bool) -> None:
    assert version.is_older(bundle, running) is older


@pytest.mark.parametrize("text", ["", "1.", "v1", "1.0-rc1", "1.0\n", "1" * 10, "1.1.1.1.1.1.1", "-1"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        version.parse(text)
