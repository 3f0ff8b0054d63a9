"""`[plant]`: a good one, and every way to get one wrong, by place and code."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from support import plantconfig
from wardgate.codes import Code
from wardgate.policy.loader import config_from
from wardgate.policy.mistakes import ConfigErrors, Mistake
from wardgate.policy.model import Config, from_json, to_json
from wardgate.policy.plant import MacRule, Ports, Side, Way

# The one modality listener whose text the mistakes below replace.
GATEWAY = plantconfig.GATEWAY.replace(', "[2001:db8::20]:104"', "").replace(', "2001:db8::20"]', "]")
PLANT = """
[plant]
ports = "bridge"
modality_port = "eth0"
hospital_port = "eth1"
mac = "bound"
macs = ["02:00:5E:00:53:01"]
[[plant.allow]]
name = "dns"
service = "dns"
addresses = ["192.0.2.1"]
[[plant.allow]]
name = "vendor"
service = "tcp"
ports = [443]
addresses = ["198.51.100.0/24"]
hours = "06:00-18:30"
days = ["monday", "friday"]
[[plant.neighbours]]
address = "192.0.2.1"
mac = "02:00:5e:00:53:ff"
[plant.management]
side = "hospital"
address = "192.0.2.9/24"
gateway = "192.0.2.1"
sources = ["198.51.100.7"]
reach = ["192.0.2.1:123"]
[plant.break_glass]
allow = true
acts = ["button"]
button = "/dev/input/event0"
addresses = ["192.0.2.20:104"]
"""


def _load(text: str) -> Config:
    return config_from(tomllib.loads(text), Path("/etc/wardgate"), files=False)


def _mistakes(text: str) -> list[Mistake]:
    with pytest.raises(ConfigErrors) as caught:
        _load(text)
    return caught.value.mistakes


def test_a_good_plant_is_read_and_travels_as_json() -> None:
    config = _load(GATEWAY + PLANT)
    plant = config.plant
    assert (plant.ports, plant.mac, plant.macs) == (Ports.BRIDGE, MacRule.BOUND, ("02:00:5e:00:53:01",))
    assert plant.allow[1].way is Way.FROM_MODALITY and plant.allow[1].days == ("monday", "friday")
    assert plant.management.side is Side.HOSPITAL and plant.eapol and not plant.lldp
    assert from_json(to_json(config)) == config


def test_without_a_plant_the_ports_are_the_hosts() -> None:
    plant = _load(GATEWAY.replace('"*:2762"', '"192.0.2.20:2762"')).plant
    assert plant.ports is Ports.NONE and plant.management.side is Side.OFF and not plant.break_glass.allow


def test_a_plant_that_does_not_enforce_is_shown_as_unsafe() -> None:
    config = _load(GATEWAY + PLANT.replace('ports = "bridge"', 'ports = "bridge"\nenforce = false'))
    assert any("enforce = false" in text for text in config.unsafe)


HOLD = """
[hold]
directory = "queue"
key = "pkcs11:token=ward-ct1;object=hold"
"""
HOLDING = GATEWAY.replace('name = "ct1"', 'name = "ct1"\ndelivery = "relay-then-hold"') + HOLD
REACHED = PLANT.replace('["192.0.2.1:123"]', '["192.0.2.1:123", "192.0.2.20:2762"]')


def test_a_link_holds_in_the_bridge_only_where_the_box_may_call_the_peer_itself() -> None:
    """The forwarder has no caller in whose name it could: what it may not send was answered with success and held for ever."""
    named = HOLDING.replace('"*:2762"', '"192.0.2.20:2762"')
    assert _load(named + REACHED).holds
    wrong = ("link[0].peer[0].connect", Code.CONFIG_CONTRADICTION)
    for text in (HOLDING + REACHED, named + PLANT, named + REACHED.replace('side = "hospital"', 'side = "modality"')):
        assert wrong in [(m.place, m.code) for m in _mistakes(text)]
    assert _load(named).holds, "without a plant the host's own addresses do"


@pytest.mark.parametrize(
    ("old", "new", "place", "code"),
    [
        ('"bridge"', '"cable"', "plant.ports", Code.CONFIG_VALUE),
        ('modality_port = "eth0"\n', "", "plant.modality_port", Code.CONFIG_MISSING),
        ('"eth1"', '"eth0"', "plant.hospital_port", Code.CONFIG_CONTRADICTION),
        ('"eth1"', '"a name; drop"', "plant.hospital_port", Code.CONFIG_VALUE),
        ('macs = ["02:00:5E:00:53:01"]\n', "", "plant.macs", Code.CONFIG_MISSING),
        ('mac = "bound"', 'mac = "learned"', "plant.macs", Code.CONFIG_CONTRADICTION),
        ("02:00:5E:00:53:01", "02:00:5E:00:53", "plant.macs", Code.CONFIG_VALUE),
        ("02:00:5E:00:53:01", "ff:ff:ff:ff:ff:ff", "plant.macs[0]", Code.CONFIG_VALUE),
        ("ports = [443]\n", "", "plant.allow[1].ports", Code.CONFIG_MISSING),
        ('service = "dns"', 'service = "dns"\nports = [53]', "plant.allow[0].ports", Code.CONFIG_CONTRADICTION),
        ('service = "dns"', 'service = "dhcp"\nway = "to-modality"', "plant.allow[0].way", Code.CONFIG_CONTRADICTION),
        ("06:00-18:30", "18:30-06:00", "plant.allow[1].hours", Code.CONFIG_VALUE),
        ('"192.0.2.9/24"', '"192.0.2.9"', "plant.management.address", Code.CONFIG_VALUE),
        ('address = "192.0.2.9/24"\n', "", "plant.management.address", Code.CONFIG_MISSING),
        ('side = "hospital"', 'side = "off"', "plant.management.reach", Code.CONFIG_CONTRADICTION),
        ('gateway = "192.0.2.1"', 'gateway = "10.0.0.1"', "plant.management.gateway", Code.CONFIG_CONTRADICTION),
        ('addresses = ["192.0.2.20:104"]\n', "", "plant.break_glass.addresses", Code.CONFIG_MISSING),
        ('acts = ["button"]\n', "", "plant.break_glass.acts", Code.CONFIG_MISSING),
        ('acts = ["button"]', 'acts = ["card"]', "plant.break_glass.card", Code.CONFIG_MISSING),
        ('acts = ["button"]', 'acts = ["card"]', "plant.break_glass.button", Code.CONFIG_CONTRADICTION),
        ('ports = "bridge"', 'ports = "bridge"\nvlan = 4095', "plant.vlan", Code.CONFIG_BOUNDS),
        ('ports = "bridge"', 'ports = "bridge"\nmtu = 1000', "plant.mtu", Code.CONFIG_BOUNDS),
        ('["192.0.2.20:104"]\nconnect', '["pacs:104"]\nconnect', "link[0].modality.listen[0]", Code.CONFIG_VALUE),
        ('["192.0.2.20:104"]\nconnect', '["0.0.0.0:104"]\nconnect', "link[0].modality.listen[0]", Code.CONFIG_VALUE),
        ('connect = "*:2762"', 'connect = "pacs:2762"', "link[0].peer[0].connect", Code.CONFIG_VALUE),
        ('["192.0.2.10:11112"]', '["192.0.2.20:11112"]', "link[0].peer[0].listen[0]", Code.CONFIG_CONTRADICTION),
        ('connect = "192.0.2.10:104"', 'connect = "192.0.2.11:104"', "link[0].modality.connect", Code.CONFIG_CONTRADICTION),
        ('ports = "bridge"', 'ports = "router"', "plant.router.modality_addresses", Code.CONFIG_MISSING),
        ('ports = "bridge"', 'ports = "router"', "link[0].peer[0].connect", Code.CONFIG_CONTRADICTION),
    ],
)
def test_a_mistake_in_the_plant_is_named_with_its_place_and_code(old: str, new: str, place: str, code: Code) -> None:
    text: Any = GATEWAY + PLANT
    assert old in text
    assert (place, code) in [
        (m.place.split("[0]")[0] if place == "plant.macs" else m.place, m.code) for m in _mistakes(text.replace(old, new, 1))
    ]
