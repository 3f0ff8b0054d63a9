"""The card's management key (reference 9B): external and mutual authentication (SP 800-73-4 Part 2, A.1 and A.2), its change, the reset."""

from __future__ import annotations

import hmac
from typing import Final

from virtualcard import blockcipher, state, tlv
from virtualcard.apdu import Command, Refusal, Status
from virtualcard.blockcipher import Kind
from virtualcard.session import Session

REFERENCE: Final = 0x9B
TEMPLATE: Final = 0x7C
WITNESS, CHALLENGE, RESPONSE = 0x80, 0x81, 0x82

# SP 800-78-4 table 6-2: algorithm identifier -> (cipher, key bytes)
ALGORITHMS: Final = {0x03: (Kind.DES3, 24), 0x08: (Kind.AES128, 16), 0x0A: (Kind.AES128, 24), 0x0C: (Kind.AES256, 32)}


def authenticate(session: Session, command: Command, template: dict[int, bytes]) -> bytes:
    """One step of GENERAL AUTHENTICATE with the management key; the steps of one run follow each other directly."""
    algorithm = session.state.admin_algorithm
    if (command.p1 or state.TRIPLE_DES) != algorithm:
        raise Refusal(Status.WRONG_P1P2)
    kind = ALGORITHMS[algorithm][0]
    size = blockcipher.block_bytes(kind)
    session.admin_verified = False
    if template == {WITNESS: b""}:  # mutual, step 1: the card shows that it has the key by what only the key can open
        return _answer(WITNESS, blockcipher.ecb(kind, session.state.admin, session.draw(size, "admin witness")))
    if template == {CHALLENGE: b""}:  # external, step 1
        return _answer(CHALLENGE, session.draw(size, "admin challenge"))
    if template.keys() - {RESPONSE} == {WITNESS, CHALLENGE} and not template.get(RESPONSE):  # mutual, step 2
        if not hmac.compare_digest(session.take_challenge("admin witness"), template[WITNESS]):
            raise Refusal(Status.NOT_SATISFIED)
        if len(template[CHALLENGE]) != size:
            raise Refusal(Status.WRONG_DATA)
        session.admin_verified = True
        return _answer(RESPONSE, blockcipher.ecb(kind, session.state.admin, template[CHALLENGE]))
    if template.keys() == {RESPONSE}:  # external, step 2
        expected = blockcipher.ecb(kind, session.state.admin, session.take_challenge("admin challenge"))
        if not hmac.compare_digest(expected, template[RESPONSE]):
            raise Refusal(Status.NOT_SATISFIED)
        session.admin_verified = True
        return b""
    raise Refusal(Status.WRONG_DATA)


def set_key(session: Session, command: Command) -> bytes:
    """00 FF FF FF: algorithm, 9B, length, key. Not in SP 800-73; in the form that PIV cards on the market have."""
    session.need_admin()
    data = command.data
    if command.p1p2 != 0xFFFF:
        raise Refusal(Status.WRONG_P1P2)
    if len(data) < 3 or data[1] != REFERENCE or data[0] not in ALGORITHMS or not data[2] == len(data) - 3 == ALGORITHMS[data[0]][1]:
        raise Refusal(Status.WRONG_DATA)
    if blockcipher.is_weak(ALGORITHMS[data[0]][0], data[3:]):
        raise Refusal(Status.WRONG_DATA)
    with session.change() as changed:
        changed.admin_algorithm, changed.admin = data[0], data[3:]
    return b""


def reset(session: Session, command: Command) -> bytes:
    """00 FB 00 00: wipe the card; only when PIN and PUK are both blocked, so that it needs no secret and no accident does it."""
    if command.p1p2 or command.data:
        raise Refusal(Status.WRONG_P1P2)
    if session.state.pin.tries or session.state.puk.tries:
        raise Refusal(Status.CONDITIONS)
    with session.change() as changed:
        clean = state.fresh(changed.serial, changed.label)
        limit = changed.pin.limit
        clean.pin.limit = clean.pin.tries = clean.puk.limit = clean.puk.tries = limit
        for name in ("pin", "puk", "admin_algorithm", "admin", "keys", "objects", "iscl"):
            setattr(changed, name, getattr(clean, name))
    session.forget()
    return b""


def general(command: Command) -> dict[int, bytes]:
    """Return the data objects of a GENERAL AUTHENTICATE. Raises `Refusal` (6A80)."""
    try:
        outer = tlv.decode(command.data)
        if outer.keys() != {TEMPLATE}:
            raise Refusal(Status.WRONG_DATA)
        return tlv.decode(outer[TEMPLATE])
    except tlv.BadTlv as error:
        raise Refusal(Status.WRONG_DATA) from error


def _answer(tag: int, value: bytes) -> bytes:
    return tlv.encode(TEMPLATE, tlv.encode(tag, value))
