"""A real witness and the box that shows it checkpoints: over HTTPS, restarted, killed, shown a log that was rolled back or forked."""

from __future__ import annotations

import os
import shutil
import time
from functools import partial
from pathlib import Path

import pytest

from support.bench import Bench
from support.custody import Study, WriterProcess, answers, connect
from support.logmaker import MadeLog, entries_of, make_log
from support.processes import until
from support.witness import WitnessProcess
from wardgate.custody import files
from wardgate.custody.checkpoint import open_checkpoint
from wardgate.custody.cosignature import COSIGNED, check_cosignatures, parse_witness_key
from wardgate.custody.witnesscall import encode_request
from wardgate.custody.witnessing import Seen, open_log, read_status, run, show
from wardgate.log import Log
from wardtools.custody import main
from wardtools.pki import Pki
from wardtools.witness.judge import Witness
from wardtools.witness.main import main as witness_main
from wardtools.witness.main import open_witness
from wardtools.witness.state import StateDirectory, StateError


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> list[MadeLog]:
    """One log at 5, 300, 301 and 70,000 records."""
    place = tmp_path_factory.mktemp("grown")
    entries = list(entries_of(70_000))
    first = make_log(place / "at5", 5, entries=entries[:5])
    return [first, *(make_log(place / f"at{size}", size, first.key, entries[:size]) for size in (300, 301, 70_000))]


def said(path: Path) -> dict[str, object]:
    """What the only witness said last."""
    (entry,) = read_status(str(path)).values()
    return entry


def test_growing_log_is_cosigned_over_https_and_the_proof_carries_it(pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = WriterProcess(tmp_path, "--checkpoint-seconds", "0.1")
    client = connect(writer.socket)
    witness = WitnessProcess(tmp_path, pki, [tmp_path / "log/vkey"])
    study = Study(client)
    study.open(10_000_000)
    answers(client, 1)
    sizes = []
    for _ in range(3):
        for _ in range(300):
            study.store()
        answers(client, 300)
        goal = len(writer.entries())
        deadline = time.monotonic() + 60
        while open_checkpoint((writer.log / "checkpoint").read_bytes(), writer.key()).size < goal:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert run(writer.log, (witness.configured,), Log("test")), witness.text()
        sizes.append(said(writer.log)["size"])
    assert sizes == [301, 601, 901]
    client.close()
    assert writer.stop() == 0
    key, wkey = str(writer.log / "vkey"), str(witness.state / "vkey")
    capsys.readouterr()
    assert main(["prove", str(writer.log), "--key", key, "--instance", f"{study.instance}.7"]) == 0
    proof = tmp_path / "7.tlog-proof"
    proof.write_text(capsys.readouterr().out)
    assert main(["check-proof", str(proof), "--key", key, "--witness", wkey]) == 0
    assert "witness witness.test/w1 signed that checkpoint" in capsys.readouterr().out
    assert main(["verify", str(writer.log), "--key", key, "--witness", wkey]) == 0
    assert "witness witness.test/w1 signed the first 901 records" in capsys.readouterr().out
    other = tmp_path / "other"
    assert witness_main(["init", str(other), "--name", "other.test/w2"]) == 0
    assert main(["check-proof", str(proof), "--key", key, "--witness", str(other / "vkey")]) == 1
    assert witness.stop() == 0


def test_witness_restarted_goes_on_from_what_it_signed(pki: Pki, tmp_path: Path, grown: list[MadeLog]) -> None:
    witness = WitnessProcess(tmp_path, pki, [grown[0].path / "vkey"])
    for made in grown:
        assert run(made.path, (witness.configured,), Log("test")), (witness.text(), said(made.path))
        witness.kill()
        witness.start()
    assert StateDirectory(witness.state).load("ward.example/custody").head.size == 70_000
    assert witness.stop() == 0


def test_log_rolled_back_is_found_by_the_witness(pki: Pki, tmp_path: Path, grown: list[MadeLog], capfd: pytest.CaptureFixture[str]) -> None:
    witness = WitnessProcess(tmp_path, pki, [grown[0].path / "vkey"])
    assert run(grown[2].path, (witness.configured,), Log("test"))
    old = tmp_path / "put-back"
    shutil.copytree(grown[1].path, old, ignore=shutil.ignore_patterns(COSIGNED, "witness.json"))
    assert not run(old, (witness.configured,), Log("test"))
    assert said(old)["state"] == Seen.ROLLED_BACK.value and said(old)["size"] == 301
    assert "WG643" in capfd.readouterr().err
    assert not (old / COSIGNED).exists()
    assert witness.stop() == 0


def test_log_forked_is_found_by_the_witness_which_keeps_the_evidence(
    pki: Pki, tmp_path: Path, grown: list[MadeLog], capfd: pytest.CaptureFixture[str]
) -> None:
    witness = WitnessProcess(tmp_path, pki, [grown[0].path / "vkey"])
    assert run(grown[1].path, (witness.configured,), Log("test"))
    other = make_log(tmp_path / "fork", 400, grown[0].key)  # the same key, another history
    assert not run(other.path, (witness.configured,), Log("test"))
    assert said(other.path)["state"] == Seen.FORKED.value
    assert "WG644" in capfd.readouterr().err
    (evidence,) = (witness.state / "evidence").iterdir()
    assert open_checkpoint(evidence.read_bytes(), grown[0].vkey).size == 400
    assert StateDirectory(witness.state).load("ward.example/custody").head.size == 300
    assert run(grown[2].path, (witness.configured,), Log("test"))  # the true one goes on
    assert witness.stop() == 0


def test_witness_that_cannot_be_reached_or_shows_another_certificate_is_told_apart_from_a_refusal(
    pki: Pki, tmp_path: Path, grown: list[MadeLog]
) -> None:
    witness = WitnessProcess(tmp_path, pki, [grown[0].path / "vkey"])
    log = tmp_path / "log"
    shutil.copytree(grown[0].path, log, ignore=shutil.ignore_patterns(COSIGNED, "witness.json"))
    assert not run(log, (witness.configured._replace(anchors=pki.other_root),), Log("test"))
    assert said(log)["state"] == Seen.UNREACHABLE.value
    witness.kill()
    assert not run(log, (witness.configured,), Log("test"))
    assert said(log)["state"] == Seen.UNREACHABLE.value


def test_log_that_the_witness_does_not_know_is_refused(pki: Pki, tmp_path: Path, grown: list[MadeLog]) -> None:
    witness = WitnessProcess(tmp_path, pki, [])
    log = tmp_path / "log"
    shutil.copytree(grown[0].path, log, ignore=shutil.ignore_patterns(COSIGNED, "witness.json"))
    assert not run(log, (witness.configured,), Log("test"))
    assert (said(log)["state"], "404" in str(said(log)["detail"])) == (Seen.REFUSED.value, True)
    assert witness.stop() == 0


class Power(Exception):
    """The machine went off."""


def local(place: Path, made: MadeLog) -> Path:
    """Make a witness's state without a process; return its directory."""
    assert witness_main(["init", str(place), "--name", "w.test/1"]) == 0
    assert witness_main(["add-log", str(place), str(made.path / "vkey")]) == 0
    return place


def test_witness_cut_off_at_any_of_its_writes_never_signs_two_trees(
    tmp_path: Path, grown: list[MadeLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every system call of its durable write fails in turn; afterwards it goes on from the old state or from the new one."""
    fork = make_log(tmp_path / "fork", 400, grown[0].key)
    calls = ("open", "write", "fsync", "close", "rename")
    tried = 0
    for after in range(40):
        state = local(tmp_path / f"w{after}", grown[0])
        shown = open_log(str(grown[1].path))
        assert open_witness(state).add_checkpoint(encode_request(0, [], shown.note)).status == 200
        count = 0
        left = after

        class Os:
            """`os`, until the power goes."""

            def __getattr__(self, name: str) -> object:
                real = getattr(os, name)
                if name not in calls:
                    return real

                def call(*arguments: object, **more: object) -> object:
                    nonlocal count, left
                    if left == 0:
                        raise Power
                    left -= 1
                    count += 1
                    return real(*arguments, **more)

                return call

        newer = open_log(str(grown[2].path))
        cosigned = None
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", Os())
            try:
                cosigned = show(newer, open_witness(state)._key, 300, partial(_reply, open_witness(state)))
            except Power:
                tried += 1
        head = StateDirectory(state).load("ward.example/custody").head
        assert head.size in (300, 301)
        if cosigned is not None:
            assert head.size == 301 and cosigned.seen is Seen.COSIGNED
            break
        again = open_witness(state)
        assert show(newer, again._key, head.size, partial(_reply, again)).seen is Seen.COSIGNED
        assert show(open_log(str(fork.path)), again._key, 301, partial(_reply, again)).seen is Seen.FORKED
    assert tried >= 7


def _reply(witness: Witness, body: bytes):  # type: ignore[no-untyped-def]
    from wardgate.custody.witnesscall import Reply

    answer = witness.add_checkpoint(body)
    return Reply(answer.status, answer.type, answer.body.encode())


def test_witness_whose_state_is_gone_or_damaged_refuses_rather_than_begins_again(tmp_path: Path, grown: list[MadeLog]) -> None:
    state = local(tmp_path / "w", grown[0])
    shown = open_log(str(grown[1].path))
    assert open_witness(state).add_checkpoint(encode_request(0, [], shown.note)).status == 200
    (file,) = (state / "logs").iterdir()
    data = file.read_bytes()
    for at in range(0, len(data), 7):
        file.write_bytes(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])
        assert open_witness(state).add_checkpoint(encode_request(0, [], shown.note)).status == 500, at
    file.unlink()
    assert open_witness(state).add_checkpoint(encode_request(0, [], shown.note)).status == 404


def test_two_witness_processes_never_share_a_state(pki: Pki, tmp_path: Path, grown: list[MadeLog]) -> None:
    witness = WitnessProcess(tmp_path, pki, [grown[0].path / "vkey"])
    assert witness_main(["run", str(witness.state), "--listen", "127.0.0.1:0"]) == 1
    assert witness.stop() == 0


@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        (b"", 400),
        (b"old 0\n\n", 400),
        (b"old 00\n\nNOTE", 400),
        (b"old -1\n\nNOTE", 400),
        (b"new 0\n\nNOTE", 400),
        (b"old 0\nAAAA\n\nNOTE", 400),
        (b"old 0\n" + b"A" * 43 + b"=\n\nNOTE", 422),  # a proof from nothing
        (b"old 6\n\nNOTE", 400),  # above the checkpoint's size
        (b"old 3\n\nNOTE", 409),
        (b"old 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\nNOTE", 400),
        (b"old 0\n\nOTHER-ORIGIN", 404),
        (b"old 0\n\nBAD-SIGNATURE", 403),
        (b"old 0\n\nNO-SIGNATURE", 403),
        (b"old 0\n\nNOTE", 200),
    ],
)
def test_each_answer_of_tlog_witness_has_its_status(tmp_path: Path, grown: list[MadeLog], request_body: bytes, status: int) -> None:
    witness = open_witness(local(tmp_path / "w", grown[0]))
    note = (grown[0].path / "checkpoint").read_bytes()
    at = note.rindex(b"=")
    changed = {
        b"BAD-SIGNATURE": note[: at - 3] + (b"AAA" if note[at - 3 : at] != b"AAA" else b"BBB") + note[at:],
        b"OTHER-ORIGIN": note.replace(b"ward.example", b"bard.example"),
        b"NO-SIGNATURE": note.replace("— ward.example".encode(), "— bard.example".encode()),
        b"NOTE": note,
    }
    for word, value in changed.items():
        request_body = request_body.replace(word, value)
    answer = witness.add_checkpoint(request_body)
    assert answer.status == status, answer
    if status == 409:
        assert (answer.body, answer.type) == ("0\n", "text/x.tlog.size")


def test_cosignature_is_over_the_text_that_the_published_format_says(tmp_path: Path, grown: list[MadeLog]) -> None:
    from base64 import b64decode

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    state = local(tmp_path / "w", grown[0])
    note = (grown[0].path / "checkpoint").read_bytes()
    answer = open_witness(state).add_checkpoint(b"old 0\n\n" + note)
    dash, name, encoded = answer.body.rstrip("\n").split(" ")
    data = b64decode(encoded)
    key = parse_witness_key((state / "vkey").read_text())
    assert (dash, name, data[:4], len(data)) == ("—", "w.test/1", key.key_id, 4 + 8 + 64)
    seconds = int.from_bytes(data[4:12], "big")
    text = note[: note.rindex(b"\n\n") + 1]
    signed = b"cosignature/v1\ntime %d\n" % seconds + text  # tlog-cosignature, "Ed25519 signed message"
    Ed25519PublicKey.from_public_bytes(key.public).verify(data[12:], signed)
    assert check_cosignatures(note + answer.body.encode(), [key])[0].time_seconds == seconds


def test_box_shows_its_checkpoints_by_itself_and_status_says_so(bench: Bench, pki: Pki) -> None:
    from support.config import _table

    log = bench.plan.log_dir
    bench.pacs()
    bench.plan.custody["witness_seconds"] = 1
    box = bench.start()
    assert "no witness is configured" in box.status().stdout
    witness = WitnessProcess(bench.folder, pki, [log / "vkey"])
    box.stop()
    configured = witness.configured
    bench.plan.more = _table("[custody.witness]", url=configured.url, key=configured.key, anchors=configured.anchors)
    box.config = bench.plan.write()
    box.start()
    until(lambda: "witness.test/w1: cosigned" in box.status().stdout, "the witness signed")
    assert "WG640" in box.log
    witness.kill()
    until(lambda: "witness.test/w1: unreachable, signed" in box.status().stdout, "status says that it is away")


def test_state_of_two_logs_is_kept_apart(tmp_path: Path, grown: list[MadeLog]) -> None:
    from wardgate.custody.note import parse_key

    state = StateDirectory(tmp_path)
    one = grown[0].vkey
    state.add((one,))
    with pytest.raises(StateError):
        state.add((one, parse_key(one._replace(name="other.example/log").text)))
    assert state.origins() == [one.name]


def test_log_signed_with_ecdsa_is_witnessed_too(tmp_path: Path) -> None:
    """As a token signs: C2SP signed-note type 0x02, ECDSA P-256."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from wardgate.custody.note import add_signature, key_from_spki

    private = ec.generate_private_key(ec.SECP256R1())
    spki = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    made = make_log(tmp_path / "log", 40)
    key = key_from_spki("ward.example/custody", spki)
    (made.path / "vkey").write_text(key.text + "\n")
    note = (made.path / "checkpoint").read_bytes()
    text = note[: note.rindex(b"\n\n") + 1]
    (made.path / "checkpoint").write_text(add_signature(text.decode(), key, private.sign(text, ec.ECDSA(hashes.SHA256()))))
    state = local(tmp_path / "w", made)
    witness = open_witness(state)
    outcome = show(open_log(str(made.path)), witness._key, 0, partial(_reply, witness))
    assert outcome.seen is Seen.COSIGNED
    assert main(["verify", str(made.path), "--key", str(made.path / "vkey")]) == 0
