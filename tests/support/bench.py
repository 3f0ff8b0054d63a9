"""One box between a DCMTK PACS (mutual TLS) and a DCMTK modality (plain), and what tests ask of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from subprocess import CompletedProcess

from support import certs, datasets, peers
from support.config import PeerPlan, Plan
from support.datasets import Sample
from support.gateway import Gateway, tool
from support.ondisk import store_of
from support.processes import Program, until
from wardtools.pki import Pki

MODALITY, PACS = "CT1", "PACS"


class Bench:
    """Holds the plan (change it before `start`), the box and the peers; `close` ends them all."""

    def __init__(self, folder: Path, pki: Pki) -> None:
        self.folder, self.pki = folder, pki
        self.plan = Plan(folder, (certs.pacs_plan(pki),), certs.custody_key(pki))
        self._box: Gateway | None = None
        self.programs: list[Program] = []

    @property
    def peer(self) -> PeerPlan:
        """The PACS as the box sees it."""
        return self.plan.peers[0]

    @property
    def box(self) -> Gateway:
        """The running box."""
        assert self._box is not None, "start() first"
        return self._box

    def start(self) -> Gateway:
        """Write the configuration and start the box."""
        self._box = Gateway(self.plan)
        self._box.start()
        return self._box

    def close(self) -> None:
        """End everything."""
        if self._box is not None:
            self._box.stop()
        for program in self.programs:
            program.stop(1.0)

    # Peers

    def pacs(self, *options: str, certificate: str = "pacs-rsa", port: int | None = None) -> Program:
        """Start the PACS."""
        tls = certs.dcmtk(self.pki, certificate)
        return self.add(peers.storescp(self.folder / "pacs", port or self.peer.port, *options, ae=PACS, tls=tls))

    def modality(self, *options: str) -> Program:
        """Start the modality's own SCP."""
        return self.add(peers.storescp(self.folder / "modality", self.plan.modality_port, *options, ae=MODALITY))

    def add(self, program: Program) -> Program:
        """See to it that `program` ends with this."""
        self.programs.append(program)
        return program

    # What the peers do

    def echo(self) -> CompletedProcess[str]:
        """C-ECHO of the modality."""
        return peers.echoscu(self.plan.listen, calling=MODALITY, called=PACS)

    def send(self, samples: Iterable[Sample], *options: str) -> CompletedProcess[str]:
        """C-STORE of the modality, one association."""
        return peers.storescu(self.plan.listen, *options, *(one.path for one in samples), calling=MODALITY, called=PACS)

    def echo_back(self, *options: str, certificate: str = "pacs-rsa", calling: str = PACS) -> CompletedProcess[str]:
        """C-ECHO of the PACS to the modality."""
        tls = certs.dcmtk(self.pki, certificate)
        return peers.echoscu(self.peer.calls, *options, calling=calling, called=MODALITY, tls=tls)

    def send_back(self, samples: Iterable[Sample], *options: str, certificate: str = "pacs-rsa") -> CompletedProcess[str]:
        """C-STORE of the PACS to the modality."""
        tls = certs.dcmtk(self.pki, certificate)
        return peers.storescu(self.peer.calls, *options, *(one.path for one in samples), calling=PACS, called=MODALITY, tls=tls)

    # What must hold

    def assert_delivered(self, samples: Iterable[Sample], where: str = "pacs", status: str = "0000") -> None:
        """Each data set arrived byte for byte, and its record carries the digest of these bytes and the peer's status."""
        arrived = datasets.samples(self.folder / where)
        for sent in samples:
            assert sent.sop_instance in arrived, f"{sent.path.name} did not arrive"
            assert arrived[sent.sop_instance].sha256 == sent.sha256, f"{sent.path.name} arrived with other bytes"
            self.assert_recorded(sent, status)

    def assert_recorded(self, sent: Sample, status: str = "0000") -> None:
        """There is a record of this instance with its digest, length, transfer syntax and the status."""
        record = store_of(self.plan.log_dir, sent.sop_instance)
        assert {"alg": "sha256", "scope": "dataset", "value": sent.sha256} in record["digests"]
        assert (record["length"], record["transfer_syntax"], record["sop_class"]) == (sent.length, sent.transfer_syntax, sent.sop_class)
        assert (record["outcome"], record["status"]) == ("status", status)

    def assert_works(self) -> None:
        """The box still relays: a C-ECHO of the modality is answered."""
        done = self.echo()
        assert done.returncode == 0, f"{done.stdout}\n{self.box.log[-3000:]}"

    def assert_log_verifies(self) -> None:
        """An outsider with the key can verify the whole log (after the next checkpoint)."""
        words = ("custody", "verify", self.plan.log_dir, "--key", self.box.public_key)
        try:
            until(lambda: tool(*words).returncode == 0, "the log verifies")
        except AssertionError as error:
            raise AssertionError(f"{error}: {tool(*words).stdout}") from None
