"""A caller that shakes hands again and again: `python -m support.shaker PORT THREADS COUNT [AE AE]`, a process of its own.

Each is a full mutual handshake, held to be done when something of the server came after it (TLS 1.3: it has then taken our certificate).
With two AE titles each opens and releases an association too. It prints "ready" and waits for a line; at the end it prints JSON: how
many were done, the failures, the seconds.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
import time

from support.processes import LOOPBACK
from support.tlskit import peer_context
from support.wire import ASSOCIATE_AC, RELEASE_RP, RELEASE_RQ, associate_rq, pdu
from wardgate.transport.tls import TlsChannel

_SECONDS = 60.0


def shake_once(port: int, context: ssl.SSLContext, titles: tuple[str, ...]) -> None:
    """Connect, shake hands and leave. Raises when anything is not as it should be."""
    with socket.create_connection((LOOPBACK, port), _SECONDS) as sock:
        channel = TlsChannel(context, False, "localhost")
        out, done = channel.step(None)
        while not done:
            sock.sendall(out)
            out, done = channel.step(sock.recv(65536))
        sock.sendall(out)
        if titles:
            _ask(sock, channel, associate_rq(*titles), ASSOCIATE_AC)
            _ask(sock, channel, pdu(RELEASE_RQ, bytes(4)), RELEASE_RP)
        else:
            _read(sock, channel)  # the ticket
        sock.sendall(channel.close())


def _read(sock: socket.socket, channel: TlsChannel) -> bytes:
    wire = sock.recv(65536)
    if not wire:
        raise ConnectionError("closed behind the handshake")
    into = memoryview(bytearray(65536))
    return bytes(into[: channel.open(wire, into)])


def _ask(sock: socket.socket, channel: TlsChannel, question: bytes, wanted: int) -> None:
    """Send a PDU and wait for its answer, a PDU of type `wanted`."""
    wire = channel.seal(question)
    sock.sendall(wire if isinstance(wire, bytes) else b"".join(wire))
    while not (answer := _read(sock, channel)):
        pass
    if answer[0] != wanted:
        raise ConnectionError(f"PDU type {answer[0]}, not {wanted}")


def main(arguments: list[str]) -> int:
    """Run; exit status 1 when one failed."""
    port, threads, count = (int(word) for word in arguments[:3])
    titles = tuple(arguments[3:5])
    left = iter(range(count))
    lock, done, failures = threading.Lock(), [0] * threads, []

    def work(number: int) -> None:
        context = peer_context("pacs-ecdsa", server=False)
        while True:
            with lock:
                if next(left, None) is None:
                    return
            try:
                shake_once(port, context, titles)
                done[number] += 1
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")

    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(json.dumps({"done": sum(done), "failed": len(failures), "first": failures[:5], "seconds": time.monotonic() - began}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
