"""Cards that come and go, seen by our own PC/SC binding through a real pcscd."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from support.card import CardFile, KeySlot, Slot, load_iscl, personalise, until_present
from support.pcscd import Pcscd
from support.processes import Program, open_files, until
from wardgate.codes import Code
from wardkeys.card.channel import Channel
from wardkeys.card.errors import CardError
from wardkeys.card.iscl import IsclCard, Kind, Purpose
from wardkeys.card.piv import Algorithm, Piv
from wardkeys.card.publickey import algorithm_of, to_sign
from wardkeys.pcsc import NOTIFICATIONS, Connection, Pcsc
from wardtools.pki import Pki

ROOT = Path(__file__).resolve().parents[2]
KEY, OTHER = bytes.fromhex("0123456789abcdef"), bytes.fromhex("fedcba9876543201")


def test_readers_are_listed(pcscd: Pcscd) -> None:
    with Pcsc() as pcsc:
        assert pcsc.readers() == [pcscd.reader_name(number) for number in range(4)]


def test_insertion_and_removal_are_told_while_waiting(slot: Slot) -> None:
    until_present(slot, False)
    with Pcsc() as pcsc:
        for present in (True, False, True, False):
            seen = {slot.name: next(one.seen for one in pcsc.look() if one.name == slot.name)}
            hand = threading.Thread(target=slot.insert if present else slot.remove)
            hand.start()
            found = pcsc.wait(seen, 60)[slot.name]
            hand.join()
            assert found.present is present
            assert (len(found.atr) > 10) is present


def test_a_card_pulled_and_returned_unseen_is_told_by_the_count_of_events(slot: Slot) -> None:
    slot.insert()
    until_present(slot)
    with Pcsc() as pcsc:
        before = next(one for one in pcsc.look() if one.name == slot.name)
        slot.remove()
        until_present(slot, False)
        slot.insert()
        until_present(slot)
        after = pcsc.wait({slot.name: before.seen}, 60)[slot.name]
        assert after.changed and after.present and after.events != before.events
        assert not pcsc.wait({slot.name: after.seen}, 0.01)[slot.name].changed


def test_waiting_ends_with_the_time_and_by_cancel(slot: Slot) -> None:
    until_present(slot, False)
    with Pcsc() as pcsc:
        seen = {slot.name: pcsc.look()[0].seen, NOTIFICATIONS: 0}
        assert not pcsc.wait({slot.name: seen[slot.name]}, 0.01)[slot.name].present
        ended = threading.Event()

        def wait() -> None:
            pcsc.wait({slot.name: seen[slot.name]}, 60)
            ended.set()

        threading.Thread(target=wait, daemon=True).start()
        until(lambda: pcsc.cancel() or ended.wait(0.05), "the wait was cancelled")


def test_no_card_and_no_reader_have_their_codes(slot: Slot) -> None:
    until_present(slot, False)
    with Pcsc() as pcsc:
        with pytest.raises(CardError) as refused:
            pcsc.connect(slot.name)
        assert refused.value.code is Code.CARD_ABSENT
        with pytest.raises(CardError) as refused:
            pcsc.connect("No such reader 00 00")
        assert refused.value.code is Code.CARD_NO_READER


def test_a_pulled_card_fails_the_next_command_at_once_and_works_after_its_return(slot: Slot) -> None:
    slot.insert()
    until_present(slot)
    with Pcsc() as pcsc:
        with pcsc.connect(slot.name) as connection:
            piv = Piv(Channel(connection.transmit))
            piv.select()
            slot.remove()
            with pytest.raises(CardError) as refused:
                piv.tries()
            assert refused.value.code is Code.CARD_REMOVED
        until_present(slot, False)
        slot.insert()
        until_present(slot)
        with pcsc.connect(slot.name) as connection, connection.transaction():
            piv = Piv(Channel(connection.transmit))
            piv.select()
            assert piv.tries() == 3


def test_who_lets_go_of_a_card_that_was_pulled_leaves_the_next_one_alone(slot: Slot) -> None:
    """pcscd 1.9.9 may reset the next card instead and call the reader empty; not each time, so what is asked of it is looked at too."""
    slot.insert()
    until_present(slot)
    with Pcsc() as pcsc:
        connection = pcsc.connect(slot.name)
        asked = _dispositions(connection)
        Piv(Channel(connection.transmit)).select()
        slot.remove()
        with pytest.raises(CardError):
            Piv(Channel(connection.transmit)).select()
        connection.disconnect(reset=True)
        connection.disconnect(reset=True)
        assert asked == [0], "SCARD_LEAVE_CARD, once"
        slot.insert()
        until_present(slot)
        (reader,) = [one for one in pcsc.look() if one.name == slot.name]
        assert reader.present
        with pcsc.connect(slot.name) as again:
            Piv(Channel(again.transmit)).select()


def _dispositions(connection: Connection) -> list[int]:
    """Note what SCardDisconnect is told from now on; everything goes to the real library."""
    told: list[int] = []
    library = connection._library

    class Watched:
        def __getattr__(self, name: str) -> object:
            return getattr(library, name)

        def SCardDisconnect(self, handle: object, disposition: int) -> int:
            told.append(disposition)
            return int(library.SCardDisconnect(handle, disposition))

    connection._library = Watched()  # type: ignore[assignment]
    return told


def test_who_lets_go_of_a_card_takes_its_verified_pin_along_unless_told_otherwise(slot: Slot) -> None:
    slot.insert()
    until_present(slot)
    with Pcsc() as pcsc:
        for reset, left in ((False, None), (True, 3)):
            connection = pcsc.connect(slot.name)
            piv = Piv(Channel(connection.transmit))
            piv.select()
            piv.verify(b"123456")
            connection.disconnect(reset=reset)
            with pcsc.connect(slot.name) as again:
                piv = Piv(Channel(again.transmit))
                piv.select()
                assert piv.tries() == left


def test_a_card_pulled_while_it_signs_ends_the_command(slot: Slot, pki: Pki) -> None:
    personalise(slot.card, pki, "slow", {KeySlot.CARD_AUTHENTICATION: Algorithm.P256})
    slot.set_delay(60_000)
    slot.insert()
    until_present(slot)
    with Pcsc() as pcsc, pcsc.connect(slot.name) as connection:
        piv = Piv(Channel(connection.transmit))
        piv.select()
        threading.Timer(0.2, slot.remove).start()
        with pytest.raises(CardError) as refused:
            piv.sign(KeySlot.CARD_AUTHENTICATION, Algorithm.P256, bytes(32))
        assert refused.value.code is Code.CARD_REMOVED


def test_a_signature_takes_at_least_the_delay_that_was_set(slot: Slot, pki: Pki) -> None:
    personalise(slot.card, pki, "slow", {KeySlot.CARD_AUTHENTICATION: Algorithm.P256})
    slot.insert()
    until_present(slot)
    slot.set_delay(300)
    with Pcsc() as pcsc, pcsc.connect(slot.name) as connection:
        piv = Piv(Channel(connection.transmit))
        piv.select()
        begun = time.monotonic()
        piv.sign(KeySlot.CARD_AUTHENTICATION, Algorithm.P256, bytes(32))
        assert time.monotonic() - begun >= 0.3


def test_another_card_is_told_from_the_first_by_its_serial_number(slot: Slot, folder: Path) -> None:
    slot.insert()
    until_present(slot)
    other = CardFile(folder / "other", serial=bytes.fromhex("00c0ffee00000002"))
    with Pcsc() as pcsc:
        for _ in range(2):
            with pcsc.connect(slot.name) as connection:
                piv = Piv(Channel(connection.transmit))
                piv.select()
                assert piv.guid()[8:] == slot.card.state.serial
            slot.swap(other)
            until_present(slot)


def test_an_exclusive_user_keeps_others_out(slot: Slot) -> None:
    slot.insert()
    until_present(slot)
    with Pcsc() as pcsc, pcsc.connect(slot.name, exclusive=True), Pcsc() as second:
        with pytest.raises(CardError) as refused:
            second.connect(slot.name)
        assert refused.value.code is Code.CARD_BUSY


def test_a_reset_by_somebody_else_is_told_at_the_next_transaction(slot: Slot) -> None:
    slot.insert()
    until_present(slot)
    with Pcsc() as one, Pcsc() as two, one.connect(slot.name) as connection:
        with connection.transaction() as was_reset:
            assert not was_reset
            Piv(Channel(connection.transmit)).select()
            Piv(Channel(connection.transmit)).verify(b"123456")
        two.connect(slot.name).disconnect(reset=True)
        with connection.transaction() as was_reset:
            assert was_reset
            piv = Piv(Channel(connection.transmit))
            piv.select()
            assert piv.tries() == 3, "the PIN is no longer verified"


def test_host_and_card_work_together_over_the_reader(slot: Slot, pki: Pki) -> None:
    leaves = personalise(slot.card, pki, "both", {KeySlot.AUTHENTICATION: Algorithm.RSA_2048, KeySlot.SIGNATURE: Algorithm.P384})
    load_iscl(slot.card, {(Purpose.TO_CLIENT, 1): (Kind.DES, KEY), (Purpose.TO_SERVER, 1): (Kind.DES, OTHER)})
    load_iscl(slot.card, {(Purpose.ENCRYPTION, 8): (Kind.DES, bytes.fromhex("133457799bbcdff1"))})
    slot.insert()
    until_present(slot)
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    with Pcsc() as pcsc, pcsc.connect(slot.name) as connection, connection.transaction():
        piv = Piv(Channel(connection.transmit))
        piv.select()
        for key in leaves:
            found = piv.certificate(key)
            assert found
            public = x509.load_der_x509_certificate(found).public_key()
            piv.verify(b"123456")
            signature = piv.sign(key, algorithm_of(public), to_sign(algorithm_of(public), b"a message"))
            if isinstance(public, rsa.RSAPublicKey):
                public.verify(signature, b"a message", padding.PKCS1v15(), hashes.SHA256())
            else:
                assert isinstance(public, ec.EllipticCurvePublicKey)
                public.verify(signature, b"a message", ec.ECDSA(hashes.SHA384()))
        iscl = IsclCard(Channel(connection.transmit))
        iscl.select()
        assert (iscl.label, iscl.serial) == ("ward-ct1", slot.card.state.serial) and iscl.verified()
        challenge = iscl.challenge()
        assert iscl.internal(Purpose.TO_CLIENT, 1, bytes.fromhex("4e6f772069732074")).hex() == "3fa40e8a984d4815"
        with pytest.raises(CardError) as refused:
            iscl.external(Purpose.TO_SERVER, 1, bytes(8))
        assert refused.value.code is Code.CARD_PEER_REFUSED
        assert len(challenge) == 8
        random, key_made = iscl.session_key(8)
        assert iscl.derive(8, random) == key_made and [row.slot for row in iscl.loaded()] == [1, 1, 8]


def test_the_card_as_a_program_is_inserted_by_its_start_and_removed_by_its_end(pcscd: Pcscd, folder: Path) -> None:
    environment = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
    words = [sys.executable, "-m", "virtualcard", folder / "card", "--vpcd", "35966", "--serial", "00c0ffee00000009", "--delay-ms", "1"]
    program = Program([*pcscd.inside, *words], folder / "card.txt", environment)
    reader = pcscd.reader_name(3)
    try:
        with Pcsc() as pcsc:
            until(lambda: any(one.name == reader and one.present for one in pcsc.look()), "the card is in")
            with pcsc.connect(reader) as connection:
                piv = Piv(Channel(connection.transmit))
                piv.select()
                assert piv.guid()[8:].hex() == "00c0ffee00000009"
            program.stop()
            until(lambda: not any(one.name == reader and one.present for one in pcsc.look()), "the card is out")
    finally:
        program.stop()
    assert program.wait() == 0 and "inserted" in program.log


def test_contexts_and_connections_leave_no_descriptor_behind(slot: Slot) -> None:
    slot.insert()
    until_present(slot)

    def once() -> None:
        with Pcsc() as pcsc, pcsc.connect(slot.name) as connection, connection.transaction():
            Piv(Channel(connection.transmit)).select()

    once()
    before = open_files()
    for _ in range(100):
        once()
    assert not open_files() - before


def test_without_the_service_there_is_a_code(folder: Path) -> None:
    """In a process of its own: libpcsclite looks for the socket's name once."""
    from support.processes import run

    words = "from wardkeys.pcsc import Pcsc\ntry:\n    Pcsc()\nexcept Exception as error:\n    print(error)"
    environment = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("firmware", "hsm"))}
    environment["PCSCLITE_CSOCK_NAME"] = str(folder / "none")
    assert "WG770" in run([sys.executable, "-c", words], env=environment).stdout
