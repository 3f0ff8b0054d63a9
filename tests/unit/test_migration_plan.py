"""What a migration may touch, how steps follow each other, what is thought out before anything is written. No disk."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from wardgate.migration import copies as manifests
from wardgate.migration import steps
from wardgate.migration.areas import Area, Why, refusal
from wardgate.migration.copies import NUMBER, Copies, CopiesError, Copy, copy_of
from wardgate.migration.plan import MAX_BYTES, MAX_FILES, MigrationFailed, plan
from wardgate.migration.steps import STEPS, Files, Step

TREE = Path(__file__).parents[2]
MARK = TREE / "image/common/overlay/usr/share/wardgate/migrates"
TMPFILES = TREE / "image/common/overlay/usr/lib/tmpfiles.d/wardgate.conf"


def step(to: int, *files: str, makes: Files | None = None, area: Area = Area.STATE) -> Step:
    return Step(area, to, f"step-{to}", files, lambda found: makes if makes is not None else dict.fromkeys(found, b"%d" % to))


# --- this release


@pytest.mark.parametrize("area", Area)
def test_the_steps_of_this_release_are_numbered_touch_nothing_that_they_may_not_and_take_a_new_box(area: Area) -> None:
    ours = steps.of(area, STEPS)
    assert steps.known(area, STEPS) == steps.FIRST + len(ours)
    for one in ours:
        one.apply(dict.fromkeys(one.files))  # none of its files is there


def test_the_units_are_told_that_this_release_has_steps() -> None:
    assert MARK.exists() == bool(STEPS)


# --- what is never touched

RECORDS = ["custody/checkpoint", "custody/tile/0/000", "hold/segment", "audit/spool", "checkpoint", "tile/0/000", "lock"]


@pytest.mark.parametrize("path", [*RECORDS, "hawkbit.token", "migration/format", "migration/kept/0", "anything/below-a-folder", "hold"])
def test_records_and_held_instances_of_the_vault_are_never_touched(path: str) -> None:
    assert refusal(Area.VAULT, path) is not None


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("manifest", Why.SIGNED), ("wardgate/wardgate.toml", Why.SIGNED), ("wardkeys/keys.toml", Why.SIGNED),
        ("network/10-a.network", Why.SIGNED),
        ("kept/1.json", Why.RECORD), ("wardnetd/journal", Why.RECORD), ("floor/time", Why.FORWARD), ("floor/vault.json", Why.FORWARD),
        ("wardvault/pin", Why.FORWARD), ("update/trial.json", Why.TRIAL), ("migration/format", Why.OWN),
    ],
)  # fmt: skip
def test_what_is_signed_recorded_or_must_not_go_back_is_never_touched_on_state(path: str, why: Why) -> None:
    assert refusal(Area.STATE, path) is why


def test_every_folder_that_the_image_makes_on_state_is_on_the_list() -> None:
    made = [line.split()[1] for line in TMPFILES.read_text().splitlines() if line.startswith("d /state/")]
    assert "/state/floor" in made
    assert [path for path in made if refusal(Area.STATE, f"{path.removeprefix('/state/')}/file") is None] == []


@pytest.mark.parametrize("area", Area)
@pytest.mark.parametrize(
    "path", ["", ".", "..", "../etc/passwd", "a/../floor/time", "/state/a", "a//b", "A", "a/b/c/d/e", "a\n", "a/.hidden", "é"]
)
def test_a_path_that_could_lead_elsewhere_is_refused(area: Area, path: str) -> None:
    assert refusal(area, path) is Why.OUTSIDE


def test_other_files_may_be_migrated() -> None:
    assert refusal(Area.STATE, "memory/ports") is None and refusal(Area.VAULT, "peers") is None


@pytest.mark.parametrize("wrong", [(3,), (2, 2), (2, 4), (1, 2)])
def test_steps_with_a_gap_are_none(wrong: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not numbered"):
        steps.of(Area.STATE, tuple(step(to, "a") for to in wrong))


def test_a_step_that_names_a_record_is_none() -> None:
    with pytest.raises(ValueError, match="both releases read it"):
        steps.known(Area.VAULT, (step(2, "custody/checkpoint", area=Area.VAULT),))


def test_each_area_has_a_number_of_its_own() -> None:
    both = (step(2, "a"), step(3, "a"), step(2, "a", area=Area.VAULT))
    assert (steps.known(Area.STATE, both), steps.known(Area.VAULT, both)) == (3, 2)


# --- the plan


def test_steps_work_on_what_the_one_before_made() -> None:
    first = Step(Area.STATE, 2, "two", ("a", "b"), lambda found: {"a": (found["a"] or b"") + b"+2", "b": None})
    second = Step(Area.STATE, 3, "three", ("a", "c"), lambda found: {"a": (found["a"] or b"") + b"+3", "c": b"new"})
    made = plan((first, second), 1, {"a": b"1", "b": b"old"}.get)
    assert (made.start, made.to) == (1, 3)
    assert made.before == {"a": b"1", "b": b"old", "c": None}
    assert made.after == {"a": b"1+2+3", "b": None, "c": b"new"}
    assert plan((first, second), 2, {"a": b"1"}.get).after == {"a": b"1+3", "c": b"new"}


def test_a_file_that_a_step_leaves_alone_is_copied_too() -> None:
    """The new release may write into it, in a form that the one before does not know."""
    assert plan((step(2, "a", makes={}),), 1, {"a": b"1"}.get).before == {"a": b"1"}


def broken(_: Files) -> Files:
    raise ZeroDivisionError("not today")


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (Step(Area.STATE, 2, "broken", ("a",), broken), "ZeroDivisionError"),
        (step(2, "a", makes={"b": b"1"}), "none of its files"),
        (step(2, "a", makes={"a": "text"}), "is not bytes"),  # type: ignore[dict-item]
        (step(2, "a", makes={"a": bytes(MAX_BYTES + 1)}), "may be"),
        (step(2, *(f"f{n}" for n in range(MAX_FILES + 1))), "files, and"),
        (Step(Area.STATE, 2, "nothing", ("a",), lambda found: None), "TypeError"),  # type: ignore[arg-type, return-value]
    ],
    ids=["raises", "another file", "not bytes", "too large", "too many", "nothing"],
)
def test_a_step_that_fails_is_told_and_nothing_else(one: Step, why: str) -> None:
    with pytest.raises(MigrationFailed, match=why):
        plan((one,), 1, {"a": b"1"}.get)


def test_files_that_are_too_large_together_are_not_read_further() -> None:
    asked = []

    def read(path: str) -> bytes:
        asked.append(path)
        return bytes(MAX_BYTES // 2 + 1)

    with pytest.raises(MigrationFailed, match="may be"):
        plan((step(2, "a", "b", "c"),), 1, read)
    assert asked == ["a", "b"]


# --- the manifest

HELD = Copies(Area.STATE, 2, 3, "2.0.0", (copy_of("a/b", b"one", 0o600), copy_of("gone", None, 0), copy_of(NUMBER, b"2\n", 0o640)))


def signed(table: object) -> bytes:
    body = json.dumps(table).encode()
    return sha256(body).hexdigest().encode() + b"\n" + body


def table(**words: object) -> dict[str, object]:
    made: dict[str, object] = json.loads(manifests.write(HELD).partition(b"\n")[2])
    return {**made, **words}


def test_a_manifest_says_what_was_written() -> None:
    assert manifests.read(manifests.write(HELD), Area.STATE) == HELD
    assert HELD.files[0].is_of(b"one") and not HELD.files[0].is_of(b"two") and not HELD.files[1].was_there


def test_a_manifest_with_any_byte_turned_is_none() -> None:
    whole = manifests.write(HELD)
    for place in range(len(whole)):
        with pytest.raises(CopiesError):
            manifests.read(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], Area.STATE)


@pytest.mark.parametrize("cut", [0, 1, 64, 65, 66, 200])
def test_a_manifest_that_is_cut_is_none(cut: int) -> None:
    with pytest.raises(CopiesError):
        manifests.read(manifests.write(HELD)[:cut], Area.STATE)


NUMBER_ROW = list(copy_of(NUMBER, b"2\n", 0o640))


@pytest.mark.parametrize(
    "words",
    [
        {"v": 2}, {"area": "vault"}, {"from": 3}, {"from": 0}, {"to": "3"}, {"to": 2_000_000}, {"release": 3}, {"files": []},
        {"files": None},
        {"files": [["a", "", 0, 416]]},  # without the number
        {"files": [["floor/time", "", 0, 416], NUMBER_ROW]},
        {"files": [["../etc/shadow", "", 0, 416], NUMBER_ROW]},
        {"files": [["a", "", 0, 416], ["a", "", 0, 416], NUMBER_ROW]},
        {"files": [["a", "ab", 0, 416], NUMBER_ROW]}, {"files": [["a", "", -1, 416], NUMBER_ROW]},
        {"files": [["a", "", 0, 0o4755], NUMBER_ROW]},
        {"files": [["a", "", 0], NUMBER_ROW]}, {"files": [[1, "", 0, 416], NUMBER_ROW]},
        {"files": [[f"f{n}", "", 0, 416] for n in range(MAX_FILES + 1)] + [NUMBER_ROW]},
        {"files": [["a", "0" * 64, MAX_BYTES, 416], ["b", "0" * 64, MAX_BYTES, 416], NUMBER_ROW]},
        {"from": 1},  # the number that was there says 2
        {"files": [[NUMBER, "", 0, 416]]},  # no number was there, and it began at 2
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_that_cannot_have_been_written_is_none(words: dict[str, object]) -> None:
    assert manifests.read(signed(table()), Area.STATE) == HELD
    with pytest.raises(CopiesError):
        manifests.read(signed(table(**words)), Area.STATE)


def test_a_manifest_nested_beyond_all_measure_is_none() -> None:
    body = b"[" * 100_000
    with pytest.raises(CopiesError):
        manifests.read(sha256(body).hexdigest().encode() + b"\n" + body, Area.STATE)


@pytest.mark.parametrize("data", [b"", b"0\n", b"-1\n", b"two\n", b"1 2\n", b"1000001\n", "²\n".encode(), b"1\n\n"])
def test_a_number_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(CopiesError):
        manifests.parse_number(data)


def test_a_number_is_read_as_it_is_written() -> None:
    assert manifests.parse_number(manifests.number_text(17)) == 17
    assert Copy("a").was_there is False
