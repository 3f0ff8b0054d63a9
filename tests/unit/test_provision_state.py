"""The signed state: what is as it was signed is taken, everything else is refused with its own code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from wardgate.codes import Code
from wardgate.main import main as wardgate
from wardgate.provision import floor
from wardgate.provision.manifest import Content, Manifest, ManifestError, decode, encode
from wardgate.provision.standing import Places, Standing, look, say
from wardgate.provision.state import StateRefused, read_anchors, verify
from wardtools.main import main as wardtool

NAME = "ward.example.org/state"


class Signed:
    """A state partition with its provisioning key and the anchors of the image."""

    def __init__(self, folder: Path) -> None:
        self.root, self.anchors, self.key = folder / "state", folder / "anchors", folder / "provisioning.pem"
        self.key.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        for name in ("wardgate", "wardkeys", "network", "floor", "kept"):
            (self.root / name).mkdir(parents=True)
        (self.root / "wardgate/wardgate.toml").write_text("[box]\n")
        (self.root / "network/10-modality.network").write_text("[Match]\n")

    def sign(self, *words: str) -> int:
        return wardtool(["state", "sign", str(self.root), "--key", str(self.key), "--name", NAME, *words])

    def verify(self) -> Manifest:
        return verify(self.root, read_anchors(self.anchors), floor.seen_number(self.root))

    def refused(self) -> StateRefused:
        with pytest.raises(StateRefused) as caught:
            self.verify()
        return caught.value


@pytest.fixture
def signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Signed:
    made = Signed(tmp_path)
    assert wardtool(["state", "key", "--key", str(made.key), "--name", NAME]) == 0
    made.anchors.write_text("# who may sign\n" + capsys.readouterr().out)
    assert made.sign() == 0
    return made


def test_what_is_as_it_was_signed_is_taken(signed: Signed) -> None:
    manifest = signed.verify()
    assert manifest.number == 1
    assert set(manifest.files) == {"wardgate/wardgate.toml", "network/10-modality.network"}
    (signed.root / "kept/what-the-box-writes").write_text("x")
    assert signed.verify() == manifest


@pytest.mark.parametrize(
    "path, word", [("wardgate/wardgate.toml", "changed"), ("network/10-modality.network", "missing"), ("wardkeys/keys.toml", "added")]
)
def test_a_file_that_is_not_the_signed_one_is_named(signed: Signed, path: str, word: str) -> None:
    place = signed.root / path
    place.unlink() if word == "missing" else place.write_text("[BOX]\n")
    refused = signed.refused()
    assert (refused.code, refused.detail) == (Code.STATE_CHANGED, f"{path} {word}")


def test_a_state_without_manifest_is_refused(signed: Signed) -> None:
    (signed.root / "manifest").unlink()
    assert signed.refused().code is Code.STATE_NOT_SIGNED


def test_every_bit_of_the_manifest_counts(signed: Signed) -> None:
    path = signed.root / "manifest"
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes((good[place] ^ 1,)) + good[place + 1 :])
        assert signed.refused().code is Code.STATE_SIGNATURE_WRONG, place


def test_a_key_that_the_image_does_not_know_signs_nothing(signed: Signed, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    signed.key = Signed(tmp_path / "other").key
    (signed.root / "manifest").unlink()
    assert signed.sign() == 0
    assert signed.refused().code is Code.STATE_SIGNATURE_WRONG


def test_an_older_state_is_refused_once_a_newer_was_seen(signed: Signed) -> None:
    old = (signed.root / "manifest").read_bytes()
    assert signed.sign() == 0
    manifest = signed.verify()
    assert manifest.number == 2
    floor.keep_signed(signed.root, manifest.signed, manifest.number)
    (signed.root / "manifest").write_bytes(old)
    assert signed.refused().code is Code.STATE_ROLLED_BACK


@pytest.mark.parametrize("kind", ["link", "fifo", "blank in the name", "too big"])
def test_what_is_no_plain_small_file_is_refused(signed: Signed, kind: str) -> None:
    place = signed.root / "wardgate" / ("a b" if kind.startswith("blank") else "thing")
    if kind == "link":
        place.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "too big":
        with place.open("wb") as file:
            file.truncate((4 << 20) + 1)
    else:
        place.write_text("x")
    assert signed.refused().code is Code.STATE_UNREADABLE
    assert signed.sign() == 1


@pytest.mark.parametrize("name", ["wardgate", "network"])
def test_a_signed_folder_that_is_elsewhere_is_refused_whatever_is_in_it_now(signed: Signed, name: str) -> None:
    """What a link leads to may be written by an account of the box after it was looked at."""
    (signed.root / name).rename(signed.root / "kept" / name)
    (signed.root / name).symlink_to(f"kept/{name}")
    assert signed.refused().code is Code.STATE_UNREADABLE


def test_anchors_that_cannot_be_read_are_not_none(tmp_path: Path) -> None:
    assert read_anchors(tmp_path / "absent") == []
    for text in ("", "# nobody\n", "not a vkey\n"):
        (tmp_path / "anchors").write_text(text)
        with pytest.raises(StateRefused):
            read_anchors(tmp_path / "anchors")


_FILES = st.dictionaries(
    st.from_regex(r"(wardgate|network)/[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True),
    st.builds(Content, st.from_regex(r"[0-9a-f]{64}", fullmatch=True), st.integers(0, 1 << 22)),
    max_size=8,
)


@given(st.builds(Manifest, st.integers(0, 10**12), st.integers(0, 2**32), _FILES))
def test_what_a_manifest_says_is_what_was_written(manifest: Manifest) -> None:
    assert decode(encode(manifest)) == manifest


@given(st.text(max_size=400))
def test_no_other_text_is_a_manifest(text: str) -> None:
    for candidate in (text, "wardgate-state/1\nnumber 1\nsigned 2026-01-01T00:00:00Z\n" + text):
        try:
            manifest = decode(candidate)
        except ManifestError:
            continue
        assert encode(manifest) == candidate


@pytest.mark.parametrize(
    "signed", ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "0000-01-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z"]
)
def test_a_time_that_there_is_not_is_refused(signed: str) -> None:
    good = encode(Manifest(1, 0, {}))
    assert decode(good.replace("1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z")).signed == 1709251199
    with pytest.raises(ManifestError):
        decode(good.replace("1970-01-01T00:00:00Z", signed))


@pytest.mark.parametrize("path", ["../etc/passwd", "/etc/passwd", "wardgate/.hidden", "a//b", "", "a b", "x" * 201])
def test_a_path_that_leads_elsewhere_cannot_be_signed(path: str) -> None:
    with pytest.raises(ManifestError):
        encode(Manifest(1, 0, {path: Content("0" * 64, 0)}))


# The floor


def test_the_newest_of_build_signature_and_clock_is_the_floor(signed: Signed, tmp_path: Path) -> None:
    built = tmp_path / "built"
    assert floor.read_floor(signed.root, built) == floor.Floor()
    built.write_text("1000\n")
    assert floor.read_floor(signed.root, built) == floor.Floor(1000, floor.Source.BUILT)
    floor.keep_signed(signed.root, 2000, 7)
    assert floor.read_floor(signed.root, built) == floor.Floor(2000, floor.Source.SIGNED)
    assert floor.raise_floor(signed.root, 9000.5, True)
    assert floor.read_floor(signed.root, built) == floor.Floor(9000, floor.Source.CLOCK)


def test_the_floor_is_never_lowered_and_rises_by_a_synchronised_clock_alone(signed: Signed) -> None:
    assert not floor.raise_floor(signed.root, 1e9, False)
    assert floor.raise_floor(signed.root, 1e9, True)
    for clock in (5e8, 1e9 + 10):
        assert not floor.raise_floor(signed.root, clock, True)
    floor.keep_signed(signed.root, 2000, 7)
    floor.keep_signed(signed.root, 1000, 3)
    assert floor.seen_number(signed.root) == 7
    assert floor.read_floor(signed.root, "/nowhere").seconds == 1_000_000_000


@pytest.mark.parametrize("damage", ["", "-5", "1e9", "99999999999", "12 x", "\0" * 8])
def test_a_damaged_floor_counts_for_nothing(signed: Signed, damage: str) -> None:
    (signed.root / "floor/time").write_text(damage)
    assert floor.read_floor(signed.root, "/nowhere") == floor.Floor()


def test_a_box_without_a_state_partition_has_no_floor_and_writes_none(tmp_path: Path) -> None:
    assert not floor.raise_floor(tmp_path / "absent", 1e9, True)
    assert not (tmp_path / "absent").exists()


def test_certificates_are_judged_by_the_later_of_clock_and_floor() -> None:
    assert floor.Floor(1000).time(500.0) == 1000.0 and floor.Floor(1000).is_above(999.0)
    assert floor.Floor(1000).time(1500.0) == 1500.0 and not floor.Floor(1000).is_above(1000.0)


# The command and the named states


def test_the_unit_takes_a_good_state_and_remembers_its_number(signed: Signed, capsys: pytest.CaptureFixture[str]) -> None:
    assert wardgate(["state", "verify", "--state", str(signed.root), "--anchors", str(signed.anchors)]) == 0
    assert "WG936" in capsys.readouterr().err
    assert floor.seen_number(signed.root) == 1
    assert len(list((signed.root / "kept").glob("*.json"))) == 1  # the log will hear that the policy is another one
    assert wardgate(["state", "verify", "--state", str(signed.root), "--anchors", str(signed.anchors)]) == 0
    assert len(list((signed.root / "kept").glob("*.json"))) == 1


def test_the_unit_refuses_a_changed_state_and_keeps_that_for_the_log(signed: Signed, capsys: pytest.CaptureFixture[str]) -> None:
    (signed.root / "wardgate/wardgate.toml").write_text("[BOX]\n")
    assert wardgate(["state", "verify", "--state", str(signed.root), "--anchors", str(signed.anchors)]) == 1
    assert "WG933" in capsys.readouterr().err
    (kept,) = (signed.root / "kept").glob("*.json")
    assert "state-refused" in kept.read_text() and "WG933" in kept.read_text()


def test_an_image_without_anchor_says_so_aloud(signed: Signed, capsys: pytest.CaptureFixture[str]) -> None:
    assert wardgate(["state", "verify", "--state", str(signed.root), "--anchors", "/nowhere"]) == 0
    assert "WARN WG935" in capsys.readouterr().err


def _places(signed: Signed, tmp_path: Path) -> Places:
    (tmp_path / "partition").touch()
    (tmp_path / "mounts").write_text(f"/dev/mapper/vault /vault ext4 rw 0 0\n/dev/vda6 {signed.root} ext4 rw 0 0\n")
    names = {name: str(tmp_path / name) for name in ("partition", "mapped", "mounts", "verdicts", "state_partition")}
    (tmp_path / "verdicts").mkdir()
    return Places(vault="/vault", state=str(signed.root), **names)


def test_a_box_that_is_well_is_in_no_named_state(signed: Signed, tmp_path: Path) -> None:
    assert look(_places(signed, tmp_path), 1e9) == []


def test_a_closed_vault_is_named_with_its_reason_and_what_to_do(signed: Signed, tmp_path: Path) -> None:
    places = _places(signed, tmp_path)
    (tmp_path / "mounts").write_text(f"/dev/vda6 {signed.root} ext4 rw 0 0\n")
    say("vault", False, "no TPM", places.verdicts, closed=True)
    (found,) = look(places, 1e9)
    assert found.standing is Standing.VAULT_CLOSED
    assert found.line.startswith("vault-closed: WG945") and "no TPM" in found.line and "-> insert the token" in found.line
    say("vault", False, "another one", places.verdicts, lost=True)
    assert [one.standing for one in look(places, 1e9)] == [Standing.VAULT_LOST]
    say("vault", False, "no room", places.verdicts)
    assert [one.standing for one in look(places, 1e9)] == [Standing.VAULT_NOT_MADE]
    say("vault", False, "vault.toml: unknown word x", places.verdicts, policy=True)
    (found,) = look(places, 1e9)
    assert found.standing is Standing.VAULT_POLICY_WRONG
    assert found.line.startswith("vault-policy-wrong: WG920") and "unknown word x" in found.line


def test_a_refused_state_and_a_clock_below_the_floor_are_named(signed: Signed, tmp_path: Path) -> None:
    places = _places(signed, tmp_path)
    say("state", False, "WG933 changed", places.verdicts)
    floor.keep_signed(signed.root, 2_000_000_000, 1)
    refused, clock = look(places, 1e9)
    assert refused.standing is Standing.STATE_REFUSED and "WG933" in refused.line
    assert clock.standing is Standing.CLOCK_BELOW_FLOOR and "2033-05-18" in clock.line


@pytest.mark.parametrize("there", [(), ("partition",), ("state_partition",), ("partition", "state_partition")])
def test_a_state_partition_that_is_not_mounted_is_named_and_the_vault_that_waits_for_it_is_not(
    signed: Signed, tmp_path: Path, there: tuple[str, ...]
) -> None:
    """A box that was flashed and given no state: not one unit of ours has run, so none has left a verdict."""
    places = _places(signed, tmp_path)
    (tmp_path / "mounts").write_text("proc /proc proc rw 0 0\n")
    (tmp_path / "partition").unlink()
    for name in there:
        (tmp_path / name).touch()
    if not there:
        assert look(places, 1e9) == [], "no image"
        return
    (found,) = look(places, 1e9)
    assert found.standing is Standing.STATE_MISSING and found.line.startswith("state-missing: WG928")
    assert ("no partition" in found.why) is ("state_partition" not in there)
    assert "docs/first-boot.md" in found.line


def test_the_status_names_it_although_there_is_no_policy_to_be_read(
    signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = _places(signed, tmp_path)
    (tmp_path / "mounts").write_text("proc /proc proc rw 0 0\n")
    monkeypatch.setattr(Places.__new__, "__defaults__", tuple(places))
    assert wardgate(["status", "-c", str(tmp_path / "absent.toml")]) == 1
    assert "STATE state-missing: WG928" in capsys.readouterr().out


def test_a_machine_that_is_no_image_has_no_named_state(tmp_path: Path) -> None:
    absent = {name: str(tmp_path / name) for name in Places._fields}
    assert look(Places(**absent), 0.0) == []
