"""`wardtool iscl decode` on captures of our own engines, in both byte orders and under other reconstructions."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.isclkit import MASTER, PAIR, SUITES, Pair, pair_of
from support.pcap import PcapWriter
from wardgate.iscl.reconstruction import ByteOrder, Derivation, Md5Order, OptionPlace, Padding, Reconstruction
from wardtools.iscl import main

KEYS = ["--keys", PAIR.to_server.hex(), PAIR.to_client.hex()]


def _capture(r1: Reconstruction, suite: int = 2, order: Md5Order = Md5Order.A) -> PcapWriter:
    writer = PcapWriter()

    def tap(from_server: bool, data: bytes) -> bytes:
        writer.say(from_server, data, 700)
        return data

    pair = Pair(*pair_of(*SUITES[suite], r1=r1, md5_order=order), edit=tap).open()
    for size in (1, 7, 8, 3000):
        pair.server.send(bytes(range(256)) * (size // 256) + bytes(size % 256))
        pair.client.send(bytes(size))
        pair.pump()
    pair.client.engine.disconnect(0.0)
    pair.client.settle()
    pair.pump()
    return writer


def _decode(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, *words: str) -> tuple[int, str]:
    path = tmp_path / "capture"
    path.write_bytes(data)
    status = main(["decode", str(path), *words])
    return status, capsys.readouterr().out


@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("form", ["pcap", "pcapng", "pcap-big", "pcapng-big"])
def test_messages_are_printed_field_by_field_in_either_byte_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], order: ByteOrder, form: str
) -> None:
    writer = _capture(Reconstruction(byte_order=order))
    kind, _, big = form.partition("-")
    status, text = _decode(tmp_path, capsys, getattr(writer, kind)(">" if big else "<"))
    assert status == 0
    assert "connection 192.0.2.1:40000 -> 192.0.2.2:2761" in text
    other = "little" if order is ByteOrder.BIG else "big"
    lines = text.splitlines()
    assert any(f"{order.name.lower()}-endian, option in the header" in line and line.endswith(": fits") for line in lines)
    assert all(line.endswith("does not fit") for line in lines if f"{other}-endian" in line)
    for said in ("server: line request 00110001", "block_length 00001fe0 (8160)", "name 4 bytes, 47574159 'GWAY'", "status ACK"):
        assert said in text
    assert "encryption 00001212 (4626) DES_CBC" in text and "mac 00001441 (5185) MD5" in text
    assert "client: disconnect request" in text and "server: disconnect response" in text
    assert "not read" not in text


CHOICES = [
    ({}, {"derivation: encrypt", "padding: count", "chain_mac: true"}),
    ({"padding": Padding.ISO_METHOD_2}, {"padding: iso-method-2 (R1: count)"}),
    ({"chain_mac": False}, {"chain_mac: false (R1: true)"}),
    ({"chain_messages": False}, {"chain_messages: false (R1: true)"}),
    ({"derivation": Derivation.CLEAR}, {"derivation: clear (R1: encrypt)"}),
    ({"swap_64bit": True}, {"64-bit values swapped: fits", "swap_64bit: true (R1: false)"}),
    ({"option_place": OptionPlace.BODY}, {"option in the body: 63 messages read"}),
    ({"half_duplex": True, "shared_register": True}, {"shared_register: true (R1: false)"}),
]


@pytest.mark.parametrize(("words", "expected"), CHOICES, ids=lambda value: "-".join(value) if isinstance(value, dict) else "")
def test_with_keys_the_macs_tell_which_alternatives_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: dict[str, object], expected: set[str]
) -> None:
    writer = _capture(Reconstruction(**words))  # type: ignore[arg-type]
    _, text = _decode(tmp_path, capsys, writer.pcap(), *KEYS)
    assert "8 of 8 messages come out right" in text
    for each in expected - {"option in the body: 63 messages read"}:
        assert each in text, text
    if "option_place" in words:
        assert any("option in the body" in line and line.endswith(": fits") for line in text.splitlines())


def test_the_wrong_keys_fit_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text = _decode(tmp_path, capsys, _capture(Reconstruction()).pcap(), "--keys", "00" * 8, "11" * 8)
    assert "0 of 8 messages come out right" in text
    assert "as sent: does not fit" in text


def test_master_keys_of_the_encryption_slots_show_by_fitting_the_messages_and_not_the_responses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = _capture(Reconstruction(master_to_server=2, master_to_client=3)).pcap()
    _, text = _decode(tmp_path, capsys, capture, *KEYS)
    assert "0 of 8 messages come out right" in text and "as sent: fits" in text, text
    _, text = _decode(tmp_path, capsys, capture, "--keys", MASTER.to_server.hex(), MASTER.to_client.hex())
    assert "8 of 8 messages come out right" in text and "as sent: does not fit" in text, text


def test_extension_bodies_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text = _decode(tmp_path, capsys, _capture(Reconstruction(), suite=8).pcap())
    assert "AES_256_GCM" in text and "ISO_9798_4_CMAC" in text
    assert any("extension bodies" in line and line.endswith(": fits") for line in text.splitlines())


def test_data_are_never_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text = _decode(tmp_path, capsys, _capture(Reconstruction(), suite=0).pcap(), *KEYS)
    assert bytes(range(64)).hex() not in text


def test_segments_out_of_order_and_twice_are_put_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = _capture(Reconstruction())
    _, straight = _decode(tmp_path, capsys, writer.pcap())
    packets = writer.packets
    writer.packets = [*packets[:2], *(packet for at in range(2, len(packets), 2) for packet in reversed(packets[at : at + 2])), packets[5]]
    _, mixed = _decode(tmp_path, capsys, writer.pcap())
    count = sum("bytes\n" in line + "\n" for line in straight.splitlines())
    assert count and sum("bytes\n" in line + "\n" for line in mixed.splitlines()) == count
    assert "not read" not in mixed


def test_a_capture_that_lost_a_segment_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = _capture(Reconstruction())
    del writer.packets[-4]
    _, text = _decode(tmp_path, capsys, writer.pcap())
    assert "missing in the capture" in text


@pytest.mark.parametrize("data", [b"", b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a" + bytes(40), b"nonsense" * 9])
def test_what_is_no_capture_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    assert _decode(tmp_path, capsys, data)[0] == 2


def test_other_connections_are_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = PcapWriter()
    writer.say(False, b"\x01\x00\x00\x00\x00\x50" + bytes(80))
    assert _decode(tmp_path, capsys, writer.pcap()) == (1, "no ISCL among 1 TCP connections\n")
