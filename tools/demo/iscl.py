"""`make demo-iscl`: modality, Wardgate, legacy ISCL-style channel, a second Wardgate, PACS; the keys in two SoftHSM tokens.

Everything runs on the loopback address in a folder of its own, which is removed at the end.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from support import datasets, peers
from support.gateway import tool
from support.isclboxes import TwoBoxes
from support.keyservice import KeyService
from support.softhsm import MODULES, SoftHsm
from wardtools.pki import make_test_pki

_KEYS = {"iscl-auth-1-c2s": bytes.fromhex("0123456789abcdef"), "iscl-auth-1-s2c": bytes.fromhex("fedcba9876543210")}
_COUNT = 8


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the demonstration; exit status 1 when something does not come out as it should."""
    if not any(Path(path).exists() for path in MODULES) or not peers.have("storescp", "storescu"):
        say("this needs SoftHSM 2 and DCMTK (make setup)")
        return 1
    with tempfile.TemporaryDirectory(prefix="wg-") as name:
        folder = Path(name)
        (folder / "keys").mkdir()
        (folder / "pki").mkdir()
        hsm = SoftHsm(folder / "keys")
        service = KeyService(folder / "keys", hsm.env)
        for label in ("ward-a", "ward-b"):
            hsm.new_token(label)
            hsm.provision(label, secrets=_KEYS)
            service.add_token(label, hsm.module)
        say("two tokens with an ISCL key pair each; the keys cannot be taken out")
        service.start()
        boxes = TwoBoxes(folder, make_test_pki(folder / "pki"), ("pkcs11:token=ward-a", "pkcs11:token=ward-b"), key_socket=service.socket)
        try:
            boxes.start()
            for line in boxes.a.check().stdout.splitlines():
                if "ISCL" in line or "UNSAFE" in line:
                    say(f"  check, box A: {line}")
            series = datasets.generate(folder / "in", _COUNT)
            done = boxes.send(series)
            if done.returncode:
                say(done.stdout + boxes.log)
                return 1
            boxes.assert_delivered(series)
            say(f"{_COUNT} instances went modality -> box A -> ISCL (des-cbc, md5) -> box B -> PACS, byte for byte")
            for box, plan in ((boxes.a, boxes.plan_a), (boxes.b, boxes.plan_b)):
                box.stop()
                verified = tool("custody", "verify", plan.log_dir, "--key", box.public_key)
                say(f"custody log of {plan.folder.name}: {verified.stdout.strip().splitlines()[-1]}")
                if verified.returncode:
                    return 1
        finally:
            boxes.close()
            service.stop()
    say("Legacy ISCL-style channel, reconstruction profile R1: no claim of conformance, no independent peer tried (docs/iscl.md)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
