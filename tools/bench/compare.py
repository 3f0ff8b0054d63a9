"""Measures several gateways in turn, round by round, and forms ratios within each round."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from bench.digests import Wrong
from bench.gateways import Subject
from bench.places import Cores
from bench.rig import TrialError
from bench.trial import Bench, Result, Scenario

BUSY = 0.15  # processors used by others from which on a measurement is made again

Rounds = list[dict[str, Result]]  # one a round, by the subject's name
T = TypeVar("T")


class Settings(NamedTuple):
    """Of the whole run."""

    rounds: int
    patience: int  # how often a measurement that others disturbed is made again


class Tally:
    """What adds up over all runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.received = self.recorded = 0
        self.disturbed = 0
        self.failures: list[str] = []

    def count(self, wrong: Wrong) -> None:
        """Add the differences of one run."""
        self.runs += 1
        self.received += wrong.received
        self.recorded += wrong.recorded

    def fail(self, error: Exception) -> None:
        """Note what could not be measured."""
        self.failures.append(str(error))
        print(f"bench: FAILED {error}", file=sys.stderr, flush=True)


def compare(bench: Bench, tally: Tally, settings: Settings, scenario: Scenario, subjects: Sequence[Subject], cores: Cores) -> Rounds:
    """Return the complete rounds: the order turns, so that nobody is always first. The product's bytes are checked first, untimed."""
    print(f"bench: {scenario.name}", file=sys.stderr, flush=True)
    for subject in (subject for subject in subjects if subject.has_custody):
        try:
            tally.count(bench.measure(scenario, subject, cores, check_sink=True).wrong)
        except TrialError as error:
            tally.fail(error)
    done: Rounds = []
    for turn in range(settings.rounds):
        start = turn % len(subjects)
        found: dict[str, Result] = {}
        for subject in [*subjects[start:], *subjects[:start]]:
            try:
                found[subject.name] = _cleanest(bench, tally, settings, scenario, subject, cores)
            except TrialError as error:
                tally.fail(error)
        suites = {result.sink["tls"] for result in found.values()} - {"plain"}
        if len(suites) > 1:
            tally.fail(TrialError(f"{scenario.name}: gateways did not speak the same TLS: {', '.join(sorted(suites))}"))
        done.append(found)
    return done


def _cleanest(bench: Bench, tally: Tally, settings: Settings, scenario: Scenario, subject: Subject, cores: Cores) -> Result:
    best: Result | None = None
    for _ in range(1 + settings.patience):
        result = bench.measure(scenario, subject, cores)
        tally.count(result.wrong)
        if best is None or result.foreign < best.foreign:
            best = result
        if result.foreign <= BUSY:
            break
    assert best is not None
    tally.disturbed += best.foreign > BUSY
    return best


def ratios(rounds: Sequence[Mapping[str, T]], figure: Callable[[T], float], one: str, other: str) -> list[float]:
    """Return `figure` of one subject over that of another, for each round that has both."""
    return [figure(found[one]) / figure(found[other]) for found in rounds if one in found and other in found]


def against(
    rounds: Sequence[Mapping[str, T]], figure: Callable[[T], float], name: str, first: str = "stunnel"
) -> tuple[list[float], list[float]]:
    """Return the ratios to `first` and to HAProxy."""
    return ratios(rounds, figure, name, first), ratios(rounds, figure, name, "haproxy")


def medians(rounds: Sequence[Mapping[str, T]], figure: Callable[[T], float], form: str = "{:.0f}") -> str:
    """Return the absolute medians as a note: `stunnel 1200, wardgate 600`."""
    names = sorted({name for found in rounds for name in found})
    values = {name: statistics.median(figure(found[name]) for found in rounds if name in found) for name in names}
    return ", ".join(f"{name} {form.format(value)}" for name, value in values.items())
