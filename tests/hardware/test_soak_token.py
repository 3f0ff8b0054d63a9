"""Ten thousand handshakes of eight threads with a box of four workers whose key is in a SoftHSM token: not one fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from support.bench import Bench
from support.softhsm import python_path
from support.tlskit import shared_pki
from support.tokenkit import TokenKit, key_of

HANDSHAKES = int(os.environ.get("WARDGATE_SOAK_HANDSHAKES", "10000"))


@pytest.mark.timeout(3600)
@pytest.mark.skipif("WARDGATE_SOAK" not in os.environ, reason="takes minutes: `make soak` runs it")
def test_ten_thousand_handshakes_do_not_fail_once(folder: Path) -> None:
    pki, kit = shared_pki(), TokenKit("box-ecdsa")
    bench = Bench(folder, pki)
    try:
        bench.plan.workers = 4
        bench.plan.peers = (replace(bench.peer, certificates=((pki.leaf("box-ecdsa").chain, str(key_of("box-ecdsa"))),)),)
        bench.plan.keys = {"socket": kit.service.socket}
        bench.plan.limits = {"connections_per_peer": 4096}
        bench.modality()
        bench.start()
        workers = bench.box.workers()
        environment = {**os.environ, **python_path(), "WARDGATE_TEST_PKI": str(pki.directory)}
        words = [sys.executable, "-m", "support.shaker", str(bench.peer.calls), "8", str(HANDSHAKES)]
        ended = subprocess.run(words, env=environment, input="go\n", capture_output=True, text=True, timeout=3500, check=False)
        report = json.loads(ended.stdout.splitlines()[-1])
        print(f"{report['done']} handshakes, {report['done'] / report['seconds']:.0f} a second, {report['failed']} failed")
        assert (report["done"], report["failed"]) == (HANDSHAKES, 0), report
        assert bench.box.workers() == workers, "no worker died"
    finally:
        bench.close()
        kit.close()
