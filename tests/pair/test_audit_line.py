"""A line and a repository by hand: what is sent again after a break and what is not, silence, a window that stays shut, TLS 1.2 and 1.3."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import LOOPBACK, until
from support.tlskit import make_tls, peer_context
from unit.test_audit_syslog import unframe
from wardgate.audit import line as module
from wardgate.audit.line import Line, State
from wardgate.audit.spool import Spool
from wardgate.codes import Code
from wardgate.policy.audit import Repository
from wardgate.policy.endpoint import Endpoint
from wardgate.policy.model import DEFAULT_KEYS

SETTLE = 0.5
FRAME = 10  # bytes of a message of eight with its length in front


class Repo:
    """Takes one connection after the other; `script(connection)` does what the test wants with each."""

    def __init__(self, script: Callable[[ssl.SSLSocket], None], version: ssl.TLSVersion | None = None, name: str = "pacs-ecdsa") -> None:
        self._context = peer_context(name, server=True, version=version)
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = self._listener.getsockname()[1]
        self._script = script
        self.connections = 0
        self.got = bytearray()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                with self._context.wrap_socket(plain, server_side=True) as sock:
                    self._script(sock)
            except OSError:
                plain.close()

    def take(self, sock: ssl.SSLSocket, count: int | None = None) -> None:
        """Read so many bytes, or until the end."""
        while count is None or count > 0:
            data = sock.recv(65536 if count is None else min(count, 65536))
            if not data:
                return
            self.got += data
            count = None if count is None else count - len(data)

    @property
    def messages(self) -> list[bytes]:
        """What came, over all connections."""
        return unframe(bytes(self.got))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # who waits in accept is woken
        self._listener.close()


class Kit:
    """A spool with ten messages and a line to a repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = Spool(str(folder), 4 << 20)
        self.spool.open(0)
        self.told: list[tuple[Code, dict[str, Any]]] = []
        self.line: Line | None = None
        self.repos: list[Repo] = []
        self.put(10)

    def repo(self, script: Callable[[ssl.SSLSocket], None], **words: Any) -> Repo:
        """Return a repository that ends with the test."""
        self.repos.append(Repo(script, **words))
        return self.repos[-1]

    def put(self, count: int, size: int = 8) -> None:
        for _ in range(count):
            self.spool.append(str(self.spool.next).ljust(size).encode())
        self.spool.sync()

    def to(self, port: int, settle_seconds: float = SETTLE) -> Line:
        repository = Repository("r0", Endpoint(LOOPBACK, port), make_tls())
        tell = lambda code, fields: self.told.append((code, fields))  # noqa: E731
        self.line = Line(repository, self.spool, 0, self.folder, DEFAULT_KEYS, 0.0, tell, settle_seconds)
        self.line.start()
        return self.line

    def numbers(self, repo: Repo, count: int) -> list[int]:
        """Return what the repository has read, when it is so many: what its TCP has, and counts as delivered, it reads a moment later."""

        def read() -> list[bytes]:
            try:
                return repo.messages
            except AssertionError:  # in the middle of one
                return []

        until(lambda: len(read()) >= count, f"{count} messages are read")
        return [int(message) for message in read()]


@pytest.fixture
def kit(folder: Path) -> Iterator[Kit]:
    made = Kit(folder)
    yield made
    for repo in made.repos:
        repo.close()
    if made.line is not None:
        made.line.end()
        made.line.join(60)
        assert not made.line.is_alive()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_everything_comes_once_in_order_and_counts_after_it_has_settled(kit: Kit, version: ssl.TLSVersion) -> None:
    repo = kit.repo(lambda sock: repo.take(sock), version=version)
    line = kit.to(repo.port)
    assert len(kit.numbers(repo, 10)) == 10
    until(lambda: line.idle, "delivered")
    kit.put(3)
    until(lambda: line.delivered == 13, "the later ones too")
    assert kit.numbers(repo, 13) == list(range(13)) and line.state is State.CONNECTED and repo.connections == 1


def test_what_was_sent_just_before_a_break_is_sent_again(kit: Kit) -> None:
    """The repository reads all of it and is gone at once: nobody can know whether it wrote anything."""

    def script(sock: ssl.SSLSocket) -> None:
        if repo.connections == 1:
            repo.take(sock, 10 * FRAME)
            sock.close()
            until(lambda: Code.AUDIT_UNREACHABLE in [code for code, _ in kit.told], "the line knows")
            assert kit.line is not None
            kit.line._settle_seconds = SETTLE
        else:
            repo.take(sock)

    repo = kit.repo(script)
    line = kit.to(repo.port, settle_seconds=100.0)  # before the break nothing has settled, however slow the machine is
    until(lambda: line.idle, "delivered")
    assert kit.numbers(repo, 20) == [*range(10), *range(10)]
    assert line.delivered == 10 and line.lost == 0
    assert [code for code, _ in kit.told] == [Code.AUDIT_CONNECTED, Code.AUDIT_UNREACHABLE, Code.AUDIT_CONNECTED]


def test_what_has_settled_is_not_sent_again(kit: Kit) -> None:
    def script(sock: ssl.SSLSocket) -> None:
        if repo.connections == 1:
            repo.take(sock, 10 * FRAME)
            until(lambda: kit.line is not None and kit.line.delivered == 10, "it has settled")
        else:
            repo.take(sock)

    repo = kit.repo(script)
    line = kit.to(repo.port)
    until(lambda: repo.connections == 2, "it has broken off")
    kit.put(1)
    until(lambda: line.idle, "delivered")
    assert kit.numbers(repo, 11) == [*range(10), 10]


def test_a_repository_that_reads_nothing_is_broken_off_and_loses_nothing(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STALL_SECONDS", 1.0)
    kit.put(200, 40_000)  # more than the buffers of a socket have

    def script(sock: ssl.SSLSocket) -> None:
        if repo.connections == 1:
            until(lambda: kit.line is not None and kit.line.problem != "", "it is broken off")
            monkeypatch.setattr(module, "_STALL_SECONDS", 100.0)  # the next one reads, in its own time
        else:
            repo.take(sock)

    repo = kit.repo(script)
    kit.spool._bound = 64 << 20
    line = kit.to(repo.port)
    until(lambda: Code.AUDIT_UNREACHABLE in [code for code, _ in kit.told], "it is broken off")
    until(lambda: line.idle, "delivered")
    first = kit.spool.first
    wanted = list(range(first, kit.spool.next))
    assert kit.numbers(repo, len(wanted)) == wanted and line.lost == first


def test_a_listener_that_never_speaks_is_given_up_in_time(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONNECT_SECONDS", 0.5)
    with socket.create_server((LOOPBACK, 0)) as silent:
        line = kit.to(silent.getsockname()[1])
        until(lambda: line.state is State.PAUSED, "it is given up")
        assert line.problem == "it took too long" and line.position == 0


@pytest.mark.parametrize(("name", "code"), [("pacs-expired", "WG340"), ("pacs-wrong-name", "WG348"), ("pacs-revoked", "WG342")])
def test_a_repository_without_a_certificate_that_we_accept_gets_no_byte(kit: Kit, name: str, code: str) -> None:
    repo = kit.repo(lambda sock: repo.take(sock), name=name)
    line = kit.to(repo.port)
    until(lambda: line.state is State.PAUSED, "it is refused")
    assert not repo.got and code in line.problem
    assert [(told, fields["why"]) for told, fields in kit.told][:1] == [(Code.AUDIT_UNREACHABLE, code)]


def test_what_went_from_the_spool_is_counted_as_lost(kit: Kit) -> None:
    kit.spool.close()
    kit.spool.open(0)
    kit.put(1)
    kit.spool.forget_below(10)
    repo = kit.repo(lambda sock: repo.take(sock))
    line = kit.to(repo.port)
    until(lambda: line.idle, "delivered")
    assert (line.lost, line.delivered, kit.numbers(repo, 1)) == (10, 1, [10])
