"""Fuzzes the ISCL engine and the capture reader for a time: `make fuzz-iscl SECONDS=3600`.

Each round joins two engines of a random suite, reconstruction and block length, says random messages and spoils what passes: bytes changed,
cut, doubled, swapped, put in, or whole messages made up for the state the engine is in. Nothing but `IsclError` may come out, no wrong
data may be accepted, no step may take long, and memory may not grow.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from pathlib import Path

from support.isclkit import SUITES, Pair, pair_of
from support.pcap import PcapWriter
from wardgate.iscl.bodies import Codec
from wardgate.iscl.errors import IsclError
from wardgate.iscl.layout import LAYOUT, Kind
from wardgate.iscl.reconstruction import ByteOrder, DesMacKey, Md5Order, OptionPlace, OrderSign, Padding, Reconstruction
from wardgate.iscl.table import State
from wardgate.iscl.terms import ACK, NAK, Encryption, Mac, MessageId
from wardtools.capture import CaptureError, streams
from wardtools.isclwire.messages import READINGS, score

SLOW_SECONDS = 20.0  # of processor time, one round: a run that is held or niced is not slow
GROWTH_KIB = 64 << 10
_NUMBERS = (0, 1, 7, 8, 16, 64, 0x1212, 0x1441, 0x4001, 8160, 8168, 1 << 20, (1 << 20) + 1, 1 << 31, NAK)


class Found(Exception):
    """A defect: what the round was is in its text."""


def reconstruction(rng: random.Random) -> Reconstruction:
    """Return a random one. The DES-MAC key is apart: with one key the format cannot detect everything (docs/iscl.md)."""
    half = rng.random() < 0.2
    return Reconstruction(
        byte_order=rng.choice(list(ByteOrder)),
        swap_64bit=rng.random() < 0.2,
        strict_zero=rng.random() < 0.2,
        option_place=rng.choice(list(OptionPlace)),
        padding=Padding.COUNT,
        chain_mac=rng.random() < 0.8,
        shared_register=half and rng.random() < 0.5,
        half_duplex=half,
        order_sign=rng.choice(list(OrderSign)),
        order_b_as_message=rng.random() < 0.5,
        des_mac_key=DesMacKey.VARIANT,
        master_to_server=rng.choice((0, 1)),
        master_to_client=rng.choice((0, 1)),
    )


def made_up(rng: random.Random, codec: Codec) -> bytes:
    """Return a well-formed message with fields of any kind."""
    message = rng.choice(list(MessageId))
    fields: dict[str, int | bytes] = {}
    for name, kind in LAYOUT[message]:
        fields[name] = rng.choice((ACK, *_NUMBERS)) if kind is Kind.U32 else rng.randbytes(8 if kind is Kind.EIGHT else rng.randrange(200))
    return codec.encode(message, rng.choice((0, 0, 0, 1, 2, NAK)), **fields)  # type: ignore[arg-type]


def spoil(rng: random.Random, data: bytes, codec: Codec) -> bytes:
    """Return `data`, mostly as it is."""
    if rng.random() > 0.08 or not data:
        return data
    at = rng.randrange(len(data))
    end = min(len(data), at + rng.choice((1, 4, 8, 32, 100)))
    return rng.choice(
        (
            data[:at] + bytes((data[at] ^ (1 << rng.randrange(8)),)) + data[at + 1 :],
            data[:at] + data[end:],
            data[:at] + data[at:end] * 2 + data[end:],
            data[:at] + rng.randbytes(end - at) + data[end:],
            data[:at] + rng.randbytes(rng.randrange(1, 40)) + data[at:],
            data + made_up(rng, codec),
            made_up(rng, codec) + data,
        )
    )


def one_round(rng: random.Random) -> str:
    """Play one round; return how it ended. Raises `Found`, or what the code under test should not have raised."""
    suite = rng.choice(SUITES)
    words: dict[str, object] = {"block_length": rng.choice((64, 80, 256, 8160, 131040)), "max_message": rng.choice((1024, 1 << 20))}
    if suite[1] in (Encryption.NONE, Encryption.DES_CBC) and suite[2] in (Mac.MD5, Mac.DES_MAC):
        words |= {"r1": reconstruction(rng), "md5_order": rng.choice(list(Md5Order)), "key_id": 16}
        if rng.random() < 0.3:  # a static key, which has no master
            words |= {"r1": words["r1"]._replace(master_to_server=0, master_to_client=0), "key_id": 1}  # type: ignore[attr-defined]
    server, client = pair_of(*suite, **words)
    codec = Codec(server.r1, server.wide)
    capture = PcapWriter()
    spoiled = rng.random() < 0.9

    def edit(from_server: bool, data: bytes) -> bytes:
        data = spoil(rng, data, codec) if spoiled else data
        if len(capture.packets) < 200:
            capture.say(from_server, data, rng.choice((100, 1400)))
        return data

    pair = Pair(server, client, edit=edit)
    said: dict[object, list[bytes]] = {pair.server: [], pair.client: []}
    ended = "silent"
    try:
        pair.server.start()
        pair.client.start()
        pair.pump()
        for _ in range(rng.randrange(6)):
            end = rng.choice((pair.server, pair.client))
            if end.engine.state is State.OPEN:
                message = rng.randbytes(rng.choice((1, 7, 8, 100, 3000, 3000, 40000)))
                said[end] += [message[at : at + server.max_message] for at in range(0, len(message), server.max_message)]
                end.send(message)
            if rng.random() < 0.5:
                pair.pump()
        pair.pump()
    except IsclError as error:
        ended = error.condition.name
    for source, sink in ((pair.server, pair.client), (pair.client, pair.server)):
        if sink.messages != said[source][: len(sink.messages)]:
            raise Found(f"wrong data accepted: {suite}, {words}")
    if ended == "silent" and not spoiled and (pair.client.messages, pair.server.messages) != (said[pair.server], said[pair.client]):
        raise Found(f"messages lost without a reason: {suite}, {words}")
    if rng.random() < 0.1:
        read_back(rng, capture)
    return ended


def read_back(rng: random.Random, capture: PcapWriter) -> None:
    """Give the capture, spoiled, to the reader."""
    data = bytearray(rng.choice((capture.pcap, capture.pcapng))())
    for _ in range(rng.randrange(8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    try:
        for caller, called in streams(bytes(data)):
            for reading in READINGS:
                score(caller, called, reading)
    except CaptureError:
        pass


def main() -> int:
    """Run; exit status 1 with the seed of the round when something was found."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    first = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % (1 << 40)
    began, rounds, slowest = time.monotonic(), 0, 0.0
    ends: dict[str, int] = {}
    small = 0
    while time.monotonic() - began < seconds:
        seed = first + rounds
        start = time.process_time()
        try:
            ended = one_round(random.Random(seed))
        except Exception as error:
            sys.stdout.write(f"seed {seed}: {type(error).__name__}: {error}\n")
            Path("build").mkdir(exist_ok=True)
            Path("build/fuzz-iscl.seed").write_text(f"{seed}\n")
            raise
        ends[ended] = ends.get(ended, 0) + 1
        slowest = max(slowest, time.process_time() - start)
        rounds += 1
        if slowest > SLOW_SECONDS:
            sys.stdout.write(f"seed {seed}: {slowest:.1f} s\n")
            return 1
        if rounds == 2000:
            small = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - small if small else 0
    told = ", ".join(f"{name} {count}" for name, count in sorted(ends.items(), key=lambda item: -item[1]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(
        f"{rounds} rounds from seed {first} in {time.monotonic() - began:.0f} s ({time.process_time():.0f} s of processor),"
        f" slowest {slowest:.3f} s, peak {peak} KiB,"
        f" {grown} KiB grown after round 2000; {told}\n"
    )
    return 1 if grown > GROWTH_KIB else 0


if __name__ == "__main__":
    sys.exit(main())
