"""`wardtool release sign|show|verify`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID

from wardkeys.client import KeyClient
from wardkeys.errors import KeyServiceError
from wardtools.release import bundle

if TYPE_CHECKING:
    from wardtools.release.cms import Sign

KEYS: Final = "/run/wardkeys/keys.sock"


def main(arguments: list[str]) -> int:
    """Run. Exit status: 0 done, 1 refused or not what was signed, 2 usage, 3 a file, 4 the token."""
    options = _parser().parse_args(arguments)
    try:
        return int({"sign": _sign, "show": _show, "verify": _verify}[options.command](options))
    except bundle.BundleError as error:
        sys.stderr.write(f"wardtool release {options.command}: {error}\n")
        return 1
    except KeyServiceError as error:
        sys.stderr.write(f"wardtool release {options.command}: {error.code} {error.detail} -> {error.code.value.action}\n")
        return 4
    except (OSError, ValueError) as error:
        sys.stderr.write(f"wardtool release {options.command}: {error}\n")
        return 3


def _sign(options: argparse.Namespace) -> int:
    certificates = x509.load_pem_x509_certificates(options.certificate.read_bytes())
    _must_sign_code(certificates[0])
    sign = _file_signer(options.unsafe_key_file) if options.unsafe_key_file else _token_signer(options.keys, options.key)
    bundle.make(options.folder, options.out, options.compatible, options.version, certificates, sign)
    return 0


def _token_signer(socket: str, uri: str) -> Sign:
    client = KeyClient(socket)
    return lambda scheme, digest: client.sign(uri, scheme, digest)


def _file_signer(path: Path) -> Sign:
    key = load_pem_private_key(path.read_bytes(), None)

    def sign(scheme: str, digest: bytes) -> bytes:
        del scheme
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        assert isinstance(key, rsa.RSAPrivateKey)
        return key.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))

    return sign


def _must_sign_code(certificate: x509.Certificate) -> None:
    """The box asks for the purpose (system.conf: check-purpose=codesign); better to fail here. Raises `ValueError`."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        usage = x509.ExtendedKeyUsage([])
    if ExtendedKeyUsageOID.CODE_SIGNING not in usage:
        raise ValueError("the certificate is not for signing code (extendedKeyUsage codeSigning)")


def _show(options: argparse.Namespace) -> int:
    parts = bundle.read(options.bundle)
    text, _ = _opened(parts.cms, ["-noverify"])
    for certificate in load_der_pkcs7_certificates(parts.cms):
        sys.stdout.write(f"certificate: {certificate.subject.rfc4514_string()}\n")
    sys.stdout.write("not checked against an anchor: wardtool release verify does\n" + text.decode("utf-8", "replace"))
    return 0


def _verify(options: argparse.Namespace) -> int:
    parts = bundle.read(options.bundle)
    text, signers = _opened(parts.cms, ["-CAfile", str(options.anchors), "-no-CApath", "-purpose", "any"])
    told = bundle.manifest(text)
    bundle.check_payload(options.bundle, parts, told)
    for certificate in signers:
        try:
            _must_sign_code(certificate)
        except ValueError as error:
            raise bundle.BundleError(f"{certificate.subject.rfc4514_string()} signed it: {error}") from error
    sys.stdout.write(f"{told['update']['compatible']} {told['update']['version']}: signature and payload are good\n")
    return 0


def _opened(cms: bytes, words: list[str]) -> tuple[bytes, list[x509.Certificate]]:
    """Return the content of a CMS as OpenSSL, which did not make it, finds it good, and who signed it: their certificates may lie anywhere
    among those beside it. Raises `BundleError`."""
    with tempfile.TemporaryDirectory() as work:
        out, signers = Path(work, "content"), Path(work, "signers.pem")
        argv = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-out", str(out), "-signer", str(signers), *words]
        done = subprocess.run(argv, input=cms, capture_output=True, check=False)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise bundle.BundleError(f"the signature is not good: {said[-1][-160:] if said else 'openssl says nothing'}")
        return out.read_bytes(), x509.load_pem_x509_certificates(signers.read_bytes())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wardtool release", description="Bundles for updates of the box.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("sign", help="make a bundle of the images in a folder, signed by a key in a token")
    command.add_argument(
        "folder", type=Path, metavar="FOLDER", help="with boot.vfat and root.img, as the image build leaves them in bundle/"
    )
    command.add_argument("out", type=Path, metavar="OUT", help="the bundle, .raucb")
    command.add_argument("--compatible", required=True, metavar="WORD", help="for which board: wardgate-qemu-x86_64")
    command.add_argument("--version", required=True, metavar="N.N.N", help="the version in the images")
    command.add_argument("--certificate", type=Path, required=True, metavar="FILE", help="the signer's, then what leads to the anchor; PEM")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--key", metavar="URI", help="the key in a token: pkcs11:token=...;object=...")
    which.add_argument("--unsafe-key-file", type=Path, metavar="FILE", help="a key in a file, for development; PEM")
    command.add_argument("--keys", default=KEYS, metavar="SOCKET", help=f"the key service (default {KEYS})")
    command = commands.add_parser("show", help="what a bundle says of itself, without an anchor")
    command.add_argument("bundle", type=Path, metavar="BUNDLE")
    command = commands.add_parser("verify", help="signature up to an anchor, and every block of the payload")
    command.add_argument("bundle", type=Path, metavar="BUNDLE")
    command.add_argument("--anchors", type=Path, required=True, metavar="FILE", help="the release CA, PEM")
    return parser
