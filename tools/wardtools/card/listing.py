"""`list`: the readers, and what the cards in them have. Needs no PIN and shows no secret."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from wardgate.codes import Code
from wardkeys.card.channel import Channel
from wardkeys.card.errors import CardError
from wardkeys.card.iscl import IsclCard
from wardkeys.card.piv import Piv, Slot
from wardkeys.card.publickey import algorithm_of
from wardkeys.pcsc import Pcsc, Reader
from wardtools.card.work import ALGORITHMS, Work


def show(options: argparse.Namespace) -> int:
    """Print every reader; return 1 where a card could not be read."""
    status = 0
    with Pcsc() as pcsc:
        readers = [reader for reader in pcsc.look() if options.reader in reader.name]
        if not readers:
            raise CardError(Code.CARD_NO_READER, options.reader)
        for reader in readers:
            print(f"{reader.name}: {'card, ATR ' + reader.atr.hex() if reader.present else 'empty'}")
            if reader.present:
                try:
                    _card(pcsc, reader)
                except CardError as error:
                    print(f"  {error}")
                    status = 1
    return status


def _card(pcsc: Pcsc, reader: Reader) -> None:
    with pcsc.connect(reader.name) as connection, connection.transaction():
        channel = Channel(connection.transmit)
        piv = Piv(channel)
        piv.select()
        work = Work(reader.name, channel, piv)
        left = piv.tries()
        tries = {None: "verified", 0: "BLOCKED"}.get(left, f"{left} tries left")
        print(f"  PIV   serial {work.name()}, PIN {tries}")
        for slot in Slot:
            _slot(work, slot)
        try:
            iscl = IsclCard(channel)
            iscl.select()
        except CardError as error:
            if error.code is not Code.CARD_NO_APPLICATION:
                raise
            print("  ISCL  none")
            return
        print(f"  ISCL  {iscl.label}")
        for row in iscl.loaded():
            state = "" if not row.limit else f", {row.tries} of {row.limit} tries left" if row.tries else ", BLOCKED"
            print(f"    {row.purpose.name.lower().replace('_', '-'):10} {row.slot}  {row.kind.name.lower()}{state}")
        piv.select()


def _slot(work: Work, slot: Slot) -> None:
    try:
        held = work.certificate(slot)
    except CardError as error:
        print(f"    {slot:02x}  {error}")
        return
    if held is None:
        print(f"    {slot:02x}  {'empty' if work.surely_empty(slot) else 'a key without certificate'}")
        return
    try:
        algorithm = algorithm_of(held.public_key())
        kind = next(name for name, value in ALGORITHMS.items() if value is algorithm)
    except CardError:
        kind = "unknown kind of key"
    days = (held.not_valid_after_utc - datetime.now(UTC)).days
    left = "EXPIRED" if days < 0 else f"{days} days left"
    issuer = "signed by itself" if held.issuer == held.subject else f"issued by {held.issuer.rfc4514_string()}"
    print(f"    {slot:02x}  {kind:8} {held.subject.rfc4514_string()}, {issuer}, {left}")
