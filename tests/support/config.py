"""Writes a Wardgate configuration for tests: one link, a plain modality, one or more peers, all on the loopback address."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from support.processes import LOOPBACK, free_port


@dataclass(slots=True)
class PeerPlan:
    """One hospital peer. `certificates`: (chain, key) pairs of the box, the key by path or URI; `extra`: further words of its TLS table."""

    name: str = "pacs"
    ae_titles: tuple[str, ...] = ("PACS",)
    port: int = field(default_factory=free_port)  # where the peer listens
    calls: int = field(default_factory=free_port)  # where it calls the box
    addresses: tuple[str, ...] = (LOOPBACK,)
    transport: str = "tls"
    certificates: tuple[tuple[Path, Path | str], ...] = ()
    anchors: Path | None = None
    names: tuple[str, ...] = ("pacs.example.org",)
    crls: tuple[Path, ...] = ()
    crl_policy: str = "off"
    profile: str = "B.12"
    extra: dict[str, object] = field(default_factory=dict)
    iscl: dict[str, object] = field(default_factory=dict)  # with transport "iscl"
    hold_transfer_syntaxes: tuple[str, ...] = ()
    commitment: str = "off"  # where it matters, tests say so
    words: dict[str, object] = field(default_factory=dict)  # further words of its table


@dataclass(slots=True)
class Plan:
    """One box with one link. Ports are chosen when it is made."""

    folder: Path
    peers: tuple[PeerPlan, ...]
    custody_key: Path | str
    modality_ae: tuple[str, ...] = ("CT1",)
    modality_addresses: tuple[str, ...] = (LOOPBACK,)
    modality_port: int = field(default_factory=free_port)  # where the modality listens
    listen: int = field(default_factory=free_port)  # where the modality calls the box
    sop_classes: tuple[str, ...] = ("*",)
    directions: tuple[str, ...] = ("to-hospital", "to-modality")
    workers: int = 1
    durable: str = "group"
    custody_log: Path | None = None
    limits: dict[str, int] = field(default_factory=dict)
    keys: dict[str, object] = field(default_factory=dict)
    custody: dict[str, object] = field(default_factory=dict)  # further words of that table
    modality_iscl: dict[str, object] = field(default_factory=dict)  # the modality speaks ISCL instead of plain
    modality_tls: PeerPlan | None = None  # or TLS, as this plan has it
    modality: dict[str, object] = field(default_factory=dict)  # further words of its table
    more: str = ""  # further tables, TOML
    box: dict[str, object] = field(default_factory=dict)  # further words of that table
    delivery: str = "relay"
    sop_instance_status: str = "pass"
    link: dict[str, object] = field(default_factory=dict)  # further words of that table
    hold: dict[str, object] = field(default_factory=dict)  # further keys of [hold], there when `delivery` holds

    @property
    def hold_dir(self) -> Path:
        """Where the queue is."""
        return Path(str(self.hold.get("directory", self.folder / "hold")))

    @property
    def run_dir(self) -> Path:
        """Where the sockets of the box are. Short: a UNIX socket's path has at most 107 bytes."""
        return self.folder / "run"

    @property
    def log_dir(self) -> Path:
        """Where the custody log is."""
        return self.custody_log or self.folder / "custody"

    def write(self) -> Path:
        """Write the file and the folders it names; return its path."""
        self.run_dir.mkdir(mode=0o700, exist_ok=True)
        if self.delivery != "relay":
            key = self.folder / "hold.key"
            if not key.exists():
                key.touch(0o600)
                key.write_bytes(os.urandom(32))
        path = self.folder / "wardgate.toml"
        path.write_text(self.text())
        return path

    def text(self) -> str:
        """Return the configuration, TOML."""
        parts = [
            _table("box", name="ward-ct1", run_dir=self.run_dir, workers=self.workers, **self.box),
            _table(
                "custody",
                log=self.log_dir,
                origin="ward-ct1.example.org/custody",
                key=self.custody_key,
                durable=self.durable,
                **{"checkpoint_seconds": 1, **self.custody},
            ),
            _table("keys", **self.keys),
            _table("limits", **self.limits),
            *self._hold(),
            _table(
                "[link]",
                name="ct1",
                enforce=True,
                delivery=self.delivery,
                sop_instance_status=self.sop_instance_status,
                sop_classes=self.sop_classes,
                directions=self.directions,
                **self.link,
            ),
            _table(
                "link.modality",
                ae_titles=self.modality_ae,
                addresses=self.modality_addresses,
                listen=(f"{LOOPBACK}:{self.listen}",),
                connect=f"{LOOPBACK}:{self.modality_port}",
                transport=_carrier(self.modality_iscl, self.modality_tls),
                **self.modality,
            ),
        ]
        if self.modality_iscl:
            parts.append(_table("link.modality.iscl", **self.modality_iscl))
        if self.modality_tls is not None:
            parts.append(_tls("link.modality.tls", self.modality_tls))
        for peer in self.peers:
            parts += self._peer(peer)
        return "\n".join([*parts, self.more])

    def _hold(self) -> list[str]:
        if self.delivery == "relay":
            return []
        words: dict[str, object] = {"directory": self.hold_dir, "key": self.folder / "hold.key", "unsafe_allow_file_key": True}
        return [_table("hold", **{**words, "retry_seconds": 2, "keep_free_bytes": 1 << 20, **self.hold})]

    def _peer(self, peer: PeerPlan) -> list[str]:
        table = {
            "name": peer.name,
            "ae_titles": peer.ae_titles,
            "addresses": peer.addresses,
            "connect": f"{LOOPBACK}:{peer.port}",
            "listen": (f"{LOOPBACK}:{peer.calls}",),
            "transport": peer.transport,
            "hold_transfer_syntaxes": peer.hold_transfer_syntaxes,
            "commitment": peer.commitment,
            **peer.words,
        }
        if peer.transport == "plain":
            return [_table("[link.peer]", **table, unsafe_allow_clear_hospital=True)]
        if peer.transport == "iscl":
            return [_table("[link.peer]", **table), _table("link.peer.iscl", **peer.iscl)]
        inside = [_table("link.peer.iscl", **peer.iscl)] if peer.transport == "iscl-in-tls" else []
        return [_table("[link.peer]", **table), _tls("link.peer.tls", peer), *inside]


def _carrier(iscl: dict[str, object], tls: PeerPlan | None) -> str:
    return "-in-".join(word for word, there in (("iscl", iscl), ("tls", tls)) if there) or "plain"


def _tls(title: str, peer: PeerPlan) -> str:
    pairs = "[" + ", ".join(f"{{ chain = {_value(chain)}, key = {_value(key)} }}" for chain, key in peer.certificates) + "]"
    words = {"profile": peer.profile, "anchors": peer.anchors, "names": peer.names, "crls": peer.crls, "crl_policy": peer.crl_policy}
    return f"{_table(title, **words, **peer.extra)}certificates = {pairs}\n"


def _table(title: str, **fields: object) -> str:
    return f"[{title}]\n" + "".join(f"{name} = {_value(value)}\n" for name, value in fields.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(one)}" for name, one in value.items()) + " }"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return json.dumps(str(value))
