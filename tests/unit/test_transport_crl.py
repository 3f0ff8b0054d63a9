"""CRL files are reloaded without a restart; fetching is bounded, atomic and never goes back in time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from support.tlskit import make_party, make_tls, shared_pki
from wardgate.codes import Code
from wardgate.policy.model import Box, Config, Custody, Delivery, Limits, Link, Party, Role
from wardgate.transport import crlfetch
from wardgate.transport.chain import pem_certificates, read_facts
from wardgate.transport.crl import CrlStore, State, url_name
from wardgate.transport.errors import CrlError
from wardtools.pki import DAY, make_test_pki


def facts(name: str) -> tuple:  # type: ignore[type-arg]
    return tuple(read_facts(der) for der in pem_certificates(shared_pki().leaf(name).chain.read_text()))


def state(store: CrlStore, name: str = "pacs-ecdsa", now: float | None = None) -> State:
    leaf, issuer = facts(name)
    return store.state(leaf, issuer, now or time.time())


def test_a_replaced_file_counts_after_the_interval_and_not_before(tmp_path: Path) -> None:
    pki, moment = shared_pki(), [0.0]
    path = pki.write_crl(tmp_path / "a.crl", [])
    store = CrlStore([path], every_seconds=3, clock=lambda: moment[0])
    assert state(store) is State.GOOD
    pki.write_crl(path, [pki.leaf("pacs-ecdsa")])
    assert state(store) is State.GOOD
    moment[0] = 3.0
    assert state(store) is State.REVOKED


def test_a_damaged_file_is_reported_and_the_list_held_before_stays(tmp_path: Path) -> None:
    path = shared_pki().write_crl(tmp_path / "a.crl", [shared_pki().leaf("pacs-ecdsa")])
    store = CrlStore([path], every_seconds=0)
    assert state(store) is State.REVOKED
    path.write_bytes(path.read_bytes()[:-20])
    assert state(store) is State.REVOKED
    assert store.problems[path].code is Code.CRL_UNREADABLE
    path.unlink()
    assert state(store) is State.MISSING
    shared_pki().write_crl(path, [])
    assert state(store) is State.GOOD
    assert store.problems == {}


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    store = CrlStore([tmp_path / "gone.crl"])
    store.refresh()
    assert store.problems[tmp_path / "gone.crl"].code is Code.CRL_UNREADABLE


def test_a_forged_crl_is_ignored_and_reported() -> None:
    path = shared_pki().directory / "issuing-wrong-signer.crl"
    store = CrlStore([path])
    assert state(store) is State.MISSING
    assert store.problems[path].code is Code.CRL_WRONG_SIGNER


def test_a_crl_from_the_future_is_not_used(tmp_path: Path) -> None:
    pki = shared_pki()
    path = pki.write_crl(tmp_path / "a.crl", [], start=pki.now + DAY)
    assert state(CrlStore([path])) is State.MISSING


def test_the_newest_of_several_crls_counts(tmp_path: Path) -> None:
    pki = shared_pki()
    old = pki.write_crl(tmp_path / "old.crl", [pki.leaf("pacs-ecdsa")], start=pki.now - 5 * DAY)
    assert state(CrlStore([old])) is State.REVOKED
    assert state(CrlStore([old, pki.crl])) is State.GOOD  # taken off hold meanwhile


def test_pem_crls_are_read_too(tmp_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    path = tmp_path / "a.crl"
    path.write_bytes(x509.load_der_x509_crl(shared_pki().crl.read_bytes()).public_bytes(Encoding.PEM))
    assert state(CrlStore([path]), "pacs-revoked") is State.REVOKED


def test_the_directory_of_fetched_crls_is_read(tmp_path: Path) -> None:
    store = CrlStore(directory=tmp_path / "crl", every_seconds=0)
    assert state(store) is State.MISSING
    (tmp_path / "crl").mkdir()
    (tmp_path / "crl" / "x.crl").write_bytes(shared_pki().crl.read_bytes())
    assert state(store) is State.GOOD


DRIPS, DRIP_SECONDS = 3000, 0.02


class Server(HTTPServer):
    """Serves `body` at any path but /moved, which redirects to `moved`."""

    body = b""
    moved = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.speaks = threading.Event()  # until then it says nothing
        self.speaks.set()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", self.server.moved)
            self.end_headers()
            return
        if self.path in ("/slow-head", "/slow-body"):
            self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: " + (b"\r\n\r\n" if self.path == "/slow-body" else b""))
            with contextlib.suppress(OSError):  # until it is hung up
                for _ in range(DRIPS):
                    self.wfile.write(b"x")
                    time.sleep(DRIP_SECONDS)
            return
        self.server.speaks.wait(60)
        self.send_response(200 if self.path != "/gone" else 404)
        self.send_header("Content-Length", str(len(self.server.body) + (9 if self.path == "/cut" else 0)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.body = shared_pki().crl.read_bytes()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.speaks.set()
    server.shutdown()
    thread.join()
    server.server_close()


def url(server: Server, path: str = "/a.crl") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def failure(address: str, folder: Path, **words: float) -> Code:
    with pytest.raises(CrlError) as caught:
        crlfetch.fetch(address, folder, **words)
    return caught.value.code


def test_a_fetched_crl_replaces_the_old_one_and_is_used(server: Server, tmp_path: Path) -> None:
    pki = shared_pki()
    store = CrlStore(directory=tmp_path, every_seconds=0)
    assert crlfetch.fetch(url(server), tmp_path)
    assert not crlfetch.fetch(url(server), tmp_path)
    assert state(store) is State.GOOD
    server.body = pki.write_crl(tmp_path / "new", [pki.leaf("pacs-ecdsa")], start=pki.now).read_bytes()
    assert crlfetch.fetch(url(server), tmp_path)
    assert state(store) is State.REVOKED
    assert not list(tmp_path.glob("*.partial"))


def test_an_older_crl_never_replaces_a_newer_one(server: Server, tmp_path: Path) -> None:
    crlfetch.fetch(url(server), tmp_path)
    server.body = (shared_pki().directory / "issuing-stale.crl").read_bytes()
    assert failure(url(server), tmp_path) is Code.CRL_OLDER
    assert (tmp_path / f"{url_name(url(server))}.crl").read_bytes() == shared_pki().crl.read_bytes()


def test_what_is_not_a_whole_crl_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure(url(server, "/gone"), tmp_path) is Code.CRL_FETCH_FAILED
    assert failure(url(server, "/cut"), tmp_path) is Code.CRL_FETCH_FAILED
    monkeypatch.setattr(crlfetch, "MAX_BYTES", 10)
    assert failure(url(server), tmp_path) is Code.CRL_FETCH_FAILED
    monkeypatch.undo()
    server.body = b"<html>"
    assert failure(url(server), tmp_path) is Code.CRL_FETCH_FAILED
    assert list(tmp_path.iterdir()) == []


def test_one_large_list_comes_at_a_time_and_the_next_waits_for_it(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crlfetch, "_LARGE", 10)
    with crlfetch._one_large:
        assert failure(url(server), tmp_path, total_seconds=0.2) is Code.CRL_FETCH_FAILED
    assert crlfetch.fetch(url(server), tmp_path)
    assert not crlfetch.fetch(url(server), tmp_path), "whoever had it let it go"


def test_only_http_is_fetched_also_by_redirection(server: Server, tmp_path: Path) -> None:
    for address in ("https://127.0.0.1/a.crl", "ldap://127.0.0.1/a", "file:///etc/passwd", "http:///a"):
        assert failure(address, tmp_path) is Code.CRL_URL_REFUSED
    server.moved = "file:///etc/passwd"
    assert failure(url(server, "/moved"), tmp_path) is Code.CRL_URL_REFUSED
    server.moved = url(server, "/moved")
    assert failure(url(server, "/moved"), tmp_path) is Code.CRL_FETCH_FAILED
    server.moved = url(server)
    assert crlfetch.fetch(url(server, "/moved"), tmp_path)


def test_a_silent_server_is_given_up(server: Server, tmp_path: Path) -> None:
    server.speaks.clear()
    assert failure(url(server), tmp_path, step_seconds=0.05) is Code.CRL_FETCH_FAILED


@pytest.mark.parametrize("path", ["/slow-head", "/slow-body"])
def test_a_server_that_gives_a_byte_now_and_then_is_given_up_in_time(server: Server, tmp_path: Path, path: str) -> None:
    """The master starts no other fetch while one runs: a head that never ends would have been the last of all fetches."""
    began = time.monotonic()
    assert failure(url(server, path), tmp_path, step_seconds=1.0, total_seconds=0.2) is Code.CRL_FETCH_FAILED
    assert time.monotonic() - began < DRIPS * DRIP_SECONDS / 2


def test_urls_come_from_configuration_own_certificates_and_those_seen(tmp_path: Path) -> None:
    pki = make_test_pki(tmp_path / "pki", defects=False, crl_url="http://crl.test/leaf.crl")
    own = make_tls().certificates[0]
    tls = make_tls(certificates=(type(own)(pki.leaf("box-ecdsa").chain, pki.leaf("box-ecdsa").key),), crl_urls=("http://crl.test/a.crl",))
    link = Link(
        "ct1", True, Delivery.RELAY, frozenset("*"), frozenset(), Party("modality", Role.MODALITY, ("CT1",), ()), (make_party(tls),)
    )
    config = Config(Box("b", tmp_path), Custody(tmp_path, "o", tmp_path), Limits(), (link,))
    folder = tmp_path / "crl"
    store = CrlStore(directory=folder)
    store.want(["http://crl.test/seen.crl", "ldap://crl.test/no", "http://crl.test/seen.crl"])
    store.want(f"http://crl.test/{number}" for number in range(1000))
    urls = crlfetch.urls_of(config, folder)
    assert urls[:2] == ["http://crl.test/a.crl", "http://crl.test/leaf.crl"]
    assert "http://crl.test/seen.crl" in urls
    assert len(urls) <= 2 + 64
