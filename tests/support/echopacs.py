"""A PACS that answers C-ECHOs and no more, and as much of a configuration as a judge of slots reads to reach it."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support.wire import associate_ac, echo_rsp, pdv
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.model import Party, Role
from wardgate.policy.plant import Ports

MODALITY = Party("modality", Role.MODALITY, ("CT1",), ())


class Pacs:
    """Answers a C-ECHO; `calls` counts who came."""

    def __init__(self) -> None:
        self.calls = 0
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.endpoint = Endpoint("127.0.0.1", self._sock.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._sock.accept()
                self.calls += 1
                with client:
                    client.sendall(associate_ac(client.recv(65536)))
                    client.recv(65536)
                    client.sendall(pdv(1, 3, echo_rsp()))
                    client.recv(65536)

    def close(self) -> None:
        """Nobody answers any more."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # who waits in accept is woken
        self._sock.close()


def config(ports: Ports, *peers: Party, run_dir: Path = Path("/nowhere")) -> Any:
    """One link, `ct1`, to `peers`; its gateway's status is in `run_dir`."""
    link = SimpleNamespace(name="ct1", modality=MODALITY, peers=peers)
    plant = SimpleNamespace(ports=ports, socket=Path("/nowhere/netd.sock"))
    box = SimpleNamespace(run_dir=run_dir, trial_seconds=0)
    return SimpleNamespace(plant=plant, links=(link,), box=box, custody=SimpleNamespace(log=Path("/nowhere/log")), keys=None)
