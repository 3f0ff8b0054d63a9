"""The management key of a PIV card (reference 9B): 3DES or AES (SP 800-78-4 table 6-2)."""

from __future__ import annotations

from typing import Final, NamedTuple

from wardgate.codes import Code
from wardkeys.card.errors import CardError

_AES_BYTES: Final = {0x08: 16, 0x0A: 24, 0x0C: 32}
_TRIPLE_DES, _TRIPLE_DES_BYTES = 0x03, 24


class ManagementKey(NamedTuple):
    """Algorithm identifier and key."""

    algorithm: int
    value: bytes

    @property
    def block_bytes(self) -> int:
        """The cipher's block."""
        return 8 if self.algorithm == _TRIPLE_DES else 16

    def encrypt(self, block: bytes) -> bytes:
        """Encrypt one block."""
        return self._run(block, forward=True)

    def decrypt(self, block: bytes) -> bytes:
        """Decrypt one block."""
        return self._run(block, forward=False)

    def _run(self, block: bytes, *, forward: bool) -> bytes:
        # Late: the key service uses cards without ever being their administrator.
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        if len(block) != self.block_bytes:
            raise CardError(Code.CARD_ANSWER, "a challenge of the wrong length")
        if self.algorithm != _TRIPLE_DES:
            aes = Cipher(algorithms.AES(self.value), modes.ECB())  # noqa: S305 - one block of random bytes, as the standard has it
            context = aes.encryptor() if forward else aes.decryptor()
            return context.update(block) + context.finalize()
        try:
            from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
        except ImportError:  # before 43
            TripleDES = algorithms.TripleDES  # type: ignore[misc,unused-ignore]
        des = Cipher(TripleDES(self.value), modes.ECB())  # noqa: S305
        context = des.encryptor() if forward else des.decryptor()
        return context.update(block) + context.finalize()


FACTORY: Final = ManagementKey(_TRIPLE_DES, bytes(range(1, 9)) * 3)


def management_key(text: str) -> ManagementKey:
    """Return the key in `3des:HEX` or `aes:HEX`. Raises `CardError` (CARD_INPUT)."""
    kind, _, value = text.strip().partition(":")
    try:
        key = bytes.fromhex(value)
    except ValueError:
        key = b""
    for algorithm, size in _AES_BYTES.items():
        if kind == "aes" and len(key) == size:
            return ManagementKey(algorithm, key)
    if kind == "3des" and len(key) == _TRIPLE_DES_BYTES:
        return ManagementKey(_TRIPLE_DES, key)
    raise CardError(Code.CARD_INPUT, "a management key is written 3des: or aes: and 24, or 16, 24 or 32 bytes in hexadecimal")


def written(key: ManagementKey) -> str:
    """Return the key as `management_key` reads it."""
    return f"{'3des' if key.algorithm == _TRIPLE_DES else 'aes'}:{key.value.hex()}"
