"""Figures of the legacy ISCL-style channel as ratios, all of one run on one core: `tools/bench/iscl`.

Each round measures every figure and its yardstick in turn, so that a busy machine slows both; a figure is the median of its rounds.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from support.tlskit import make_tls, peer_context, shake
from wardgate.iscl.direction import Register
from wardgate.iscl.keys import MessageKeys
from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.opening import Opener
from wardgate.iscl.reconstruction import MessageUnit, Reconstruction
from wardgate.iscl.sealing import Sealer
from wardgate.iscl.settings import Settings
from wardgate.iscl.softtoken import KeyPair, SoftToken
from wardgate.iscl.terms import Encryption, Mac, Method, Role, Way
from wardgate.iscl.tokens import Operation, Result
from wardgate.transport.channel import Channel
from wardgate.transport.context import TlsContexts
from wardgate.transport.iscl import IsclChannel

MESSAGE = 1 << 20
CHUNK = 256 << 10  # what the relay reads at once
WIDE_BLOCK = 131088  # two blocks for what the relay reads at once, 262144 bytes
PRIMITIVES = LibPrimitives()
KEY = bytes.fromhex("0123456789abcdef")
KEYS = MessageKeys(KEY, KEY, KEY)
DES_PAIR = KeyPair(KEY, bytes.fromhex("fedcba9876543210"))
AES_PAIR = KeyPair(bytes(range(16)), bytes(range(16, 32)))


class Row(NamedTuple):
    """One figure: `measure` over `yardstick` (None: the figure itself); `must`: what it has to reach, below it when `below`."""

    name: str
    measure: Callable[[], float]
    yardstick: Callable[[], float] | None
    must: float
    below: bool = False
    unit: str = ""


def rate(work: Callable[[], int], seconds: float = 0.6) -> float:
    """Return bytes a second of processor time."""
    work()
    done, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        done += work()
    return done / (time.process_time() - began)


def openssl_des() -> float:
    """Return what `openssl speed` says of DES-CBC with blocks of 8160 bytes."""
    words = ["openssl", "speed", "-provider", "legacy", "-provider", "default", "-bytes", "8160", "-seconds", "1", "-evp", "des-cbc"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return float(re.findall(r"([0-9.]+)k\s*$", said)[0]) * 1000


def _directions(encryption: Encryption, mac: Mac) -> tuple[Sealer, Opener]:
    from wardgate.iscl.bodies import Codec

    settings = Settings(b"a", b"b", encryption=encryption, mac=mac)
    codec = Codec(settings.r1)
    return (
        Sealer(settings, codec, PRIMITIVES, Way.TO_SERVER, Register(8)),
        Opener(settings, codec, PRIMITIVES, Way.TO_SERVER, Register(8)),
    )


def des_alone() -> float:
    """Cutting into blocks and DES-CBC, no MAC (which is no mode of operation: only a figure)."""
    sealer, _ = _directions(Encryption.DES_CBC, Mac.MD5)
    data = memoryview(bytearray(os.urandom(MESSAGE)))
    return rate(lambda: len(sealer._cbc(data, KEYS, 8160)))


def sealed(mac: Mac) -> float:
    """A whole message: blocks, DES-CBC, MAC."""
    sealer, _ = _directions(Encryption.DES_CBC, mac)
    data = os.urandom(MESSAGE)

    def work() -> int:
        buffer = bytearray(sealer.padded(MESSAGE))
        buffer[:MESSAGE] = data
        sealer.seal(buffer, MESSAGE, KEYS, 8160)
        return MESSAGE

    return rate(work)


def opened(mac: Mac) -> float:
    """The same message taken and proven."""
    sealer, opener = _directions(Encryption.DES_CBC, mac)
    buffer = bytearray(sealer.padded(MESSAGE))
    buffer[:MESSAGE] = os.urandom(MESSAGE)
    wire, notification = sealer.seal(buffer, MESSAGE, KEYS, 8160)
    view = memoryview(bytearray(wire))

    def work() -> int:
        opener.register.value = bytes(8)
        opener.start(MESSAGE, KEYS, 8160)
        at = 0
        while at < len(view):
            size = int.from_bytes(view[at + 8 : at + 12], "big")
            opener.block(view[at : at + 32], view[at + 32 : at + 32 + size])
            at += 32 + size
        opener.finish(0, bytes(notification[32:]))
        return MESSAGE

    return rate(work)


class Timed(SoftToken):
    """Knows how long it took."""

    seconds = 0.0

    def run(self, operations: tuple[Operation, ...]) -> tuple[Result, ...]:
        """As `SoftToken`."""
        began = time.perf_counter()
        try:
            return super().run(operations)
        finally:
            self.seconds += time.perf_counter() - began

    def close(self) -> None:
        """Nothing."""


def _joined(settings: Settings, pair: KeyPair) -> tuple[IsclChannel, IsclChannel, float]:
    """Return two channels after the authentication, and its seconds beyond those of the tokens."""
    tokens = [Timed(PRIMITIVES, {1: pair}) for _ in range(2)]
    other = settings._replace(name=settings.peer_name, peer_name=settings.name)
    began = time.perf_counter()
    server = IsclChannel(Role.SERVER, settings, PRIMITIVES, tokens[0])
    client = IsclChannel(Role.CLIENT, other, PRIMITIVES, tokens[1])
    wire, _ = server.step(None)
    client.step(None)
    ends, turn = (client, server), 0
    while wire or not (server.done and client.done):
        wire, _ = ends[turn].step(wire)
        turn = 1 - turn
    seconds = time.perf_counter() - began - sum(token.seconds for token in tokens)
    for channel in ends:
        channel.attach(lambda work, done: done(work(), None), lambda _error: None)
    return server, client, seconds


def _passed(sender: Channel, receiver: Channel) -> float:
    """Bytes a second of one core through both ends of a channel."""
    data = memoryview(bytearray(os.urandom(CHUNK)))
    into = memoryview(bytearray(2 * CHUNK))
    network = memoryview(bytearray(2 * CHUNK))  # what a leg reads into, as `recv_into` fills it

    def work() -> int:
        said = sender.seal(data)
        wire = b"".join(said) if isinstance(said, list) else said
        got = 0
        while got < CHUNK:
            view = network[: len(wire)]
            view[:] = wire
            got += receiver.open(view, into)
            while receiver.pending:
                got += receiver.open(b"", into)
            back = receiver.to_send()
            if back:
                sender.open(back, into)
            wire = sender.to_send()
        return CHUNK

    return rate(work)


def gcm_leg() -> float:
    """AES-256-GCM extension, blocks of 131088 bytes, one message a write."""
    r1 = Reconstruction(message_unit=MessageUnit.WRITE)
    suite = (Method.ISO_9798_4_CMAC, Encryption.AES_256_GCM, Mac.INTEGRATED)
    settings = Settings(b"A", b"B", method=suite[0], encryption=suite[1], mac=suite[2], block_length=WIDE_BLOCK, r1=r1)
    server, client, _ = _joined(settings, AES_PAIR)
    return _passed(client, server)


def tls_leg() -> float:
    """The TLS leg, TLS 1.3 with AES-256-GCM."""
    server, client = shake(TlsContexts(make_tls()).server(), peer_context(server=False))
    assert "AES_256_GCM" in server.cipher, server.cipher
    return _passed(client, server)


def authentication() -> float:
    """Milliseconds of both sides together beyond their tokens' own."""
    return 1000 * statistics.median(_joined(Settings(b"A", b"B"), DES_PAIR)[2] for _ in range(21))


ROWS = [
    Row("DES-CBC alone : openssl speed des-cbc", des_alone, openssl_des, 0.8),
    Row("DES-CBC, DES-MAC, sealing : openssl speed", lambda: sealed(Mac.DES_MAC), openssl_des, 0.4),
    Row("DES-CBC, DES-MAC, opening : openssl speed", lambda: opened(Mac.DES_MAC), openssl_des, 0.4),
    Row("DES-CBC, MD5, sealing : openssl speed", lambda: sealed(Mac.MD5), openssl_des, 0.65),
    Row("DES-CBC, MD5, opening : openssl speed", lambda: opened(Mac.MD5), openssl_des, 0.65),
    Row("AES-256-GCM extension : TLS leg, both ends", gcm_leg, tls_leg, 0.7),
    Row("authentication beyond the tokens, both sides, ms", authentication, None, 100, True, " ms"),
]


def main() -> int:
    """Measure and print; exit status 1 when a figure is not reached."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    missed = 0
    for row in ROWS:
        values = []
        for _ in range(rounds):
            value = row.measure()
            values.append(value / row.yardstick() if row.yardstick is not None else value)
        figure = statistics.median(values)
        reached = figure < row.must if row.below else figure >= row.must
        missed += not reached
        sign = "<" if row.below else ">="
        spread = f"{min(values):.2f} to {max(values):.2f}"
        sys.stdout.write(f"{row.name:52} {figure:6.2f}{row.unit}  ({spread}; must be {sign} {row.must}) {'yes' if reached else 'NO'}\n")
        sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
