"""Who may call whom: tables of decisions about an association."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from wardgate.codes import Code
from wardgate.policy.decide import Accept, Decision, Refuse, decide_association
from wardgate.policy.loader import config_from
from wardgate.policy.model import Direction, Link

TWO_PEERS = """
[box]
name = "w"
[custody]
log = "/log"
origin = "w.example.org/custody"
key = "/key"
[[link]]
name = "ct1"
sop_classes = ["1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"]
directions = ["to-hospital", "to-modality"]
modality = { ae_titles = ["CT1"], addresses = ["192.0.2.10"], listen = ["192.0.2.1:104"], connect = "192.0.2.10:104", transport = "plain" }
[[link.peer]]
name = "pacs"
ae_titles = ["PACS"]
addresses = ["198.51.100.5"]
connect = "198.51.100.5:104"
listen = ["198.51.100.1:104"]
transport = "plain"
unsafe_allow_clear_hospital = true
[[link.peer]]
name = "other"
ae_titles = ["*"]
addresses = ["198.51.100.6"]
connect = "198.51.100.6:104"
transport = "plain"
unsafe_allow_clear_hospital = true
"""
VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
OUT, IN = Direction.TO_HOSPITAL, Direction.TO_MODALITY


def link(**changes: object) -> Link:
    made = config_from(tomllib.loads(TWO_PEERS), Path("/"), files=False).links[0]
    return made._replace(**changes)


def decide(direction: Direction, calling: str, called: str, *uids: str, of: Link | None = None, caller: str = "") -> Decision:
    chosen = of or link()
    by_name = {party.name: party for party in chosen.parties}
    contexts = [(2 * index + 1, uid) for index, uid in enumerate(uids or (CT,))]
    return decide_association(chosen, direction, calling, called, contexts, by_name.get(caller))


@pytest.mark.parametrize(
    "direction,calling,called,peer",
    [
        (OUT, "CT1", "PACS", "pacs"),
        (OUT, "CT1             ", "PACS            ", "pacs"),  # PS3.8 9.3.2: padded
        (OUT, "CT1\0\0", " PACS\0", "pacs"),
        (OUT, "CT1", "ANYTHING", "other"),  # the wildcard
        (IN, "PACS", "CT1", "modality"),
        (IN, "ANYTHING", "CT1", "modality"),
    ],
)
def test_allowed_association_goes_to_its_party(direction: Direction, calling: str, called: str, peer: str) -> None:
    decision = decide(direction, calling, called)
    assert isinstance(decision, Accept) and decision.peer.name == peer
    assert decision.refused_context_ids == frozenset() and decision.would_refuse is None


@pytest.mark.parametrize(
    "direction,calling,called,numbers,code",
    [
        (OUT, "CT2", "PACS", (1, 1, 3), Code.CALLING_AE_REFUSED),
        (OUT, "ct1", "PACS", (1, 1, 3), Code.CALLING_AE_REFUSED),
        (OUT, "", "PACS", (1, 1, 3), Code.CALLING_AE_REFUSED),
        (OUT, "CT1", "", (1, 1, 7), Code.CALLED_AE_REFUSED),
        (IN, "PACS", "CT2", (1, 1, 7), Code.CALLED_AE_REFUSED),
        (IN, "PACS", "", (1, 1, 7), Code.CALLED_AE_REFUSED),
    ],
)
def test_refusal_carries_the_numbers_of_the_standard(
    direction: Direction, calling: str, called: str, numbers: tuple[int, int, int], code: Code
) -> None:
    decision = decide(direction, calling, called)
    assert decision == Refuse(*numbers, code)


def test_called_ae_title_unknown_without_wildcard_is_refused() -> None:
    only = link(peers=link().peers[:1])
    assert decide(OUT, "CT1", "NOBODY", of=only) == Refuse(1, 1, 7, Code.CALLED_AE_REFUSED)


def test_direction_that_is_not_allowed_is_refused() -> None:
    assert decide(IN, "PACS", "CT1", of=link(directions=frozenset({OUT}))) == Refuse(1, 1, 1, Code.DIRECTION_REFUSED)


def test_caller_may_use_only_its_own_ae_titles() -> None:
    named = link(peers=(link().peers[0], link().peers[1]._replace(ae_titles=("OTHER",))))
    assert isinstance(decide(IN, "PACS", "CT1", of=named, caller="pacs"), Accept)
    assert decide(IN, "PACS", "CT1", of=named, caller="other") == Refuse(1, 1, 3, Code.CALLING_AE_REFUSED)


def test_sop_class_that_is_not_allowed_is_left_out() -> None:
    decision = decide(OUT, "CT1", "PACS", CT, MR, VERIFICATION, CT + "\0")
    assert isinstance(decision, Accept) and decision.refused_context_ids == {3}


def test_wildcard_allows_every_sop_class() -> None:
    decision = decide(OUT, "CT1", "PACS", MR, "1.2.3", of=link(sop_classes=frozenset({"*"})))
    assert isinstance(decision, Accept) and not decision.refused_context_ids


def test_association_without_any_context_left_is_refused() -> None:
    assert decide(OUT, "CT1", "PACS", MR, "1.2.3") == Refuse(1, 1, 1, Code.NO_CONTEXT_LEFT)
    assert decide_association(link(), OUT, "CT1", "PACS", []) == Refuse(1, 1, 1, Code.NO_CONTEXT_LEFT)


def test_observing_link_refuses_nothing_and_says_what_it_would_have() -> None:
    observing = link(enforce=False)
    decision = decide(OUT, "CT9", "PACS", CT, MR, of=observing)
    assert isinstance(decision, Accept) and decision.refused_context_ids == frozenset()
    assert decision.would_refuse == Refuse(1, 1, 3, Code.CALLING_AE_REFUSED) and decision.would_refuse_context_ids == {3}
    unknown = decide(OUT, "CT1", "NOBODY", of=observing._replace(peers=observing.peers[:1]))
    assert isinstance(unknown, Accept) and unknown.peer.name == "pacs" and unknown.would_refuse is not None


def test_party_that_cannot_be_reached_is_refused_even_when_observing() -> None:
    away = link(enforce=False, modality=link().modality._replace(connect=None))
    assert decide(IN, "PACS", "CT1", of=away) == Refuse(1, 1, 7, Code.NO_ROUTE)
