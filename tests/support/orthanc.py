"""Runs Orthanc as a PACS with DICOM TLS (client certificate required), with its REST port on the loopback address."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from support.peers import TlsFiles
from support.processes import LOOPBACK, Program, free_port

WORKLIST_PLUGIN = Path("/usr/lib/orthanc")


class Orthanc:
    """One running Orthanc. `back`: the port of the box on which the modality `modality` is reached, over TLS."""

    def __init__(self, folder: Path, port: int, back: int, tls: TlsFiles, modality: str, worklists: Path | None = None) -> None:
        folder.mkdir()
        self.http = free_port()
        config: dict[str, Any] = {
            "Name": "pacs",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "index"),
            "HttpPort": self.http,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAet": "PACS",
            "DicomCheckCalledAet": False,
            "DicomPort": port,
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(tls.chain),
            "DicomTlsPrivateKey": str(tls.key),
            "DicomTlsTrustedCertificates": str(tls.anchors),
            "DicomTlsRemoteCertificateRequired": True,
            "DicomModalities": {"ct1": {"AET": modality, "Host": LOOPBACK, "Port": back, "UseDicomTls": True}},
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowMove": True,
            "DicomAlwaysAllowStore": True,
            "StorageCommitmentReportsQueueSize": 100,
            "Plugins": [],
        }
        if worklists is not None:
            config["Plugins"] = [str(path) for path in WORKLIST_PLUGIN.glob("libModalityWorklists.so*")]
            config["Worklists"] = {"Enable": True, "Database": str(worklists), "FilterIssuerAet": False}
        path = folder / "orthanc.json"
        path.write_text(json.dumps(config))
        self.program = Program(["Orthanc", "--verbose", path], folder / "orthanc.log", {"MALLOC_ARENA_MAX": "2"})
        self.program.wait_listening(port, self.http)

    def get(self, path: str) -> Any:
        """GET of the REST interface."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.http}{path}", timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: object) -> Any:
        """POST to the REST interface."""
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"http://{LOOPBACK}:{self.http}{path}", data=data, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def file(self, instance: str) -> bytes:
        """Return the Part 10 file of an instance by Orthanc's own identifier."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.http}/instances/{instance}/file", timeout=60) as answer:
            return bytes(answer.read())
