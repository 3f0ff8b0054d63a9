"""A hospital around a box in QEMU: its policy and keys, a DCMTK PACS under TLS on the hospital port, DCMTK as the modality on the other."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support import peers
from support.card import CardFile
from support.cardbench import LABEL, PIN, enrol, uri
from support.certs import dcmtk
from support.datasets import Sample
from support.imagekit import Image
from support.machine import X86_64, Machine
from support.processes import Program, free_port, run
from support.qemubox import BOX_MODALITY, CT, PACS, QemuBox, factory_disk, overlay
from wardtools.pki import Pki

HOME = "/etc/wardgate"
SECRET = "/state/secret"  # keys in files, as no product has them: the state's signed folders are read by who verifies them
TOKENS = f"""\
socket = "/run/wardkeys/keys.sock"
state_dir = "/var/lib/wardkeys"
[[token]]
name = "card"
module = "/usr/lib/opensc-pkcs11.so"
label = "{LABEL}"
pin_file = "/var/lib/wardkeys/card.pin"
[[user]]
user = "wardgate"
keys = ["{uri(1)}"]
purposes = ["sign"]
[[user]]
user = "custody"
keys = ["{uri(4)}"]
purposes = ["sign"]
"""
AUDIT_TOKENS = f"""\
[[user]]
user = "audit"
keys = ["{uri(1)}"]
purposes = ["sign"]
"""
POLICY = """\
[box]
name = "ward-test"
workers = 1
trial_seconds = {trial}
[custody]
log = "/var/lib/custody/log"
socket = "/run/wardgate-custody/custody.sock"
origin = "ward-test.example.org/custody"
key = "{log_key}"
checkpoint_seconds = 1
{more}
"""
LINK = """\
[[link]]
name = "{name}"
sop_classes = ["*"]
directions = ["to-hospital"]
delivery = "{delivery}"
[link.modality]
ae_titles = ["{ae}"]
addresses = ["{ct}"]
listen = ["{box}:{listen}"]
transport = "plain"
[[link.peer]]
name = "pacs"
ae_titles = ["PACS"]
addresses = ["{pacs}"]
connect = "{pacs}:{port}"
transport = "tls"
{hold_syntaxes}
[link.peer.tls]
profile = "B.12"
certificates = [{{ chain = "{home}/box.pem", key = "{key}" }}]
anchors = "{home}/root.pem"
names = ["pacs.test"]
crl_policy = "off"
"""


AUDIT = """\
[audit]
spool = "/var/lib/audit/spool"
socket = "/run/wardgate-audit/audit.sock"
[[audit.repository]]
name = "arr"
connect = "{pacs}:{port}"
[audit.repository.tls]
profile = "B.12"
certificates = [{{ chain = "{home}/box.pem", key = "{key}" }}]
anchors = "{home}/root.pem"
names = ["pacs.test"]
crl_policy = "off"
"""


# The vault of a test is smaller than what a queue leaves free by itself.
HOLD = f"""\
[hold]
directory = "/var/lib/wardgate/hold"
key = "{SECRET}/hold.key"
unsafe_allow_file_key = true
keep_free_bytes = 16777216
"""


class Site:
    """What stands around the box. `files` and `private` go on its state partition, `altered` over them when they are signed."""

    def __init__(
        self,
        folder: Path,
        pki: Pki,
        *,
        trial: int = 240,
        holds: bool = False,
        card: CardFile | None = None,
        clear: bool = True,
        machine: Machine = X86_64,
        repository: int = 0,
    ) -> None:
        """`card`: the box's keys are on it; else in files. `holds`: a second modality, CT2 on port 105, whose link holds.
        `clear`: the vault is not encrypted; else the box makes it and wants a TPM (`support.softtpm`).
        `repository`: port of an audit repository at the PACS's address; 0: the box has no audit."""
        self.folder, self.machine, self.repository = folder, machine, repository
        self.port = free_port()
        self.modality_ports = {104: free_port(), 105: free_port()}
        self._pki = pki
        self._pacs: Program | None = None
        more = HOLD if holds else ""
        if repository:
            more += AUDIT.format(pacs=PACS, port=repository, home=HOME, key=uri(1) if card else f"{SECRET}/audit.key")
        policy = POLICY.format(trial=trial, more=more, log_key=uri(4) if card else f"{SECRET}/log.pem")
        for number in (1, 2) if holds else (1,):
            policy += LINK.format(
                name=f"ct{number}", ae=f"CT{number}", listen=103 + number, home=HOME, delivery="hold" if number == 2 else "relay", ct=CT,
                box=BOX_MODALITY, pacs=PACS, port=self.port, key=uri(1) if card else f"{SECRET}/box.key",
                hold_syntaxes='hold_transfer_syntaxes = ["1.2.840.10008.1.2.1"]' if number == 2 else "",
            )  # fmt: skip
        self.vault: dict[str, str | bytes] = {}
        self.altered: dict[str, str | bytes] = {}
        self._clear = clear
        self.private: dict[str, str] = {}
        self.files: dict[str, str | bytes] = {"wardgate/wardgate.toml": policy, "wardgate/root.pem": pki.root.read_bytes()}
        if card is not None:
            self.files["wardgate/box.pem"] = enrol(card, pki, folder).read_bytes()
            self.files["wardkeys/keys.toml"] = TOKENS + (AUDIT_TOKENS if repository else "")
            self.vault["wardkeys/card.pin"] = f"{PIN}\n"
            self.private["wardkeys/card.pin"] = "wardkeys"
        else:
            leaf = pki.leaf("box-ecdsa")
            self.files["wardgate/box.pem"] = leaf.chain.read_bytes()
            self._secret("secret/box.key", leaf.key.read_bytes())
            if repository:
                self._secret("secret/audit.key", leaf.key.read_bytes(), "audit")
            made = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            self._secret("secret/log.pem", made, "custody")
        if holds:
            self._secret("secret/hold.key", bytes(range(32)))

    def _secret(self, path: str, data: bytes, account: str = "wardgate") -> None:
        self.files[path] = data
        self.private[path] = account

    def disk(self, image: Image, *, addresses: bool = True) -> Path:
        """Return the box's disk, as it leaves the workshop: a qcow2 file. `addresses`: its ports have their own."""
        vault = self.vault if self._clear else None
        made = factory_disk(image, self.folder, self.files, self.private, vault, addresses=addresses, altered=self.altered)
        return overlay(made, self.folder / "box.qcow2")

    def box(self, folder: Path, disk: Path, devices: tuple[str, ...] = (), *, secure_boot: bool = True, typed: bool = False) -> QemuBox:
        """Return a box between the two networks: the modality calls port 104, the box reaches the PACS at its address."""
        modality = "".join(f",hostfwd=tcp:127.0.0.1:{port}-{BOX_MODALITY}:{to}" for to, port in self.modality_ports.items())
        return QemuBox(folder, disk, modality, PACS, devices, secure_boot, self.machine, typed=typed)

    def open_pacs(self) -> None:
        """Start the PACS."""
        self._pacs = peers.storescp(self.folder / "pacs", self.port, tls=dcmtk(self._pki))

    def close_pacs(self) -> None:
        """End it."""
        if self._pacs is not None:
            self._pacs.stop()
            self._pacs = None

    def delivered(self) -> list[Path]:
        """Return the files that the PACS has."""
        return sorted(path for path in (self.folder / "pacs").glob("*") if path.is_file())

    def store(self, *samples: Sample, modality: int = 1) -> CompletedProcess[str]:
        """Send files as a modality, in clear. A box in emulation takes its time."""
        words = ["dcmsend", "-v", "-nuc", "-dn", "-to", "120", "-ta", "120", "-td", "120", "-aet", f"CT{modality}", "-aec", "PACS"]
        return run([*words, "127.0.0.1", str(self.modality_ports[103 + modality]), *(sample.path for sample in samples)], 300)
