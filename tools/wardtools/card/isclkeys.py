"""`iscl-key`: loads, removes and frees the long-term keys of the ISCL application."""

from __future__ import annotations

import argparse
from typing import Final

from wardgate.codes import Code
from wardkeys.card.errors import CardError
from wardkeys.card.iscl import KEY_BYTES, Kind, Purpose
from wardtools.card import desk
from wardtools.card.work import Work

PURPOSES: Final = {"to-client": Purpose.TO_CLIENT, "to-server": Purpose.TO_SERVER, "encryption": Purpose.ENCRYPTION}
KINDS: Final = {"des": Kind.DES, "3des": Kind.DES3, "aes128": Kind.AES128, "aes256": Kind.AES256}


def iscl_key(work: Work, options: argparse.Namespace) -> int:
    """Change one ISCL key of the card."""
    purpose, slot = PURPOSES[options.purpose], options.slot
    value = _key(options) if options.key_file is not None else b""
    card = work.iscl()
    held = [row for row in card.loaded() if (row.purpose, row.slot) == (purpose, slot)]
    if held and not options.unblock:
        what = f"{options.purpose} slot {slot} of the card {card.serial.hex()} has a key. It will be destroyed."
        with work.aside():
            desk.confirm(what, card.serial.hex(), yes=options.yes)
        card = work.iscl()
    card.authenticate(desk.stored_key(options.management_key))
    if options.delete:
        card.delete_key(purpose, slot)
        print(f"{options.purpose} {slot}: removed")
    elif options.unblock:
        card.reset_key(purpose, slot)
        print(f"{options.purpose} {slot}: all tries are back")
    else:
        unsafe = bool(options.unsafe_allow_same_key)
        check = card.put_key(purpose, slot, KINDS[options.kind], value, tries=options.tries, unsafe_same_pair=unsafe)
        print(f"{options.purpose} {slot}: {options.kind} loaded, check value {check.hex()}")
    return 0


def _key(options: argparse.Namespace) -> bytes:
    text = desk.read(options.key_file, 256).decode("ascii", "replace")
    try:
        value = bytes.fromhex(text.strip())
    except ValueError:
        value = b""
    size = KEY_BYTES[KINDS[options.kind]]
    if len(value) != size:
        raise CardError(Code.CARD_INPUT, f"{options.key_file}: {options.kind} has {size} bytes, in hexadecimal")
    return value
