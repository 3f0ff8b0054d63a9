"""DICOM over a legacy ISCL-style channel through a relay worker: either leg, every suite, and what happens when a byte was changed."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from support import relaykit
from support.isclbetween import through
from support.isclsocket import IsclSocket, box_table, key_file
from support.processes import LOOPBACK, until
from support.relaykit import PROVIDER_ABORT, Relay, abort_of, response, store
from support.wire import Wire, associate_rq
from wardgate.iscl.bodies import Codec
from wardgate.iscl.reconstruction import R1
from wardgate.iscl.terms import HEADER_BYTES, NAK, MessageId
from wardgate.iscl.terms import Role as IsclRole
from wardgate.policy.model import IsclR1, Role

BASE = [
    {"encryption": encryption, "mac": mac, "md5_order": order}
    for encryption in ("none", "des-cbc")
    for mac, order in (("md5", "encrypt-digest"), ("md5", "encrypt-random"), ("des-mac", "encrypt-digest"))
]
EXTENSIONS = [
    {"method": "iso-9798-2", "encryption": "3des-cbc", "mac": "retail"},
    {"method": "iso-9798-2", "encryption": "aes-128-cbc", "mac": "aes-cmac"},
    {"method": "iso-9798-4", "encryption": "aes-256-cbc", "mac": "hmac-sha-256"},
    {"method": "iso-9798-4", "encryption": "aes-256-gcm", "mac": "integrated"},
]


def _study(pair: relaykit.Pair, body: bytes = b"data set!!" * 5000) -> None:
    for number in (1, 2, 3):
        pair.pass_on(*store(number, body))
        pair.pass_on(response(number), back=True)


@pytest.mark.parametrize("words", [*BASE, *EXTENSIONS], ids=lambda words: "-".join(words.values()))
def test_a_study_goes_out_over_iscl(tmp_path: Path, words: dict[str, str]) -> None:
    with Relay(tmp_path, peer_iscl=box_table(tmp_path, **words)) as relay:
        with relay.associate() as pair:
            _study(pair)
            pair.release()
        relay.settled()
        assert len(relay.writer.stores()) == 3
        assert all(close["ended"] == "released" for close in relay.writer.closes())


@pytest.mark.parametrize("words", [BASE[3], EXTENSIONS[-1]], ids=lambda words: "-".join(words.values()))
@pytest.mark.parametrize("caller", Role)
def test_either_side_may_call_and_either_leg_may_be_iscl(tmp_path: Path, words: dict[str, str], caller: Role) -> None:
    table = box_table(tmp_path, **words)
    with Relay(tmp_path, peer_iscl=table, modality_iscl=table) as relay, relay.associate(caller) as pair:
        _study(pair)
        pair.release()


def test_two_that_agree_on_another_reconstruction_talk_too(tmp_path: Path) -> None:
    r1 = IsclR1(byte_order="little", option_place="body", padding="iso-method-2", message_unit="write", swap_64bit=True)
    with Relay(tmp_path, peer_iscl=box_table(tmp_path, r1=r1)) as relay, relay.associate() as pair:
        _study(pair)
        pair.release()


def test_a_data_set_of_many_messages_passes_while_nobody_reads_in_step(tmp_path: Path) -> None:
    with Relay(tmp_path, peer_iscl=box_table(tmp_path, encryption="none")) as relay, relay.associate() as pair:
        out = store(1, bytes(range(256)) * 8000)

        def speak(peer: Wire, pdus: list[bytes]) -> None:
            for each in pdus:
                peer.send(each)

        thread = threading.Thread(target=speak, args=(pair.near, out))
        thread.start()
        assert [pair.far.whole() for _ in out] == out
        thread.join()
        pair.far.send(response(1))
        assert pair.near.whole() == response(1)


def test_the_acceptor_speaks_first_and_a_silent_peer_hears_it(tmp_path: Path) -> None:
    with Relay(tmp_path, peer_iscl=box_table(tmp_path)) as relay:
        with socket.create_connection((LOOPBACK, relay.port[Role.PEER]), 60) as sock:
            said = sock.recv(40)
        assert said.hex().startswith("0000000000110001")


@pytest.mark.parametrize(("first", "name"), [(b"\x16\x03\x01" + bytes(60), "TLS"), (associate_rq("PACS", "CT1"), "DICOM in clear")])
def test_what_is_not_iscl_is_closed_and_named(tmp_path: Path, first: bytes, name: str) -> None:
    with Relay(tmp_path, peer_iscl=box_table(tmp_path)) as relay:
        with socket.create_connection((LOOPBACK, relay.port[Role.PEER]), 60) as sock:
            sock.sendall(first)
            while sock.recv(65536):
                pass
        until(lambda: "ISCL_FRAMING_ERROR" in relay.codes(), "the code")
        assert name in relay.gate.errors[-1][2]


def test_a_peer_with_another_key_is_refused(tmp_path: Path) -> None:
    with Relay(tmp_path, peer_iscl=box_table(tmp_path)) as relay:
        other = box_table(tmp_path)
        wrong = tmp_path / "other.keys"
        wrong.write_text("auth-1-c2s 0123456789abcdee\nauth-1-s2c 0023456789abcdef\n")
        sock = socket.create_connection((LOOPBACK, relay.port[Role.PEER]), 60)
        # An equal-parity twin of a DES key is the same key, so the second one differs in more.
        table = other._replace(keys=str(wrong))
        with pytest.raises(Exception, match=r"ISCL 200|ended"):
            IsclSocket(sock, table, IsclRole.CLIENT)
        sock.close()
        until(lambda: relay.codes() & {"ISCL_AUTHENTICATION_FAILURE", "ISCL_ENDED_IN_HANDSHAKE"}, "the code")


CHANGES = [
    ("ISCL_MAC_FAILURE", "0x10", MessageId.DATA, HEADER_BYTES),
    ("ISCL_DECRYPT_FAILURE", "0x11", MessageId.DATA, -1),
    ("ISCL_MAC_FAILURE", "0x10", MessageId.MAC, -1),
    ("ISCL_FRAMING_ERROR", "0x13", MessageId.DATA, 7),
]


@pytest.mark.parametrize(("code", "reason", "message", "at"), CHANGES, ids=lambda value: str(value))
def test_a_changed_byte_drops_that_leg_without_a_word_and_the_other_gets_a_provider_abort(
    tmp_path: Path, code: str, reason: str, message: MessageId, at: int
) -> None:
    armed = False

    def change(message_id: int, data: bytes) -> bytes:
        if not armed or message_id != message:
            return data
        out = bytearray(data)
        out[at] ^= 0x40
        return bytes(out)

    table = box_table(tmp_path)
    with Relay(tmp_path, peer_iscl=table) as relay, through(relay, table, change) as (caller, between):
        asked = associate_rq("PACS", "CT1")
        caller.send(asked)
        far = relay.accept(Role.MODALITY)
        request = far.whole()
        assert request == asked
        answer = relaykit.associate_ac(request)
        far.send(answer)
        assert caller.whole() == answer
        armed = True
        try:
            caller.send(store(1)[0])
        except OSError:
            pass
        assert abort_of(far) == (2, 0)
        until(lambda: code in relay.codes(), code)
        relay.settled()
        assert between.to_peer == b""  # not one byte more
        assert f"provider reason {reason}" in relay.gate.errors[-1][2]
        assert PROVIDER_ABORT
        far.sock.close()


def test_a_connection_that_ends_without_leave_is_told_apart(tmp_path: Path) -> None:
    with Relay(tmp_path, peer_iscl=box_table(tmp_path)) as relay, relay.associate() as pair:
        pair.far.sock.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]
        assert abort_of(pair.near) == (2, 0)
        until(lambda: "ISCL_TRUNCATED" in relay.codes(), "the code")


def test_a_peer_that_stops_in_the_middle_of_a_message_is_late(tmp_path: Path) -> None:
    with Relay(tmp_path, peer_iscl=box_table(tmp_path)) as relay, relay.associate() as pair:
        (association,) = relay.gate.associations
        line = association.requestor.channel._engine._line  # type: ignore[union-attr]
        line.settings = line.settings._replace(timers=line.settings.timers._replace(block=1))
        announced = Codec(R1).encode(MessageId.TRANSMISSION_REQUEST, encryption=0x1212, key_id=16, mac=0x1441, length=100)
        pair.far.sock.sock.sendall(announced)  # type: ignore[attr-defined]  # and then nothing
        assert abort_of(pair.near) == (2, 0)
        until(lambda: "ISCL_TIMEOUT" in relay.codes(), "the code")


def test_an_abort_reaches_the_iscl_leg_before_its_leave(tmp_path: Path) -> None:
    with Relay(tmp_path, peer_iscl=box_table(tmp_path)) as relay, relay.associate() as pair:
        pair.near.send(relaykit.pdu(7, bytes((0, 0, 0, 0))))
        assert abort_of(pair.far) == (0, 0)
        assert pair.far.read()[0] == 0
        assert pair.far.sock.channel.ended  # type: ignore[attr-defined]


def test_a_refused_association_reaches_the_iscl_caller(tmp_path: Path) -> None:
    with Relay(tmp_path, peer_iscl=box_table(tmp_path)) as relay:
        caller = relay.dial(Role.PEER)
        caller.send(associate_rq("PACS", "NOBODY"))
        kind, _body = caller.read()
        assert kind == 3
        caller.sock.close()
        relay.settled()


def test_two_iscl_legs_that_both_speak_at_length_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Each leg is paused because the other is busy, and is busy until its peer has answered: answers are read all the while."""
    table = box_table(tmp_path, encryption="none")
    with Relay(tmp_path, peer_iscl=table, modality_iscl=table) as relay, relay.associate() as pair:
        out, back = (store(number, bytes(range(251)) * 6000) for number in (1, 2))
        threads = [
            threading.Thread(target=lambda peer=peer, pdus=pdus: [peer.send(each) for each in pdus])
            for peer, pdus in ((pair.near, out), (pair.far, back))
        ]
        for thread in threads:
            thread.start()
        assert [pair.far.whole() for _ in out] == out
        assert [pair.near.whole() for _ in back] == back
        for thread in threads:
            thread.join()


def test_a_peer_that_refuses_to_close_is_told_and_closed_all_the_same(tmp_path: Path) -> None:
    with Relay(tmp_path, peer_iscl=box_table(tmp_path)) as relay, relay.associate() as pair:
        engine = pair.far.sock.channel._engine  # type: ignore[attr-defined]

        def refuse(_message: object) -> None:
            engine._line.send(MessageId.DISCONNECT_RESPONSE, status=NAK)

        engine.disconnect_request = refuse
        pair.release()
        until(lambda: "ISCL_CLOSE_REFUSED" in relay.codes(), "the code")


def test_a_static_key_that_protected_too_much_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.iscl.sending.WARN_BLOCKS", 1000)
    with Relay(tmp_path, peer_iscl=box_table(tmp_path, key_id=1)._replace(keys=str(_static(tmp_path)))) as relay:
        with relay.associate() as pair:
            _study(pair)
            pair.release()
        until(lambda: "ISCL_KEY_WORN" in relay.codes(), "the code")


def _static(folder: Path) -> Path:
    path = key_file(folder)
    path.write_text(path.read_text() + "enc-1-c2s 2345678998badcef\nenc-1-s2c 98badcef23456789\n")
    return path
