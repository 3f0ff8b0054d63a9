"""A real audit repository: rsyslogd, started by the test, that takes syslog over mutual TLS (RFC 5425) and writes what comes."""

from __future__ import annotations

import re
from pathlib import Path

from support.processes import LOOPBACK, READY_SECONDS, Program, until
from wardtools.pki import Pki

# %rawmsg-after-pri% would leave the priority out; one message a line, as it came.
_CONFIG = """\
global(
  workDirectory="{folder}"
  maxMessageSize="64k"
  DefaultNetstreamDriver="ossl"
  DefaultNetstreamDriverCAFile="{ca}"
  DefaultNetstreamDriverCertFile="{chain}"
  DefaultNetstreamDriverKeyFile="{key}"
)
module(load="imtcp")
template(name="raw" type="string" string="%rawmsg%\\n")
ruleset(name="audit") {{
  action(type="omfile" file="{out}" template="raw" asyncWriting="off" flushOnTXEnd="on")
}}
input(
  type="imtcp" port="{port}" address="{host}" ruleset="audit"
  StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid"
)
"""


class Rsyslog:
    """One daemon. `anchors`: what the box's certificate must lead to, the test PKI's root by default. Without one it is not let in."""

    def __init__(self, folder: Path, pki: Pki, port: int, certificate: str = "pacs-rsa", anchors: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, port
        self.out = folder / "audit.log"
        leaf = pki.leaf(certificate)
        config = folder / "rsyslog.conf"
        ca = folder / "ca.pem"
        ca.write_bytes(anchors.read_bytes() if anchors else pki.root.read_bytes() + (pki.directory / "issuing.pem").read_bytes())
        config.write_text(_CONFIG.format(folder=folder, ca=ca, chain=leaf.chain, key=leaf.key, out=self.out, port=port, host=LOOPBACK))
        self._config = config
        self._starts = 0
        self.program: Program | None = None

    def __enter__(self) -> Rsyslog:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._starts += 1
        words = ["rsyslogd", "-n", "-f", str(self._config), "-i", str(self.folder / f"pid-{self._starts}")]
        self.program = Program(words, self.folder / f"rsyslogd-{self._starts}.log")
        self.program.wait_listening(self.port)

    def stop(self, seconds: float = 20.0) -> None:
        """End it."""
        if self.program is not None:
            self.program.stop(seconds)
            self.program = None

    def lines(self) -> list[str]:
        """Return the messages as they came, one a line. It writes a piece of 4 KiB at a time: a line without its end is not there yet."""
        return self.out.read_text("utf-8", "replace").split("\n")[:-1] if self.out.exists() else []

    def about(self, code: str) -> list[str]:
        """Return the messages whose outcome names a code (`WG316`)."""
        return [line for line in self.lines() if re.search(rf"<EventOutcomeDescription>{code} ", line)]

    def wait(self, code: str, count: int = 1, seconds: float = READY_SECONDS) -> list[str]:
        """Wait for so many messages about a code; return them."""
        try:
            until(lambda: len(self.about(code)) >= count, f"{count} audit messages about {code}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.lines()}") from None
        return self.about(code)
