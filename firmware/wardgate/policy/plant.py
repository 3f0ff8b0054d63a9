"""The plant in its checked form: the two ports, what may pass besides DICOM, management, break-glass. Words: `plant_words`."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, NamedTuple

from wardgate.policy.endpoint import Endpoint, parse_endpoint

Network = IPv4Network | IPv6Network
VLAN_MODALITY, VLAN_HOSPITAL = "wgv-modality", "wgv-hospital"  # devices that `netd` makes on the two ports when `vlan` is set


class Ports(StrEnum):
    """How the two ports are joined."""

    NONE = "none"
    BRIDGE = "bridge"
    ROUTER = "router"


class MacRule(StrEnum):
    """Whether the modality's MAC address is named or taken from its first frame."""

    LEARNED = "learned"
    BOUND = "bound"


class Way(StrEnum):
    """Who begins a flow of an allow list."""

    FROM_MODALITY = "from-modality"
    TO_MODALITY = "to-modality"


class Side(StrEnum):
    """On which port the box's own management address lives."""

    OFF = "off"
    MODALITY = "modality"
    HOSPITAL = "hospital"


class Act(StrEnum):
    """What may start break-glass."""

    BUTTON = "button"
    CARD = "card"
    COMMAND = "command"


class Allow(NamedTuple):
    """One entry of the allow list. `hours` are UTC, `HH:MM-HH:MM`; no days: every day."""

    name: str
    service: str
    way: Way
    addresses: tuple[Network, ...]
    ports: tuple[int, ...] = ()
    hours: str = ""
    days: tuple[str, ...] = ()


class Neighbour(NamedTuple):
    """A fixed pair of address and MAC: no other MAC may claim the address."""

    address: str
    mac: str


class Management(NamedTuple):
    """The box's own address. `reach`: what the box itself may call from it."""

    side: Side = Side.OFF
    address: str = ""
    gateway: str = ""
    port: int = 22
    user: str = "wardadmin"
    keys: Path = Path("/etc/wardgate/management.keys")
    host_key: Path = Path("/var/lib/wardadmin/host_ed25519")
    sources: tuple[Network, ...] = ()
    reach: tuple[Endpoint, ...] = ()
    confirm_seconds: int = 60


class BreakGlass(NamedTuple):
    """The bypass: whether it may be started, for how long, and to which addresses it relays in clear."""

    allow: bool = False
    acts: tuple[Act, ...] = ()
    button: Path = Path()
    button_key: int = 0
    button_seconds: int = 3
    card: str = ""
    minutes: int = 60
    addresses: tuple[Endpoint, ...] = ()


class Router(NamedTuple):
    """Addresses of the two ports, with prefix length."""

    modality_addresses: tuple[str, ...] = ()
    hospital_addresses: tuple[str, ...] = ()
    gateway: str = ""


class Plant(NamedTuple):
    """The two ports."""

    ports: Ports = Ports.NONE
    modality_port: str = ""
    hospital_port: str = ""
    vlan: int = 0
    mtu: int = 1500
    enforce: bool = True
    socket: Path = Path("/run/wardgate-netd/netd.sock")
    state_dir: Path = Path("/var/lib/wardnetd")
    allow_uids: tuple[int, ...] = ()
    allow_users: tuple[str, ...] = ("wardgate",)
    mac: MacRule = MacRule.LEARNED
    macs: tuple[str, ...] = ()
    lldp: bool = False
    eapol: bool = True
    link_loss: bool = True
    log_per_second: int = 5
    allow: tuple[Allow, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    management: Management = Management()
    break_glass: BreakGlass = BreakGlass()
    router: Router = Router()

    @property
    def inside(self) -> str:
        """The device that carries the modality's frames without a tag: the port itself, or its VLAN device."""
        return VLAN_MODALITY if self.vlan else self.modality_port

    @property
    def outside(self) -> str:
        """The same of the hospital's port."""
        return VLAN_HOSPITAL if self.vlan else self.hospital_port

    @property
    def unsafe(self) -> tuple[str, ...]:
        """What of it is insecure while it is on."""
        if self.ports is Ports.NONE or self.enforce:
            return ()
        return ("plant: enforce = false (the ports are bridged: everything passes, in clear)",)


def build_plant(data: dict[str, Any]) -> Plant:
    """Make the plant from checked data."""
    management, glass, router = data["management"], data["break_glass"], data["router"]
    return Plant(
        **{
            **data,
            "ports": Ports(data["ports"]),
            "socket": Path(data["socket"]),
            "state_dir": Path(data["state_dir"]),
            "allow_uids": tuple(data["allow_uids"]),
            "allow_users": tuple(data["allow_users"]),
            "mac": MacRule(data["mac"]),
            "macs": tuple(text.lower() for text in data["macs"]),
            "allow": tuple(_allow(entry) for entry in data["allow"]),
            "neighbours": tuple(Neighbour(entry["address"], entry["mac"].lower()) for entry in data["neighbours"]),
            "management": Management(
                **{
                    **management,
                    "side": Side(management["side"]),
                    "keys": Path(management["keys"]),
                    "host_key": Path(management["host_key"]),
                    "sources": _networks(management["sources"]),
                    "reach": tuple(parse_endpoint(text) for text in management["reach"]),
                }
            ),
            "break_glass": BreakGlass(
                **{
                    **glass,
                    "acts": tuple(Act(act) for act in glass["acts"]),
                    "button": Path(glass["button"]),
                    "addresses": tuple(parse_endpoint(text) for text in glass["addresses"]),
                }
            ),
            "router": Router(tuple(router["modality_addresses"]), tuple(router["hospital_addresses"]), router["gateway"]),
        }
    )


def _allow(data: dict[str, Any]) -> Allow:
    return Allow(
        **{
            **data,
            "way": Way(data["way"]),
            "addresses": _networks(data["addresses"]),
            "ports": tuple(data["ports"]),
            "days": tuple(data["days"]),
        }
    )


def _networks(texts: list[str]) -> tuple[Network, ...]:
    return tuple(ip_network(text, strict=False) for text in texts)
