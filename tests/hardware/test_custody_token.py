"""A custody log whose key is in a token: the real writer, the real key service, SoftHSM."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.custody import Study, WriterProcess, answers, connect
from support.keyservice import KeyService
from support.processes import until
from support.slowtoken import SlowToken
from support.softhsm import SoftHsm
from wardgate.custody.client import ask
from wardgate.custody.note import split_note
from wardgate.custody.wire import Op, Status

URI = "pkcs11:token=ward-log;object=custody;type=private"


@pytest.fixture
def hsm(folder: Path) -> SoftHsm:
    """A token with a P-256 and an Ed25519 key."""
    made = SoftHsm(folder)
    made.new_token("ward-log")
    made.provision("ward-log", ("custody", "p256"), ("ed", "ed25519"))
    return made


@pytest.fixture
def service(folder: Path, hsm: SoftHsm) -> Iterator[KeyService]:
    """The key service over it."""
    made = KeyService(folder, hsm.env)
    made.add_token("ward-log", hsm.module)
    made.start()
    made.until_state("ward-log", "present")
    yield made
    made.stop()


class TokenWriter(WriterProcess):
    """A writer whose key is in the token, and the master's end of its control socket."""

    def __init__(self, place: Path, service: KeyService, *arguments: str, uri: str = URI) -> None:
        self.master, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.master.settimeout(60)
        words = ("--keys-socket", str(service.socket), "--control-fd", str(theirs.fileno()), *arguments)
        super().__init__(place, *words, pass_fds=(theirs.fileno(),), key=uri)
        theirs.close()

    def tell(self, out: str = "", *news: tuple[int, dict[str, str]]) -> None:
        """Say what the master says of the token."""
        self.master.send(json.dumps({"do": "tokens", "out": [out, "told"] if out else None, "news": news}).encode())

    def done(self) -> int:
        """Return the number up to which news are durable."""
        return int(json.loads(self.master.recv(65536))["done"])

    def report(self) -> dict[str, object]:
        """What the writer says of itself."""
        return dict(json.loads(ask(self.socket, Op.STAT, 60)))

    def wait_signed(self) -> None:
        """Wait until all is signed."""
        until(lambda: self.report()["signed"] == self.report()["durable"], f"all is signed: {self.text()}")

    def events(self) -> list[str]:
        """The events of the token records."""
        return [record["event"] for record in map(json.loads, self.entries()) if record["type"] == "token"]


@pytest.fixture
def place(folder: Path) -> Path:
    """Where the writer lives."""
    made = folder / "w"
    made.mkdir()
    return made


def study(writer: WriterProcess, stores: int = 3) -> Study:
    """Write one association with its records, and see them durable."""
    client = connect(writer.socket)
    made = Study(client)
    made.open()
    answers(client, 1)
    for _ in range(stores):
        made.store()
    assert {status for status, _ in answers(client, stores).values()} <= {Status.OK}
    made.close()
    answers(client, 1)
    client.close()
    return made


def removal(number: int, event: str = "removed") -> tuple[int, dict[str, str]]:
    """One piece of news of the master."""
    return number, {"event": event, "box": "ward", "token": "ward-log", "serial": "1234", "users": "custody", "code": "WG740", "detail": ""}


def test_checkpoints_are_signed_by_the_token_and_openssl_agrees(place: Path, service: KeyService) -> None:
    writer = TokenWriter(place, service, "--checkpoint-seconds", "0.2")
    study(writer)
    writer.wait_signed()
    assert writer.stop() == 0
    assert not writer.findings().errors
    name, _, rest = (writer.log / "vkey").read_text().strip().partition("+")
    ident, _, encoded = rest.partition("+")
    data = base64.b64decode(encoded)
    assert data[0] == 2 and ident == hashlib.sha256(data[1:]).hexdigest()[:8]
    assert data[1:] == service.client.public(URI)
    text, ((signer, key_id, signature),) = split_note((writer.log / "checkpoint").read_bytes())
    assert (signer, key_id.hex()) == (name, ident)
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command")
    for file, content in (("spki.der", data[1:]), ("text", text.encode()), ("sig", signature)):
        (place / file).write_bytes(content)
    command = ["openssl", "dgst", "-sha256", "-verify", place / "spki.der", "-keyform", "DER", "-signature", place / "sig", place / "text"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "Verified OK", done.stderr


def test_a_token_with_ed25519_signs_notes_of_type_1(place: Path, service: KeyService) -> None:
    writer = TokenWriter(place, service, "--checkpoint-seconds", "0.2", uri=URI.replace("custody", "ed"))
    study(writer)
    writer.wait_signed()
    assert writer.stop() == 0 and not writer.findings().errors
    assert base64.b64decode((writer.log / "vkey").read_text().strip().split("+", 2)[2])[0] == 1


def test_the_log_grows_unsigned_while_the_token_is_out_and_is_signed_on_return(place: Path, service: KeyService, hsm: SoftHsm) -> None:
    writer = TokenWriter(place, service, "--checkpoint-seconds", "0.2")
    study(writer)
    writer.wait_signed()
    before = writer.report()["signed"]
    hsm.remove()
    service.until_state("ward-log", "absent")
    writer.tell("WG740", removal(1))
    assert writer.done() == 1
    study(writer)
    report = writer.report()
    assert report["signing"] == "out" and report["signing_code"] == "WG740" and report["signed"] == before
    hsm.put_back()
    service.until_state("ward-log", "present")
    writer.tell("", removal(2, "inserted"))
    assert writer.done() == 2
    writer.wait_signed()
    assert writer.report()["signing"] == "in"
    assert writer.stop() == 0
    assert not writer.findings().errors
    assert writer.events() == ["removed", "signing-stopped", "inserted", "signing-resumed"]
    records = [json.loads(entry) for entry in writer.entries() if b'"type":"token"' in entry]
    assert [record["signing"] for record in records] == ["out", "out", "out", "in"]
    assert {record["serial"] for record in records if record["code"] == "WG740"} == {hashlib.sha256(b"1234").hexdigest(), ""}
    assert "1234" not in json.dumps([record["detail"] for record in records])


def test_without_the_masters_word_the_writer_finds_out_by_itself(place: Path, service: KeyService, hsm: SoftHsm) -> None:
    writer = TokenWriter(place, service, "--checkpoint-seconds", "0.2")
    study(writer)
    writer.wait_signed()
    hsm.remove()
    service.until_state("ward-log", "absent")
    study(writer)
    until(lambda: writer.report()["signing"] == "out", "it has noticed")
    hsm.put_back()
    writer.wait_signed()
    assert writer.stop() == 0 and not writer.findings().errors
    assert writer.events() == ["signing-stopped", "signing-resumed"]


def test_no_more_records_are_taken_than_may_be_unsigned(place: Path, service: KeyService, hsm: SoftHsm) -> None:
    writer = TokenWriter(place, service, "--checkpoint-seconds", "0.2", "--unsigned-records", "20")
    client = connect(writer.socket)
    running = Study(client)
    running.open()
    answers(client, 1)
    writer.wait_signed()
    hsm.remove()
    writer.tell("WG740", removal(1))
    assert writer.done() == 1
    given = [running.store() for _ in range(30)]
    found = answers(client, 30)
    taken = [found[request][0] for request in given].count(Status.OK)
    assert 10 <= taken < 20 and {status for status, _ in found.values()} == {Status.OK, Status.UNSIGNED}
    other = Study(client)
    request = other.open()
    assert answers(client, 1)[request][0] is Status.UNSIGNED
    running.seq = taken
    request = running.close()
    assert answers(client, 1)[request][0] is Status.OK, "an association can always end"
    assert "WG753" in writer.text() and writer.report()["unsigned_bound"] == 20
    hsm.put_back()
    service.until_state("ward-log", "present")
    writer.tell("", removal(2, "inserted"))
    writer.wait_signed()
    study(writer)
    client.close()
    assert writer.stop() == 0
    assert not writer.findings().errors


def test_a_writer_gives_way_at_once_though_a_slow_card_signs(place: Path, folder: Path, hsm: SoftHsm) -> None:
    """The one that comes gives up after 10 s, and a card may take 15: nobody would serve the workers."""
    slow = SlowToken(folder, hsm)
    service = KeyService(folder, slow.env, request_seconds=60)
    service.add_token("ward-log", slow.module)
    service.start()
    service.until_state("ward-log", "present")
    try:
        first = TokenWriter(place, service, "--checkpoint-seconds", "0.2")
        study(first)
        first.wait_signed()
        slow.say("50000")
        signed = slow.signatures
        study(first)
        until(lambda: slow.signatures > signed, "the card signs")
        second = TokenWriter(place, service, "--checkpoint-seconds", "0.2")
        assert first.process.wait(60) == 0
        study(second)
        assert slow.signatures == signed + 1, "the card still signs what the first one had asked for"
        slow.say("0")
        second.wait_signed()
        assert second.stop() == 0
        assert not second.findings().errors
        assert len(second.entries()) >= 15, "three studies of five records"
    finally:
        service.stop()


def test_another_tokens_key_signs_nothing_in_this_log(place: Path, service: KeyService, hsm: SoftHsm, folder: Path) -> None:
    writer = TokenWriter(place, service, "--checkpoint-seconds", "0.2")
    study(writer)
    writer.wait_signed()
    assert writer.stop() == 0
    checkpoint = (writer.log / "checkpoint").read_bytes()
    hsm.remove()
    hsm.new_token("ward-log")
    hsm.provision("ward-log", ("custody", "p256"))
    service.stop()
    service.start()
    service.until_state("ward-log", "present")
    writer = TokenWriter(place, service, "--checkpoint-seconds", "0.2")
    study(writer)
    until(lambda: writer.report().get("signing_code") == "WG750", f"refused for its key: {writer.text()}")
    assert writer.stop() == 0
    assert (writer.log / "checkpoint").read_bytes() == checkpoint
    assert not writer.findings().errors


def test_a_writer_that_begins_while_the_token_is_out_takes_records(place: Path, service: KeyService, hsm: SoftHsm) -> None:
    hsm.remove()
    service.stop()
    service.start()
    writer = TokenWriter(place, service, "--checkpoint-seconds", "0.2")
    study(writer)
    assert not (writer.log / "vkey").exists()
    hsm.put_back()
    service.until_state("ward-log", "present")
    writer.tell()
    writer.wait_signed()
    assert writer.stop() == 0 and not writer.findings().errors


def test_news_are_durable_once_whatever_the_master_repeats(place: Path, service: KeyService) -> None:
    writer = TokenWriter(place, service, "--checkpoint-seconds", "600")
    connect(writer.socket).close()
    writer.tell("", removal(1), removal(2, "inserted"))
    assert writer.done() == 2
    writer.tell("", removal(1), removal(2, "inserted"), removal(3))
    assert writer.done() == 3
    writer.master.send(b"no JSON")
    writer.master.send(b'{"do":"tokens","news":[[4,{"event":"of a later version"}]]}')
    writer.tell("", removal(4, "inserted"))
    assert writer.done() == 4
    writer.kill()
    writer = TokenWriter(place, service, "--fresh")
    connect(writer.socket).close()
    assert writer.events() == ["removed", "inserted", "removed", "inserted"]
    assert writer.stop() == 0 and not writer.findings().errors


def test_a_checkpoint_is_made_at_the_end_of_an_association_but_not_more_often_than_configured(place: Path, service: KeyService) -> None:
    writer = TokenWriter(place, service, "--checkpoint-seconds", "3600")
    client = connect(writer.socket)
    writer.wait_signed()  # the first one, of an empty log
    client.close()
    study(writer)
    assert writer.report()["signed"] == 0, "an hour has not passed since the last one"
    assert writer.stop() == 0
    writer = TokenWriter(place, service, "--checkpoint-seconds", "2")
    client = connect(writer.socket)
    until(lambda: writer.report()["durable"] == writer.report()["signed"] > 0, "signed at the end")
    made = Study(client)
    made.open()
    answers(client, 1)
    made.close()
    answers(client, 1)
    writer.wait_signed()
    client.close()
    assert writer.stop() == 0 and not writer.findings().errors
