"""The words of the configuration's ISCL table to the engine's settings."""

from __future__ import annotations

from typing import Final

from wardgate.iscl.reconstruction import (
    ByteOrder,
    Derivation,
    DesMacKey,
    Md5Order,
    MessageUnit,
    OptionPlace,
    OrderSign,
    Padding,
    Reconstruction,
)
from wardgate.iscl.settings import Settings, Timers
from wardgate.iscl.terms import Encryption, Mac, Method
from wardgate.policy.model import Iscl, IsclR1

METHODS: Final = {
    "three-pass-four-way": Method.THREE_PASS_FOUR_WAY,
    "iso-9798-2": Method.ISO_9798_2_AES,
    "iso-9798-4": Method.ISO_9798_4_CMAC,
}
ENCRYPTIONS: Final = {
    "none": Encryption.NONE,
    "des-cbc": Encryption.DES_CBC,
    "3des-cbc": Encryption.TRIPLE_DES_CBC,
    "aes-128-cbc": Encryption.AES_128_CBC,
    "aes-256-cbc": Encryption.AES_256_CBC,
    "aes-256-gcm": Encryption.AES_256_GCM,
}
MACS: Final = {
    "md5": Mac.MD5,
    "des-mac": Mac.DES_MAC,
    "retail": Mac.RETAIL,
    "aes-cmac": Mac.AES_CMAC,
    "hmac-sha-256": Mac.HMAC_SHA256,
    "integrated": Mac.INTEGRATED,
}
_ORDERS: Final = {"big": ByteOrder.BIG, "little": ByteOrder.LITTLE}


def settings_of(iscl: Iscl) -> Settings:
    """Return the engine's settings. They may still contradict each other: see `iscl.settings.problems`."""
    return Settings(
        name=iscl.name.encode(),
        peer_name=iscl.peer_name.encode(),
        slot=iscl.slot,
        method=METHODS[iscl.method],
        encryption=ENCRYPTIONS[iscl.encryption],
        mac=MACS[iscl.mac],
        key_id=iscl.key_id,
        md5_order=Md5Order(iscl.md5_order),
        block_length=iscl.block_length,
        max_message=iscl.max_message,
        timers=Timers(block=iscl.block_seconds, life=iscl.life_seconds),
        r1=_r1(iscl.r1),
    )


def _r1(words: IsclR1) -> Reconstruction:
    return Reconstruction(
        **{
            **words._asdict(),
            "byte_order": _ORDERS[words.byte_order],
            "option_place": OptionPlace(words.option_place),
            "padding": Padding(words.padding),
            "order_sign": OrderSign(words.order_sign),
            "des_mac_key": DesMacKey(words.des_mac_key),
            "derivation": Derivation(words.derivation),
            "message_unit": MessageUnit(words.message_unit),
        }
    )
