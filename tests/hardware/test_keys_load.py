"""Callers that crowd, hang, lie or die; tokens that are slow or stuck. Each holds up only itself."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from support.keyservice import KeyService
from support.processes import run, until
from support.slowtoken import SlowToken
from support.softhsm import SoftHsm, python_path
from wardgate.codes import Code
from wardkeys import wire
from wardkeys.client import Link
from wardkeys.errors import KeyServiceError
from wardkeys.wire import Op

QUICK, SLOW = "pkcs11:token=quick;object=key", "pkcs11:token=slow;object=key"
HELD = "50000"  # milliseconds: longer than what a test does meanwhile takes on any machine; it is told to go on before
DIGEST = bytes(32)


class Rig:
    """Two tokens: `quick`, SoftHSM itself, and `slow`, which takes as long as it is told."""

    def __init__(self, folder: Path) -> None:
        self.hsm = SoftHsm(folder)
        for label in ("quick", "slow"):
            self.hsm.new_token(label)
            self.hsm.provision(label, ("key", "p256"))
        self.slow = SlowToken(folder, self.hsm)
        self.folder = folder

    def start(self, **words: object) -> KeyService:
        self.service = KeyService(self.folder, self.slow.env, **words)
        self.service.add_token("quick", self.hsm.module)
        self.service.add_token("slow", self.slow.module)
        return self.service.start()

    def hold(self) -> None:
        """From now on a signature of the slow token lasts until `go_on`."""
        self.slow.say(HELD)

    def go_on(self) -> None:
        """It signs at once, also what it had begun."""
        self.slow.say("0")

    def call(self) -> socket.socket:
        """Return a bare connection."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(60)
        sock.connect(str(self.service.socket))
        return sock


@pytest.fixture
def rig(folder: Path) -> Iterator[Rig]:
    made = Rig(folder)
    yield made
    made.go_on()
    made.service.stop()


def _slow(number: int) -> bytes:
    return wire.encode_request(Op.SIGN, number, [SLOW.encode(), b"ecdsa-sha256", DIGEST])


def test_a_slow_token_delays_only_its_own_callers(rig: Rig) -> None:
    """What is compared is order, not time: while one slow signature lasts, many quick ones are made."""
    service = rig.start(request_seconds=60)
    for _ in range(60):
        service.client.sign(SLOW, "ecdsa-sha256", DIGEST)  # it looks quick, and is called from the service's own thread
    rig.hold()
    sock = rig.call()
    sock.send(_slow(1))
    time.sleep(0.05)  # let it be picked up; the test holds without
    with service.client.link() as link:
        for _ in range(50):
            link.sign(QUICK, "ecdsa-sha256", DIGEST)
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(100)
    sock.settimeout(60)
    rig.go_on()
    assert wire.decode_response(sock.recv(65536))[2] == 0
    sock.close()


def test_slow_signatures_are_made_one_after_another_and_all_are_made(rig: Rig) -> None:
    service = rig.start(request_seconds=60)
    rig.slow.say("50")
    sock = rig.call()
    for number in range(1, 9):
        sock.send(_slow(number))
    answers = [wire.decode_response(sock.recv(65536)) for _ in range(8)]
    assert [(number, status) for _, number, status, _ in answers] == [(number, 0) for number in range(1, 9)]
    sock.close()
    assert service.state("slow") == "present"


def test_a_stuck_token_answers_its_callers_in_time_and_is_shown(rig: Rig) -> None:
    service = rig.start(request_seconds=0.5)
    rig.slow.say("6000")
    with pytest.raises(KeyServiceError) as caught:
        service.client.sign(SLOW, "ecdsa-sha256", DIGEST)
    assert caught.value.code is Code.KEYS_TIMEOUT
    until(lambda: service.state("slow") == "failed", "the stuck module is shown")
    assert service.client.sign(QUICK, "ecdsa-sha256", DIGEST)
    rig.slow.say("0")
    service.until_state("slow", "present")
    assert service.client.sign(SLOW, "ecdsa-sha256", DIGEST)


def test_a_full_queue_refuses_at_once(rig: Rig) -> None:
    rig.start(max_queue=4, request_seconds=60)
    rig.hold()
    sock = rig.call()
    for number in range(1, 13):
        sock.send(_slow(number))
    statuses = [wire.decode_response(sock.recv(65536))[2] for _ in range(6)]
    assert set(statuses) == {Code.KEYS_QUEUE_FULL.value.number}, "who is refused does not wait for who is served"
    rig.go_on()
    statuses += [wire.decode_response(sock.recv(65536))[2] for _ in range(6)]
    assert statuses.count(0) + statuses.count(Code.KEYS_QUEUE_FULL.value.number) == 12
    sock.close()


def test_one_connection_cannot_fill_the_queue_without_end(rig: Rig) -> None:
    rig.start(max_queue=1000, request_seconds=60)
    rig.hold()
    sock = rig.call()
    for number in range(1, 41):
        sock.send(_slow(number))
    assert wire.decode_response(sock.recv(65536))[2] == Code.KEYS_QUEUE_FULL.value.number
    sock.close()


def test_requests_of_a_caller_that_died_are_not_served(rig: Rig) -> None:
    service = rig.start(request_seconds=60)
    rig.hold()
    script = (
        "import sys,os,signal,socket; sys.path[:0]=sys.argv[2].split(':');\n"
        "from wardkeys import wire\n"
        "s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET); s.connect(sys.argv[1])\n"
        f"[s.send(wire.encode_request(1,n,[{SLOW.encode()!r},b'ecdsa-sha256',bytes(32)])) for n in range(1,31)]\n"
        "os.kill(os.getpid(),signal.SIGKILL)\n"
    )
    path = python_path()["PYTHONPATH"]
    assert run([sys.executable, "-c", script, service.socket, path]).returncode == -9
    for _ in range(2):  # two turns of its loop: it has seen that the caller is gone
        assert service.client.status()
    rig.go_on()
    assert service.client.sign(SLOW, "ecdsa-sha256", DIGEST)
    assert rig.slow.signatures <= 4, "what waited when its caller died is not signed"
    assert service.program.running()


def test_eight_threads_get_eight_times_a_thousand_good_signatures(rig: Rig) -> None:
    service = rig.start()
    key = serialization.load_der_public_key(service.client.public(QUICK))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    failures: list[object] = []

    def hammer(number: int) -> None:
        try:
            for turn in range(1000):
                digest = hashlib.sha256(f"{number} {turn}".encode()).digest()
                signature = service.client.sign(QUICK, "ecdsa-sha256", digest)
                if not turn % 10:
                    key.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not failures and not any(thread.is_alive() for thread in threads)


def test_garbage_ends_the_connection_that_sent_it_and_nothing_else(rig: Rig) -> None:
    service = rig.start()
    dice = random.Random(1)
    good = wire.encode_request(Op.SIGN, 1, [QUICK.encode(), b"ecdsa-sha256", DIGEST])
    for turn in range(300):
        sock = rig.call()
        packet = dice.randbytes(dice.randrange(1, 200)) if turn % 2 else bytearray(good)
        if not turn % 2:
            packet = bytearray(good)
            for _ in range(3):
                packet[dice.randrange(len(packet))] = dice.randrange(256)
        sock.send(packet)
        try:
            answer = sock.recv(65536)
        except ConnectionResetError:
            answer = b""
        if answer:
            wire.decode_response(answer)
        sock.close()
    assert service.client.sign(QUICK, "ecdsa-sha256", DIGEST)
    assert "WG717" in service.log


def test_a_request_of_the_largest_size_is_answered(rig: Rig) -> None:
    rig.start()
    sock = rig.call()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
    sock.send(wire.encode_request(90, 1, [bytes(32000), bytes(33000)]))
    assert wire.decode_response(sock.recv(65536))[2] == Code.KEYS_UNKNOWN_OPERATION.value.number
    sock.close()


def test_one_id_twice_at_a_time_is_a_mistake_of_the_caller(rig: Rig) -> None:
    rig.start(request_seconds=60)
    rig.hold()
    sock = rig.call()
    sock.send(_slow(5))
    sock.send(_slow(5))
    assert wire.decode_response(sock.recv(65536))[1:3] == (0, Code.KEYS_WIRE.value.number)
    sock.close()


def test_too_many_connections_are_told_so(rig: Rig) -> None:
    service = rig.start(max_connections=3)
    kept: list[Link] = []
    until(lambda: _kept(service, kept) == 3, "three are connected")  # one that just closed may still count
    with pytest.raises(KeyServiceError) as caught:
        service.client.status()
    assert caught.value.code is Code.KEYS_CROWDED
    kept.pop().close()
    until(lambda: _answers(service), "a place is free again")
    for link in kept:
        link.close()


def _kept(service: KeyService, kept: list[Link]) -> int:
    link = service.client.link()
    try:
        link.status()
    except KeyServiceError:
        link.close()
    else:
        kept.append(link)
    return len(kept)


def _answers(service: KeyService) -> bool:
    try:
        return bool(service.client.status())
    except KeyServiceError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize("allowed", [False, True])
def test_a_user_who_is_not_named_is_turned_away(rig: Rig, allowed: bool) -> None:
    rig.folder.chmod(0o711)
    service = rig.start(allow_uids=[12345] if allowed else [])
    script = (
        "import sys,os; os.setgroups([]); os.setgid(12345); os.setuid(12345)\n"
        "from wardkeys.client import KeyClient; from wardkeys.errors import KeyServiceError\n"
        "try: KeyClient(sys.argv[1]).status(); print('served')\n"
        "except KeyServiceError as error: print(error.code.name)\n"
    )
    # The interpreter and the tree must be readable by anybody: everything is imported before the user changes.
    script = "import wardkeys.client, encodings.idna, json\n" + script
    ended = run([sys.executable, "-c", script, service.socket], env=python_path())
    assert ended.stdout.strip() == ("served" if allowed else "KEYS_STRANGER"), ended.stdout
    assert ("WG718" in service.log) != allowed


def test_a_watcher_that_does_not_read_loses_its_connection(rig: Rig) -> None:
    service = rig.start()
    sock = rig.call()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
    for number in range(1, 5000):
        try:
            sock.send(wire.encode_request(Op.STATUS, number, []), socket.MSG_DONTWAIT)
        except BlockingIOError:
            continue
        except OSError:
            break
    assert service.client.status()
    sock.close()


def test_states_are_json_with_the_documented_words(rig: Rig) -> None:
    service = rig.start()
    with service.client.link() as link:
        states = json.loads(link.one(Op.STATUS))
    assert [set(row) for row in states["tokens"]] == [{"name", "state", "label", "serial", "model", "tries", "detail", "changes"}] * 2


def test_the_service_ends_when_told_and_leaves_no_socket(rig: Rig) -> None:
    service = rig.start()
    service.stop()
    assert not service.socket.exists()
    assert service.program.wait() == 0
    with pytest.raises(KeyServiceError) as caught:
        service.client.status()
    assert caught.value.code is Code.KEYS_UNREACHABLE


def test_a_socket_left_by_a_killed_service_is_taken_over_but_a_living_one_is_not(rig: Rig) -> None:
    service = rig.start()
    second = run([sys.executable, "-m", "wardkeys", "run", service.config], env={**rig.slow.env, **python_path()})
    assert second.returncode == 1 and "WG720" in second.stdout
    assert service.client.status()
    os.kill(service.program.pid, 9)
    service.program.wait()
    assert service.socket.exists()
    service.start()
    assert service.client.sign(QUICK, "ecdsa-sha256", DIGEST)


def test_the_process_gives_no_core_and_no_memory_to_its_own_user(rig: Rig) -> None:
    service = rig.start()
    limits = Path(f"/proc/{service.program.pid}/limits").read_text()
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]
    status = Path(f"/proc/{service.program.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status


def test_the_process_is_not_dumpable() -> None:
    """Neither the same user's debugger nor /proc/PID/mem reads it then; PR_GET_DUMPABLE is 3."""
    script = "import ctypes; from wardkeys.harden import harden; harden(); print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    assert run([sys.executable, "-c", script], env=python_path()).stdout.strip() == "0"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_user_who_may_only_watch_sees_states_and_uses_no_key(rig: Rig) -> None:
    rig.folder.chmod(0o711)
    service = rig.start(watch_uids=[12345])
    script = (
        "import wardkeys.client, encodings.idna, json, sys, os; os.setgroups([]); os.setgid(12345); os.setuid(12345)\n"
        "from wardkeys.client import KeyClient; from wardkeys.errors import KeyServiceError\n"
        "client = KeyClient(sys.argv[1]); print(len(client.status()) > 0)\n"
        "for ask in (lambda: client.sign(sys.argv[2], 'ecdsa-sha256', bytes(32)), lambda: client.certificate(sys.argv[2]), client.list):\n"
        "    try: ask(); print('served')\n"
        "    except KeyServiceError as error: print(error.code.name)\n"
    )
    ended = run([sys.executable, "-c", script, service.socket, "pkcs11:token=a;type=private"], env=python_path())
    assert ended.stdout.split() == ["True", "KEYS_STRANGER", "KEYS_STRANGER", "KEYS_STRANGER"], ended.stdout
