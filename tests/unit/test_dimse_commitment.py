"""Storage commitment reports, written by hand: both encodings, defined and undefined lengths, and what must not be read."""

from __future__ import annotations

import struct

import pytest

from wardgate.dimse import commitment
from wardgate.dimse.commitment import EXPLICIT_LITTLE, IMPLICIT_LITTLE, CommitmentError, Reference, read_report

SYNTAXES = [IMPLICIT_LITTLE, EXPLICIT_LITTLE]
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
UNDEFINED = 0xFFFFFFFF


def element(syntax: str, number: int, vr: bytes, value: bytes, length: int | None = None, group: int = 8) -> bytes:
    value += b"\0" * (len(value) & 1)
    size = len(value) if length is None else length
    if syntax == IMPLICIT_LITTLE:
        return struct.pack("<HHI", group, number, size) + value
    if vr in (b"SQ", b"UN", b"OB"):
        return struct.pack("<HH2sHI", group, number, vr, 0, size) + value
    return struct.pack("<HH2sH", group, number, vr, size) + value


def item(content: bytes, undefined: bool) -> bytes:
    if undefined:
        return struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED) + content + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def sequence(syntax: str, number: int, items: list[bytes], undefined: bool) -> bytes:
    content = b"".join(items)
    if undefined:
        return element(syntax, number, b"SQ", content + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), UNDEFINED)
    return element(syntax, number, b"SQ", content)


def reference(syntax: str, sop_class: str, instance: str, reason: int | None = None) -> bytes:
    data = element(syntax, 0x1150, b"UI", sop_class.encode()) + element(syntax, 0x1155, b"UI", instance.encode())
    return data + (element(syntax, 0x1197, b"US", struct.pack("<H", reason)) if reason is not None else b"")


def report(syntax: str, undefined: bool = False) -> bytes:
    failed = [item(reference(syntax, MR, "1.2.3.9", 0x0112), undefined)]
    done = [item(reference(syntax, CT, f"1.2.3.{number}"), undefined) for number in (1, 2)]
    inner = sequence(syntax, 0x1140, [item(reference(syntax, CT, "9.9"), undefined)], undefined)  # something of a maker's
    return b"".join(
        (
            element(syntax, 0x0054, b"AE", b"PACS"),
            inner,
            element(syntax, 0x1195, b"UI", b"1.2.77.1"),
            sequence(syntax, 0x1198, failed, undefined),
            sequence(syntax, 0x1199, done, undefined),
        )
    )


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
def test_a_report_is_read_in_either_encoding(syntax: str, undefined: bool) -> None:
    found = read_report(report(syntax, undefined), syntax)
    assert found.transaction == "1.2.77.1"
    assert found.references == (Reference(MR, "1.2.3.9", 0x0112), Reference(CT, "1.2.3.1"), Reference(CT, "1.2.3.2"))


def test_a_failed_instance_without_a_reason_is_a_processing_failure() -> None:
    data = element(IMPLICIT_LITTLE, 0x1195, b"UI", b"1.2") + sequence(
        IMPLICIT_LITTLE, 0x1198, [item(reference(IMPLICIT_LITTLE, CT, "1.2.3"), False)], False
    )
    assert read_report(data, IMPLICIT_LITTLE).references == (Reference(CT, "1.2.3", 0x0110),)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
def test_a_report_cut_anywhere_is_refused_or_says_less_and_never_more(syntax: str, undefined: bool) -> None:
    whole = read_report(report(syntax, undefined), syntax)
    data = report(syntax, undefined)
    for size in range(len(data)):
        try:
            found = read_report(data[:size], syntax)
        except CommitmentError:
            continue
        assert set(found.references) < set(whole.references)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_changed_bytes_end_in_a_report_or_in_a_refusal(syntax: str) -> None:
    data = report(syntax, True)
    for at in range(len(data)):
        for value in (0, 0xFF, data[at] ^ 0x80):
            changed = bytearray(data)
            changed[at] = value
            try:
                read_report(changed, syntax)
            except CommitmentError:
                pass


def test_other_transfer_syntaxes_and_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommitmentError, match="transfer syntax"):
        read_report(report(IMPLICIT_LITTLE), "1.2.840.10008.1.2.2")
    with pytest.raises(CommitmentError, match="without Transaction"):
        read_report(b"", IMPLICIT_LITTLE)
    monkeypatch.setattr(commitment, "MAX_INSTANCES", 2)
    with pytest.raises(CommitmentError, match="more than 2 instances"):
        read_report(report(IMPLICIT_LITTLE), IMPLICIT_LITTLE)
    monkeypatch.setattr(commitment, "MAX_BYTES", 10)
    with pytest.raises(CommitmentError, match="more than 10 bytes"):
        read_report(report(IMPLICIT_LITTLE), IMPLICIT_LITTLE)
