"""The gateways that are compared: each makes the command that starts it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from bench.places import HERE


class Direction(Enum):
    """OUT: plain in, TLS out. IN: TLS in, plain out."""

    OUT = "out"
    IN = "in"


class Job(NamedTuple):
    """What a gateway is asked to do. `work` is a folder of its own."""

    listen: str
    target: str
    certificate: Path
    key: Path
    anchors: Path
    work: Path
    direction: Direction
    cores: int
    tls: str


Command = Callable[[Job], list[str]]


class Subject(NamedTuple):
    """One column of a comparison. `command` None: the rig talks to the sink without a gateway, in plain."""

    name: str
    command: Command | None
    has_custody: bool = False


def _stunnel(job: Job) -> list[str]:
    lines = ["foreground = yes", "pid =", "debug = 3", "syslog = no", "socket = l:TCP_NODELAY=1", "socket = r:TCP_NODELAY=1", "[gateway]"]
    lines += ["client = yes"] if job.direction is Direction.OUT else ["requireCert = yes"]
    lines += [f"accept = {job.listen}", f"connect = {job.target}", "verifyChain = yes", f"sslVersion = TLSv{job.tls}"]
    lines += [f"cert = {job.certificate}", f"key = {job.key}", f"CAfile = {job.anchors}", "TIMEOUTclose = 0"]
    config = job.work / "stunnel.conf"
    config.write_text("\n".join(lines) + "\n")
    return ["stunnel", str(config)]


def _haproxy(job: Job) -> list[str]:
    pair = job.work / "pair.pem"
    pair.write_text(job.certificate.read_text() + job.key.read_text())
    tls = f"ssl crt {pair} ca-file {job.anchors} verify required ssl-min-ver TLSv{job.tls} ssl-max-ver TLSv{job.tls}"
    out = job.direction is Direction.OUT
    lines = ["global", f" nbthread {job.cores}", " maxconn 4000", "defaults", " mode tcp"]
    lines += [" timeout connect 10s", " timeout client 300s", " timeout server 300s", "listen gateway"]
    lines += [f" bind {job.listen} {'' if out else tls}", f" server peer {job.target} {tls if out else ''}"]
    config = job.work / "haproxy.cfg"
    config.write_text("\n".join(lines) + "\n")
    return ["haproxy", "-db", "-q", "-f", str(config)]


def wardgate(*options: str, name: str = "wardgate") -> Subject:
    """Return the product, started by the script beside this file with `options`."""

    def command(job: Job) -> list[str]:
        words = [job.listen, job.target, job.certificate, job.key, job.anchors, job.work]
        return [str(HERE / "gateway"), *map(str, words), "--direction", job.direction.value, "--tls", job.tls, *options]

    return Subject(name, command, has_custody=True)


DIRECT = Subject("direct", None)
STUNNEL = Subject("stunnel", _stunnel)
HAPROXY = Subject("haproxy", _haproxy)
