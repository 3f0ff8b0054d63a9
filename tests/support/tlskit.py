"""TLS for tests: one test PKI a run, configurations from it, and two channels joined in memory."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import socket
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

from wardgate.policy.model import Party, Role, Transport
from wardgate.policy.tls import CertificateFiles, CrlPolicy, Tls
from wardgate.transport.errors import TlsFailure
from wardgate.transport.tls import TlsChannel
from wardtools.pki import Pki, make_test_pki

NOW = time.time


@functools.cache
def shared_pki() -> Pki:
    """Return the PKI of this test run; a process started by a test shares it through WARDGATE_TEST_PKI."""
    shared = os.environ.get("WARDGATE_TEST_PKI")
    if shared:
        return Pki.load(Path(shared))
    directory = Path(tempfile.mkdtemp(prefix="wardgate-pki-"))
    atexit.register(shutil.rmtree, directory, True)
    return make_test_pki(directory)


def files(*names: str) -> tuple[CertificateFiles, ...]:
    """Return certificate files by name, such as `box-ecdsa`."""
    return tuple(CertificateFiles(shared_pki().leaf(name).chain, shared_pki().leaf(name).key) for name in names)


def make_tls(*names: str, **words: Any) -> Tls:
    """Return a TLS configuration that owns certificates `names`, trusts the root and wants pacs.test; `words` replace fields."""
    pki = shared_pki()
    base: dict[str, Any] = {
        "profile": "B.12",
        "certificates": files(*(names or ("box-ecdsa", "box-rsa"))),
        "anchors": pki.root,
        "names": ("pacs.test",),
        "crls": pki.crls,
        "crl_policy": CrlPolicy.REQUIRE,
    }
    return Tls(**(base | words))


def make_party(tls: Tls, *ae_titles: str, name: str = "pacs", **words: Any) -> Party:
    """Return a peer that speaks `tls`; `words` are more of its fields."""
    return Party(name=name, role=Role.PEER, ae_titles=ae_titles or ("PACS",), addresses=(), transport=Transport.TLS, tls=tls, **words)


def peer_context(name: str = "pacs-ecdsa", *, server: bool, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a plain context of the other side: certificate `name`, trusts the root, asks for a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # so that weak certificates can be shown to the box
    context.load_verify_locations(shared_pki().root)
    if name:
        leaf = shared_pki().leaf(name)
        context.load_cert_chain(leaf.chain, leaf.key)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def shake(server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None) -> tuple[TlsChannel, TlsChannel]:
    """Shake hands in memory; return the server's and the client's channel, one byte sent each way (so tickets have arrived)."""
    ours, theirs = TlsChannel(server, True), TlsChannel(client, False, "localhost", session)
    to_server, client_done = theirs.step(None)
    server_done = False
    while not (server_done and client_done):
        to_client = b""
        if not server_done:
            to_client, server_done = ours.step(to_server)
        to_server = b""
        if to_client and not client_done:
            to_server, client_done = theirs.step(to_client)
        elif to_client:
            theirs.open(to_client, memoryview(bytearray(1)))
    exchange(ours, theirs, b"s")
    exchange(theirs, ours, b"c")
    return ours, theirs


def shake_over(sock: socket.socket, channel: TlsChannel) -> None:
    """Shake hands over a blocking socket; the alert of a failure is sent, as the relay does. Raises `TlsFailure`."""
    sock.settimeout(60)
    try:
        out, done = channel.step(None)
        while not done:
            sock.sendall(out)
            out, done = channel.step(sock.recv(65536))
        sock.sendall(out)
    except TlsFailure as failure:
        sock.sendall(failure.to_send)
        raise


def exchange(sender: TlsChannel, receiver: TlsChannel, data: bytes) -> None:
    """Send `data` and see it arrive."""
    into = memoryview(bytearray(len(data) + 1))
    wire = sender.seal(data)
    assert receiver.open(wire if isinstance(wire, bytes) else b"".join(wire), into) == len(data)
    assert into[: len(data)] == data
