"""Whose root and whose list count: two parties behind one port, and a CRL that is nowhere but at its distribution point."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from support import certs, netdicom, peers, wire
from support.bench import MODALITY, Bench
from support.processes import LOOPBACK, until
from wardtools.pki import make_test_pki

pytestmark = pytest.mark.skipif(not peers.have("storescp", "echoscu"), reason="DCMTK is not installed")


def test_behind_one_port_the_root_must_be_the_one_of_the_party_whose_ae_title_is_named(bench: Bench) -> None:
    """The handshake takes the roots of those who may call from that address; which one counts is known by the AE title."""
    other = {"anchors": bench.pki.other_root, "crls": (), "crl_policy": "if-present"}
    archive = replace(bench.peer, name="archive", ae_titles=("ARCHIVE",), addresses=("127.0.0.2",), **other)  # type: ignore[arg-type]
    bench.plan.peers = (bench.peer, archive)
    modality = bench.modality()
    bench.start()

    def echo(calling: str, address: str, certificate: str) -> bool:
        sock = socket.create_connection((LOOPBACK, bench.peer.calls), 10, source_address=(address, 0))
        context = netdicom.client_context(certs.dcmtk(bench.pki, certificate))
        try:
            with wire.Wire(context.wrap_socket(sock)) as client:
                client.associate(calling, MODALITY)
                client.echo()
                client.release()
        except (OSError, AssertionError):
            return False
        return True

    assert echo("PACS", LOOPBACK, "pacs-rsa"), bench.box.log
    assert echo("ARCHIVE", "127.0.0.2", "pacs-other-ca"), bench.box.log
    heard = modality.log.count("Association Received")
    # Both certificates have the same names: only the root tells them apart.
    for calling, address, certificate in (
        ("PACS", LOOPBACK, "pacs-other-ca"),
        ("ARCHIVE", "127.0.0.2", "pacs-rsa"),
        ("PACS", "127.0.0.2", "pacs-other-ca"),
        ("ARCHIVE", LOOPBACK, "pacs-rsa"),
    ):
        assert not echo(calling, address, certificate), (calling, address, certificate)
    bench.box.wait_code("CHAIN_UNTRUSTED")
    bench.box.wait_code("CALLING_AE_REFUSED")
    assert modality.log.count("Association Received") == heard


class Point(HTTPServer):
    """A distribution point: gives `body` to whoever asks."""

    body = b""


class _Answer(BaseHTTPRequestHandler):
    server: Point

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def point() -> Iterator[Point]:
    made = Point((LOOPBACK, 0), _Answer)
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_list_is_fetched_from_where_the_peers_certificate_says_and_again_without_a_restart(bench: Bench, point: Point) -> None:
    pki = make_test_pki(bench.folder / "pki", defects=False)
    pki.crl_url = f"http://{LOOPBACK}:{point.server_port}/issuing.crl"
    pki.issue("pacs-rsa", kind="rsa", dns=("pacs.test",))  # the one certificate that names it: the box hears of it by a call
    point.body = pki.crl.read_bytes()
    bench.pki = pki
    bench.plan.peers = (certs.pacs_plan(pki, crls=(pki.root_crl,)),)
    bench.plan.box = {"crl_refresh_seconds": 2}
    bench.modality()
    bench.start()
    assert bench.echo_back().returncode != 0
    bench.box.wait_code("CRL_MISSING")
    until(lambda: bench.echo_back().returncode == 0, "the list is there, which no file has")
    point.body = pki.write_crl(bench.folder / "new.crl", [pki.leaf("pacs-rsa")], start=pki.now).read_bytes()
    until(lambda: bench.echo_back().returncode != 0, "the list of now is fetched")
    bench.box.wait_code("CERTIFICATE_REVOKED")
