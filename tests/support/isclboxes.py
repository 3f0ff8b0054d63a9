"""Two boxes joined by the legacy ISCL-style channel: modality, plain, box A, ISCL, box B, plain or TLS, PACS."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from subprocess import CompletedProcess

from support import certs, datasets, peers
from support.config import PeerPlan, Plan
from support.datasets import Sample
from support.gateway import Gateway
from support.processes import Program, until
from wardgate.codes import Code
from wardtools.pki import Pki

SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")  # that a box which holds may take
KEYS = (
    "auth-1-c2s 0123456789abcdef",
    "auth-1-s2c fedcba9876543210",
    "enc-2 2345678998badcef",
    "aes-auth-1-c2s " + "11" * 16,
    "aes-auth-1-s2c " + "22" * 16,
)


def key_file(folder: Path) -> Path:
    """Write a laboratory's key file."""
    path = folder / "iscl.keys"
    path.write_text("\n".join(KEYS) + "\n")
    path.chmod(0o600)
    return path


class TwoBoxes:
    """Box A before the modality, box B before the PACS. `close` ends everything."""

    def __init__(
        self,
        folder: Path,
        pki: Pki,
        keys: tuple[object, object],
        *,
        key_socket: Path | None = None,
        tls_pacs: bool = False,
        holds: str = "",
        nested: bool = False,
        **words: object,
    ) -> None:
        """`keys`: the word `keys` of A and B; `words`: further words of the ISCL table of both; `holds`: which box holds, "a" or "b".

        `nested`: ISCL inside mutual TLS, box A with the certificate `box-ecdsa`, box B with `pacs-ecdsa`.
        """
        self.folder, self.pki, self._tls = folder, pki, tls_pacs
        a, b = folder / "a", folder / "b"
        a.mkdir()
        b.mkdir()
        shared = {"unsafe_allow_des": True, **words}
        service: dict[str, object] = {} if key_socket is None else {"socket": key_socket}
        far = certs.pacs_plan(pki) if tls_pacs else PeerPlan(transport="plain")
        far_key, near_key = certs.custody_key(pki), certs.custody_key(pki)
        ours = {"name": "WARD-A", "peer_name": "WARD-B", "keys": keys[0], **shared}
        theirs = {"name": "WARD-B", "peer_name": "WARD-A", "keys": keys[1], **shared}
        far.hold_transfer_syntaxes = SYNTAXES
        self.plan_b = Plan(b, (far,), far_key, modality_iscl=theirs, keys=service)
        middle = PeerPlan(transport="iscl", iscl=ours, port=self.plan_b.listen, hold_transfer_syntaxes=SYNTAXES)
        self.plan_a = Plan(a, (middle,), near_key, keys=service)
        if nested:
            middle.transport, middle.anchors, middle.names = "iscl-in-tls", pki.root, ("pacs.test",)
            middle.certificates = ((pki.leaf("box-ecdsa").chain, pki.leaf("box-ecdsa").key),)
            pair = ((pki.leaf("pacs-ecdsa").chain, pki.leaf("pacs-ecdsa").key),)
            self.plan_b.modality_tls = PeerPlan(certificates=pair, anchors=pki.root, names=("box.test",))
        self.middle = middle  # box B as box A sees it
        self.plan_b.modality_port = middle.calls  # what the PACS opens goes back the same way
        for plan, name in ((self.plan_a, "a"), (self.plan_b, "b")):
            plan.delivery = "hold" if holds == name else "relay"
        self.a, self.b = Gateway(self.plan_a), Gateway(self.plan_b)  # at the modality, at the PACS
        self.programs: list[Program] = []

    @property
    def boxes(self) -> tuple[Gateway, Gateway]:
        """Both, that at the PACS first."""
        return self.b, self.a

    def start(self) -> TwoBoxes:
        """Start PACS and boxes."""
        self.pacs()
        for box in self.boxes:
            box.plan.write()  # a test may have changed it
            box.start()
        return self

    def serve(self) -> None:
        """Wait until an echo passes: boxes that listen may not have heard of their tokens yet."""
        try:
            until(lambda: self.echo().returncode == 0, "both boxes serve")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    def refused(self, *codes: str) -> None:
        """Wait until an echo is refused for one of the codes of these names, at box A; it never passes."""
        wanted = {str(Code[code]) for code in codes}

        def is_refused() -> bool:
            assert self.echo().returncode != 0
            return bool(wanted & set(self.a.codes()))

        until(is_refused, f"one of {codes} in the log")

    def pacs(self) -> None:
        """Start the PACS."""
        tls = certs.dcmtk(self.pki, "pacs-rsa") if self._tls else None
        self.programs.append(peers.storescp(self.folder / "pacs", self.plan_b.peers[0].port, ae="PACS", tls=tls))

    def send(self, samples: Iterable[Sample]) -> CompletedProcess[str]:
        """C-STORE of the modality, one association."""
        return peers.storescu(self.plan_a.listen, *(one.path for one in samples), calling="CT1", called="PACS")

    def echo(self) -> CompletedProcess[str]:
        """C-ECHO of the modality."""
        return peers.echoscu(self.plan_a.listen, calling="CT1", called="PACS")

    def assert_delivered(self, samples: Iterable[Sample]) -> None:
        """Each data set arrived byte for byte."""
        arrived = datasets.samples(self.folder / "pacs")
        for sent in samples:
            assert sent.sop_instance in arrived, f"{sent.path.name} did not arrive"
            assert arrived[sent.sop_instance].sha256 == sent.sha256, f"{sent.path.name} arrived with other bytes"

    @property
    def log(self) -> str:
        """What both boxes said."""
        return "".join(box.log[-4000:] for box in self.boxes)

    def close(self) -> None:
        """End everything."""
        for box in reversed(self.boxes):
            box.stop()
        for program in self.programs:
            program.stop(1.0)
