"""Row 1: DCMTK's own programs, as Debian ships them, over a 1 Gbit/s line: dcmsend -> box -> storescp +tls, against no box."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from bench import custody, digests
from bench.compare import Settings, Tally, against, medians
from bench.gateways import DIRECT, HAPROXY, STUNNEL, Subject, wardgate
from bench.network import Network, Place
from bench.places import Places, one_core
from bench.process import stop
from bench.report import Line
from bench.rig import TrialError, Workload
from bench.trial import Gateway, Scenario

INSTANCES = 100
_SCENARIO = Scenario("stock DCMTK", Workload())
_READY_SECONDS = 30.0


class Stock:
    """Measures with stock peers on the line network."""

    def __init__(self, places: Places, network: Network, tally: Tally, settings: Settings) -> None:
        self._places = places
        self._network = network
        self._tally = tally
        self._settings = settings
        self._files = places.work / "stock"
        self._kept = places.work / "kept"

    def lines(self) -> list[Line]:
        """Row 1: CT; small."""
        lines = []
        for kind, must in (("ct", 5.0), ("small", 20.0)):
            print(f"bench: stock DCMTK peers, {kind}", file=sys.stderr, flush=True)
            shutil.rmtree(self._files, ignore_errors=True)
            self._files.mkdir()
            for path in sorted((self._places.data / kind).iterdir())[:INSTANCES]:
                shutil.copy(path, self._files)
            self._verify(wardgate())
            rates = self._rounds([DIRECT, STUNNEL, HAPROXY, wardgate()])
            pair = against(rates, float, "wardgate", "direct")
            note = f"inst/s: {medians(rates, float)}"
            lines.append(Line("1", f"stock DCMTK, 1 Gbit/s, {kind}: instances/s / without a box", *pair, must=must, note=note))
        return lines

    def _rounds(self, subjects: list[Subject]) -> list[dict[str, float]]:
        rounds = []
        for turn in range(self._settings.rounds):
            start = turn % len(subjects)
            found = {}
            for subject in [*subjects[start:], *subjects[:start]]:
                try:
                    found[subject.name] = self._rate(subject, keep=False)
                except TrialError as error:
                    self._tally.fail(error)
            rounds.append(found)
        return rounds

    def _verify(self, subject: Subject) -> None:
        """Untimed: storescp writes each data set as it came; compare with the files."""
        shutil.rmtree(self._kept, ignore_errors=True)
        self._kept.mkdir()
        try:
            self._rate(subject, keep=True)
        except TrialError as error:
            self._tally.fail(error)
            return
        self._tally.count(digests.Wrong(digests.difference(_folder(self._files), _folder(self._kept)), 0))

    def _rate(self, subject: Subject, keep: bool) -> float:
        target = self._network.endpoint(Place.HOSPITAL)
        scp = self._start_scp(target.rpartition(":")[2], tls=subject.command is not None, keep=keep)
        gateway = Gateway(self._places, self._network, one_core(), subject, _SCENARIO, target)
        try:
            peer = gateway.endpoint.split(":")
            self._wait_ready(gateway, peer)
            began = time.monotonic()
            done = subprocess.run(
                self._at(Place.MODALITY, "dcmsend", "-q", "+sd", "-nuc", *peer, str(self._files)),
                capture_output=True,
                check=False,
                timeout=300,
            )
            rate = INSTANCES / (time.monotonic() - began)
            if done.returncode:
                raise TrialError(f"stock DCMTK, {subject.name}: dcmsend: {done.stderr.decode()[-200:]} {gateway.said()}")
            gateway.close()
            if subject.has_custody:
                recorded = custody.stores(gateway.work / "custody")
                self._tally.count(digests.Wrong(0, digests.difference(_folder(self._files), recorded)))
            return rate
        except subprocess.TimeoutExpired as error:
            raise TrialError(f"stock DCMTK, {subject.name}: {error} {gateway.said()}") from error
        finally:
            gateway.close()
            stop(scp)
            gateway.forget()

    def _at(self, place: Place, *words: str) -> list[str]:
        return [*self._network.prefix(place), "taskset", "-c", one_core().rig, *words]

    def _start_scp(self, port: str, tls: bool, keep: bool) -> subprocess.Popen[bytes]:
        folder = self._places.certificates
        words = ["storescp", "-q", "--fork", *(["+B", "-od", str(self._kept)] if keep else ["--ignore"])]
        words += ["+tls", f"{folder}/server.key", f"{folder}/server.pem", "+cf", f"{folder}/ca.pem"] if tls else []
        return subprocess.Popen(self._at(Place.HOSPITAL, *words, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _wait_ready(self, gateway: Gateway, peer: list[str]) -> None:
        end = time.monotonic() + _READY_SECONDS
        while subprocess.run(self._at(Place.MODALITY, "echoscu", "-q", *peer), capture_output=True, check=False).returncode:
            if not gateway.running() or time.monotonic() > end:
                raise TrialError(f"stock DCMTK: no C-ECHO gets through {gateway.said()}")
            time.sleep(0.1)


def _folder(folder: Path) -> digests.Digests:
    """Digest the data sets of the DICOM files in a folder."""
    found: digests.Digests = Counter()
    for path in folder.iterdir():
        file = path.read_bytes()
        start = 144 + int.from_bytes(file[140:144], "little")  # PS3.10 7.1: the group length is the first element
        at = file.index(b"\x02\x00\x03\x00UI", 132, start)
        uid = file[at + 8 : at + 8 + int.from_bytes(file[at + 6 : at + 8], "little")].rstrip(b"\0").decode()
        found[uid, hashlib.sha256(file[start:]).hexdigest()] += 1
    return found
