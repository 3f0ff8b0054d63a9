"""The rule set from policy: the whole text against one that was read by a person, and what must never be in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.plantconfig import BRIDGE, GATEWAY, plant_config, router_config
from wardgate.plant.features import Features
from wardgate.plant.flows import Leg, legs, listens, taken
from wardgate.plant.ruleset import Known, bridge_ruleset
from wardgate.plant.ruleset_router import router_ruleset
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.plant import Side

GOLDEN = Path(__file__).parents[1] / "vectors" / "plant"
HERE = Features(nft_bridge=True, nft_inet=True, tproxy=True, policy_routing=True, transparent_sockets=True, limit_log=True)
KNOWN = Known(("02:00:5e:00:53:01",), {"192.0.2.10": "02:00:5e:00:53:01", "192.0.2.20": "02:00:5e:00:53:02"})


def chain(text: str, table: str, name: str) -> list[str]:
    """Return the rules of one chain."""
    body = text.split(f"table {table} wardgate {{", 1)[1].split(f"\tchain {name} {{\n", 1)[1].split("\t}\n", 1)[0]
    return [line.strip() for line in body.splitlines()]


@pytest.mark.parametrize("name", ["bridge", "bridge-broute", "vlan", "break-glass", "observe", "router"])
def test_the_rule_set_is_the_one_that_was_read(name: str) -> None:
    config = plant_config()
    made = {
        "bridge": lambda: bridge_ruleset(config, HERE, KNOWN),
        "bridge-broute": lambda: bridge_ruleset(config, HERE._replace(broute=True, bridge_conntrack=True), KNOWN),
        "vlan": lambda: bridge_ruleset(plant_config(GATEWAY + BRIDGE.replace("[plant]\n", "[plant]\nvlan = 120\n")), HERE, KNOWN),
        "break-glass": lambda: bridge_ruleset(config, HERE, KNOWN, glass=True),
        "observe": lambda: bridge_ruleset(plant_config(GATEWAY + BRIDGE.replace("[plant]\n", "[plant]\nenforce = false\n")), HERE, KNOWN),
        "router": lambda: router_ruleset(router_config(), HERE),
    }[name]()
    path = GOLDEN / f"{name}.nft"
    assert made == path.read_text(), f"if the change is meant, read it and write it to {path}"


def test_the_same_policy_gives_the_same_text() -> None:
    assert bridge_ruleset(plant_config(), HERE, KNOWN) == bridge_ruleset(plant_config(), HERE, KNOWN)


def test_everything_is_denied_that_no_rule_names() -> None:
    text = bridge_ruleset(plant_config(), HERE, KNOWN)
    for table, name in (
        ("bridge", "input"),
        ("bridge", "forward"),
        ("bridge", "output"),
        ("inet", "input"),
        ("inet", "forward"),
        ("inet", "output"),
    ):
        assert "policy drop;" in chain(text, table, name)[0]
        assert chain(text, table, name)[-1] == "drop"  # a new chain has its policy a moment after its rules
    assert chain(text, "inet", "forward") == ["type filter hook forward priority filter; policy drop;", "drop"]
    assert "accept" not in chain(text, "bridge", "forward")[-2]


def test_without_management_the_box_has_no_rule_for_itself() -> None:
    text = bridge_ruleset(plant_config(GATEWAY + BRIDGE.split("[plant.management]")[0]), HERE, KNOWN)
    assert "192.0.2.9" not in text
    assert len(chain(text, "inet", "input")) == 4  # hook, lo, what is marked, drop


def test_while_policy_only_observes_nothing_is_dropped_or_taken() -> None:
    text = bridge_ruleset(plant_config(GATEWAY + BRIDGE.replace("[plant]\n", "[plant]\nenforce = false\n")), HERE, KNOWN)
    assert chain(text, "bridge", "forward")[-2:] == ["accept", "drop"]
    assert not any(rule.endswith("drop") for rule in chain(text, "bridge", "prerouting"))
    assert not any("jump take" in rule for rule in chain(text, "bridge", "prerouting"))


def test_break_glass_opens_the_addresses_named_for_it_and_no_others() -> None:
    before, while_it_lasts = (bridge_ruleset(plant_config(), HERE, KNOWN, glass) for glass in (False, True))
    added = set(chain(while_it_lasts, "bridge", "forward")) - set(chain(before, "bridge", "forward"))
    assert len(added) == 2
    assert all("192.0.2.20" in rule and "port 104" in rule and "break_glass" in rule for rule in added)
    assert any("jump take_modality" in rule and "2001:db8::20" in rule for rule in chain(while_it_lasts, "bridge", "prerouting"))


def test_a_time_window_holds_for_the_answers_too() -> None:
    rules = [rule for rule in chain(bridge_ruleset(plant_config(), HERE, KNOWN), "bridge", "forward") if "allow_vendor_1" in rule]
    assert len(rules) == 2
    assert all('meta hour "06:00"-"18:30" meta day { "Monday", "Friday" }' in rule for rule in rules)


def test_tcp_that_is_answered_cannot_be_begun_from_the_other_side() -> None:
    for rule in chain(bridge_ruleset(plant_config(), HERE, KNOWN), "bridge", "forward"):
        if "tcp sport" in rule and "accept" in rule:
            assert "tcp flags & (syn | ack) != syn" in rule


def test_with_connection_tracking_an_answer_needs_its_question() -> None:
    text = bridge_ruleset(plant_config(), HERE._replace(bridge_conntrack=True), KNOWN)
    answers = [rule for rule in chain(text, "bridge", "forward") if "sport 53" in rule]
    assert answers and all("ct state established" in rule for rule in answers)


def test_flows_are_taken_at_the_port_where_they_arrive_and_leave_as_their_mirror() -> None:
    config = plant_config()
    flows = taken(config)
    assert {flow.listen for flow in flows if flow.listen} == {endpoint for endpoint, _ in listens(config)}
    prerouting = chain(bridge_ruleset(config, HERE, KNOWN), "bridge", "prerouting")
    output = chain(bridge_ruleset(config, HERE, KNOWN), "bridge", "output")
    assert 'iifname "eth0" ip saddr 192.0.2.10 ip daddr 192.0.2.20 tcp dport 104 jump take_modality' in prerouting
    assert 'oifname "eth0" meta mark 0x57470001 ip saddr 192.0.2.20 ip daddr 192.0.2.10 tcp sport 104 accept' in output
    assert 'iifname "eth1" ip saddr 192.0.2.20 ip daddr 192.0.2.10 tcp sport 2762 jump take_hospital' in prerouting
    assert 'oifname "eth1" meta mark 0x57470002 ip saddr 192.0.2.10 ip daddr 192.0.2.20 tcp dport 2762 accept' in output


def test_the_same_host_is_every_host_that_the_modality_calls() -> None:
    config = plant_config()
    targets = {leg.target for leg in legs(config) if leg.side is Side.HOSPITAL}
    assert targets == {Endpoint("192.0.2.20", 2762), Endpoint("2001:db8::20", 2762)}
    assert Leg(Side.MODALITY, config.links[0].peers[0].addresses, Endpoint("192.0.2.10", 104)) in legs(config)


def test_a_bound_mac_is_the_only_station_whatever_was_learned() -> None:
    bound = BRIDGE.replace("[plant]\n", '[plant]\nmac = "bound"\nmacs = ["02:00:5e:00:53:77"]\n')
    text = bridge_ruleset(plant_config(GATEWAY + bound), HERE, KNOWN)
    assert "set station { type ether_addr; elements = { 02:00:5e:00:53:77 }; }" in text


def test_on_a_trunk_only_link_local_frames_pass_without_the_tag() -> None:
    text = bridge_ruleset(plant_config(GATEWAY + BRIDGE.replace("[plant]\n", "[plant]\nvlan = 120\n")), HERE, KNOWN)
    rules = chain(text, "bridge", "forward")
    bare = [rule for rule in rules if '"eth0"' in rule or '"eth1"' in rule]
    assert rules[1:4] == bare  # before anything is accepted
    assert bare[2].endswith('counter name "refused_trunk" drop') and "accept" in bare[0] and "0x888e" in bare[0] and "drop" in bare[1]


def test_beginnings_from_the_hospital_are_bounded_before_they_are_taken() -> None:
    """Few in a name with another MAC than is known of it, a bounded number with the known one."""
    rules = chain(bridge_ruleset(plant_config(), HERE, KNOWN), "bridge", "prerouting")
    four = [rule for rule in rules if "flood_hospital" in rule and "ip6" not in rule]
    assert ["!= @known4" in rule for rule in four] == [True, False]
    for rule, rate in zip(four, (100, 1000), strict=True):
        assert rule.startswith('iifname "eth1" ip saddr 192.0.2.20 ip daddr 192.0.2.10 tcp dport 11112 tcp flags & (syn | ack) == syn ')
        assert rule.endswith(f'limit rate over {rate}/second burst {rate} packets counter name "flood_hospital" drop')
    taken_at = next(number for number, rule in enumerate(rules) if "dport 11112 jump take_hospital" in rule)
    assert max(rules.index(rule) for rule in four) < taken_at
    assert "02:00:5e:00:53:ff, 192.0.2.10 . 02:00:5e:00:53:01, 192.0.2.20 . 02:00:5e:00:53:02 };" in bridge_ruleset(
        plant_config(), HERE, KNOWN
    )
