"""`wardtool witness init|add-log|run`: a witness that stands elsewhere than the box and remembers what it was shown.

The private key and the state are one directory: who loses the state loses the key with it, and cannot sign a second history.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardgate.custody.cosignature import WitnessKey, parse_witness_key
from wardgate.custody.files import sync_directory, write_durably
from wardgate.custody.note import NoteError, check_name, parse_key
from wardtools.witness.judge import Witness
from wardtools.witness.server import WitnessServer
from wardtools.witness.state import StateDirectory, StateError


def main(arguments: list[str]) -> int:
    """Run one command. Exit status: 0 good, 1 refused, 2 usage, 3 a file cannot be used."""
    parser = argparse.ArgumentParser(prog="wardtool witness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("init", help="make a new witness: its key, its state; prints its vkey")
    command.add_argument("directory", type=Path)
    command.add_argument("--name", required=True, help="its name in signature lines, such as witness.hospital.example/w1")
    command = commands.add_parser("add-log", help="begin to witness a log")
    command.add_argument("directory", type=Path)
    command.add_argument("vkey", type=Path, nargs="+", help="files with vkeys of the log (Ed25519 or ECDSA), taken from its owner")
    command = commands.add_parser("run", help="serve")
    command.add_argument("directory", type=Path)
    command.add_argument("--listen", default="127.0.0.1:8090", metavar="ADDRESS:PORT")
    command.add_argument("--certificate", type=Path, help="certificate chain, PEM: HTTPS; without it HTTP, for behind a proxy")
    command.add_argument("--tls-key", type=Path, help="its private key, PEM")
    options = parser.parse_args(arguments)
    try:
        return {"init": _init, "add-log": _add_log, "run": _run}[options.command](options)
    except (StateError, NoteError, ValueError) as error:
        sys.stderr.write(f"wardtool witness {options.command}: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"wardtool witness {options.command}: {error}\n")
        return 3


def _init(options: argparse.Namespace) -> int:
    check_name(options.name)
    directory: Path = options.directory
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise StateError(f"{directory} is not empty")
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    vkey = WitnessKey(options.name, private.public_key().public_bytes_raw()).text
    (directory / "logs").mkdir(mode=0o700)
    old = os.umask(0o077)
    try:
        write_durably(str(directory / "key.pem"), pem)
    finally:
        os.umask(old)
    write_durably(str(directory / "vkey"), f"{vkey}\n".encode())
    sync_directory(str(directory))
    print(vkey)
    return 0


def _add_log(options: argparse.Namespace) -> int:
    keys = tuple(parse_key(line) for path in options.vkey for line in path.read_text("utf-8").split("\n") if line.strip())
    lock = _lock(options.directory)
    state = StateDirectory(options.directory).add(keys)
    os.close(lock)
    print(f"{state.origin}: {len(state.keys)} keys, {state.head.size} records signed so far")
    return 0


def open_witness(directory: Path) -> Witness:
    """Return the witness whose key and state are in `directory`. Raises `OSError`, `NoteError`, `ValueError`."""
    key = parse_witness_key((directory / "vkey").read_text("utf-8"))
    private = serialization.load_pem_private_key((directory / "key.pem").read_bytes(), None)
    if not isinstance(private, Ed25519PrivateKey) or private.public_key().public_bytes_raw() != key.public:
        raise StateError("key.pem and vkey do not belong together")
    return Witness(StateDirectory(directory), key, private.sign, lambda line: sys.stderr.write(f"{line}\n") and None)


def _run(options: argparse.Namespace) -> int:
    lock = _lock(options.directory)
    witness = open_witness(options.directory)
    host, _, port = options.listen.rpartition(":")
    if bool(options.certificate) != bool(options.tls_key):
        raise ValueError("--certificate and --tls-key go together")
    tls = (options.certificate, options.tls_key) if options.certificate else None
    server = WitnessServer((host.strip("[]"), int(port)), witness, tls)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    sys.stderr.write(f"witness serves at {'https' if tls else 'http'}://{host}:{server.server_address[1]}\n")
    sys.stderr.flush()
    server.serve_forever()
    server.server_close()
    os.close(lock)
    return 0


def _lock(directory: Path) -> int:
    """Two processes on one state could sign two trees."""
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StateError(f"another process uses {directory}") from None
    return fd
