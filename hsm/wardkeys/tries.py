"""How many tries of the PIN are left: what the token's flags tell, and what a card in a PC/SC reader answers."""

from __future__ import annotations

from wardkeys.cryptoki.slots import Token
from wardkeys.state import is_low, tries_left


def tries_of(there: Token, refused: bool) -> int | None:
    """Return the tries left, None where nobody tells. A card is asked (VERIFY without a PIN costs no try) only when a PIN was wrong."""
    told = tries_left(there.flags)
    if told is not None or not (refused or is_low(there.flags)) or not there.reader:
        return told
    return _asked(there.reader)


def _asked(reader: str) -> int | None:
    try:
        from wardkeys.card.channel import Channel
        from wardkeys.card.errors import CardError
        from wardkeys.card.piv import Piv
        from wardkeys.pcsc import Pcsc
    except ImportError:
        return None
    try:
        with Pcsc() as pcsc:
            names = [name for name in pcsc.readers() if name == reader]
            if not names:
                return None
            card = pcsc.connect(names[0])
            try:
                with card.transaction():
                    piv = Piv(Channel(card.transmit))
                    piv.select()
                    return piv.tries()
            finally:
                card.disconnect(reset=False)
    except (CardError, OSError):
        return None
