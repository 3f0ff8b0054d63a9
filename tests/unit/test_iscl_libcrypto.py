"""Single DES is had from a library context of its own, and TLS in the same process knows nothing of it."""

from __future__ import annotations

import ctypes
import hashlib
import ssl

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wardgate.iscl.libcrypto import LIBRARY, CiphersMissing, LibPrimitives, library
from wardgate.iscl.terms import GCM_TAG_BYTES, KEY_BYTES, UNIT_BYTES, Encryption, Mac

PRIMITIVES = LibPrimitives()
CBC = [Encryption.DES_CBC, Encryption.TRIPLE_DES_CBC, Encryption.AES_128_CBC, Encryption.AES_256_CBC]


def _default_context_has(name: bytes) -> bool:
    lib = ctypes.CDLL(LIBRARY)
    lib.EVP_CIPHER_fetch.restype = ctypes.c_void_p
    lib.EVP_CIPHER_fetch.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)
    return lib.EVP_CIPHER_fetch(None, name, None) is not None


def test_the_default_context_of_the_process_has_no_des_while_ours_has() -> None:
    assert library().ciphers[Encryption.DES_CBC]
    assert _default_context_has(b"AES-128-CBC")
    assert not _default_context_has(b"DES-CBC")
    assert not _default_context_has(b"RC4")


def test_tls_in_the_same_process_still_refuses_des() -> None:
    PRIMITIVES.cbc(Encryption.DES_CBC, bytes(8), bytes(8), True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name in ("DES-CBC-SHA", "DES", "EXP", "RC4", "DES-CBC3-SHA"):
        with pytest.raises(ssl.SSLError):
            context.set_ciphers(name)
    context.set_ciphers("ALL")
    assert not [row["name"] for row in context.get_ciphers() if "DES" in row["name"]]
    with pytest.raises(ValueError):
        hashlib.new("md4")  # the legacy provider has it; this process does not


@pytest.mark.parametrize("encryption", CBC)
def test_cbc_gives_what_another_library_gives_and_runs_on(encryption: Encryption) -> None:
    unit, key = UNIT_BYTES[encryption], bytes(range(KEY_BYTES[encryption]))
    register, plain = bytes(range(unit)), bytes(range(256)) * 3
    out = bytearray(len(plain))
    run = PRIMITIVES.cbc(encryption, key, register, True).run
    cut = 5 * unit
    run(memoryview(plain)[:cut], memoryview(out)[:cut])
    run(memoryview(bytearray(plain))[cut:], memoryview(out)[cut:])
    algorithm = algorithms.AES(key) if unit == 16 else TripleDES(key * (24 // len(key)))
    other = Cipher(algorithm, modes.CBC(register)).encryptor()
    assert bytes(out) == other.update(plain) + other.finalize()
    back = bytearray(len(plain))
    PRIMITIVES.cbc(encryption, key, register, False).run(memoryview(out), memoryview(back))
    assert bytes(back) == plain


def test_gcm_gives_what_another_library_gives_and_refuses_what_was_changed() -> None:
    key, nonce, associated, plain = bytes(range(32)), bytes(range(12)), b"header", b"plain text" * 9
    wire = bytearray(len(plain) + GCM_TAG_BYTES)
    gcm = PRIMITIVES.gcm(key)
    gcm.seal(nonce, associated, memoryview(plain), memoryview(wire))
    assert bytes(wire) == AESGCM(key).encrypt(nonce, plain, associated)
    back = bytearray(len(plain))
    gcm = PRIMITIVES.gcm(key)
    assert gcm.open(nonce, associated, memoryview(wire), memoryview(back)) and bytes(back) == plain
    for at in (0, len(wire) - 1):
        changed = bytearray(wire)
        changed[at] ^= 1
        assert not gcm.open(nonce, associated, memoryview(changed), memoryview(back))
    assert not gcm.open(nonce, b"another", memoryview(wire), memoryview(back))


def test_the_retail_mac_is_that_of_its_definition() -> None:
    """ISO/IEC 9797-1 algorithm 3, padding method 2: CBC-MAC under the first key, then decrypt and encrypt the last block."""
    key, data = bytes(range(16)), b"sixteen bytes ok and some more"
    run = PRIMITIVES.mac(Mac.RETAIL, key)
    run.update(data[:11])
    run.update(data[11:])
    padded = data + b"\x80" + bytes(-(len(data) + 1) % 8)
    first, second = (Cipher(TripleDES(half * 3), modes.CBC(bytes(8))) for half in (key[:8], key[8:]))
    last = first.encryptor().update(padded)[-8:]
    assert run.digest() == first.encryptor().update(second.decryptor().update(last))


def test_buffers_that_do_not_fit_are_refused_before_libcrypto_sees_them() -> None:
    run = PRIMITIVES.cbc(Encryption.DES_CBC, bytes(range(8)), bytes(8), True).run
    with pytest.raises(ValueError):
        run(memoryview(bytes(16)), memoryview(bytearray(8)))
    with pytest.raises(ValueError):
        run(memoryview(bytes(9)), memoryview(bytearray(9)))
    run(memoryview(b""), memoryview(bytearray()))


def test_missing_ciphers_are_told_with_a_code() -> None:
    assert CiphersMissing("x").code.value.number == 811
