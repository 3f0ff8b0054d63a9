"""Full mutual TLS 1.3 handshakes a second: the server's key in a SoftHSM token over the same key in a file, in one run.

Both ends are in memory of one process, the key service is another; rounds of both kinds take turns, and their medians are compared.
`make bench-tokens`
"""

from __future__ import annotations

import ssl
import statistics
import sys
import threading
import time

from support.tlskit import peer_context, shake, shared_pki
from support.tokenkit import KINDS, TokenKit, armed
from wardgate.signer import FileSigner

ROUNDS = 7
THREADS = (1, 8)


def rate(server: ssl.SSLContext, client: ssl.SSLContext, threads: int, seconds: float) -> float:
    """Return full handshakes a second."""
    counts = [0] * threads
    until = time.monotonic() + seconds

    def work(number: int) -> None:
        while time.monotonic() < until:
            shake(server, client)
            counts[number] += 1

    began = time.monotonic()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.monotonic() - began)


def compare(kit: TokenKit, kind: str, threads: int, seconds: float) -> tuple[float, float]:
    """Return the median rates with the key in a file and in the token."""
    leaf = shared_pki().leaf(KINDS[kind])
    contexts = armed(FileSigner(leaf.key).arm, leaf.chain, server=True), kit.context(KINDS[kind], server=True)
    client = peer_context("pacs-ecdsa", server=False)
    for context in contexts:
        context.num_tickets = 1
        shake(context, client)
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for context, found in zip(contexts, rates, strict=True):
            found.append(rate(context, client, threads, seconds))
    return statistics.median(rates[0]), statistics.median(rates[1])


def main(arguments: list[str]) -> int:
    """Print a table."""
    seconds = float(arguments[0]) if arguments else 0.7
    kit = TokenKit()
    print(f"{ssl.OPENSSL_VERSION}\n\n| key | threads | file, 1/s | token, 1/s | token / file |\n|---|---|---|---|---|")
    try:
        for kind in ("p256", "p384", "rsa"):
            for threads in THREADS:
                in_file, in_token = compare(kit, kind, threads, seconds)
                print(f"| {kind} | {threads} | {in_file:.0f} | {in_token:.0f} | {in_token / in_file:.2f} |", flush=True)
    finally:
        kit.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
