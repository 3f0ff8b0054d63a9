"""`python -m virtualcard STATE --vpcd PORT | --vscard HOST:PORT`: to start it is to insert the card, to end it is to remove it."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from pathlib import Path

from virtualcard import state
from virtualcard.card import Card
from virtualcard.frontend import FrontEnd
from virtualcard.store import FileStore
from virtualcard.vpcd import Vpcd
from virtualcard.vscard import Vscard

LOOPBACK = "127.0.0.1"


def main(arguments: list[str] | None = None) -> int:
    """Serve one insertion; exit status 0 after SIGTERM or when the reader went away, 1 with a sentence where it could not begin."""
    options = _parser().parse_args(arguments)
    try:
        store = FileStore(options.state)
        if not options.state.exists():
            store.create(_new(options))
            os.write(2, f"virtualcard: new card {options.state}\n".encode())
        if not options.vpcd and not options.vscard:
            return 0
        front: FrontEnd = _front(Card(store), options)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"virtualcard: {error}\n")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: front.remove())
    sys.stderr.write("virtualcard: inserted\n")
    front.serve()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtualcard", description="A smartcard in software, for tests: its keys are in the state file.")
    parser.add_argument("state", type=Path, metavar="STATE", help="state file; made where there is none")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--vpcd", type=int, metavar="PORT", help="insert into pcscd's virtual reader on this port")
    place.add_argument("--vscard", metavar="HOST:PORT|PATH", help="insert into QEMU's ccid-card-passthru behind this chardev")
    parser.add_argument("--delay-ms", type=float, default=0.0, metavar="N", help="how long a signature takes at least")
    new = parser.add_argument_group("a new card")
    new.add_argument("--serial", default="", help="8 bytes, hexadecimal (default: drawn)")
    new.add_argument("--label", default="ward-card")
    new.add_argument("--pin-file", type=Path, help=f"PIN (default {state.FACTORY_PIN.decode()})")
    new.add_argument("--puk-file", type=Path, help=f"PUK (default {state.FACTORY_PUK.decode()})")
    new.add_argument("--tries", type=int, default=3, help="of PIN and PUK")
    return parser


def _new(options: argparse.Namespace) -> state.CardState:
    pin = options.pin_file.read_bytes().strip() if options.pin_file else state.FACTORY_PIN
    puk = options.puk_file.read_bytes().strip() if options.puk_file else state.FACTORY_PUK
    serial = bytes.fromhex(options.serial) if options.serial else os.urandom(8)
    return state.fresh(serial, options.label, pin=pin, puk=puk, tries=options.tries)


def _front(card: Card, options: argparse.Namespace) -> FrontEnd:
    delay = options.delay_ms / 1000
    if options.vpcd:
        return Vpcd(card, socket.create_connection((LOOPBACK, options.vpcd)), delay)
    host, _, port = options.vscard.rpartition(":")
    if host:
        return Vscard(card, socket.create_connection((host, int(port))), delay)
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(options.vscard)
    return Vscard(card, channel, delay)


if __name__ == "__main__":
    sys.exit(main())
