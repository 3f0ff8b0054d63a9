"""A token that is pulled, comes back, or is another one: the whole box with its keys in SoftHSM behind a real key service."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support import datasets, held, peers
from support.gateway import tool
from support.ondisk import stores, stores_of, wait_records
from support.processes import LOOPBACK, until
from support.softhsm import PIN
from support.tokenbench import LABEL, TokenBench, token_records
from support.wire import ASSOCIATE_AC, ASSOCIATE_RJ, RELEASE_RP, RELEASE_RQ, Wire, associate_rq, echo_rq, pdu, pdv, status_of, store_pdus
from wardgate.hold.row import ANSWERED
from wardtools.pki import Pki

pytestmark = pytest.mark.skipif(not peers.have("storescp", "storescu", "echoscu", "openssl"), reason="needs DCMTK and openssl")

CONGESTION = (2, 3, 1)


@pytest.fixture
def box(folder: Path, pki: Pki) -> Iterator[TokenBench]:
    """A box with its keys in a token and a PACS, not started yet."""
    made = TokenBench(folder, pki)
    made.pacs()
    made.modality()
    yield made
    made.close()


def associate(bench: TokenBench) -> tuple[Wire, tuple[int, ...]]:
    """Ask for an association as the modality: the connection, and the rejection or nothing."""
    wire = Wire(socket.create_connection((LOOPBACK, bench.plan.listen), 60))
    wire.send(associate_rq("CT1", "PACS"))
    kind, body = wire.read()
    assert kind in (ASSOCIATE_AC, ASSOCIATE_RJ), f"PDU type {kind}"
    return wire, tuple(body[1:4]) if kind == ASSOCIATE_RJ else ()


def rejection(bench: TokenBench) -> tuple[int, ...]:
    """Return result, source and reason of the rejection that the modality gets; nothing when it is served."""
    wire, rejected = associate(bench)
    wire.sock.close()
    return rejected


def s_client(bench: TokenBench, *options: str) -> str:
    """Call the box's TLS port with `openssl s_client` as the PACS, stay for a moment, and return what it printed."""
    leaf = bench.pki.leaf("pacs-ecdsa")
    words = ["openssl", "s_client", "-connect", f"{LOOPBACK}:{bench.peer.calls}", "-CAfile", str(bench.pki.root)]
    words += ["-cert", str(leaf.chain), "-key", str(leaf.key), "-cert_chain", str(leaf.chain), *options]
    # Its input stays open until it has said how the handshake went and, where it is to be kept, has the ticket that comes behind it.
    told = bench.folder / "s_client.txt"
    with told.open("wb") as file, subprocess.Popen(words, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT) as client:
        assert client.stdin is not None
        session = Path(options[options.index("-sess_out") + 1]) if "-sess_out" in options else told
        until(lambda: client.poll() is not None or (session.exists() and b"Verify return code" in told.read_bytes()), "s_client is through")
        client.stdin.close()
    return told.read_text(errors="replace")


def test_while_the_card_is_out_new_associations_are_refused_and_the_log_says_why(box: TokenBench) -> None:
    box.start()
    box.assert_works()
    box.pull()
    assert rejection(box) == CONGESTION
    assert box.echo_back().returncode != 0
    assert "REFUSED: WG740 token ward-ct1: absent" in box.box.status().stdout
    until(lambda: "UNSIGNED: the custody log grows" in box.box.status().stdout, "the writer knows it too")
    box.put_back()
    box.assert_works()
    assert box.echo_back().returncode == 0
    assert "token ward-ct1: present since" in box.box.status().stdout
    wait_records(
        lambda: [word for word in box.custody_events() if word.startswith(("removed", "inserted"))],
        ["inserted", "removed WG740", "inserted"],
    )
    assert box.custody_events()[:1] == ["inserted"]
    box.assert_log_verifies()


@pytest.mark.alone
def test_service_is_back_within_two_seconds_of_the_insertion(box: TokenBench) -> None:
    box.start()
    box.assert_works()
    seconds = []
    for _ in range(3):  # the best of them: the others may only show how busy the machine is
        box.pull()
        began = time.monotonic()
        box.hsm.put_back()
        until(lambda: rejection(box) == (), "the modality is served")
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 2, seconds


def test_a_session_that_could_be_resumed_is_refused_while_the_card_is_out_and_worthless_afterwards(box: TokenBench) -> None:
    box.start()
    kept = str(box.folder / "session.pem")
    assert "New, TLSv1.3" in s_client(box, "-sess_out", kept)
    assert "Reused, TLSv1.3" in s_client(box, "-sess_in", kept)
    box.pull()
    told = s_client(box, "-sess_in", kept)
    assert "Reused" not in told and "Certificate chain" not in told, told
    box.put_back()
    told = s_client(box, "-sess_in", kept)
    assert "New, TLSv1.3" in told and "Reused" not in told, told
    box.box.wait_code("TOKEN_IS_ABSENT")


def test_a_running_association_finishes(box: TokenBench) -> None:
    box.start()
    wire, rejected = associate(box)
    assert rejected == ()
    box.pull()
    wire.send(pdv(1, 3, echo_rq()))
    assert wire.read()[0] == 4
    assert rejection(box) == CONGESTION
    wire.send(pdu(RELEASE_RQ, bytes(4)))
    assert wire.read()[0] == RELEASE_RP
    wire.sock.close()


def test_a_running_association_is_cut_when_the_configuration_says_so(box: TokenBench) -> None:
    box.plan.keys["on_removal"] = "cut"
    box.start()
    wire, rejected = associate(box)
    assert rejected == ()
    box.pull()
    kind, body = wire.read()
    assert (kind, body[2:]) == (7, bytes((2, 0)))
    box.box.wait_code("TOKEN_CUT")
    wire.sock.close()


def test_a_study_goes_on_over_a_pull_between_its_associations(box: TokenBench) -> None:
    box.start()
    series = datasets.generate(box.folder / "series", 6)
    assert box.send(series[:3]).returncode == 0
    box.pull()
    assert box.send(series[3:]).returncode != 0
    box.put_back()
    assert box.send(series[3:]).returncode == 0
    box.assert_delivered(series)
    box.assert_log_verifies()


def test_the_log_grows_unsigned_up_to_its_bound_and_is_signed_on_return(box: TokenBench) -> None:
    box.plan.custody = {"unsigned_records": 12}
    box.start()
    wire, rejected = associate(box)  # running, so it may go on storing
    assert rejected == ()
    box.pull()
    statuses = []
    for number, one in enumerate(datasets.generate(box.folder / "series", 20, 16), 1):
        wire.send(*store_pdus(one, message=number))
        kind, body = wire.read()
        assert kind == 4
        statuses.append(status_of(body))
    taken = statuses.count(0)
    assert statuses == [0] * taken + [0xA700] * (20 - taken) and 5 <= taken <= 12, statuses
    report = box.custody_report()
    assert report["signing"] == "out" and 12 <= report["durable"] - report["signed"] <= 14
    assert "UNSIGNED: the custody log grows without signatures" in box.box.status().stdout
    box.box.wait_code("CUSTODY_UNSIGNED_FULL")
    box.put_back()
    until(lambda: box.custody_report()["signing"] == "in", "the log is signed again")
    wire.send(*store_pdus(datasets.generate(box.folder / "more", 1, 16)[0], message=21))
    assert status_of(wire.read()[1]) == 0
    wire.sock.close()
    box.assert_log_verifies()
    words = [word.split()[0] for word in box.custody_events()]
    assert [word for word in words if word.startswith("signing")] == ["signing-stopped", "signing-resumed"]


def test_what_is_held_with_its_record_keeps_to_the_bound_of_the_unsigned_log_and_is_logged_once_on_return(box: TokenBench) -> None:
    """Decision 082: an instance that carries its record is answered ahead of the log, which takes no more than its bound."""
    bound, sent = 12, 24
    held.plan(box)
    box.plan.custody = {"unsigned_records": bound}
    box.start()
    wire, rejected = associate(box)
    assert rejected == ()
    until(lambda: box.custody_report()["durable"] == box.custody_report()["signed"], "the open entry is signed")
    box.hsm.remove()
    until(lambda: box.custody_report()["signing"] == "out", "the log is not signed any more")
    series = datasets.generate(box.folder / "series", sent, 16)
    statuses = []
    for number, one in enumerate(series, 1):
        wire.send(*store_pdus(one, message=number))
        statuses.append(status_of(wire.read()[1]))
    taken = statuses.count(0)
    assert statuses == [0] * taken + [0xA700] * (sent - taken), statuses
    report = box.custody_report()
    assert bound <= report["durable"] - report["signed"] <= bound + 2, "token records have a place of their own"
    assert bound - 4 <= taken <= bound + ANSWERED
    assert len(held.files(box)) == taken, "nothing is left of what was not acknowledged"
    box.box.wait_code("HOLD_LOG_BEHIND")
    logged = {record["sop_instance"] for record in stores(box.plan.log_dir)}
    assert 1 <= sum(one.sop_instance not in logged for one in series[:taken]) <= ANSWERED, "so many are acknowledged and wait for the log"
    box.hsm.put_back()
    box.box.wait_code("HOLD_LOG_UP")
    (more,) = datasets.generate(box.folder / "more", 1, 16, study=2)
    wire.send(*store_pdus(more, message=99))
    assert status_of(wire.read()[1]) == 0
    wire.sock.close()
    with held.pacs(box) as pacs:
        held.wait_empty(box)
    acknowledged = [*series[:taken], more]
    assert [instance for instance, _ in pacs.taken] == [one.sop_instance for one in acknowledged]
    for one in acknowledged:
        # Taken once and sent once.
        wait_records(lambda: [record["status"] for record in stores_of(box.plan.log_dir, one.sop_instance)], ["0000"] * 2)  # noqa: B023
    box.assert_log_verifies()


def test_a_box_that_starts_while_the_card_is_out_serves_as_soon_as_it_is_there(box: TokenBench) -> None:
    box.hsm.remove()
    box.service.until_state(LABEL, "absent")
    box.start()
    assert rejection(box) == CONGESTION
    box.hsm.put_back()
    until(lambda: rejection(box) == (), "the modality is served")


def test_a_worker_that_died_while_the_card_is_out_comes_back_refusing(box: TokenBench) -> None:
    box.start()
    box.pull()
    (worker,) = box.box.workers()
    _kill(worker)
    until(lambda: box.box.workers() not in ([], [worker]), "another worker")
    assert rejection(box) == CONGESTION
    box.hsm.put_back()
    until(lambda: rejection(box) == (), "the modality is served")


def _kill(pid: int) -> None:
    import os
    import signal

    os.kill(pid, signal.SIGKILL)


def test_every_worker_refuses_and_serves_again(box: TokenBench) -> None:
    box.plan.workers = 3
    box.start()
    box.pull()
    assert {rejection(box) for _ in range(12)} == {CONGESTION}
    box.put_back()
    assert {rejection(box) for _ in range(12)} == {()}


def test_a_key_service_that_is_away_has_its_own_code_and_may_come_back(box: TokenBench) -> None:
    box.start()
    box.service.stop()
    box.knows("KEY_SERVICE_IS_AWAY")
    assert rejection(box) == CONGESTION
    assert "KEY SERVICE AWAY" in box.box.status().stdout
    box.service.start()
    box.knows()
    box.assert_works()


# Another token than the right one


def test_another_sites_card_is_refused_by_name(box: TokenBench) -> None:
    box.start()
    box.pull()
    box.hsm.new_token("ward-mr7")
    box.knows("TOKEN_IS_ANOTHER")
    assert rejection(box) == CONGESTION
    assert "ward-mr7" in box.box.status().stdout
    until(lambda: "refused WG741" in box.custody_events(), "the log has it")


def test_a_card_swapped_in_during_an_association_is_refused_by_name_and_taken_after_a_reload(box: TokenBench) -> None:
    box.start()
    wire, rejected = associate(box)
    assert rejected == ()
    box.hsm.remove()
    box.fill(box.hsm)  # the same label, the same TLS keys, another serial number
    box.knows("TOKEN_IS_SWAPPED")
    assert rejection(box) == CONGESTION
    wire.send(pdu(RELEASE_RQ, bytes(4)))
    assert wire.read()[0] == RELEASE_RP
    wire.sock.close()
    until(lambda: "refused WG742" in box.custody_events(), "the log has it")
    box.box.program.signal(1)  # type: ignore[union-attr,arg-type]
    until(lambda: "WG204" in box.box.codes(), "reloaded")
    until(lambda: rejection(box) == (), "the new card is taken")


def test_a_blocked_card_is_refused_by_name(box: TokenBench) -> None:
    """SoftHSM never blocks a PIN: the key service's refusal of a wrong one stands for it here; the card's own is in tests/hardware."""
    box.start()
    box.service.set_pin(LABEL, "999999")
    box.pull()
    box.hsm.put_back()
    box.knows("TOKEN_PIN_IS_REFUSED")
    assert rejection(box) == CONGESTION
    box.service.set_pin(LABEL, PIN)
    box.service.reload()
    box.knows()
    box.assert_works()


def test_a_card_whose_certificate_has_expired_is_refused_by_name(box: TokenBench) -> None:
    end = datetime.now(UTC) + timedelta(seconds=4)
    for name, kind in (("box-ecdsa", "ecdsa"), ("box-rsa", "rsa")):
        key = _key_of(box.pki.leaf(name).key)
        chain = box.folder / f"{name}.pem"
        leaf = box.pki.issue(f"{name}-short", kind=kind, key=key, dns=("localhost", "box.test"), end=end)
        shutil.copy(leaf.chain, chain)
        box.peer.certificates = tuple((chain if pair[0].stem == name else pair[0], pair[1]) for pair in box.peer.certificates)
    box.start(serves=False)  # it may have expired before
    box.box.wait_code("TOKEN_HAS_EXPIRED")
    until(lambda: rejection(box) == CONGESTION, "refused")
    assert "expired" in box.box.status().stdout


def _key_of(path: Path):  # type: ignore[no-untyped-def]
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(path.read_bytes(), None)


def test_custody_show_tells_what_happened_to_the_token(box: TokenBench) -> None:
    box.start()
    box.pull()
    box.put_back()
    until(lambda: len(token_records(box.plan.log_dir)) >= 4, "the log has it")
    told = tool("custody", "show", box.plan.log_dir).stdout
    assert "REMOVED WG740 ward-ct1 serial " in told and "INSERTED ward-ct1 serial " in told
    box.assert_log_verifies()
