"""The `dataset` edit: which bytes change, which never do, and what it refuses."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.datasets import data_set, meta
from support.elements import Writer
from wardgate.codes import Code
from wardgate.custody.status import outside
from wardgate.edit import EditError
from wardgate.edit.dataset import DATE_TIME, EQUIPMENT, MAX_GROUP, STATUS, DatasetEdit, Rule
from wardgate.edit.elements import DatasetError, Encoding, encoding_of

ALL = list(Encoding)


def run(encoding: Encoding, data: bytes, cuts: Iterable[int] = (), rule: Rule = outside) -> tuple[bytes, DatasetEdit]:
    """Edit `data`, cut at `cuts`."""
    edit = DatasetEdit(encoding, rule)
    marks = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    out = bytearray()
    for start, end in pairwise(marks):
        for piece in edit.feed(memoryview(data)[start:end], end == len(data)):
            out += piece
        assert edit.held <= MAX_GROUP + 12
    assert not edit.held
    return bytes(out), edit


@pytest.mark.parametrize("encoding", ALL)
@pytest.mark.parametrize("length", [False, True])
@pytest.mark.parametrize("status", [b"OR", b"AO", b"AC"])
def test_a_claim_becomes_ns_its_companions_go_and_no_other_byte_changes(encoding: Encoding, length: bool, status: bytes) -> None:
    w = Writer(encoding)
    claim = w.group(length, status=status, date=b"20261122010203", comment=b"fit for diagnosis ", equipment=b"C-17")
    out, edit = run(encoding, w.before() + claim + w.after())
    assert out == w.before() + w.group(length, status=b"NS") + w.after()
    assert edit.changed


@pytest.mark.parametrize("encoding", ALL)
@pytest.mark.parametrize("group", [{}, {"status": b"NS"}, {"status": b""}, {"date": b"20261122"}, {"status": b"NS", "equipment": b"C-17"}])
def test_what_reads_ns_is_not_touched(encoding: Encoding, group: Mapping[str, bytes]) -> None:
    w = Writer(encoding)
    data = w.before() + w.group(bool(group), **group) + w.after()
    out, edit = run(encoding, data)
    assert out == data
    assert not edit.changed and edit.over


@pytest.mark.parametrize("encoding", ALL)
def test_a_claim_that_ends_the_data_set_is_edited(encoding: Encoding) -> None:
    w = Writer(encoding)
    assert run(encoding, w.before() + w.group(True, status=b"AO"))[0] == w.before() + w.group(True, status=b"NS")
    assert run(encoding, w.group(False, status=b"OR"))[0] == w.group(False, status=b"NS")


@pytest.mark.parametrize("value", [b"ao", b"XX", b"NS\\AO ", b"AO\0 "])
def test_a_value_that_the_standard_does_not_know_is_a_claim(value: bytes) -> None:
    w = Writer(Encoding.EXPLICIT_LITTLE)
    assert run(w.encoding, w.group(False, status=value))[0] == w.group(False, status=b"NS")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(ALL),
    st.booleans(),
    st.sampled_from([None, b"NS", b"OR", b"AO", b"AC"]),
    st.lists(st.integers(0, 2600), max_size=40),
    st.booleans(),
)
def test_no_fragmentation_makes_a_difference(encoding: Encoding, length: bool, status: bytes | None, cuts: list[int], tail: bool) -> None:
    w = Writer(encoding)
    claim = {} if status is None else {"status": status, "comment": b"x" * 40}
    data = w.before() + w.group(length and bool(claim), **claim) + (w.after() if tail else b"")
    whole, edit = run(encoding, data)
    assert run(encoding, data, cuts)[0] == whole
    assert edit.changed == (status in (b"OR", b"AO", b"AC"))


@pytest.mark.parametrize("encoding", ALL)
def test_a_byte_at_a_time_gives_the_same(encoding: Encoding) -> None:
    w = Writer(encoding)
    data = w.before() + w.group(True, status=b"OR", equipment=b"C-17") + w.after()
    assert run(encoding, data, range(len(data)))[0] == run(encoding, data)[0]


@pytest.mark.parametrize("encoding", ALL)
@pytest.mark.parametrize("had", [{}, {"status": b"OR"}, {"status": b"OR", "comment": b"old "}])
def test_a_rule_can_put_elements_in_at_their_place(encoding: Encoding, had: Mapping[str, bytes]) -> None:
    """What rule b will need: AO, its date and the certificate number."""
    w = Writer(encoding)
    new = {EQUIPMENT: b"C-17", STATUS: b"AO", DATE_TIME: b"20261122010203"}
    out, _ = run(encoding, w.before() + w.group(bool(had), **had) + w.after(), rule=lambda _values: new)
    expected = w.group(bool(had), status=b"AO", date=b"20261122010203", equipment=b"C-17")
    assert out == w.before() + expected + w.after()


def test_other_elements_of_the_group_stay() -> None:
    w = Writer(Encoding.EXPLICIT_LITTLE)
    other, later = w.element(0x01000409, b"SH", b"kept"), w.open_sequence(0x01000500, w.element(0x01000410, b"CS", b"AO"))
    data = other + w.element(0x01000410, b"CS", b"AO") + later + w.after()
    assert run(w.encoding, data, range(len(data)))[0] == other + w.element(0x01000410, b"CS", b"NS") + later + w.after()


def test_a_sequence_of_vr_un_is_implicit_inside() -> None:
    for encoding in (Encoding.EXPLICIT_LITTLE, Encoding.EXPLICIT_BIG):
        w, inner = Writer(encoding), Writer(Encoding.IMPLICIT_LITTLE)
        content = inner.mark32(0xFFFEE000, 0xFFFFFFFF) + inner.element(0x01000410, b"", b"AO") + inner.mark32(0xFFFEE00D, 0)
        odd = w.element(0x00091002, b"UN", content + inner.mark32(0xFFFEE0DD, 0), 0xFFFFFFFF)
        out, _ = run(encoding, odd + w.group(False, status=b"AO"), range(0, 500, 3))
        assert out == odd + w.group(False, status=b"NS")


def code_of(encoding: Encoding, data: bytes, cuts: Iterable[int] = ()) -> Code:
    with pytest.raises(DatasetError) as failed:
        run(encoding, data, cuts)
    return failed.value.code


@pytest.mark.parametrize("encoding", ALL)
def test_a_signature_over_the_status_is_refused_before_the_end_has_left(encoding: Encoding) -> None:
    w = Writer(encoding)
    for named, refused in ((0x01000410, True), (0x01000426, True), (0x00080018, False)):
        signed = w.tag(0x00080016) + w.tag(named) + w.tag(0x7FE00010)
        mac = w.element(0x04000005, b"US", b"\1\0") + w.element(0x04000020, b"AT", signed)
        for sequence in (w.sequence, w.open_sequence):
            data = w.before() + w.group(False, status=b"AO") + sequence(0x4FFE0001, mac) + w.element(0x7FE00010, b"OW", bytes(100))
            data += w.open_sequence(0xFFFAFFFA, w.element(0x04000005, b"US", b"\1\0"))
            if refused:
                assert code_of(encoding, data) is Code.STATUS_SIGNED
                assert code_of(encoding, data, range(len(data))) is Code.STATUS_SIGNED
            else:
                assert run(encoding, data)[1].changed


def test_a_signature_is_no_matter_when_nothing_has_to_change() -> None:
    w = Writer(Encoding.EXPLICIT_LITTLE)
    mac = w.sequence(0x4FFE0001, w.element(0x04000020, b"AT", w.tag(0x01000410)))
    data = w.before() + w.group(False, status=b"NS") + mac + w.sequence(0xFFFAFFFA, b"")
    assert run(w.encoding, data)[0] == data


def test_a_signature_that_does_not_say_what_it_covers_is_refused() -> None:
    w = Writer(Encoding.EXPLICIT_LITTLE)
    assert code_of(w.encoding, w.group(False, status=b"AO") + w.after() + w.sequence(0xFFFAFFFA, b"")) is Code.STATUS_SIGNED


def test_encapsulated_pixel_data_behind_a_claim_passes() -> None:
    w = Writer(Encoding.EXPLICIT_LITTLE)
    items = w.mark32(0xFFFEE000, 0) + w.mark32(0xFFFEE000, 700) + bytes(700) + w.mark32(0xFFFEE0DD, 0)
    pixels = w.element(0x7FE00010, b"OB", items, 0xFFFFFFFF)
    out, _ = run(w.encoding, w.group(False, status=b"AC") + pixels, range(0, 900, 7))
    assert out == w.group(False, status=b"NS") + pixels


_W = Writer(Encoding.EXPLICIT_LITTLE)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_W.before()[:-1], id="cut in a value"),
        pytest.param(_W.before() + b"\0\1\x10", id="cut in a header"),
        pytest.param(_W.open_sequence(0x00081140, b"")[:-8], id="cut in a sequence"),
        pytest.param(_W.element(0x00100010, b"PN", b"") + _W.element(0x00080005, b"CS", b""), id="not in order"),
        pytest.param(_W.group(False, status=b"OR") + _W.group(False, status=b"OR"), id="twice"),
        pytest.param(_W.element(0x00080005, b"Cs", b""), id="no VR"),
        pytest.param(_W.mark32(0xFFFEE000, 0), id="an item at the top"),
        pytest.param(_W.mark32(0xFFFEE00D, 0), id="a delimiter at the top"),
        pytest.param(_W.open_sequence(0x00081140, b"")[:-8] + _W.element(0x00080005, b"CS", b""), id="no item in a sequence"),
        pytest.param(_W.open_sequence(0x01000410, b""), id="the status is a sequence"),
        pytest.param(_W.element(0x00081140, b"SQ", b"", 0xFFFFFFFF) + 65 * _W.mark32(0xFFFEE000, 0xFFFFFFFF), id="item in item"),
        pytest.param(_W.group(False, status=b"OR") + _W.element(0x01000500, b"OB", bytes(MAX_GROUP)), id="group too long"),
        pytest.param(_W.element(0x00080001, b"UL", bytes(4)) + _W.group(False, status=b"OR", equipment=b"C-17"), id="length to end"),
        pytest.param(
            b"".join(_W.element(0x00081140, b"SQ", b"", 0xFFFFFFFF) + _W.mark32(0xFFFEE000, 0xFFFFFFFF) for _ in range(40)), id="too deep"
        ),
    ],
)
def test_what_cannot_be_read_up_to_the_status_is_refused(data: bytes) -> None:
    assert code_of(Encoding.EXPLICIT_LITTLE, data) is Code.STATUS_UNREADABLE


def nested(depth: int) -> bytes:
    return _W.open_sequence(0x00081140, nested(depth - 1)) if depth else b""


def test_sequences_in_sequences_are_followed_down_to_a_bound() -> None:
    assert run(_W.encoding, nested(32))[0] == nested(32)
    assert code_of(_W.encoding, nested(33)) is Code.STATUS_UNREADABLE


def test_only_the_mac_parameters_are_searched_for_the_tags() -> None:
    mac = _W.sequence(0x4FFE0001, _W.element(0x04000020, b"AT", _W.tag(0x00080018)))
    pixels = _W.element(0x7FE00010, b"OW", _W.tag(0x01000410) * 20_000)
    out, _ = run(_W.encoding, _W.group(False, status=b"AO") + mac + pixels, range(0, 80_000, 7000))
    assert out == _W.group(False, status=b"NS") + mac + pixels


def test_length_to_end_is_no_matter_when_the_length_stays() -> None:
    lead = _W.element(0x00080001, b"UL", bytes(4))
    assert run(_W.encoding, lead + _W.group(False, status=b"OR"))[0] == lead + _W.group(False, status=b"NS")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ALL), st.binary(max_size=400), st.integers(0, 900), st.lists(st.integers(0, 1400), max_size=6))
def test_bytes_without_sense_are_refused_or_pass_and_nothing_else_happens(
    encoding: Encoding, noise: bytes, place: int, cuts: list[int]
) -> None:
    w = Writer(encoding)
    data = bytearray(
        w.before() + w.group(True, status=b"AO", comment=b"fit ") + w.sequence(0x4FFE0001, b"") + w.open_sequence(0xFFFAFFFA, b"")
    )
    data[place : place + len(noise)] = noise
    try:
        out, edit = run(encoding, bytes(data), cuts)
    except DatasetError:
        return
    assert edit.changed or out == data


def test_an_element_that_is_not_for_this_edit_is_our_own_mistake() -> None:
    with pytest.raises(EditError):
        run(_W.encoding, _W.before(), rule=lambda _values: {0x0411: b"x"})


@pytest.mark.parametrize(
    ("syntax", "encoding"),
    [
        ("1.2.840.10008.1.2", Encoding.IMPLICIT_LITTLE),
        ("1.2.840.10008.1.2.1", Encoding.EXPLICIT_LITTLE),
        ("1.2.840.10008.1.2.2", Encoding.EXPLICIT_BIG),
        ("1.2.840.10008.1.2.4.90", Encoding.EXPLICIT_LITTLE),
        ("1.2.840.10008.1.2.5", Encoding.EXPLICIT_LITTLE),
        ("1.2.840.10008.1.2.1.99", None),
        ("1.2.840.10008.1.2.4.95", None),
        ("1.2.840.113619.5.2", None),
        ("", None),
    ],
)
def test_deflated_private_and_unknown_transfer_syntaxes_have_no_encoding(syntax: str, encoding: Encoding | None) -> None:
    assert encoding_of(syntax) is encoding


_REAL = (
    "CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "JPEG2000.dcm", "SC_rgb_rle.dcm", "rtplan.dcm",
    "rtdose.dcm",
    "reportsi.dcm", "test-SR.dcm", "waveform_ecg.dcm", "nested_priv_SQ.dcm", "UN_sequence.dcm", "color3d_jpeg_baseline.dcm", "liver.dcm",
)  # fmt: skip


@pytest.mark.parametrize("name", _REAL)
def test_real_files_change_only_where_they_must(name: str) -> None:
    """Each as it is, and with a claim put in by pydicom; pydicom writes what is expected too."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"this pydicom has no {name}")
    content = Path(str(path)).read_bytes()
    try:
        syntax = meta(content)[0x0010]
    except (ValueError, KeyError):
        pytest.skip(f"{name} has no file meta information")
    encoding = encoding_of(syntax)
    if encoding is None:
        pytest.skip(f"{name} is in {syntax}")
    assert run(encoding, data_set(content), range(0, 5000, 13))[0] == data_set(content)

    def written(status: str, companions: bool) -> bytes:
        file = pydicom.dcmread(path)
        file.SOPInstanceStatus = status
        if companions:
            file.SOPAuthorizationDateTime = "20261122010203"
            file.SOPAuthorizationComment = "by hand"
            file.AuthorizationEquipmentCertificationNumber = "C-17"
        out = io.BytesIO()
        pydicom.dcmwrite(out, file)
        return data_set(out.getvalue())

    claimed = written("AO", True)
    assert run(encoding, claimed, range(0, len(claimed), 97))[0] == written("NS", False)
