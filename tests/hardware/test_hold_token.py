"""The key of the queue in a token: SoftHSM and slot 9D of a card behind the real key service."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_der_public_key
from test_card_tool import Desk

from support import datasets, held, wire
from support.bench import MODALITY, PACS, Bench
from support.card import KeySlot, Slot, personalise, until_present
from support.cardbench import opensc
from support.keyservice import KeyService, over_softhsm
from support.processes import until
from support.softhsm import SoftHsm
from support.tokenbench import knows
from wardgate.codes import Code
from wardgate.hold.state import State
from wardgate.hold.tokenwrap import DAY_SECONDS, KEPT_SECONDS, TokenWrapper
from wardgate.hold.wrap import WrapError
from wardgate.policy.keyref import token_key
from wardgate.policy.model import Keys, OnRemoval
from wardkeys.card.piv import Algorithm
from wardkeys.errors import KeyServiceError
from wardtools.pki import Pki

KEYS = (("hold", "p256-agrees"), ("hold384", "p384-agrees"), ("signs", "p256"), ("rsa", "rsa2048"))


def uri(name: str) -> str:
    return f"pkcs11:token=ward-ct1;object={name};type=private"


@pytest.fixture(scope="module")
def service() -> Iterator[KeyService]:
    with over_softhsm(*KEYS) as made:
        yield made


def agrees(service: KeyService, key: str) -> None:
    """The token's result is the one that the other side gets."""
    public = load_der_public_key(service.client.public(key))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    mine = ec.generate_private_key(public.curve)
    point = mine.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert service.client.agree(key, point) == mine.exchange(ec.ECDH(), public)


def wrapper(service: KeyService, key: str, clock: list[float]) -> TokenWrapper:
    return TokenWrapper(token_key(key), Keys(service.socket, OnRemoval.FINISH, 10), lambda: clock[0])


@pytest.mark.parametrize("name", ["hold", "hold384"])
def test_a_token_agrees_on_what_the_other_side_gets(service: KeyService, name: str) -> None:
    agrees(service, uri(name))


@pytest.mark.parametrize(
    ("name", "point", "code"),
    [
        ("rsa", b"\4" + bytes(64), Code.KEYS_SCHEME),
        ("hold", b"\4" + bytes(63), Code.KEYS_DIGEST),
        ("hold", b"\3" + bytes(64), Code.KEYS_DIGEST),
        ("hold", b"\4" + b"\1" * 64, Code.KEYS_TOKEN_REFUSED),
        ("hold384", b"\4" + bytes(64), Code.KEYS_DIGEST),
    ],
)
def test_a_key_that_cannot_and_a_point_that_is_none_are_refused(service: KeyService, name: str, point: bytes, code: Code) -> None:
    with pytest.raises(KeyServiceError) as caught:
        service.client.agree(uri(name), point)
    assert caught.value.code in (code, Code.KEYS_TOKEN_FAILED)


def test_a_key_for_signatures_agrees_on_nothing(service: KeyService) -> None:
    mine = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    with pytest.raises(KeyServiceError):
        service.client.agree(uri("signs"), mine)


def round_trip(service: KeyService, key: str) -> None:
    clock = [1000.0]
    secret = os.urandom(32)
    box, forwarder = wrapper(service, key, clock), wrapper(service, key, clock)
    with pytest.raises(WrapError):
        box.wrap(secret)
    box.prepare()
    name, wrapped = box.wrap(secret)
    assert len(name) < 130 and secret not in wrapped
    assert box.wrap(secret)[0] == name, "one key for a day"
    assert not forwarder.ready(name)
    with pytest.raises(WrapError):
        forwarder.unwrap(name, wrapped)
    forwarder.fetch(name)
    assert forwarder.unwrap(name, wrapped) == secret
    with pytest.raises(WrapError):
        forwarder.unwrap(name, wrapped[:-1] + bytes((wrapped[-1] ^ 1,)))
    clock[0] += KEPT_SECONDS
    assert not forwarder.ready(name)
    with pytest.raises(WrapError):
        forwarder.unwrap(name, wrapped)
    forwarder.fetch(name)
    forwarder.forget()
    with pytest.raises(WrapError):
        forwarder.unwrap(name, wrapped)
    box.forget()
    other, _ = box.wrap(secret)
    clock[0] += DAY_SECONDS
    assert len({name, other, box.wrap(secret)[0]}) == 3, "another day, another key"
    for bad in ("file:0123456789abcdef", name[:-1], name[:19] + ":02" + "f" * 64, "ec:" + "0" * 16 + name[19:]):
        with pytest.raises(WrapError):
            forwarder.fetch(bad)


@pytest.mark.parametrize("name", ["hold", "hold384"])
def test_what_one_process_wraps_another_unwraps_with_the_token_and_not_without(service: KeyService, name: str) -> None:
    round_trip(service, uri(name))


def test_slot_9d_of_a_card_wraps_and_unwraps(folder: Path, slot: Slot, pki: Pki) -> None:
    module = opensc()
    personalise(slot.card, pki, "box-card", {KeySlot.AUTHENTICATION: Algorithm.P256, KeySlot.KEY_MANAGEMENT: Algorithm.P256})
    slot.insert()
    service = KeyService(folder, {})
    try:
        service.add_token("card", module, "TEST ONLY box-card-9a", "123456")
        service.start()
        service.until_state("card", "present")
        key = "pkcs11:token=TEST%20ONLY%20box-card-9a;id=%03;type=private"
        agrees(service, key)
        round_trip(service, key)
    finally:
        service.stop()
        slot.remove()


@pytest.mark.parametrize("algorithm", ["p256", "p384"])
def test_a_key_that_the_workstation_makes_in_slot_9d_is_one_for_the_queue(folder: Path, slot: Slot, pki: Pki, algorithm: str) -> None:
    module = opensc()
    slot.insert()
    until_present(slot)
    desk = Desk(folder, slot)
    desk.init()
    desk.good("new-key", *desk.both(), "--name", "ward-9d")
    said = desk.good("new-key", *desk.both(), "--slot", "9d", "--algorithm", algorithm, "--name", "ward-9d queue")
    assert "needs no other" in said
    assert "issued by CN=placeholder of wardtool" in desk.good("list")
    assert desk.tool("csr", *desk.pin(), "--slot", "9d", folder / "9d.csr").returncode == 1, "it signs nothing"
    other = pki.issue("other-9d", public=ec.generate_private_key(ec.SECP256R1()).public_key(), agrees=True)
    refused = desk.tool("install-cert", *desk.both(), "--yes", "--slot", "9d", other.chain)
    assert refused.returncode == 1 and "WG786" in refused.stdout, refused.stdout
    service = KeyService(folder, {})
    try:
        service.add_token("card", module, "ward-9d", (folder / "pin").read_text().strip())
        service.start()
        service.until_state("card", "present")
        round_trip(service, "pkcs11:token=ward-9d;id=%03;type=private")
    finally:
        service.stop()
        slot.remove()


@contextmanager
def token_box(bench: Bench, **words: object) -> Iterator[SoftHsm]:
    """A box that holds, its queue's key in a SoftHSM token behind a key service; `words` go into [hold]."""
    hsm = SoftHsm(bench.folder)
    hsm.new_token("ward-ct1")
    hsm.provision("ward-ct1", ("hold", "p256-agrees"))
    service = KeyService(bench.folder, hsm.env)
    service.add_token("ct1", hsm.module, "ward-ct1")
    service.start()
    try:
        service.until_state("ct1", "present")
        held.plan(bench)
        bench.plan.hold = {"key": uri("hold"), "unsafe_allow_file_key": False, **words}
        bench.plan.keys = {"socket": service.socket}
        bench.start()
        knows(bench.box, user="hold")
        yield hsm
    finally:
        bench.close()
        service.stop()


def test_a_box_holds_and_forwards_with_the_token_and_accepts_nothing_and_sends_nothing_without(bench: Bench) -> None:
    with token_box(bench) as hsm:
        checked = bench.box.check().stdout
        assert "UNSAFE: hold" not in checked and f"key in a token: {uri('hold')}" in checked
        series = datasets.generate(bench.folder / "in", 6, 64)
        done = bench.send(series)
        assert done.returncode == 0, done.stdout + bench.box.log
        assert len(held.files(bench)) == 6
        hsm.remove()
        knows(bench.box, "TOKEN_IS_ABSENT", "hold")
        again = datasets.generate(bench.folder / "again", 1, 16, study=2)
        refused = bench.send(again)
        assert refused.returncode != 0
        assert len(held.files(bench)) == 6
        with held.pacs(bench) as pacs:
            until(lambda: bench.box.log.count("WG704") >= 1, f"the forwarder asks in vain\n{bench.box.log[-3000:]}")
            assert not pacs.taken
            hsm.put_back()
            held.wait_empty(bench)
            assert [instance for instance, _ in pacs.taken] == [one.sop_instance for one in series]
            assert dict(pacs.taken) == {one.sop_instance: one.sha256 for one in series}
        knows(bench.box, user="hold")
        assert bench.send(again).returncode == 0, bench.box.log
        assert not held.files(bench, State.QUARANTINED)


def test_a_card_pulled_in_the_middle_of_a_held_association_takes_the_instance_before_and_after_and_none_between(bench: Bench) -> None:
    with token_box(bench) as hsm:
        first, series = datasets.generate(bench.folder / "first", 1, 16, study=2), datasets.generate(bench.folder / "in", 4, 64)
        assert bench.send(first).returncode == 0, bench.box.log
        with wire.dial(bench.plan.listen) as client:
            client.associate(MODALITY, PACS)

            def stored(number: int) -> int:
                client.send(*wire.store_pdus(series[number]))
                return wire.status_of(client.read()[1])

            assert stored(0) == 0
            parts = wire.store_pdus(series[1])
            client.send(*parts[:-1])  # its key is made already
            hsm.remove()
            knows(bench.box, "TOKEN_IS_ABSENT", "hold")
            client.send(parts[-1])
            assert wire.status_of(client.read()[1]) == 0, "what had begun under a key is kept under it"
            assert stored(2) == 0xA700
            bench.box.wait_code("HOLD_KEY")
            assert len(held.files(bench)) == 3
            hsm.put_back()
            until(lambda: stored(3) == 0, "it is back")
            client.release()
        with held.pacs(bench) as pacs:
            held.wait_empty(bench)
        assert dict(pacs.taken) == {one.sop_instance: one.sha256 for one in (*first, series[0], series[1], series[3])}


def test_a_lost_token_does_not_lose_the_queue_to_who_has_a_recovery_key(bench: Bench) -> None:
    private, public = recovery_pair(bench.folder / "safe")
    stranger, _ = recovery_pair(bench.folder / "other")
    with token_box(bench, recovery=[public]) as hsm:
        assert "WG893" not in bench.box.check().stdout
        series = datasets.generate(bench.folder / "in", 3, 64)
        assert bench.send(series).returncode == 0, bench.box.log
        hsm.remove()  # and it never comes back
        out = bench.folder / "out"
        assert bench.box.hold("export", "--yes", "--all", out).returncode == 1
        refused = bench.box.hold("export", "--yes", "--all", f"--recovery={stranger}", out)
        assert refused.returncode == 1 and "WG892" in refused.stdout, refused.stdout
        done = bench.box.hold("export", "--yes", "--all", f"--recovery={private}", out)
        assert done.returncode == 0, done.stdout
        assert {datasets.sample(path).sha256 for path in out.iterdir()} == {one.sha256 for one in series}


def recovery_pair(path: Path) -> tuple[Path, Path]:
    """Write an EC key; return the files of its private and public half."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = path.with_suffix(".key"), path.with_suffix(".pub")
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public
