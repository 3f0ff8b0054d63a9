"""TLS by Python's own `ssl` with keys in a token: real key service, SoftHSM, `openssl s_client` and `s_server` on the other side."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from support.processes import LOOPBACK, free_port, listens, until
from support.softhsm import python_path
from support.tlskit import exchange, make_tls, peer_context, shake, shake_over, shared_pki
from support.tokenkit import KINDS, TokenKit, key_of
from wardgate.codes import Code
from wardgate.tokensigner import ServiceSigner
from wardgate.transport import provider
from wardgate.transport.context import TlsContexts
from wardgate.transport.errors import TlsFailure
from wardgate.transport.tls import TlsChannel

OPENSSL = shutil.which("openssl") or ""
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module")
def kit() -> Iterator[TokenKit]:
    made = TokenKit()
    yield made
    made.close()


def talk(sock: socket.socket, channel: TlsChannel) -> None:
    """Shake hands over a socket and exchange one line with the other side."""
    shake_over(sock, channel)
    wire = channel.seal(b"over\n")
    assert isinstance(wire, bytes)
    sock.sendall(wire)


@pytest.mark.skipif(not OPENSSL, reason="no openssl command")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_openssl_clients_are_served(kit: TokenKit, kind: str, version: str) -> None:
    pki, before = shared_pki(), kit_signatures()
    context = kit.context(KINDS[kind], server=True)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    with socket.create_server((LOOPBACK, 0)) as listener:
        leaf = pki.leaf("pacs-ecdsa")
        words = [OPENSSL, "s_client", "-connect", f"{LOOPBACK}:{listener.getsockname()[1]}", "-CAfile", pki.root, "-verify_return_error"]
        words += ["-cert", leaf.chain, "-key", leaf.key, "-cert_chain", leaf.chain]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as client:
            sock, _ = listener.accept()
            with sock:
                channel = TlsChannel(context, True)
                talk(sock, channel)
                sock.sendall(channel.close())
            told, _ = client.communicate(timeout=60)
    assert "over" in told and "Verify return code: 0 (ok)" in told, told
    assert channel.version == f"TLSv{version}" and len(channel.peer_leaf) > 0
    assert kit_signatures() == before + 1
    if kind.startswith("rsa") and version == "1.3":
        assert "Peer signature type: RSA-PSS" in told


@pytest.mark.skipif(not OPENSSL, reason="no openssl command")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_openssl_servers_that_ask_for_a_certificate_are_reached(kit: TokenKit, kind: str, version: str) -> None:
    pki, port, before = shared_pki(), free_port(), kit_signatures()
    leaf = pki.leaf("pacs-ecdsa")
    words = [OPENSSL, "s_server", "-accept", f"{LOOPBACK}:{port}", "-naccept", "1", "-cert", leaf.chain, "-key", leaf.key]
    words += ["-cert_chain", leaf.chain, "-CAfile", pki.root, "-Verify", "3", "-verify_return_error", f"-tls{version.replace('.', '_')}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        until(lambda: listens(port), "s_server listens")
        with socket.create_connection((LOOPBACK, port)) as sock:
            channel = TlsChannel(kit.context(KINDS[kind], server=False), False, "localhost")
            talk(sock, channel)
            sock.sendall(channel.close())
        told, _ = server.communicate(timeout=60)
    assert "over" in told and "TEST ONLY" in told, told
    assert channel.version == f"TLSv{version}"
    assert kit_signatures() == before + 1


def kit_signatures() -> int:
    """Return how many signatures this thread has asked the key service for."""
    return provider.load().signatures()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_both_sides_may_have_their_key_in_the_token(kit: TokenKit, kind: str, version: str) -> None:
    server, client = (kit.context(KINDS[kind], server=side) for side in (True, False))
    client.minimum_version = client.maximum_version = VERSIONS[version]
    ours, theirs = shake(server, client)
    assert ours.version == f"TLSv{version}" and ours.peer_leaf == theirs.peer_leaf
    exchange(ours, theirs, b"x" * 100_000)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "algorithm"), [("box-rsa", "rsa_pss_rsae_sha256"), ("box-rsa", "RSA+SHA384"), ("box-rsa3072", "RSA+SHA512")]
)
def test_rsa_signs_with_pss_and_pkcs1_as_the_peer_asks(kit: TokenKit, name: str, algorithm: str, version: str) -> None:
    if "pss" not in algorithm and version == "1.3":
        algorithm = f"rsa_pss_rsae_{algorithm.partition('+')[2].lower()}"  # TLS 1.3 has no PKCS#1 v1.5 in CertificateVerify
    told, channel = _served(kit, name, "-sigalgs", f"{algorithm}:ECDSA+SHA256", f"-tls{version.replace('.', '_')}")
    assert channel is not None, told
    assert f"Peer signing digest: {algorithm[-6:].upper()}" in told
    assert ("Peer signature type: RSA-PSS" in told) == ("pss" in algorithm)


def test_one_key_signs_for_peers_that_ask_for_different_paddings_and_hashes_in_turn(kit: TokenKit) -> None:
    """The check that is kept between signatures is of one padding and one hash."""
    context = kit.context("box-rsa", server=True)
    for _ in range(2):
        for algorithm in ("rsa_pss_rsae_sha256", "RSA+SHA256", "rsa_pss_rsae_sha384", "RSA+SHA384", "RSA+SHA256"):
            told, channel = _served(kit, context, "-sigalgs", f"{algorithm}:ECDSA+SHA256", "-tls1_2")
            assert channel is not None, told
            assert ("Peer signature type: RSA-PSS" in told) == ("pss" in algorithm)


def _served(kit: TokenKit, key: str | ssl.SSLContext, *options: str) -> tuple[str, TlsChannel | None]:
    context = kit.context(key, server=True) if isinstance(key, str) else key
    context.verify_mode = ssl.CERT_NONE
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        words = [OPENSSL, "s_client", "-connect", f"{LOOPBACK}:{port}", "-CAfile", str(shared_pki().root), *options]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as client:
            sock, _ = listener.accept()
            channel: TlsChannel | None = TlsChannel(context, True)
            assert channel is not None
            with sock:
                try:
                    talk(sock, channel)
                    sock.sendall(channel.close())
                except TlsFailure:
                    channel = None
            return client.communicate(timeout=60)[0], channel


def test_a_session_is_resumed_without_asking_the_token_in_both_roles(kit: TokenKit) -> None:
    tls = make_tls(certificates=kit.certificates("box-ecdsa"))
    contexts = TlsContexts(tls, (), kit.keys)
    for server, client in ((contexts.server(), peer_context(server=False)), (peer_context(server=True), contexts.client())):
        before = kit_signatures()
        _, theirs = shake(server, client)
        assert kit_signatures() == before + 1
        for _ in range(3):
            _, again = shake(server, client, theirs.session)
            assert again.resumed
        assert kit_signatures() == before + 1


def test_b13_is_met_with_both_keys_in_the_token(kit: TokenKit) -> None:
    tls = make_tls(certificates=kit.certificates("box-ecdsa", "box-rsa"))
    contexts = TlsContexts(tls, (), kit.keys)
    for kind in ("pacs-ecdsa", "pacs-rsa"):
        shake(contexts.server(), peer_context(kind, server=False))
        shake(peer_context(kind, server=True), contexts.client())


def test_the_default_provider_stays_in_charge_of_all_other_keys(kit: TokenKit) -> None:
    before = kit_signatures()
    for kind in ("pacs-ecdsa", "pacs-rsa"):
        shake(peer_context(kind, server=True), peer_context(kind, server=False))
    assert kit_signatures() == before


def test_a_context_goes_and_others_on_its_key_live_on(kit: TokenKit) -> None:
    first, second = (kit.context("box-ecdsa", server=True) for _ in range(2))
    shake(first, peer_context(server=False))
    del first
    for _ in range(3):
        shake(second, peer_context(server=False))


def test_a_forked_child_and_its_parent_both_sign(kit: TokenKit) -> None:
    context = kit.context("box-rsa", server=True)
    shake(context, peer_context(server=False))
    child = os.fork()
    if not child:
        status = 1
        try:
            shake(context, peer_context(server=False))
            status = 0
        finally:
            os._exit(status)
    for _ in range(3):
        shake(context, peer_context(server=False))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_eight_threads_sign_at_once_without_a_failure(kit: TokenKit) -> None:
    contexts = [kit.context(name, server=True) for name in ("box-ecdsa", "box-rsa")]
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            client = peer_context(server=False)
            for _ in range(10):
                shake(contexts[number % 2], client)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_key_service_may_end_and_come_back(kit: TokenKit) -> None:
    context = kit.context("box-ecdsa", server=True)
    shake(context, peer_context(server=False))
    kit.service.stop()
    try:
        with pytest.raises(TlsFailure) as caught:
            shake(context, peer_context(server=False))
        assert caught.value.code is Code.KEY_SERVICE_UNREACHABLE
        kit.context("box-ecdsa", server=True)  # arming asks nobody
    finally:
        kit.service.start()
    shake(context, peer_context(server=False))


def test_a_token_that_is_pulled_fails_the_handshake_by_its_own_code_and_serves_when_it_is_back(kit: TokenKit) -> None:
    context = kit.context("box-ecdsa", server=True)
    kit.hsm.remove()
    try:
        with pytest.raises(TlsFailure) as caught:
            shake(context, peer_context(server=False))
        assert 700 <= caught.value.code.value.number < 740, caught.value
        assert caught.value.to_send, "the peer is told by an alert"
    finally:
        kit.hsm.put_back()
        kit.service.until_state("ward-ct1", "present")
    shake(context, peer_context(server=False))


@pytest.mark.parametrize("kind", ["box-ecdsa", "box-rsa"])
def test_another_key_under_the_name_is_refused_here_and_not_shown_to_the_peer(kit: TokenKit, kind: str) -> None:
    if not shared_pki().leaf(f"{kind}-2").chain.exists():
        shared_pki().issue(f"{kind}-2", kind=kind.removeprefix("box-"), dns=("localhost",))
    context = kit.context(kind, server=True, certificate=f"{kind}-2")
    with pytest.raises(TlsFailure) as caught:
        shake(context, peer_context(server=False))
    assert caught.value.code is Code.KEY_NOT_OF_CERTIFICATE


def test_a_key_that_the_token_does_not_have_is_named(kit: TokenKit) -> None:
    context = kit.context("nobody", server=True, certificate="box-ecdsa")
    with pytest.raises(TlsFailure) as caught:
        shake(context, peer_context(server=False))
    assert caught.value.code is Code.KEYS_NO_KEY


def test_the_seam_gives_the_public_key_and_data_signatures(kit: TokenKit) -> None:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from wardgate.signer import FileSigner, Scheme

    signer = ServiceSigner(key_of("box-ecdsa"), kit.keys)
    files = FileSigner(shared_pki().leaf("box-ecdsa").key)
    assert signer.public_key() == files.public_key()
    key = serialization.load_der_public_key(signer.public_key())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signer.sign(b"note", Scheme.ECDSA_SHA256), b"note", ec.ECDSA(hashes.SHA256()))


RELOAD = """
import gc, ssl, sys
from pathlib import Path
from support.tlskit import peer_context, shake, shared_pki
from support.tokenkit import armed, key_of
from wardgate.policy.model import Keys
from wardgate.tokensigner import ServiceSigner

def size():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def round(count):
    chain = shared_pki().leaf("box-ecdsa").chain
    for number in range(count):
        context = armed(ServiceSigner(key_of("box-ecdsa"), Keys(Path(sys.argv[1]))).arm, chain, server=True)
        if number % 25 == 0:
            shake(context, peer_context(server=False))

files = lambda: len(list(Path("/proc/self/fd").iterdir()))
round(600)
before, open_before = size(), files()
round(500)
print(size() - before, files() - open_before)
"""


def test_five_hundred_contexts_come_and_go_without_growth(kit: TokenKit) -> None:
    """In a process of its own, which also has to end cleanly."""
    environment = {**os.environ, **python_path(), "WARDGATE_TEST_PKI": str(shared_pki().directory)}
    words = [sys.executable, "-c", RELOAD, str(kit.service.socket)]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    grown, opened = map(int, ended.stdout.split())
    assert opened == 0
    assert grown < 256 << 10, f"{grown} bytes, {grown / 500:.0f} a context"
