"""`IMAGE=FOLDER`: what is not an image is named before anything is unpacked."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import givenimage, imagekit


def test_without_the_word_the_debian_image_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGE", raising=False)
    assert givenimage.given() is None
    monkeypatch.setenv("IMAGE", "")  # as make passes it on
    assert givenimage.given() is None


def test_a_folder_that_is_no_image_is_refused_with_what_is_missing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("IMAGE", str(folder))
    for name in (*givenimage.PARTS, "root.image"):
        with pytest.raises(AssertionError, match=name.replace(".", r"\.")):
            givenimage.given()
        (folder / name).write_bytes(b"")
    assert givenimage.given() == folder


@pytest.mark.parametrize("magic, erofs", [(bytes.fromhex("e2e1f5e0"), True), (b"hsqs", False)])
def test_the_kind_of_a_root_is_seen_by_its_magic(folder: Path, magic: bytes, erofs: bool) -> None:
    (folder / "root.image").write_bytes(bytes(1024) + magic)
    assert givenimage.is_erofs(folder / "root.image") is erofs


@pytest.mark.parametrize("kind", ["", "given-", "kernel-", "qemu_aarch64-"])
def test_a_bundle_is_called_by_its_version_on_a_stick_whatever_image_it_is_of(kind: str) -> None:
    folder = Path(f"{kind}v2.0.0-b9df1c239a046d9a")
    assert imagekit.name_on_stick(folder / "update.raucb") == "v2.0.0.raucb"
    assert imagekit.name_on_stick(Path("bundles/older.raucb")) == "older.raucb"
