"""`init` and `set-pin`: a card with our own PIN, PUK and management key; a forgotten PIN set again."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Final

from wardgate.codes import Code
from wardkeys.card.errors import CardError
from wardkeys.card.management import FACTORY, ManagementKey
from wardkeys.card.piv import PIN, PUK, Slot
from wardtools.card import desk
from wardtools.card.work import Work

FACTORY_PIN: Final = b"123456"
FACTORY_PUK: Final = b"12345678"
_AES_128: Final = 0x08
_WRONG: Final = b"99999999"
_MOST_TRIES: Final = 256


def init(work: Work, options: argparse.Namespace) -> int:
    """Wipe the card where it can be, then give it PIN, PUK and a management key of its own.

    The management key is in its file, durably, before the card has it: a card that loses its power in between is never locked out.
    """
    held = [f"{slot:02x}{_name(work, slot)}" for slot in Slot if not work.surely_empty(slot)]
    what = f"All keys and certificates on the card in {work.reader} will be destroyed." + (f" It has: {', '.join(held)}." if held else "")
    name = work.name()
    with work.aside():
        desk.confirm(what, name, yes=options.yes)
        if options.management_key_out is not None and options.management_key_out.exists():
            raise FileExistsError(f"{options.management_key_out} is there already")
        pin = desk.secret("new PIN", options.new_pin_file, new=True)
        puk = desk.secret("new PUK", options.new_puk_file, new=True)
        _judge(pin, puk)
    key = ManagementKey(_AES_128, os.urandom(16))
    wiped = _wipe(work)
    if held and not wiped and not options.keep_keys:
        raise CardError(Code.CARD_CANNOT, "this card has no command to wipe it; --keep-keys sets PIN, PUK and management key all the same")
    old = FACTORY if wiped else desk.stored_key(options.management_key)
    work.piv.authenticate(old)
    work.piv.change(PIN, FACTORY_PIN, pin)
    work.piv.change(PUK, FACTORY_PUK, puk)
    if options.management_key_out is not None:
        desk.store_key(options.management_key_out, key)
        work.piv.authenticate(old)
        work.piv.set_management_key(key)
        work.piv.authenticate(key)
        print(f"management key: {options.management_key_out}; without it the card can only be wiped")
    else:
        print("management key: the factory's, which everybody knows (--management-key-out FILE makes another)")
    print(f"card {work.name()}: wiped, PIN and PUK set" if wiped else f"card {work.name()}: PIN and PUK set")
    return 0


def set_pin(work: Work, options: argparse.Namespace) -> int:
    """Change the PIN, change the PUK, or set a new PIN by the PUK."""
    if options.puk:
        with work.aside():
            old, new = desk.secret("PUK", options.puk_file), desk.secret("new PUK", options.new_puk_file, new=True)
        _judge(FACTORY_PIN + b"0", new)
        work.piv.change(PUK, old, new)
        print("PUK changed")
        return 0
    if options.unblock:
        with work.aside():
            puk, new = desk.secret("PUK", options.puk_file), desk.secret("new PIN", options.new_pin_file, new=True)
        _judge(new, puk)
        work.piv.unblock(puk, new)
        print("PIN set, all its tries are back")
        return 0
    left = work.piv.tries()
    if left is not None:
        sys.stderr.write(f"{left} tries left\n")
    with work.aside():
        old, new = desk.secret("PIN", options.pin_file), desk.secret("new PIN", options.new_pin_file, new=True)
    _judge(new, FACTORY_PUK + b"0")
    work.piv.change(PIN, old, new)
    print("PIN changed")
    return 0


def _judge(pin: bytes, puk: bytes) -> None:
    """Refuse what the card would refuse, and what is no secret, before the card is touched."""
    if not 6 <= len(pin) <= 8 or not pin.isdigit():
        raise CardError(Code.CARD_INPUT, "a PIN has 6 to 8 digits")
    if not 6 <= len(puk) <= 9 or not puk.isascii():
        raise CardError(Code.CARD_INPUT, "a PUK has 6 to 8 characters")
    if pin == FACTORY_PIN or puk == FACTORY_PUK:
        raise CardError(Code.CARD_INPUT, "this is the factory's value, which everybody knows")
    if len(set(pin)) == 1:
        raise CardError(Code.CARD_INPUT, "a PIN of one digit only")


def _wipe(work: Work) -> bool:
    """Wipe the card, and tell whether it knows the command for it: one that does refuses while PIN and PUK still have tries."""
    status = work.channel.exchange(0xFB, 0x00, 0x00, le=None)[1]
    if status == 0x9000:
        return True  # both were blocked: an init that was cut off
    if status not in (0x6985, 0x6982, 0x6983):
        return False
    _use_up(lambda: work.piv.verify(_WRONG))
    _use_up(lambda: work.piv.unblock(_WRONG, _WRONG))
    work.piv.reset()
    return True


def _use_up(attempt: Callable[[], None]) -> None:
    """Repeat a wrong PIN or PUK until it is blocked."""
    for _ in range(_MOST_TRIES):
        try:
            attempt()
        except CardError as error:
            if error.code is Code.CARD_BLOCKED:
                return
            if error.code is not Code.CARD_PIN_WRONG:
                raise


def _name(work: Work, slot: Slot) -> str:
    held = work.certificate(slot)
    return f" ({held.subject.rfc4514_string()})" if held else ""
