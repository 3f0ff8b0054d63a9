"""TLS against the `openssl` command: every suite of the profiles, both roles, and the failures a site will see."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import wardgate
from support.processes import free_port, listens, until
from support.tlskit import make_tls, shake_over, shared_pki
from wardgate.codes import Code
from wardgate.transport.context import TlsContexts
from wardgate.transport.errors import TlsFailure
from wardgate.transport.process import TEXT
from wardgate.transport.profiles import PROFILES
from wardgate.transport.suites import OPENSSL_NAMES, TLS13
from wardgate.transport.tls import TlsChannel

OPENSSL = shutil.which("openssl") or ""
pytestmark = pytest.mark.skipif(not OPENSSL, reason="no openssl command")

SERVE = """
import socket, sys
from support.tlskit import make_tls
from test_tls_openssl import serve
from wardgate.transport.context import TlsContexts
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    context = TlsContexts(make_tls(profile=sys.argv[1], unsafe_allow_retired_profile=True)).server()
    print("ready", flush=True)
    while True:
        print(serve(listener, context), flush=True)
"""


def serve(listener: socket.socket, context: ssl.SSLContext) -> str:
    """Accept one caller; return the suite, or the code of the failure."""
    sock, _ = listener.accept()
    with sock:
        channel = TlsChannel(context, True)
        try:
            shake_over(sock, channel)
        except TlsFailure as failure:
            return failure.code.name
        sock.sendall(channel.close())
        return f"{channel.version} {channel.cipher}"


def s_client(port: int, *options: str, certificate: str = "pacs-ecdsa") -> str:
    """Run `openssl s_client` against us until we close; return all that it printed."""
    pki = shared_pki()
    command = [OPENSSL, "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(pki.root), *options]
    if certificate:
        leaf = pki.leaf(certificate)
        command += ["-cert", str(leaf.chain), "-key", str(leaf.key), "-cert_chain", str(leaf.chain)]
    # Its input stays open: it ends when we close, not before it has read what we said.
    reader, writer = os.pipe()
    try:
        done = subprocess.run(command, stdin=reader, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    finally:
        os.close(reader)
        os.close(writer)
    return done.stdout + done.stderr


@contextmanager
def serving(profile: str, folder: Path) -> Iterator[tuple[int, Callable[[], str]]]:
    """Run a server of ours in a process of its own, with the OpenSSL configuration of B.13 if the profile needs it."""
    conf = folder / "openssl.cnf"
    conf.write_text(TEXT)
    here = Path(__file__)
    path = [Path(wardgate.__file__).parents[1], here.parents[1], here.parent, here.parents[2] / "tools"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    if profile == "B.13":
        environment["OPENSSL_CONF"] = str(conf)
    # The child makes a PKI of its own unless it is told ours.
    environment["WARDGATE_TEST_PKI"] = str(shared_pki().directory)
    with subprocess.Popen([sys.executable, "-c", SERVE, profile], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            assert process.stdout.readline() == "ready\n"
            yield port, lambda: process.stdout.readline().strip()  # type: ignore[union-attr]
        finally:
            process.kill()


def test_all_fifteen_suites_of_b13_are_negotiated_by_openssl(tmp_path: Path) -> None:
    profile = PROFILES["B.13"]
    assert len(profile.required12 | profile.required13) == 15
    with serving("B.13", tmp_path) as (port, result):
        for suite in sorted(profile.required12 | profile.required13):
            name = OPENSSL_NAMES[suite]
            if suite in TLS13:
                told = s_client(port, "-tls1_3", "-ciphersuites", name)
                assert result() == f"TLSv1.3 {name}", told[-2000:]
            else:
                told = s_client(port, "-tls1_2", "-cipher", f"{name}:@SECLEVEL=0")
                assert result() == f"TLSv1.2 {name}", told[-2000:]
            assert "Verify return code: 0 (ok)" in told
        s_client(port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384")
        assert result() == Code.TLS_NO_COMMON_SUITE.name


@pytest.mark.parametrize("profile", ["B.12", "B.10", "B.11"])
def test_required_suites_of_other_profiles_are_negotiated_by_openssl(profile: str, tmp_path: Path) -> None:
    with serving(profile, tmp_path) as (port, result):
        for suite in sorted(PROFILES[profile].required12):
            s_client(port, "-tls1_2", "-cipher", OPENSSL_NAMES[suite])
            assert result() == f"TLSv1.2 {OPENSSL_NAMES[suite]}"
        s_client(port)
        assert result().startswith("TLSv1.3 ")


@pytest.mark.parametrize(
    ("options", "certificate", "code", "alert"),
    [
        (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "pacs-ecdsa", Code.TLS_VERSION_MISMATCH, "protocol version"),
        (["-tls1_2", "-cipher", "AES128-SHA"], "pacs-ecdsa", Code.TLS_NO_COMMON_SUITE, "handshake failure"),
        ([], "", Code.TLS_NO_CLIENT_CERTIFICATE, "certificate required"),
        ([], "pacs-other-ca", Code.CHAIN_UNTRUSTED, "unknown ca"),
        ([], "pacs-expired", Code.CERTIFICATE_EXPIRED, "certificate expired"),
        (["-no_tls1_3"], "pacs-future", Code.CERTIFICATE_NOT_YET_VALID, "bad certificate"),
    ],
)
def test_a_refused_openssl_client_is_named_here_and_told_there(
    options: list[str], certificate: str, code: Code, alert: str, tmp_path: Path
) -> None:
    with serving("B.12", tmp_path) as (port, result):
        told = s_client(port, *options, certificate=certificate)
        assert result() == code.name
        assert alert in told


@contextmanager
def s_server(*options: str, certificate: str = "pacs-ecdsa") -> Iterator[int]:
    """Run `openssl s_server` that requires a client certificate of the root."""
    pki = shared_pki()
    port = free_port()
    leaf = pki.leaf(certificate)
    command = [OPENSSL, "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(leaf.chain), "-key", str(leaf.key), "-quiet"]
    command += ["-cert_chain", str(leaf.chain), "-CAfile", str(pki.root), "-Verify", "3", "-verify_return_error", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: listens(port), "openssl s_server listens")
            yield port
        finally:
            process.kill()


def call(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None, wait: bool = False) -> TlsChannel:
    """Shake hands as a client; with `wait`, also take what the server says next (tickets, or its refusal)."""
    channel = TlsChannel(context, False, "localhost", session)
    with socket.create_connection(("127.0.0.1", port)) as sock:
        shake_over(sock, channel)
        if wait:
            sock.sendall(channel.seal(b"\n"))
            channel.open(sock.recv(65536), memoryview(bytearray(100)))
        sock.sendall(channel.close())
    return channel


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_servers_are_reached_and_sessions_resumed(version: str) -> None:
    context = TlsContexts(make_tls()).client()
    with s_server(version) as port:
        first = call(port, context, wait=version == "-tls1_3")
        assert not first.resumed
        assert first.peer_chain[0] == first.peer_leaf
        second = call(port, context, first.session)
        assert second.resumed
        assert second.peer_chain == []


@pytest.mark.parametrize(
    ("options", "certificate", "code"),
    [
        ((), "pacs-expired", Code.CERTIFICATE_EXPIRED),
        ((), "pacs-other-ca", Code.CHAIN_UNTRUSTED),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"), "pacs-ecdsa", Code.PEER_HANDSHAKE_FAILURE),
        (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "pacs-ecdsa", Code.TLS_VERSION_MISMATCH),
    ],
)
def test_openssl_servers_that_must_fail_are_named(options: tuple[str, ...], certificate: str, code: Code) -> None:
    with s_server(*options, certificate=certificate) as port, pytest.raises(TlsFailure) as caught:
        call(port, TlsContexts(make_tls()).client())
    assert caught.value.code is code


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize(
    ("names", "code"),
    [(("pacs-other-ca",), Code.PEER_DISTRUSTS_US), (("pacs-expired",), Code.PEER_SAYS_EXPIRED), ((), Code.PEER_WANTS_CERTIFICATE)],
)
def test_a_server_that_refuses_our_certificate_says_why(version: str, names: tuple[str, ...], code: Code) -> None:
    tls = make_tls(*names) if names else make_tls(certificates=())
    if version == "-tls1_2" and not names:
        code = Code.PEER_HANDSHAKE_FAILURE  # TLS 1.2 has no alert of its own for it
    with s_server(version) as port, pytest.raises(TlsFailure) as caught:
        call(port, TlsContexts(tls).client(), wait=True)
    assert caught.value.code is code


def test_a_server_that_speaks_plain_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)  # all of it: a close with bytes unread resets the connection
                sock.sendall(b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x01")  # what a DICOM acceptor says to a ClientHello: A-ABORT

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(TlsFailure) as caught:
            call(listener.getsockname()[1], TlsContexts(make_tls()).client())
        thread.join()
    assert caught.value.code is Code.TLS_PEER_NOT_TLS
