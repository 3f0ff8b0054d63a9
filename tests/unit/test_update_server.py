"""What is believed of a server's answers: hostile ones, over HTTPS from a server that is a stand-in (goosebit: tests/interop)."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wardgate.policy.endpoint import Endpoint
from wardgate.policy.updates import Updates
from wardgate.update.owed import Ending, Owed
from wardgate.update.server import Server, ServerAway
from wardtools.pki import Pki

SECRET, BUNDLE = "0123456789abcdef", "ab" * 20
DEPLOYMENT = {"deployment": {"chunks": [{"artifacts": [{"hashes": {"sha1": BUNDLE.upper()}}]}]}}


class Stand:
    """Answers each path with what the test laid there; `asked` is what came."""

    def __init__(self, chain: Path, key: Path) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str, bytes]] = []
        stand = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                stand.asked.append((self.command, self.path, self.headers.get("Authorization", ""), body))
                answer = stand.answers.get(self.path)
                self.send_response(404 if answer is None else 200)
                self.end_headers()
                self.wfile.write(answer or b"")

            do_GET = do_POST = _answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def stand(pki: Pki) -> Iterator[Stand]:
    leaf = pki.issue("updates", dns=("localhost",), addresses=("127.0.0.1",))
    made = Stand(leaf.chain, leaf.key)
    yield made
    made.close()


def server(stand: Stand, pki: Pki) -> Server:
    return Server(Updates(Endpoint("127.0.0.1", stand.port), pki.root, Path("token"), "ward-ct1"), SECRET)


def links(href: object) -> bytes:
    return json.dumps({"_links": {"deploymentBase": {"href": href}}}).encode()


BASE = "/DEFAULT/controller/v1/ward-ct1"


@pytest.mark.parametrize("said", [{"deploymentBase": "there"}, {"deploymentBase": ["there"]}, {"deploymentBase": None}])
def test_a_link_that_is_no_table_is_no_action(stand: Stand, pki: Pki, said: dict[str, object]) -> None:
    stand.answers = {BASE: json.dumps({"_links": said}).encode()}
    assert server(stand, pki).open_action(BUNDLE) is None


def test_the_action_that_wants_the_bundle_is_found_and_closed(stand: Stand, pki: Pki) -> None:
    stand.answers = {
        BASE: links(f"https://127.0.0.1{BASE}/deploymentBase/12?c=-3"),
        f"{BASE}/deploymentBase/12": json.dumps(DEPLOYMENT).encode(),
    }
    stand.answers[f"{BASE}/deploymentBase/12/feedback"] = b""
    assert server(stand, pki).open_action(BUNDLE) == "12"
    server(stand, pki).close("12", Owed(BUNDLE, "2.0.0", Ending.ROLLED_BACK, "missing: service"))
    method, path, authorization, body = stand.asked[-1]
    assert (method, path, authorization) == ("POST", f"{BASE}/deploymentBase/12/feedback", f"TargetToken {SECRET}")
    status = json.loads(body)["status"]
    assert status["execution"] == "closed" and status["result"] == {"finished": "failure"}
    assert status["details"] == ["version 2.0.0: rolled back, missing: service"]


@pytest.mark.parametrize("href", ["https://elsewhere.test/x/deploymentBase/12", "/deploymentBase/12"])
def test_only_the_number_of_an_action_is_taken_from_what_the_server_names(stand: Stand, pki: Pki, href: str) -> None:
    stand.answers = {BASE: links(href), f"{BASE}/deploymentBase/12": json.dumps(DEPLOYMENT).encode()}
    assert server(stand, pki).open_action(BUNDLE) == "12"
    assert [path for _, path, _, _ in stand.asked] == [BASE, f"{BASE}/deploymentBase/12"]


@pytest.mark.parametrize("href", [7, None, "", "/deploymentBase/../configData", "/deploymentBase/1x", "/deploymentBase/" + "1" * 20])
def test_a_link_that_names_no_action_is_none(stand: Stand, pki: Pki, href: object) -> None:
    stand.answers = {BASE: links(href)}
    assert server(stand, pki).open_action(BUNDLE) is None


@pytest.mark.parametrize(
    "answer",
    [{}, {"deployment": []}, {"deployment": {"chunks": {}}}, {"deployment": {"chunks": [{"artifacts": [{"hashes": {"sha1": 7}}]}]}}],
)
def test_a_deployment_that_is_shaped_otherwise_wants_nothing(stand: Stand, pki: Pki, answer: object) -> None:
    stand.answers = {BASE: links("/deploymentBase/12"), f"{BASE}/deploymentBase/12": json.dumps(answer).encode()}
    assert server(stand, pki).open_action(BUNDLE) is None


@pytest.mark.parametrize("answer", [b"[]", b"{", b"\xff", b"[" * 100_000, b" " * (1 << 20) + b"{}", None])
def test_an_answer_that_is_none_is_an_error_without_the_token(stand: Stand, pki: Pki, answer: bytes | None) -> None:
    stand.answers = {} if answer is None else {BASE: answer}
    with pytest.raises(ServerAway) as away:
        server(stand, pki).open_action(BUNDLE)
    assert SECRET not in str(away.value)
