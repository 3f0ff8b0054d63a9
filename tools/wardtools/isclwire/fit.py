"""With the keys of a laboratory: which R1 alternatives make the responses and MACs of a capture come out right."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

from wardgate.iscl.bodies import Codec
from wardgate.iscl.deskeys import odd_parity
from wardgate.iscl.direction import Register
from wardgate.iscl.errors import IsclError
from wardgate.iscl.keys import MessageKeys
from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.opening import Opener
from wardgate.iscl.reconstruction import Derivation, DesMacKey, OrderSign, Padding, Reconstruction
from wardgate.iscl.settings import Settings
from wardgate.iscl.softtoken import KeyPair, SoftToken
from wardgate.iscl.terms import SESSION_KEY, Encryption, Mac, MessageId, Way
from wardgate.iscl.tokens import Respond
from wardtools.isclwire.messages import Reading, Row

MAX_MESSAGES: Final = 12  # of the capture that are tried
_PRIMITIVES: Final = LibPrimitives()


class Captured(NamedTuple):
    """One protected message of a capture."""

    way: Way
    encryption: Encryption
    mac: Mac
    key_id: int
    length: int
    random: bytes
    blocks: list[bytes]
    mac_wire: bytes
    option: int


def captured(found: list[Row]) -> Iterator[Captured]:
    """Give the whole messages among the rows."""
    under_way: dict[bool, dict[str, object]] = {}
    for row in found:
        message = row.message
        if message is None:
            continue
        if message.id is MessageId.TRANSMISSION_REQUEST:
            under_way[row.from_server] = {"fields": message.fields, "random": b"", "blocks": []}
        current = under_way.get(row.from_server)
        if current is None:
            continue
        if message.id is MessageId.RANDOM_REQUEST:
            current["random"] = message.octets("random")
        elif message.id is MessageId.DATA:
            blocks = current["blocks"]
            assert isinstance(blocks, list)
            blocks.append(row.body)
        elif message.id is MessageId.MAC:
            del under_way[row.from_server]
            fields, random, blocks = current["fields"], current["random"], current["blocks"]
            assert isinstance(fields, dict) and isinstance(random, bytes) and isinstance(blocks, list)
            try:
                methods = Encryption(fields["encryption"]), Mac(fields["mac"])
            except ValueError:
                continue
            way = Way.TO_CLIENT if row.from_server else Way.TO_SERVER
            yield Captured(way, *methods, fields["key_id"], fields["length"], random, blocks, message.octets("mac"), message.option)


def responses(found: list[Row], pair: KeyPair) -> dict[str, bool]:
    """Return which ways of making the responses fit: {"as sent": True, "64-bit values swapped": False}."""
    seen = {row.message.id: row.message for row in found if row.message is not None}
    if MessageId.PASS1 not in seen or MessageId.PASS2 not in seen:
        return {}
    challenge, response = seen[MessageId.PASS1].octets("challenge"), seen[MessageId.PASS2].octets("response")
    token = SoftToken(_PRIMITIVES, {1: pair})
    out = {}
    for name, step in (("as sent", 1), ("64-bit values swapped", -1)):
        (made,) = token.run((Respond(1, Way.TO_SERVER, challenge[::step]),))
        out[name] = made == response[::step]
    return out


def alternatives(shared: bool) -> Iterator[Reconstruction]:
    """Give every combination of what the MACs can tell apart."""
    two = (True, False)
    choices = product(
        Derivation,
        (False, True),
        Padding,
        two,
        two,
        (False, True) if shared else (False,),
        two,
        DesMacKey,
        (OrderSign.OPTION, OrderSign.TRY_BOTH),
    )
    for derivation, swap, padding, chain_mac, chain_messages, register, order_b, mac_key, sign in choices:
        yield Reconstruction(
            derivation=derivation,
            swap_64bit=swap,
            padding=padding,
            chain_mac=chain_mac,
            chain_messages=chain_messages,
            shared_register=register,
            half_duplex=register,
            order_b_as_message=order_b,
            des_mac_key=mac_key,
            order_sign=sign,
        )


def fits(messages: list[Captured], pair: KeyPair, reading: Reading, r1: Reconstruction) -> int:
    """Return how many of the first messages come out right under `r1`; stops at the first that does not."""
    r1 = r1._replace(byte_order=reading.byte_order, option_place=reading.option_place)
    one = Register(8)
    registers = {way: one if r1.shared_register else Register(8) for way in Way}
    openers: dict[Way, Opener] = {}
    good = 0
    for message in messages[:MAX_MESSAGES]:
        if message.encryption not in (Encryption.NONE, Encryption.DES_CBC) or message.mac not in (Mac.MD5, Mac.DES_MAC):
            return good
        opener = openers.get(message.way)
        if opener is None:
            settings = Settings(b"a", b"b", encryption=message.encryption, mac=message.mac, r1=r1)
            opener = openers[message.way] = Opener(settings, Codec(r1), _PRIMITIVES, message.way, registers[message.way])
        try:
            opener.start(message.length, _keys(message, pair, r1), max(map(len, message.blocks), default=8) + 8)
            for block in message.blocks:
                opener.block(b"", memoryview(bytearray(block)))
            opener.finish(message.option, message.mac_wire)
        except (IsclError, ValueError):
            return good
        good += 1
    return good


def _keys(message: Captured, pair: KeyPair, r1: Reconstruction) -> MessageKeys:
    key = pair.to_server if message.way is Way.TO_SERVER else pair.to_client
    random = message.random[::-1] if r1.swap_64bit else message.random
    if message.key_id == SESSION_KEY:
        if r1.derivation is Derivation.CLEAR:
            key = odd_parity(random)
        else:
            token = SoftToken(_PRIMITIVES, {1: pair})
            (made,) = token.run((Respond(1, message.way, random),))
            assert isinstance(made, bytes)
            key = odd_parity(made)
    return MessageKeys(key, key, random)
