"""Records that go on with their association are only compared; what is found must be what reading every field finds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from wardgate.custody.record import Flow, Leg, Outcome, Quality, Scope
from wardgate.custody.tiles import TileBuilder, tile_path
from wardtools.findings import Findings
from wardtools.leaves import Checked, check_stretch
from wardtools.pairs import Span

TIME = 1_795_000_000_000_000_000
MODALITY, PACS = Leg("CT1", "192.0.2.10:4242"), Leg("PACS", "198.51.100.5:2762", "ab" * 32, "TLSv1.3 TLS_AES_256_GCM_SHA384")


def association(number: int) -> Scope:
    return Scope("ward-ct1", "ct1", "to-hospital", number.to_bytes(16, "big"), MODALITY, PACS)


def opened(scope: Scope) -> bytes:
    return scope.open(TIME, Quality.SYNCHRONISED)


def store(scope: Scope, seq: int) -> bytes:
    ends = (0, Outcome.STATUS, Flow.ACCEPTOR)
    digests = [("sha256", "dataset", "cd" * 32)]
    return scope.store(TIME, Quality.SYNCHRONISED, seq, "1.2.3", f"1.2.3.{seq * seq}", "1.2.840.10008.1.2", 1000 + seq, digests, *ends)


def tiles(folder: Path, entries: list[bytes]) -> Path:
    """Write entry bundles and hash tiles."""
    builder = TileBuilder()
    made = [tile for entry in entries for tile in builder.append(entry)]
    for name, data in [*made, *builder.partial()]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def known(checked: Checked) -> tuple[object, ...]:
    """What a stretch was found to be, in a form that compares."""
    pairs = checked.pairs
    findings: Findings = pairs.findings
    spans: list[dict[str, Span]] = [pairs.open, pairs.ended]
    return checked.tops, checked.edge, checked.bad, findings.errors, findings.notes, spans, pairs.closed, pairs.counts, pairs.unknown


def both(folder: Path, entries: list[bytes]) -> Checked:
    """Check the records by comparing and by reading every field; both must find the same."""
    log = tiles(folder, entries)
    checked = check_stretch(log, len(entries), 0)
    assert known(checked) == known(check_stretch(log, len(entries), 0, strict=True))
    return checked


@pytest.mark.parametrize("first", [1, 95, 950, 9_990, 65_500, 99_990])
def test_a_run_goes_on_over_bundles_and_over_numbers_that_grow_a_digit(tmp_path: Path, first: int) -> None:
    scope = association(1)
    checked = both(tmp_path, [opened(scope), *(store(scope, first + i) for i in range(700))])
    (span,) = checked.pairs.open.values()
    assert (span.stores, span.last_seq, span.last_index) == (700, first + 699, 700)
    assert not checked.pairs.findings.errors


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 98, 99, 100, 254, 255, 256, 257, 258, 259, 300])
@pytest.mark.parametrize("wrong", ["gap", "again", "other association", "other leg"])
def test_what_breaks_a_run_is_found_where_it_is(tmp_path: Path, at: int, wrong: str) -> None:
    scope = association(1)
    entries = [opened(scope), *(store(scope, i) for i in range(1, 400))]
    odd = {
        "gap": store(scope, at + 1),
        "again": store(scope, at - 1),
        "other association": store(association(2), at),
        "other leg": entries[at].replace(b"192.0.2.10:4242", b"192.0.2.10:4243"),
    }[wrong]
    checked = both(tmp_path, [*entries[:at], odd, *entries[at + 1 :]])
    findings = checked.pairs.findings
    said = {
        "gap": any(f"record {at}: no record with sequence number {at}" in note for note in findings.notes)
        and any(f"record {at + 1}: sequence number {at + 1} after {at + 1}" in error for error in findings.errors),
        "again": any(f"record {at}: sequence number {at - 1} after" in error for error in findings.errors),
        "other association": f"{2:032x}" in checked.pairs.open and any(f"record {at + 1}: no record" in note for note in findings.notes),
        "other leg": not findings.errors,  # as true as any: what is signed is what the writer wrote
    }
    assert said[wrong], (findings.errors, findings.notes)


@pytest.mark.parametrize("seed", range(12))
def test_associations_side_by_side_are_followed_each_for_itself(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    going: dict[int, int] = {}
    entries: list[bytes] = []
    made = most = 0
    while len(entries) < 1500:
        act = chance.random()
        if len(going) < 2 or act < 0.01:
            made += 1
            going[made] = 0
            entries.append(opened(association(made)))
            continue
        most = max(most, len(going))
        number = chance.choice(list(going))
        scope = association(number)
        if act < 0.02:
            entries.append(scope.close(TIME, Quality.SYNCHRONISED, going.pop(number), "released"))
            continue
        for _ in range(chance.choice((1, 1, 2, 3, 40))):
            going[number] += chance.choice((1,) * 60 + (2, 0))
            entries.append(store(scope, going[number]))
    both(tmp_path, entries[:1500])
    assert most > 1


@pytest.mark.parametrize("cut", [1, 400, 5_000, 60_000, 120_000])
def test_a_bundle_cut_in_a_run_is_damaged_where_it_ends_and_what_it_has_is_counted(tmp_path: Path, cut: int) -> None:
    scope = association(1)
    entries = [opened(scope), *(store(scope, i) for i in range(1, 256))]
    log = tiles(tmp_path, entries)
    path = log / tile_path(None, 0)
    data = path.read_bytes()[:-cut]
    path.write_bytes(data)
    kept, used = 0, 0
    while used + 2 + len(entries[kept]) <= len(data):
        used += 2 + len(entries[kept])
        kept += 1
    for strict in (False, True):
        checked = check_stretch(log, 256, 0, strict)
        assert checked.bad[0].entry_error == f"the bundle ends in or before record {kept}"
        assert len(checked.bad[0].hashes) == kept
        assert next(iter(checked.pairs.open.values())).stores == kept - 1


def test_a_bundle_that_goes_on_after_its_last_record_is_damaged(tmp_path: Path) -> None:
    scope = association(1)
    log = tiles(tmp_path, [opened(scope), *(store(scope, i) for i in range(1, 256))])
    with (log / tile_path(None, 0)).open("ab") as file:
        file.write(b"\x00")
    (bad,) = check_stretch(log, 256, 0).bad
    assert bad.entry_error == "the bundle goes on after record 255"
