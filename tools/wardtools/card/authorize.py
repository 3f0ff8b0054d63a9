"""`wardtool card authorize`: the card signs a statement of `wardgate custody authorize`, after the person has read it."""

from __future__ import annotations

import argparse
import base64
import json
import sys

from cryptography.hazmat.primitives import serialization

from wardgate.codes import Code
from wardgate.hold.statement import FIRST_LINE, MAX_BYTES
from wardkeys.card.errors import CardError
from wardkeys.card.publickey import algorithm_of, to_sign
from wardtools.card import desk
from wardtools.card.work import SLOTS, Work


def authorize(work: Work, options: argparse.Namespace) -> int:
    """Show the statement, ask for the PIN, sign. The signature is with the certificate that the slot has."""
    slot = SLOTS[options.slot]
    held = work.certificate(slot)
    if held is None:
        raise CardError(Code.CARD_EMPTY, f"slot {options.slot} has no certificate")
    text = desk.read(options.statement, MAX_BYTES).decode("ascii")
    # A control character could have the terminal show the person something else than what is signed.
    if not text.startswith(FIRST_LINE + "\n") or not all(line.isprintable() for line in text.split("\n")):
        raise ValueError(f"{options.statement}: not a statement of wardgate custody authorize")
    with work.aside():
        sys.stderr.write(f"{text}to be signed as {held.subject.rfc4514_string()}\n")
        desk.confirm("The instances above are certified for diagnostic use.", "authorize", yes=options.yes)
        pin = desk.secret("PIN", options.pin_file)
    work.piv.verify(pin)
    algorithm = algorithm_of(held.public_key())
    signature = work.piv.sign(slot, algorithm, to_sign(algorithm, text.encode("ascii")))
    der = held.public_bytes(serialization.Encoding.DER)
    signed = {"statement": text, "certificate": base64.b64encode(der).decode(), "signature": base64.b64encode(signature).decode()}
    desk.store(options.out, json.dumps(signed, indent=1).encode("ascii"), 0o600)
    print(f"{options.out}: signed; give it back with wardgate custody authorize --signed")
    return 0
