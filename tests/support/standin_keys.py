"""A stand-in for the key service and its token, for what the real ones do not do on demand: slowness, refusals, nonsense.

It speaks the wire protocol of docs/keys.md with private keys from PEM files, one signature at a time, as a card does.
`python -m support.standin_keys SOCKET SECONDS NAME=KEY...` runs one as a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

SIGN, PUBLIC, STATUS, WATCH = 1, 2, 6, 7
_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {"sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}


def uri_of(name: str) -> str:
    """Return the URI of key `name` in the stand-in's token."""
    return f"pkcs11:token=fake;object={name};type=private"


class FakeKeyService:
    """Listens at `path` and signs with the keys of `keys` (name to PEM file), each signature taking `seconds`, one after the other."""

    def __init__(self, path: Path, keys: Mapping[str, Path], seconds: float = 0.0) -> None:
        self.path = path
        self.keys: dict[str, Any] = {
            uri_of(name): serialization.load_pem_private_key(file.read_bytes(), None) for name, file in keys.items()
        }
        self.seconds = seconds
        self.signatures = 0
        self.answer: Callable[[bytes], bytes | None] | None = None  # what to say to SIGN instead; None: nothing, and hang up
        self.accepting = True
        self.state = "present"
        self._changes = 1
        self._watchers: list[socket.socket] = []
        self._token = threading.Lock()
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(512)
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> FakeKeyService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def tell(self, state: str) -> None:
        """Be in this state, and tell whoever watches."""
        self.state = state
        self._changes += 1
        for watcher in self._watchers:
            watcher.send(response(bytes((1, WATCH, 0, 0, 0, 0)), 0, self._report()))

    def _report(self) -> bytes:
        there = self.state != "absent"
        token = {"name": "fake", "state": self.state, "label": "fake" if there else "", "serial": "1" if there else "", "model": ""}
        return json.dumps({"tokens": [{**token, "tries": None, "detail": "", "changes": self._changes}]}).encode()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):  # it waits no longer
            while request := sock.recv(65536):
                if request[1] == WATCH:
                    self._watchers.append(sock)
                answer = self.answer(request) if self.answer is not None and request[1] == SIGN else self._answer(request)
                if answer is None:
                    return
                sock.send(answer)

    def _answer(self, request: bytes) -> bytes:
        op = request[1]
        if op in (STATUS, WATCH):
            return response(request, 0, self._report())
        fields, at = [], 6
        while at < len(request):
            (size,) = struct.unpack_from("!H", request, at)
            fields.append(request[at + 2 : at + 2 + size])
            at += 2 + size
        key = self.keys.get(fields[0].decode())
        if key is None:
            return response(request, 710, b"no such key")
        if op == PUBLIC:
            spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            return response(request, 0, spki)
        with self._token:
            time.sleep(self.seconds)
            self.signatures += 1
        return response(request, 0, _signed(key, fields[1].decode(), fields[2]))


def _signed(key: Any, scheme: str, digest: bytes) -> bytes:
    kind, _, name = scheme.rpartition("-")
    algorithm = _HASHES[name]()
    if kind == "ecdsa":
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key.sign(digest, ec.ECDSA(Prehashed(algorithm)))
    assert isinstance(key, rsa.RSAPrivateKey)
    pad = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH) if kind == "rsa-pss" else padding.PKCS1v15()
    return key.sign(digest, pad, Prehashed(algorithm))


def response(request: bytes, status: int, field: bytes) -> bytes:
    """Return an answer to `request` with one field."""
    return struct.pack("!BB4sHH", 1, request[1] | 0x80, request[2:6], status, len(field)) + field


if __name__ == "__main__":
    with FakeKeyService(Path(sys.argv[1]), {n: Path(f) for n, _, f in (w.partition("=") for w in sys.argv[3:])}, float(sys.argv[2])):
        print("ready", flush=True)
        threading.Event().wait()
