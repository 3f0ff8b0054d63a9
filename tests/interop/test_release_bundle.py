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
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from support.imagekit import COMPATIBLE, Authority, authority
from support.keyservice import KeyService
from support.softhsm import SoftHsm
from wardtools.release import bundle
from wardtools.release.cli import main
from wardtools.release.cms import signed_data
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


def _chain(folder: Path) -> tuple[Path, dict[str, tuple[x509.Certificate, ec.EllipticCurvePrivateKey]]]:
    """Return an anchor, and by name: a signer of code, one of its anchor's servers, a CA between, and a signer of code below that."""
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "code", "server", "between", "below")}

    def issue(name: str, issuer: str, usage: x509.ObjectIdentifier | None, text: str) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, texts[issuer])]))
            .public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
            .add_extension(x509.BasicConstraints(usage is None, None), critical=True)
        )
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(keys[issuer], hashes.SHA256())

    # In a SET OF (X.690 11.6) the shorter certificate comes first, whoever signed.
    texts = {"root": "TEST ONLY root", "code": "c", "server": "server" * 9, "between": "b", "below": "below" * 9}
    made = {
        "code": issue("code", "root", ExtendedKeyUsageOID.CODE_SIGNING, texts["code"]),
        "server": issue("server", "root", ExtendedKeyUsageOID.SERVER_AUTH, texts["server"]),
        "between": issue("between", "root", None, texts["between"]),
        "below": issue("below", "between", ExtendedKeyUsageOID.CODE_SIGNING, texts["below"]),
    }
    anchor = folder / "anchor.pem"
    anchor.write_bytes(issue("root", "root", None, texts["root"]).public_bytes(serialization.Encoding.PEM))
    return anchor, {name: (certificate, keys[name]) for name, certificate in made.items()}


@pytest.mark.parametrize(("signer", "beside", "wanted"), [("server", "code", 1), ("below", "between", 0)])
def test_it_is_the_signers_certificate_that_must_be_for_code_and_not_the_first_in_the_bundle(
    folder: Path, signer: str, beside: str, wanted: int
) -> None:
    if shutil.which("mksquashfs") is None:
        pytest.skip("mksquashfs is not installed (apt-get install squashfs-tools)")
    anchor, made = _chain(folder)
    certificate, key = made[signer]
    out = folder / "update.raucb"
    bundle.make(
        images(folder), out, COMPATIBLE, "1.2.3", [certificate, made[beside][0]],
        lambda _scheme, digest: key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))),
    )  # fmt: skip
    assert main(["verify", str(out), "--anchors", str(anchor)]) == wanted


@pytest.mark.parametrize(("year", "wanted"), [(2049, b"\x17\x0d490101000000Z"), (2050, b"\x18\x0f20500101000000Z")])
def test_a_signing_time_from_2050_on_has_four_digits_of_the_year(folder: Path, year: int, wanted: bytes) -> None:
    """RFC 5652 11.3: else OpenSSL takes it for 1950."""
    certificate, key = _chain(folder)[1]["code"]
    when = datetime(year, 1, 1, tzinfo=UTC).timestamp()
    cms = signed_data(b"x", [certificate], lambda _scheme, digest: key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))), when)
    assert wanted in cms
    said = subprocess.run(["openssl", "cms", "-cmsout", "-print", "-inform", "DER"], input=cms, capture_output=True, check=True).stdout
    assert f"Jan  1 00:00:00 {year} GMT".encode() in said
