"""One session with one token: find objects, read attributes, sign, encrypt, random. Every failure raises `Ckr`."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, Final

from wardkeys.cryptoki import constants as c
from wardkeys.cryptoki.attributes import template
from wardkeys.cryptoki.constants import CKA_KEY_TYPE, CKF_SERIAL_SESSION, CKU_USER
from wardkeys.cryptoki.failures import STALE_OBJECT, Ckr, Rv
from wardkeys.cryptoki.module import Module
from wardkeys.cryptoki.structures import Attribute, EcdhParameters, Mechanism, SessionInfo

MAX_OBJECTS: Final = 512  # of one search
_MAX_ATTRIBUTE: Final = 16384
_MAX_SIGNATURE: Final = 1024
_CKD_NULL: Final = 1
_UNAVAILABLE: Final = ctypes.c_ulong(-1).value


class Session:
    """An open session. The caller is inside `with module:` for every call."""

    def __init__(self, module: Module, slot: int, flags: int = 0) -> None:
        handle = ctypes.c_ulong()
        _check("C_OpenSession", module.f.C_OpenSession(slot, CKF_SERIAL_SESSION | flags, None, None, ctypes.byref(handle)))
        self.f = module.f
        self.handle = handle.value
        self.slot = slot
        self._length = ctypes.c_ulong()
        self._length_at = ctypes.byref(self._length)
        self._signature = ctypes.create_string_buffer(_MAX_SIGNATURE)
        self._size_at = ctypes.byref(ctypes.c_ulong())
        self._key_type: Any = (Attribute * 1)()  # its length alone is asked for
        self._key_type[0].type = CKA_KEY_TYPE

    def login(self, pin: Any, length: int, user: int = CKU_USER) -> None:
        """Log in with the PIN in the ctypes buffer `pin`."""
        rv = self.f.C_Login(self.handle, user, pin, length)
        if rv != Rv.USER_ALREADY_LOGGED_IN:
            _check("C_Login", rv)

    def close(self) -> None:
        """Close it; the result is of no use to anybody."""
        self.f.C_CloseSession(self.handle)

    def lives(self) -> bool:
        """Is the session still open?"""
        info = SessionInfo()
        return bool(self.f.C_GetSessionInfo(self.handle, ctypes.byref(info)) == Rv.OK)

    def find(self, wanted: Mapping[int, bytes | bool | int]) -> list[int]:
        """Return handles of the objects that have all `wanted` attributes, at most `MAX_OBJECTS`."""
        array, length = template(wanted)
        _check("C_FindObjectsInit", self.f.C_FindObjectsInit(self.handle, array, length))
        found: list[int] = []
        handles = (ctypes.c_ulong * 32)()
        got = ctypes.c_ulong()
        try:
            while len(found) < MAX_OBJECTS:
                _check("C_FindObjects", self.f.C_FindObjects(self.handle, handles, len(handles), ctypes.byref(got)))
                if not got.value:
                    break
                found.extend(handles[: min(got.value, len(handles))])
        finally:
            self.f.C_FindObjectsFinal(self.handle)
        return found[:MAX_OBJECTS]

    def attributes(self, handle: int, kinds: Sequence[int]) -> dict[int, bytes]:
        """Return the attributes of `kinds` that the token shows. One call each: modules differ in what they do with a mixed template."""
        found: dict[int, bytes] = {}
        for kind in kinds:
            one = (Attribute * 1)()
            one[0].type = kind
            rv = self.f.C_GetAttributeValue(self.handle, handle, one, 1)
            if rv in STALE_OBJECT:
                raise Ckr("C_GetAttributeValue", rv)
            length = one[0].length
            if rv or length == _UNAVAILABLE or length > _MAX_ATTRIBUTE:
                continue
            buffer = ctypes.create_string_buffer(length)
            one[0].value = ctypes.addressof(buffer)
            if not self.f.C_GetAttributeValue(self.handle, handle, one, 1) and one[0].length <= length:
                found[kind] = buffer.raw[: one[0].length]
        return found

    def ask_for(self, handle: int) -> None:
        """See that the object is there. Raises `Ckr` when it is not."""
        if self.f.C_GetObjectSize(self.handle, handle, self._size_at):  # half as dear as an attribute in SoftHSM, and not in every module
            _check("C_GetAttributeValue", self.f.C_GetAttributeValue(self.handle, handle, self._key_type, 1))

    def sign(self, key: int, mechanism: Mechanism, data: bytes) -> bytes:
        """Return the signature of `data`, single part."""
        self.begin_signature(key, mechanism)
        return self.finish_signature(data)

    def begin_signature(self, key: int, mechanism: Mechanism) -> None:
        """Begin a signature: `finish_signature` must follow, or the end of the session."""
        rv = self.f.C_SignInit(self.handle, mechanism, key)
        if rv:
            raise Ckr("C_SignInit", rv)

    def finish_signature(self, data: bytes) -> bytes:
        """Return the signature of `data` that was begun."""
        self._length.value = _MAX_SIGNATURE
        rv = self.f.C_Sign(self.handle, data, len(data), self._signature, self._length_at)
        if rv:
            raise Ckr("C_Sign", rv)
        return self._signature.raw[: self._length.value]

    def encrypt(self, key: int, mechanism: Mechanism, data: bytes) -> bytes:
        """Return `data` encrypted, single part."""
        _check("C_EncryptInit", self.f.C_EncryptInit(self.handle, mechanism, key))
        return self._single("C_Encrypt", self.f.C_Encrypt, data)

    def decrypt(self, key: int, mechanism: Mechanism, data: bytes) -> bytes:
        """Return `data` decrypted, single part."""
        _check("C_DecryptInit", self.f.C_DecryptInit(self.handle, mechanism, key))
        return self._single("C_Decrypt", self.f.C_Decrypt, data)

    def agree(self, key: int, point: bytes, size: int) -> bytes:
        """Return the x coordinate, `size` bytes, of ECDH with `point` (CKM_ECDH1_DERIVE); the object that the module makes is destroyed."""
        buffer = ctypes.create_string_buffer(point, len(point))
        parameters = EcdhParameters(kdf=_CKD_NULL, public_length=len(point), public=ctypes.addressof(buffer))
        values: dict[int, bytes | bool | int] = {
            c.CKA_CLASS: c.CKO_SECRET_KEY,
            c.CKA_KEY_TYPE: c.CKK_GENERIC_SECRET,
            c.CKA_TOKEN: False,
            c.CKA_SENSITIVE: False,
            c.CKA_EXTRACTABLE: True,
            c.CKA_VALUE_LEN: size,
        }
        array, length = template(values)
        made = ctypes.c_ulong()
        how = mechanism(c.CKM_ECDH1_DERIVE, parameters)
        _check("C_DeriveKey", self.f.C_DeriveKey(self.handle, how, key, array, length, ctypes.byref(made)))
        try:
            value = self.attributes(made.value, (c.CKA_VALUE,)).get(c.CKA_VALUE, b"")
        finally:
            self.f.C_DestroyObject(self.handle, made.value)
        if len(value) != size:
            raise Ckr("C_GetAttributeValue", Rv.GENERAL_ERROR)
        return value

    def _single(self, name: str, function: Any, data: bytes) -> bytes:
        room = len(data) + 64
        buffer = ctypes.create_string_buffer(room)
        self._length.value = room
        _check(name, function(self.handle, data, len(data), buffer, self._length_at))
        return buffer.raw[: self._length.value]

    def random(self, length: int) -> bytes:
        """Return random bytes of the token."""
        buffer = ctypes.create_string_buffer(length)
        _check("C_GenerateRandom", self.f.C_GenerateRandom(self.handle, buffer, length))
        return buffer.raw


def mechanism(kind: int, parameter: bytes | ctypes.Structure | None = None) -> Mechanism:
    """Return a CK_MECHANISM that keeps its parameter alive."""
    made = Mechanism(mechanism=kind)
    if parameter is not None:
        buffer = ctypes.create_string_buffer(parameter, len(parameter)) if isinstance(parameter, bytes) else parameter
        made.keep = buffer
        made.parameter = ctypes.addressof(buffer)
        made.length = ctypes.sizeof(buffer)
    return made


def _check(call: str, rv: int) -> None:
    if rv:
        raise Ckr(call, rv)
