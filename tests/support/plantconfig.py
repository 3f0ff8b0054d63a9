"""A whole plant configuration for tests of the rule set: dual stack, management, allow lists with a time window, break-glass."""

from __future__ import annotations

import tomllib
from pathlib import Path

from wardgate.policy.loader import config_from
from wardgate.policy.model import Config

GATEWAY = """
[box]
name = "ward-ct1"
[custody]
log = "log"
origin = "ward-ct1.example.org/custody"
key = "custody.pem"
[[link]]
name = "ct1"
sop_classes = ["*"]
directions = ["to-hospital", "to-modality"]
[link.modality]
ae_titles = ["CT1"]
addresses = ["192.0.2.10", "2001:db8::10"]
listen = ["192.0.2.20:104", "[2001:db8::20]:104"]
connect = "192.0.2.10:104"
transport = "plain"
[[link.peer]]
name = "pacs"
ae_titles = ["PACS"]
addresses = ["192.0.2.20", "2001:db8::20"]
connect = "*:2762"
listen = ["192.0.2.10:11112"]
transport = "plain"
unsafe_allow_clear_hospital = true
"""
BRIDGE = """
[plant]
ports = "bridge"
modality_port = "eth0"
hospital_port = "eth1"
[[plant.allow]]
name = "addresses"
service = "dhcp"
addresses = ["192.0.2.1"]
[[plant.allow]]
name = "names"
service = "dns"
addresses = ["192.0.2.1", "2001:db8::1"]
[[plant.allow]]
name = "vendor.1"
service = "tcp"
ports = [443, 8443]
addresses = ["198.51.100.0/24"]
hours = "06:00-18:30"
days = ["monday", "friday"]
[[plant.allow]]
name = "watch"
service = "ping"
way = "to-modality"
addresses = ["192.0.2.30"]
[[plant.neighbours]]
address = "192.0.2.1"
mac = "02:00:5e:00:53:ff"
[plant.management]
side = "hospital"
address = "192.0.2.9/24"
sources = ["198.51.100.7"]
reach = ["192.0.2.1:123"]
[plant.break_glass]
allow = true
acts = ["command"]
addresses = ["192.0.2.20:104"]
"""
ROUTER = """
[plant]
ports = "router"
modality_port = "eth0"
hospital_port = "eth1"
[plant.router]
modality_addresses = ["192.0.2.1/28"]
hospital_addresses = ["198.51.100.9/24"]
gateway = "198.51.100.1"
[[plant.allow]]
name = "names"
service = "dns"
addresses = ["198.51.100.1"]
"""


def plant_config(text: str = GATEWAY + BRIDGE) -> Config:
    """Return the checked configuration of `text`."""
    return config_from(tomllib.loads(text), Path("/etc/wardgate"), files=False)


def router_config() -> Config:
    """Return a configuration with the router: the modality calls the box."""
    gateway = (
        GATEWAY.replace("192.0.2.20:104", "192.0.2.1:104").replace(', "[2001:db8::20]:104"', "").replace("*:2762", "198.51.100.20:2762")
    )
    gateway = gateway.replace('["192.0.2.10:11112"]', '["198.51.100.9:11112"]').replace(
        '["192.0.2.20", "2001:db8::20"]', '["198.51.100.20"]'
    )
    return plant_config(gateway + ROUTER)
