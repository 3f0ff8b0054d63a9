"""`wardtool state sign|verify|key`: the state partition of a box, signed at a workstation by a key in a file or in a card.

wardtool state key --key provisioning.pem --name ward.example.org/state >>state-anchors     into the image
wardtool state sign FOLDER --key provisioning.pem --name ward.example.org/state             before it goes to the box
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from wardgate.custody.files import sync_directory, write_durably
from wardgate.custody.logkey import LogSigner, SignerAway, signer_for
from wardgate.custody.note import MAX_NOTE, NoteError, VerifierKey, add_signature, key_from_spki
from wardgate.provision.manifest import Manifest, ManifestError, encode
from wardgate.provision.state import MANIFEST, STATE, StateRefused, collect, read_anchors, read_manifest, verify
from wardgate.signer import Scheme


def main(arguments: Sequence[str]) -> int:
    """Run one; return its exit status: 0 good, 1 refused, 2 wrongly called."""
    parser = argparse.ArgumentParser(prog="wardtool state", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    key = commands.add_parser("key", help="print the vkey that goes into the image")
    sign = commands.add_parser("sign", help="write FOLDER/manifest over wardgate, wardkeys and network below FOLDER")
    sign.add_argument("folder", help="what will lie on the state partition")
    sign.add_argument("--number", type=int, help="rises with every signature; default: one more than the manifest that is there")
    for each in (key, sign):
        each.add_argument(
            "--key", required=True, help="Ed25519 file (PKCS#8 PEM), or the PKCS#11 URI of an Ed25519 or P-256 key in a token"
        )
        each.add_argument("--name", required=True, help="name of the key, such as ward.example.org/state")
        each.add_argument("--keys-socket", default="/run/wardkeys/keys.sock", help="of the key service, for a URI")
    check = commands.add_parser("verify", help="as the box does at its start")
    check.add_argument("folder", nargs="?", default=STATE)
    check.add_argument("--anchors", required=True)
    try:
        options = parser.parse_args(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    try:
        if options.command == "verify":
            manifest = verify(options.folder, read_anchors(options.anchors))
            sys.stdout.write(f"number {manifest.number}: {len(manifest.files)} files as signed\n")
            return 0
        signer = signer_for(options.key, options.keys_socket)
        verifier = key_from_spki(options.name, signer.public_key())
        if options.command == "key":
            sys.stdout.write(f"{verifier.text}\n")
            return 0
        return _sign(options.folder, options.number, signer, verifier)
    except (StateRefused, ManifestError, NoteError, SignerAway, ValueError, OSError) as error:
        sys.stderr.write(f"wardtool state: {error}\n")
        return 1


def _sign(folder: str, number: int | None, signer: LogSigner, verifier: VerifierKey) -> int:
    path = os.path.join(folder, MANIFEST)
    if number is None:
        number = read_manifest(folder, [verifier]).number + 1 if os.path.exists(path) else 1
    manifest = Manifest(number, int(time.time()), collect(folder))
    text = encode(manifest)
    note = add_signature(text, verifier, signer.sign(text.encode(), Scheme(verifier.kind.scheme))).encode()
    if len(note) > MAX_NOTE:
        raise ManifestError(f"a manifest of {len(note)} bytes, at most {MAX_NOTE}")
    write_durably(path, note)
    os.chmod(path, 0o644)
    sync_directory(folder)
    sys.stdout.write(f"{path}: number {number}, {len(manifest.files)} files, signed by {verifier.name}\n")
    return 0
