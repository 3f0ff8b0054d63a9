"""What a key service can do wrong during a handshake: each failure has its own code, in time, and touches nothing else."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.processes import until
from support.softhsm import python_path
from support.standin_keys import FakeKeyService, response, uri_of
from support.tlskit import make_tls, peer_context, shake, shared_pki
from support.tokenkit import armed, need_provider
from wardgate.codes import Code
from wardgate.policy.keyref import TokenKey
from wardgate.policy.model import Keys
from wardgate.policy.tls import CertificateFiles
from wardgate.tokensigner import ServiceSigner
from wardgate.transport import provider
from wardgate.transport.context import TlsContexts
from wardgate.transport.errors import ProfileNotMet, TlsFailure, explain
from wardgate.transport.prove import prove_server


@pytest.fixture
def service(folder: Path) -> Iterator[FakeKeyService]:
    need_provider()
    keys = {name: shared_pki().leaf(name).key for name in ("box-ecdsa", "box-rsa")}
    with FakeKeyService(folder / "keys.sock", keys) as running:
        yield running


def context_of(service: FakeKeyService, name: str = "box-ecdsa", *, seconds: int = 10, server: bool = True) -> ssl.SSLContext:
    signer = ServiceSigner(TokenKey(uri_of(name)), Keys(service.path, sign_seconds=seconds))
    return armed(signer.arm, shared_pki().leaf(name).chain, server=server)


def failure_of(context: ssl.SSLContext) -> TlsFailure:
    with pytest.raises(TlsFailure) as caught:
        shake(context, peer_context(server=False))
    return caught.value


Answer = Callable[[bytes], bytes | None]


@pytest.mark.parametrize(
    ("what", "answer", "code", "detail"),
    [
        ("a refusal", lambda r: response(r, 704, b"ward-ct1"), Code.KEYS_TOKEN_ABSENT, "ward-ct1"),
        ("a refusal in bad characters", lambda r: response(r, 704, b"a\nWG000\xffb"), Code.KEYS_TOKEN_ABSENT, "a?WG000?b"),
        ("a refusal that nobody asked for", lambda r: response(b"\1\0\0\0\0\0", 719, b"full"), Code.KEYS_CROWDED, "full"),
        ("a code of another version", lambda r: response(r, 739, b"new"), Code.KEY_SERVICE_REFUSED, "status 739 new"),
        ("a refusal without a text", lambda r: response(r, 704, b"")[:8], Code.KEY_SERVICE_BROKE, "field"),
        ("no answer but the end", lambda r: None, Code.KEY_SERVICE_BROKE, "hung up"),
        ("another version", lambda r: b"\2" + response(r, 0, b"x")[1:], Code.KEY_SERVICE_BROKE, "none"),
        ("another operation", lambda r: response(r[:1] + b"\2" + r[2:], 0, b"x"), Code.KEY_SERVICE_BROKE, "another question"),
        ("another id", lambda r: response(r[:2] + b"\0\0\0\2" + r[6:], 0, b"x"), Code.KEY_SERVICE_BROKE, "another question"),
        ("a short packet", lambda r: response(r, 0, b"x")[:7], Code.KEY_SERVICE_BROKE, "7 bytes"),
        ("a field beyond the packet", lambda r: response(r, 0, b"xyz")[:-1], Code.KEY_SERVICE_BROKE, "field of 3"),
        ("an empty signature", lambda r: response(r, 0, b""), Code.KEY_SERVICE_BROKE, "of 0 bytes"),
        ("a signature too long", lambda r: response(r, 0, b"x" * 400), Code.KEY_SERVICE_BROKE, "400 bytes"),
        ("a packet too long", lambda r: response(r, 0, b"x" * 9000), Code.KEY_SERVICE_BROKE, "hung up"),
        ("a signature that is none", lambda r: response(r, 0, b"x" * 70), Code.KEY_NOT_OF_CERTIFICATE, "ecdsa-sha256"),
    ],
)
def test_each_wrong_answer_is_named(service: FakeKeyService, what: str, answer: Answer, code: Code, detail: str) -> None:
    context = context_of(service)
    service.answer = answer
    failure = failure_of(context)
    assert failure.code is code and detail in failure.detail, f"{what}: {failure}"
    assert failure.to_send, "the peer is told by an alert"
    service.answer = None
    shake(context, peer_context(server=False))


def test_a_fault_in_an_rsa_signature_never_leaves(service: FakeKeyService) -> None:
    """Not only the first: a card that fails later would give its key away."""
    context = context_of(service, "box-rsa")
    shake(context, peer_context(server=False))
    service.answer = lambda request: response(request, 0, b"\1" * 256)
    assert failure_of(context).code is Code.KEY_NOT_OF_CERTIFICATE


def test_a_card_that_is_too_slow_is_named(service: FakeKeyService) -> None:
    context = context_of(service, seconds=1)
    service.seconds = 30.0
    failure = failure_of(context)
    assert failure.code is Code.KEY_SIGN_TIMEOUT and "1000 ms" in failure.detail


def test_who_waits_for_a_slow_card_leaves_the_processor_alone(service: FakeKeyService) -> None:
    """An answer of a quick token is looked for; that a card is slow is learnt from its answers."""
    context = context_of(service)
    for _ in range(20):
        shake(context, peer_context(server=False))  # it looks quick
    service.seconds = 0.5
    took = []
    for _ in range(3):
        before = time.thread_time()
        shake(context, peer_context(server=False))
        took.append(time.thread_time() - before)
    assert min(took) < 0.1, "waiting is no work"


def test_a_failure_is_told_once_and_is_not_the_reason_of_the_next_one(service: FakeKeyService) -> None:
    context = context_of(service)
    service.answer = lambda request: None
    assert failure_of(context).code is Code.KEY_SERVICE_BROKE
    error = ssl.SSLError(1, "[SSL] something else")
    assert explain(error, handshake=True)[0] is Code.TLS_FAILED
    service.answer = lambda request: None
    failure_of(context)
    worker = threading.Thread(target=lambda: seen.append(provider.load().failure()))
    seen: list[object] = []
    worker.start()
    worker.join()
    assert seen == [None], "the failure of another thread"


def test_signals_do_not_end_a_wait_for_the_card(service: FakeKeyService) -> None:
    context = context_of(service)
    service.seconds = 0.5
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        shake(context, peer_context(server=False))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_suites_are_tried_without_a_token(service: FakeKeyService) -> None:
    """`wardgate check` proves each suite by a handshake, also while the card is out."""
    certificates = tuple(CertificateFiles(shared_pki().leaf(name).chain, TokenKey(uri_of(name))) for name in ("box-ecdsa", "box-rsa"))
    keys = Keys(service.path.with_name("gone.sock"))
    contexts = TlsContexts(make_tls(certificates=certificates), (), keys, rehearsal=True)
    prove_server(contexts.server())
    assert service.signatures == 0
    with pytest.raises(ssl.SSLError):  # and is of no use for anything else
        raw_handshake(contexts.server(), peer_context(server=False))


def raw_handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, True)
    theirs = client.wrap_bio(to_client, to_server, False)
    for _ in range(4):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass


LEAVE = """
import sys, threading, time
from pathlib import Path
from support.standin_keys import uri_of
from support.tlskit import peer_context, shake, shared_pki
from support.tokenkit import armed
from wardgate.policy.keyref import TokenKey
from wardgate.policy.model import Keys
from wardgate.tokensigner import ServiceSigner
signer = ServiceSigner(TokenKey(uri_of("box-rsa")), Keys(Path(sys.argv[1])))
context = armed(signer.arm, shared_pki().leaf("box-rsa").chain, server=True)
for _ in range(4):
    threading.Thread(target=lambda: shake(context, peer_context(server=False)), daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
if sys.argv[2] == "slowly":  # what exit() does, with time for the answers to come before the process is gone
    import _ssl, ctypes, os
    ctypes.CDLL(_ssl.__file__).OPENSSL_cleanup()
    print("cleaned", flush=True)
    time.sleep(0.5)
    os._exit(0)
"""


@pytest.mark.parametrize("how", ["at once", "slowly"])
def test_a_process_ends_cleanly_while_threads_wait_for_the_card(service: FakeKeyService, how: str) -> None:
    asked = threading.Semaphore(0)
    may_answer = threading.Event()

    def hold(request: bytes) -> bytes | None:
        asked.release()
        may_answer.wait(60)
        return service._answer(request)

    service.answer = hold
    environment = {**os.environ, **python_path(), "WARDGATE_TEST_PKI": str(shared_pki().directory)}
    words = [sys.executable, "-c", LEAVE, str(service.path), how]
    with subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"ready\n", process.stderr.read()
        for _ in range(4):
            assert asked.acquire(timeout=60)
        process.stdin.close()
        if how == "slowly":
            assert process.stdout.readline() == b"cleaned\n"
        may_answer.set()  # the answers come while it ends
        assert process.wait(60) == 0, process.stderr.read()


MISSING = """
import sys
from pathlib import Path
from wardgate.transport import provider
provider._TREE = Path(sys.argv[1])
try:
    provider.load()
except provider.ProfileNotMet as error:
    print(error)
"""


@pytest.mark.parametrize("broken", [False, True])
def test_a_missing_or_broken_module_is_named(folder: Path, broken: bool) -> None:
    if broken:
        (folder / "wardkeys.so").write_bytes(b"not a module")
    environment = {**os.environ, **python_path(), "OPENSSL_MODULES": str(folder)}
    ended = subprocess.run([sys.executable, "-c", MISSING, folder], env=environment, capture_output=True, text=True, check=False)
    assert str(Code.KEY_MODULE_MISSING) in ended.stdout and "wardkeys.so" in ended.stdout, ended


ORDER = """
import ctypes, _ssl
from wardgate.transport import provider
provider.load()
lib = ctypes.CDLL(_ssl.__file__)
METHODS = (("EVP_SIGNATURE", "RSA"), ("EVP_SIGNATURE", "ECDSA"), ("EVP_KEYMGMT", "RSA"), ("EVP_KEYMGMT", "EC"))
for kind, name in METHODS:
    fetch, of = getattr(lib, kind + "_fetch"), getattr(lib, kind + "_get0_provider")
    fetch.restype = of.restype = lib.OSSL_PROVIDER_get0_name.restype = ctypes.c_void_p
    owner = of(ctypes.c_void_p(fetch(None, name.encode(), None)))
    print(ctypes.string_at(lib.OSSL_PROVIDER_get0_name(ctypes.c_void_p(owner))).decode())
"""


def test_openssl_takes_its_own_provider_for_whatever_is_not_ours() -> None:
    need_provider()
    ended = subprocess.run([sys.executable, "-c", ORDER], env={**os.environ, **python_path()}, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == ["default"] * 4, ended


def test_arming_with_a_wrong_file_is_refused_by_its_code(folder: Path, service: FakeKeyService) -> None:
    (folder / "empty.pem").write_text("nothing\n")
    certificates = (CertificateFiles(folder / "empty.pem", TokenKey(uri_of("box-ecdsa"))),)
    with pytest.raises(ProfileNotMet) as caught:
        TlsContexts(make_tls(certificates=certificates), (), Keys(service.path)).server()
    assert caught.value.code is Code.OWN_CERTIFICATE_UNREADABLE


def test_one_slow_token_gives_its_handshakes_threads_of_their_own() -> None:
    from wardgate.relay.loop import Loop
    from wardgate.relay.threads import Pool

    loop = Loop(lambda error: pytest.fail(str(error)))
    pool, release, order = Pool(loop), threading.Event(), []
    waiting = threading.Semaphore(0)

    def slow() -> None:
        waiting.release()
        release.wait(60)

    for _ in range(20):
        pool.lane("token=a").submit(slow, lambda _result, _error: order.append("slow"))
    for _ in range(20):
        assert waiting.acquire(timeout=60), "each waits in a thread of its own"
    pool.lane("token=b").submit(lambda: None, lambda _result, _error: order.append("other token"))
    pool.submit(lambda: None, lambda _result, _error: (order.append("file"), release.set()))
    loop.each_tick(lambda: loop.stop() if len(order) == 22 else None)
    runner = threading.Thread(target=loop.run)
    runner.start()
    until(lambda: len(order) == 22, "all are done")
    runner.join(20)
    assert "slow" not in order[: order.index("file")] and order.count("slow") == 20 and pool.waiting == 0
