"""The configuration in its checked form: plain frozen values, made by `load`, handed to workers as JSON.

Field names are the words of the TOML file; `schema` says what each means. Named tuples, not dataclasses: `dataclasses`
imports `inspect`, which would cost every worker 2 MB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum, StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path, PurePath
from typing import Any, Final, NamedTuple

from wardgate.policy.audit import Audit, build_audit
from wardgate.policy.endpoint import Endpoint, parse_endpoint
from wardgate.policy.keyref import KeyReference, TokenKey, key_reference
from wardgate.policy.plant import Plant, build_plant
from wardgate.policy.tls import Tls, build_tls
from wardgate.policy.updates import Updates, build_updates
from wardgate.token.naming import is_uri

Network = IPv4Network | IPv6Network
ANY: Final = "*"


class Role(StrEnum):
    """Which side of the box a party stands on."""

    MODALITY = "modality"
    PEER = "peer"


class Transport(StrEnum):
    """What carries the bytes of a party's legs."""

    PLAIN = "plain"
    TLS = "tls"
    ISCL = "iscl"
    ISCL_IN_TLS = "iscl-in-tls"


class Direction(StrEnum):
    """Who opens the association, seen from the link."""

    TO_HOSPITAL = "to-hospital"
    TO_MODALITY = "to-modality"


class Delivery(StrEnum):
    """How instances travel: passed through, kept and sent later, or kept only while the peer cannot be reached."""

    RELAY = "relay"
    HOLD = "hold"
    RELAY_THEN_HOLD = "relay-then-hold"


class Commitment(StrEnum):
    """On a link that holds: what the box claims when the modality asks for storage commitment (PS3.4 annex J)."""

    DESTINATION = "destination"  # what the peer itself has committed: the box asks it
    STORED = "stored"  # what the peer has answered with success: for one that does not do storage commitment
    OFF = "off"


class StatusRule(StrEnum):
    """What the link does about SOP Instance Status (PS3.15 A.1): nothing, what rule f asks of who passes instances on, or, where it
    holds, all rules of an application entity that holds instances."""

    PASS = "pass"  # noqa: S105
    RULE_F = "rule-f"
    HOLDER = "holder"


class AfterTransfer(StrEnum):
    """What becomes of an original that this peer has committed (PS3.15 A.1.1 d)."""

    DELETE = "delete"
    NS = "NS"
    AC = "AC"


class Conformance(StrEnum):
    """Whether a party is known to conform to PS3.15 A.1. Its certificate, bound to it by name or fingerprint, confirms it."""

    CONFORMS = "conforms"
    NONE = "none"


class Durable(StrEnum):
    """When a record counts as kept: after `fdatasync`, or as soon as it is handed to the kernel."""

    GROUP = "group"
    NONE = "none"


class OnRemoval(StrEnum):
    """What becomes of running associations when a token that they need is pulled."""

    FINISH = "finish"
    CUT = "cut"


class Box(NamedTuple):
    """The box itself. `workers` 0: one a core."""

    name: str
    run_dir: Path = Path("/run/wardgate")
    workers: int = 0
    hash_threads: int = 0
    crl_refresh_seconds: int = 900
    state: Path = Path("/state")
    trial_seconds: int = 300


class CustodyWitness(NamedTuple):
    """A C2SP witness: where it is asked, its vkey, the anchors of its HTTPS certificate."""

    url: str
    key: str
    anchors: Path


class Custody(NamedTuple):
    """The custody log. `key`: P-256 or Ed25519 in a token, or an Ed25519 file, PKCS#8 PEM.

    `socket`: of a writer that has an account of its own; "": the gateway starts one.
    """

    log: Path
    origin: str
    key: KeyReference
    durable: Durable = Durable.GROUP
    checkpoint_seconds: int = 60
    checkpoint_records: int = 65536
    witness_seconds: int = 60
    witness: tuple[CustodyWitness, ...] = ()
    retention_days: int = 0
    retention_mebibytes: int = 0
    unsigned_records: int = 100_000
    socket: str = ""


class Hold(NamedTuple):
    """The queue of links that hold. `max_bytes` 0: what the disk has."""

    directory: Path
    key: KeyReference
    unsafe_allow_file_key: bool = False
    max_bytes: int = 0
    keep_free_bytes: int = 1 << 30
    associations_per_peer: int = 4
    retry_seconds: int = 300
    attempts: int = 20
    commitment_seconds: int = 21600
    recovery: tuple[Path, ...] = ()


class Limits(NamedTuple):
    """Bounds of everything that a peer could make grow or wait. Bytes and seconds."""

    connections_per_peer: int = 128
    associations: int = 600
    openings_per_peer: int = 16
    associate_bytes: int = 1 << 20
    pdu_bytes: int = 128 << 20
    connect_seconds: int = 10
    handshake_seconds: int = 20
    associate_seconds: int = 30
    idle_seconds: int = 600
    release_seconds: int = 30
    drain_seconds: int = 300
    record_seconds: int = 10
    worker_mebibytes: int = 192


class Keys(NamedTuple):
    """The key service. `sign_seconds` bounds one signature, waiting included."""

    socket: Path = Path("/run/wardkeys/keys.sock")
    on_removal: OnRemoval = OnRemoval.FINISH
    sign_seconds: int = 10


DEFAULT_KEYS: Final = Keys()


class IsclR1(NamedTuple):
    """What `iscl.reconstruction` decides, in the words of the file."""

    byte_order: str = "big"
    swap_64bit: bool = False
    strict_zero: bool = False
    option_place: str = "header"
    version: int = 0x100
    padding: str = "count"
    chain_mac: bool = True
    chain_messages: bool = True
    shared_register: bool = False
    half_duplex: bool = False
    order_sign: str = "option"
    order_b_as_message: bool = True
    des_mac_key: str = "message"
    derivation: str = "encrypt"
    master_to_server: int = 0
    master_to_client: int = 0
    message_unit: str = "pdu"


class Iscl(NamedTuple):
    """The legacy ISCL-style channel with one party. `keys`: the URI of a token, or a file (laboratory)."""

    name: str
    peer_name: str
    keys: str
    slot: int = 1
    method: str = "three-pass-four-way"
    encryption: str = "des-cbc"
    mac: str = "md5"
    md5_order: str = "encrypt-digest"
    key_id: int = 16
    block_length: int = 8160
    max_message: int = 1 << 20
    block_seconds: int = 60
    life_seconds: int = 3600
    r1: IsclR1 = IsclR1()
    unsafe_allow_des: bool = False
    unsafe_allow_equal_keys: bool = False


class Party(NamedTuple):
    """The modality or one peer of a link. The modality's name is always `modality`."""

    name: str
    role: Role
    ae_titles: tuple[str, ...]
    addresses: tuple[Network, ...]
    listen: tuple[Endpoint, ...] = ()
    connect: Endpoint | None = None
    transport: Transport = Transport.PLAIN
    tls: Tls | None = None
    unsafe_allow_clear_hospital: bool = False
    iscl: Iscl | None = None
    hold_transfer_syntaxes: tuple[str, ...] = ()
    sop_instance_status: Conformance = Conformance.NONE
    commitment: Commitment = Commitment.DESTINATION
    after_transfer: AfterTransfer = AfterTransfer.DELETE

    def meets(self, other: Party) -> bool:
        """May a call come of which port and source address do not tell whether it is this party's or the other's?"""
        if not set(self.listen) & set(other.listen):
            return False
        return any(one.version == each.version and one.overlaps(each) for one in self.addresses for each in other.addresses)


class Link(NamedTuple):
    """One modality and the peers it may talk to."""

    name: str
    enforce: bool
    delivery: Delivery
    sop_classes: frozenset[str]
    directions: frozenset[Direction]
    modality: Party
    peers: tuple[Party, ...]
    sop_instance_status: StatusRule = StatusRule.PASS
    creating_entity: bool = False
    equipment_certification: str = ""
    originals_wait: bool = False
    authorizers: tuple[str, ...] = ()

    @property
    def parties(self) -> tuple[Party, ...]:
        """The modality, then the peers."""
        return (self.modality, *self.peers)


class Config(NamedTuple):
    """All of it."""

    box: Box
    custody: Custody
    limits: Limits
    links: tuple[Link, ...]
    keys: Keys = DEFAULT_KEYS
    hold: Hold | None = None
    plant: Plant = Plant()
    audit: Audit | None = None
    updates: Updates | None = None

    @property
    def writer_socket(self) -> Path:
        """Where the custody writer takes records."""
        return Path(self.custody.socket) if self.custody.socket else self.box.run_dir / "custody.sock"

    @property
    def audit_socket(self) -> Path:
        """Where the audit sender takes events."""
        return Path(self.audit.socket) if self.audit is not None and self.audit.socket else self.box.run_dir / "audit.sock"

    @property
    def holds(self) -> bool:
        """Does a link hold?"""
        return any(link.delivery is not Delivery.RELAY for link in self.links)

    @property
    def tls_tables(self) -> tuple[tuple[str, Tls], ...]:
        """Every TLS table, with where, for a person."""
        parties = [(f"link {link.name}, {party.name}", party.tls) for link in self.links for party in link.parties]
        repositories = self.audit.repositories if self.audit is not None else ()
        places = [*parties, *((f"audit, {each.name}", each.tls) for each in repositories)]
        return tuple((place, tls) for place, tls in places if tls is not None)

    @property
    def token_keys(self) -> frozenset[TokenKey]:
        """Every key in a token that the configuration names."""
        return frozenset(key for _, key in named_keys(self) if isinstance(key, TokenKey))

    @property
    def unsafe(self) -> tuple[str, ...]:
        """Every unsafe switch that is on, with where: shown by check, at start and in the status while it is on."""
        return tuple(_unsafe(self))


def named_keys(config: Config) -> Iterator[tuple[str, KeyReference]]:
    """Yield every private key that is named, with where, for a person."""
    yield "custody", config.custody.key
    if config.hold is not None and isinstance(config.hold.key, TokenKey):  # one in a file has a switch of its own
        yield "hold", config.hold.key
    for place, tls in config.tls_tables:
        for pair in tls.certificates:
            yield place, pair.key


def _unsafe(config: Config) -> Iterator[str]:
    for place, key in named_keys(config):
        if not isinstance(key, TokenKey):
            yield f"{place}: key in a file, {key} (development mode; a product keeps its keys in a token)"
    yield from config.plant.unsafe
    if config.custody.durable is Durable.NONE:
        yield "custody: durable = none (a power cut loses records that were acknowledged)"
    if config.hold is not None and config.hold.unsafe_allow_file_key:
        yield "hold: unsafe_allow_file_key (the key of the queue lies in a file beside it)"
    for link in config.links:
        if not link.enforce:
            yield f"link {link.name}: enforce = false (policy is only logged)"
        for party in link.parties:
            if party.iscl is not None:
                yield from _unsafe_iscl(f"link {link.name}, {party.name}", party.iscl)
            for holder in (party, party.tls, party.iscl):
                yield from _switches(f"link {link.name}, {party.name}", holder)
    for repository in config.audit.repositories if config.audit is not None else ():
        yield from _switches(f"audit, {repository.name}", repository.tls)


def _switches(where: str, holder: Party | Tls | Iscl | None) -> Iterator[str]:
    for field in holder._fields if holder is not None else ():
        if field.startswith("unsafe_") and getattr(holder, field):
            yield f"{where}: {field}"


def _unsafe_iscl(where: str, iscl: Iscl) -> Iterator[str]:
    yield f"{where}: legacy ISCL-style channel, reconstruction profile R1: retired, no conformance claim, never on an uncontrolled network"
    if not is_uri(iscl.keys):
        yield f"{where}: iscl.keys in a file, {iscl.keys} (laboratory)"
    if iscl.encryption == "none":
        yield f"{where}: iscl.encryption = none (no privacy)"
    if iscl.encryption == "des-cbc" and iscl.mac == "des-mac" and iscl.r1.des_mac_key == "message":
        yield f"{where}: des-cbc with des-mac under one key: the first message of each direction can be changed unseen"
    if iscl.method == "three-pass-four-way" and iscl.key_id == 16 and 0 in (iscl.r1.master_to_server, iscl.r1.master_to_client):
        yield (
            f"{where}: message keys are made with the authentication key: who recorded a message has its key for a challenge"
            " (iscl.r1.master_to_server and master_to_client = 0)"
        )
    if iscl.r1.derivation == "clear":
        yield f"{where}: iscl.r1.derivation = clear (message keys travel in clear)"


def to_json(config: Config) -> str:
    """Return the configuration as JSON text that `from_json` reads."""
    return json.dumps(_plain(config), separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, Endpoint):
        return value.text
    if hasattr(value, "_fields"):
        return {field: _plain(getattr(value, field)) for field in value._fields}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath | IPv4Network | IPv6Network):
        return str(value)
    return value


def from_json(text: str) -> Config:
    """Return the configuration written by `to_json`. It was checked before: any error here is a bug."""
    return build(json.loads(text))


def as_data(config: Config) -> dict[str, Any]:
    """Return the configuration as plain data that JSON can hold and `build` reads."""
    data: dict[str, Any] = _plain(config)
    return data


def build(data: dict[str, Any]) -> Config:
    """Make the configuration from checked data: the words of the schema, complete, `links` and `peers` as lists."""
    box, custody, keys = data["box"], data["custody"], data["keys"]
    return Config(
        Box(**{**box, "run_dir": Path(box["run_dir"])}),
        _custody(custody),
        Limits(**data["limits"]),
        tuple(_link(link) for link in data["links"]),
        Keys(Path(keys["socket"]), OnRemoval(keys["on_removal"]), keys["sign_seconds"]),
        _hold(data.get("hold")),
        build_plant(data["plant"]) if "plant" in data else Plant(),
        build_audit(data["audit"]) if data.get("audit") else None,
        build_updates(data["updates"], box["name"]) if data.get("updates") else None,
    )


def _custody(data: dict[str, Any]) -> Custody:
    witnesses = tuple(CustodyWitness(**{**witness, "anchors": Path(witness["anchors"])}) for witness in data["witness"])
    paths = {"log": Path(data["log"]), "key": key_reference(data["key"])}
    return Custody(**{**data, **paths, "durable": Durable(data["durable"]), "witness": witnesses})


def _hold(data: dict[str, Any] | None) -> Hold | None:
    if not data:
        return None
    paths = {"directory": Path(data["directory"]), "recovery": tuple(map(Path, data.get("recovery", ())))}
    return Hold(**{**data, **paths, "key": key_reference(data["key"])})


def _link(data: dict[str, Any]) -> Link:
    return Link(
        name=data["name"],
        enforce=data["enforce"],
        delivery=Delivery(data["delivery"]),
        sop_classes=frozenset(data["sop_classes"]),
        directions=frozenset(Direction(word) for word in data["directions"]),
        modality=_party({**data["modality"], "name": "modality"}, Role.MODALITY),
        peers=tuple(_party(peer, Role.PEER) for peer in data["peers"]),
        sop_instance_status=StatusRule(data.get("sop_instance_status", StatusRule.PASS)),
        creating_entity=data.get("creating_entity", False),
        equipment_certification=data.get("equipment_certification", ""),
        originals_wait=data.get("originals_wait", False),
        authorizers=tuple(data.get("authorizers", ())),
    )


def _party(data: dict[str, Any], role: Role) -> Party:
    return Party(
        name=data["name"],
        role=role,
        ae_titles=tuple(data["ae_titles"]),
        addresses=tuple(ip_network(text, strict=False) for text in data["addresses"]),
        listen=tuple(parse_endpoint(text) for text in data["listen"]),
        connect=parse_endpoint(data["connect"]) if data["connect"] else None,
        transport=Transport(data["transport"]),
        tls=build_tls(data["tls"]) if data["tls"] else None,
        unsafe_allow_clear_hospital=data.get("unsafe_allow_clear_hospital", False),
        iscl=Iscl(**{**data["iscl"], "r1": IsclR1(**data["iscl"]["r1"])}) if data.get("iscl") else None,
        hold_transfer_syntaxes=tuple(data.get("hold_transfer_syntaxes", ())),
        sop_instance_status=Conformance(data.get("sop_instance_status", Conformance.NONE)),
        commitment=Commitment(data.get("commitment", Commitment.DESTINATION)),
        after_transfer=AfterTransfer(data.get("after_transfer", AfterTransfer.DELETE)),
    )
