"""The words of SOP Instance Status in the configuration."""

from __future__ import annotations

import pytest
from test_policy_config import _HOLD, GOOD, mistakes, parsed

from wardgate.codes import Code
from wardgate.policy.model import Conformance, StatusRule, from_json, to_json

RULE = GOOD.replace('name = "ct1"', 'name = "ct1"\nsop_instance_status = "rule-f"')
CONFORMS = ('name = "pacs"', 'name = "pacs"\nsop_instance_status = "conforms"')


def test_nothing_is_looked_at_and_nobody_conforms_unless_it_is_said() -> None:
    link = parsed(GOOD).links[0]
    assert link.sop_instance_status is StatusRule.PASS
    assert {party.sop_instance_status for party in link.parties} == {Conformance.NONE}


def test_the_words_are_read_and_reach_a_worker() -> None:
    config = parsed(RULE.replace(*CONFORMS))
    link = config.links[0]
    assert link.sop_instance_status is StatusRule.RULE_F
    assert [party.sop_instance_status for party in link.parties] == [Conformance.NONE, Conformance.CONFORMS]
    assert from_json(to_json(config)) == config


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param(GOOD.replace(*CONFORMS), "link[0].peer[0].sop_instance_status", id="a party conforms and the link does not look"),
        pytest.param(
            RULE.replace('ae_titles = ["CT1"]', 'ae_titles = ["CT1"]\nsop_instance_status = "conforms"'),
            "link[0].modality.sop_instance_status",
            id="a party conforms in clear",
        ),
        pytest.param(
            RULE.replace(*CONFORMS).replace("anchors =", "mutual = false\nunsafe_allow_anonymous_peer = true\nanchors ="),
            "link[0].peer[0].sop_instance_status",
            id="a party conforms that is not authenticated",
        ),
        pytest.param(
            RULE.replace(*CONFORMS).replace('names = ["pacs.example.org"]', "unsafe_allow_any_name = true"),
            "link[0].peer[0].sop_instance_status",
            id="a party conforms that any certificate can be",
        ),
        pytest.param(
            RULE.replace("[limits]", _HOLD + "unsafe_allow_file_key = true\n[limits]").replace(
                'name = "ct1"', 'name = "ct1"\ndelivery = "hold"'
            ),
            "link[0].sop_instance_status",
            id="a link that holds",
        ),
    ],
)
def test_a_claim_of_conformance_that_cannot_be_is_refused(text: str, place: str) -> None:
    assert [(one.place, one.code) for one in mistakes(text)] == [(place, Code.CONFIG_CONTRADICTION)]


HOLDS = "unsafe_allow_file_key = true\n[limits]"
HOLDER = GOOD.replace("[limits]", _HOLD + HOLDS).replace('name = "ct1"', 'name = "ct1"\ndelivery = "hold"\nsop_instance_status = "holder"')
CREATES = HOLDER.replace(*CONFORMS).replace(
    'delivery = "hold"', 'delivery = "hold"\ncreating_entity = true\nequipment_certification = "CERT-17"'
)


def test_a_holder_and_a_creating_entity_are_read_and_reach_a_worker() -> None:
    assert parsed(HOLDER).links[0].sop_instance_status is StatusRule.HOLDER
    config = parsed(CREATES.replace("creating_entity", f'originals_wait = true\nauthorizers = ["{"ab" * 32}"]\ncreating_entity'))
    link = config.links[0]
    assert (link.creating_entity, link.originals_wait, link.authorizers) == (True, True, ("ab" * 32,))
    assert from_json(to_json(config)) == config
    assert parsed(HOLDER).links[0].creating_entity is False


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param(
            CREATES.replace('ae_titles = ["CT1"]', 'ae_titles = ["CT1"]\nsop_instance_status = "conforms"'),
            "link[0].creating_entity",
            id="a modality that is an entity of its own",
        ),
        pytest.param(HOLDER.replace('"hold"', '"relay-then-hold"'), "link[0].sop_instance_status", id="who relays holds nothing"),
        pytest.param(CREATES.replace("CERT-17", ""), "link[0].equipment_certification", id="no certificate number"),
        pytest.param(CREATES.replace("CERT-17", "x" * 65), "link[0].equipment_certification", id="a long certificate number"),
        pytest.param(CREATES.replace("creating_entity", "originals_wait = true\ncreating_entity"), "link[0].authorizers", id="nobody may"),
        pytest.param(CREATES.replace(CONFORMS[1], CONFORMS[0]), "link[0].peer[0].sop_instance_status", id="a peer outside"),
        pytest.param(
            CREATES.replace(CONFORMS[1], CONFORMS[1] + '\ncommitment = "stored"'), "link[0].peer[0].commitment", id="no commitment"
        ),
        pytest.param(CREATES.replace('"holder"', '"pass"').replace(CONFORMS[1], CONFORMS[0]), "link[0].creating_entity", id="not a holder"),
        pytest.param(
            HOLDER.replace('"holder"', '"holder"\noriginals_wait = true'), "link[0].originals_wait", id="a word without its creating entity"
        ),
    ],
)
def test_an_original_that_could_never_leave_or_be_made_is_refused(text: str, place: str) -> None:
    assert place in [one.place for one in mistakes(text)]
