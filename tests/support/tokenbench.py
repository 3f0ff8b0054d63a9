"""A whole box whose keys are in a SoftHSM token behind a real key service; the token is pulled, put back and swapped by the test."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from support.bench import Bench
from support.config import Plan
from support.gateway import Gateway
from support.keyservice import KeyService
from support.pkcs11spy import Pkcs11Spy
from support.processes import run, until
from support.softhsm import PIN, SoftHsm
from support.tokenkit import need_provider
from wardgate.codes import Code
from wardgate.custody.client import ask
from wardgate.custody.wire import Op
from wardtools.pki import Pki

LABEL = "ward-ct1"


def uri(name: str, label: str = LABEL) -> str:
    """Return the URI of a private key in the token."""
    return f"pkcs11:token={label};object={name};type=private"


class TokenBench(Bench):
    """`box-ecdsa` and `box-rsa` of the test PKI and the custody key `custody` are in the token. `spied`: each call is noted."""

    def __init__(self, folder: Path, pki: Pki, spied: bool = False) -> None:
        need_provider()
        super().__init__(folder, pki)
        self.hsm = SoftHsm(folder)
        self.fill(self.hsm)
        self.spy = Pkcs11Spy(folder, self.hsm.module) if spied else None
        self.service = KeyService(folder, {**self.hsm.env, **(self.spy.env if self.spy else {})})
        self.service.add_token(LABEL, self.spy.module if self.spy else self.hsm.module)
        self.service.start()
        self.service.until_state(LABEL, "present")
        in_token(self.plan, self.service)

    def start(self, serves: bool = True) -> Gateway:
        """Start the box; with `serves` wait until it serves, if its token is there: when it listens it may not have heard of that yet."""
        box = super().start()
        if serves and self.service.state(LABEL) == "present":
            until(lambda: self.echo().returncode == 0, "the box serves")
        return box

    def fill(self, hsm: SoftHsm, label: str = LABEL) -> None:
        """Make a token of this label with all keys of the box."""
        hsm.new_token(label)
        hsm.provision(label, ("custody", "p256"))
        for number, name in enumerate(("box-ecdsa", "box-rsa"), 16):
            words = ["softhsm2-util", "--import", self.pki.leaf(name).key, "--token", label, "--label", name, "--id", f"{number:02x}"]
            done = run([*words, "--pin", PIN], env=hsm.env)
            assert done.returncode == 0, done.stdout

    def close(self) -> None:
        """End everything."""
        super().close()
        self.service.stop()

    # What the token does

    def pull(self) -> None:
        """Take the token away, and wait until the box knows."""
        self.hsm.remove()
        self.knows("TOKEN_IS_ABSENT")

    def put_back(self) -> None:
        """Put it back, and wait until the box knows."""
        self.hsm.put_back()
        self.knows()

    def knows(self, refusal: str = "") -> None:
        """Wait until the box refuses with the code of this name, or serves."""
        knows(self.box, refusal)

    def custody_report(self) -> dict[str, Any]:
        """Return what the custody writer says of itself."""
        return dict(json.loads(ask(self.plan.run_dir / "custody.sock", Op.STAT, 60)))

    def custody_events(self) -> list[str]:
        """Return event and code of every token record."""
        return token_records(self.plan.log_dir)


def in_token(plan: Plan, service: KeyService) -> None:
    """Let the box of `plan` use the keys in the token of `service`."""
    (peer,) = plan.peers
    peer.certificates = tuple((chain, uri(chain.stem)) for chain, _ in peer.certificates)
    plan.custody_key = uri("custody")
    plan.keys = {"socket": service.socket}


def knows(box: Gateway, refusal: str = "", user: str = "ct1/pacs") -> None:
    """Wait until every worker of `box` has taken up that `user` is refused with the code of this name, or served.

    The master knows it before them. A worker that has served from its start on has not said so."""
    wanted = str(Code[refusal]) if refusal else str(Code.TOKEN_IS_BACK)
    workers = len(box.workers())

    def last_words() -> bool:
        said = [re.search(rf"wardgate\[(\d+\.\d+)\] \S+ (WG74\d) .*peer={user}( |$)", line) for line in box.log.splitlines()]
        last = {found[1]: found[2] for found in said if found is not None}
        return list(last.values()).count(wanted) >= workers

    until(last_words, f"{workers} workers say {wanted}")


def token_records(log: Path) -> list[str]:
    """Return `event code` of every token record in the log."""
    from support.ondisk import records

    found = sorted((record for record in records(log) if record["type"] == "token"), key=lambda record: str(record["time"]))
    return [f"{record['event']} {record['code']}".strip() for record in found]
