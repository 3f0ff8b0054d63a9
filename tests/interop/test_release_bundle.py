"""Bundles of `wardtool release`, judged by others: RAUC, OpenSSL's CMS, veritysetup; the key in a file or a SoftHSM token."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from support.imagekit import COMPATIBLE, Authority, authority
from support.keyservice import KeyService
from support.softhsm import SoftHsm
from wardtools.release import bundle
from wardtools.release.cli import main
from wardtools.release.verity import BLOCK, blocks_of, tree_of

KEPT = Path(__file__).parents[1] / "image" / "bundles"


def images(folder: Path) -> Path:
    """Return a folder with two small images."""
    made = folder / "images"
    made.mkdir()
    (made / "boot.vfat").write_bytes(b"\x11" * 70_000)
    (made / "root.img").write_bytes(bytes(range(256)) * 4096)
    return made


def sign(folder: Path, who: Authority, *key: str, version: str = "1.2.3") -> Path:
    if shutil.which("mksquashfs") is None:
        pytest.skip("mksquashfs is not installed (apt-get install squashfs-tools)")
    out = folder / "update.raucb"
    words = ["sign", str(folder / "images"), str(out), "--compatible", COMPATIBLE, "--version", version]
    assert main([*words, "--certificate", str(who.certificate), *key]) == 0
    return out


def rauc(path: Path, anchor: Path) -> subprocess.CompletedProcess[str]:
    """Have RAUC judge a bundle as the box does."""
    if shutil.which("rauc") is None:
        pytest.skip("rauc is not installed (apt-get install rauc)")
    conf = path.with_suffix(".conf")
    conf.write_text(f"[system]\ncompatible={COMPATIBLE}\nbootloader=noop\n[keyring]\npath={anchor}\ncheck-purpose=codesign\n")
    words = ["rauc", "--conf", str(conf), "info", str(path)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def made(folder: Path) -> tuple[Path, Authority]:
    """A bundle signed by a key in a file, and who signed it."""
    images(folder)
    who = authority(folder / "ca")
    return sign(folder, who, "--unsafe-key-file", str(who.key)), who


def test_rauc_takes_what_we_make_and_reads_the_same_from_it(made: tuple[Path, Authority]) -> None:
    path, who = made
    done = rauc(path, who.anchor)
    assert done.returncode == 0, done.stderr
    assert COMPATIBLE in done.stdout and "1.2.3" in done.stdout and "boot.vfat" in done.stdout and "root.img" in done.stdout
    assert "verity" in done.stdout


def test_rauc_refuses_the_bundle_of_another_authority(made: tuple[Path, Authority], folder: Path) -> None:
    assert rauc(made[0], authority(folder / "another").anchor).returncode != 0


def test_a_key_in_a_token_signs_what_rauc_takes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hsm = SoftHsm(folder)
    hsm.new_token("release")
    hsm.provision("release", ("signer", "p256"))
    service = KeyService(folder, hsm.env, allow_uids=[0])
    service.add_token("release", hsm.module)
    service.start()
    try:
        service.until_state("release", "present")
        uri = "pkcs11:token=release;object=signer;type=private"
        images(folder)
        who = _issued(folder, service.client.public(uri))
        path = sign(folder, who, "--key", uri, "--keys", str(service.socket))
        assert rauc(path, who.anchor).returncode == 0
        assert main(["verify", str(path), "--anchors", str(who.anchor)]) == 0
        hsm.remove()
        service.until_state("release", "absent")
        words = ["sign", str(folder / "images"), str(folder / "second.raucb"), "--compatible", "x", "--version", "1"]
        capsys.readouterr()
        assert main([*words, "--certificate", str(who.certificate), "--key", uri, "--keys", str(service.socket)]) == 4
        assert "WG7" in capsys.readouterr().err
        assert not (folder / "second.raucb").exists()
    finally:
        service.stop()


def _issued(folder: Path, spki: bytes) -> Authority:
    """Return an authority whose release certificate is for the key `spki`."""
    root = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TEST ONLY token release CA")])
    made = Authority(folder / "token-ca.pem", folder / "token-release.pem", folder / "none")
    now = datetime.now(UTC)

    def issue(subject: x509.Name, public: object, ca: bool) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(public)  # type: ignore[arg-type]
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        if not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        return builder.sign(root, hashes.SHA256())

    made.anchor.write_bytes(issue(name, root.public_key(), True).public_bytes(serialization.Encoding.PEM))
    leaf = issue(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "token")]), serialization.load_der_public_key(spki), False)
    made.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    return made


@pytest.mark.parametrize("size", [2, 127, 128, 129, 128 * 128 + 1])
def test_veritysetup_makes_the_same_tree(folder: Path, size: int) -> None:
    if shutil.which("veritysetup") is None:
        pytest.skip("veritysetup is not installed (apt-get install cryptsetup-bin)")
    data, tree, salt = folder / "data", folder / "tree", bytes(range(32))
    data.write_bytes(b"".join(number.to_bytes(4, "big") * (BLOCK // 4) for number in range(size)))
    words = ["veritysetup", "format", "--no-superblock", "--salt", salt.hex(), str(data), str(tree)]
    said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    root = next(line.split()[-1] for line in said.splitlines() if line.startswith("Root hash"))
    ours = tree_of(blocks_of(data, size * BLOCK), salt)
    assert ours.root.hex() == root and ours.blocks == tree.read_bytes()


@pytest.mark.parametrize("at", [0, 4096, -20, -700])
def test_a_bundle_with_one_bit_changed_is_refused(made: tuple[Path, Authority], at: int) -> None:
    path, who = made
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert main(["verify", str(path), "--anchors", str(who.anchor)]) == 1


@pytest.mark.parametrize("name, wanted", [("older", 0), ("other-board", 0), ("other-ca", 1), ("flipped", 1), ("cut", 1)])
def test_the_kept_bundles_are_what_they_are_called(name: str, wanted: int) -> None:
    assert main(["verify", str(KEPT / f"{name}.raucb"), "--anchors", str(KEPT / "anchor.pem")]) == wanted


def test_show_tells_the_manifest_and_that_nothing_was_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(KEPT / "other-ca.raucb")]) == 0
    said = capsys.readouterr().out
    assert "not checked" in said and f"compatible={COMPATIBLE}" in said and "version=9.9.9" in said


def test_a_certificate_that_is_not_for_code_signs_nothing(made: tuple[Path, Authority], folder: Path) -> None:
    _, who = made
    words = ["sign", str(folder / "images"), str(folder / "x.raucb"), "--compatible", "x", "--version", "1"]
    assert main([*words, "--certificate", str(who.anchor), "--unsafe-key-file", str(who.key)]) == 3
    assert not (folder / "x.raucb").exists()


def test_what_is_no_bundle_is_refused(folder: Path) -> None:
    for content in (b"", bytes(8), b"\xff" * 100, bytes(100) + (1 << 40).to_bytes(8, "big")):
        (folder / "x").write_bytes(content)
        with pytest.raises(bundle.BundleError):
            bundle.read(folder / "x")
