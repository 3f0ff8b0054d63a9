"""ISCL keys in memory, by `cryptography`: what a token is compared with."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

KEY = bytes.fromhex("0123456789ABCDEF")


class SoftKeys:
    """`wardkeys.iscl.IsclKeys` of keys given by value."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = keys

    def _cipher(self, key: str, mode: modes.Mode) -> Cipher[modes.Mode]:
        value = self._keys[key]
        if key.startswith("aes-"):
            return Cipher(algorithms.AES(value), mode)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Cipher(TripleDES(value * 3), mode)

    @staticmethod
    def _run(context: CipherContext, data: bytes) -> bytes:
        return context.update(data) + context.finalize()

    def random(self, count: int) -> bytes:
        """Return random bytes."""
        return os.urandom(count)

    def block(self, key: str, data: bytes) -> bytes:
        """Return one block encrypted."""
        return self._run(self._cipher(key, modes.ECB()).encryptor(), data)

    def undo(self, key: str, data: bytes) -> bytes:
        """Return one block decrypted."""
        return self._run(self._cipher(key, modes.ECB()).decryptor(), data)

    def cbc(self, key: str, vector: bytes, data: bytes, encrypt: bool) -> bytes:
        """Return blocks encrypted or decrypted."""
        cipher = self._cipher(key, modes.CBC(vector))
        return self._run(cipher.encryptor() if encrypt else cipher.decryptor(), data)

    def cmac(self, key: str, data: bytes) -> bytes:
        """Return the AES-CMAC."""
        made = CMAC(algorithms.AES(self._keys[key]))
        made.update(data)
        return made.finalize()
