"""Structures of PKCS#11 2.40 and the prototypes of its functions, in the order of CK_FUNCTION_LIST.

CK_ULONG is `unsigned long` and nothing is packed on Linux, so the same declarations hold on x86_64 and aarch64.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_ubyte, c_ulong, c_void_p
from typing import Any, ClassVar, Final


class Version(ctypes.Structure):
    """CK_VERSION."""

    _fields_: ClassVar[list[Any]] = [("major", c_ubyte), ("minor", c_ubyte)]


class SlotInfo(ctypes.Structure):
    """CK_SLOT_INFO."""

    _fields_: ClassVar[list[Any]] = [
        ("description", c_ubyte * 64),
        ("manufacturer", c_ubyte * 32),
        ("flags", c_ulong),
        ("hardware_version", Version),
        ("firmware_version", Version),
    ]


class TokenInfo(ctypes.Structure):
    """CK_TOKEN_INFO."""

    _fields_: ClassVar[list[Any]] = [
        ("label", c_ubyte * 32),
        ("manufacturer", c_ubyte * 32),
        ("model", c_ubyte * 16),
        ("serial", c_ubyte * 16),
        ("flags", c_ulong),
        *((name, c_ulong) for name in ("max_sessions", "sessions", "max_rw_sessions", "rw_sessions")),
        *((name, c_ulong) for name in ("max_pin", "min_pin", "total_public", "free_public", "total_private", "free_private")),
        ("hardware_version", Version),
        ("firmware_version", Version),
        ("utc_time", c_ubyte * 16),
    ]


class SessionInfo(ctypes.Structure):
    """CK_SESSION_INFO."""

    _fields_: ClassVar[list[Any]] = [("slot", c_ulong), ("state", c_ulong), ("flags", c_ulong), ("device_error", c_ulong)]


class Attribute(ctypes.Structure):
    """CK_ATTRIBUTE."""

    _fields_: ClassVar[list[Any]] = [("type", c_ulong), ("value", c_void_p), ("length", c_ulong)]


class Mechanism(ctypes.Structure):
    """CK_MECHANISM."""

    _fields_: ClassVar[list[Any]] = [("mechanism", c_ulong), ("parameter", c_void_p), ("length", c_ulong)]


class PssParameters(ctypes.Structure):
    """CK_RSA_PKCS_PSS_PARAMS."""

    _fields_: ClassVar[list[Any]] = [("hash", c_ulong), ("mgf", c_ulong), ("salt", c_ulong)]


class EcdhParameters(ctypes.Structure):
    """CK_ECDH1_DERIVE_PARAMS. `kdf` CKD_NULL (1): the x coordinate as it is."""

    _fields_: ClassVar[list[Any]] = [
        ("kdf", c_ulong), ("shared_length", c_ulong), ("shared", c_void_p), ("public_length", c_ulong), ("public", c_void_p),
    ]  # fmt: skip


class InitializeArguments(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS."""

    _fields_: ClassVar[list[Any]] = [
        *((name, c_void_p) for name in ("create_mutex", "destroy_mutex", "lock_mutex", "unlock_mutex")),
        ("flags", c_ulong),
        ("reserved", c_void_p),
    ]


# Bytes go in as c_void_p (bytes, c_char arrays and None all convert), numbers out by pointer.
_IN = c_void_p
_N = c_ulong
_OUT_N = POINTER(c_ulong)

PROTOTYPES: Final[dict[str, tuple[Any, ...]]] = {
    "C_Initialize": (c_void_p,),
    "C_Finalize": (c_void_p,),
    "C_GetInfo": (c_void_p,),
    "C_GetFunctionList": (c_void_p,),
    "C_GetSlotList": (c_ubyte, c_void_p, _OUT_N),
    "C_GetSlotInfo": (_N, POINTER(SlotInfo)),
    "C_GetTokenInfo": (_N, POINTER(TokenInfo)),
    "C_GetMechanismList": (_N, c_void_p, _OUT_N),
    "C_GetMechanismInfo": (_N, _N, c_void_p),
    "C_InitToken": (_N, _IN, _N, _IN),
    "C_InitPIN": (_N, _IN, _N),
    "C_SetPIN": (_N, _IN, _N, _IN, _N),
    "C_OpenSession": (_N, _N, c_void_p, c_void_p, _OUT_N),
    "C_CloseSession": (_N,),
    "C_CloseAllSessions": (_N,),
    "C_GetSessionInfo": (_N, POINTER(SessionInfo)),
    "C_GetOperationState": (_N, c_void_p, _OUT_N),
    "C_SetOperationState": (_N, _IN, _N, _N, _N),
    "C_Login": (_N, _N, _IN, _N),
    "C_Logout": (_N,),
    "C_CreateObject": (_N, POINTER(Attribute), _N, _OUT_N),
    "C_CopyObject": (_N, _N, POINTER(Attribute), _N, _OUT_N),
    "C_DestroyObject": (_N, _N),
    "C_GetObjectSize": (_N, _N, _OUT_N),
    "C_GetAttributeValue": (_N, _N, POINTER(Attribute), _N),
    "C_SetAttributeValue": (_N, _N, POINTER(Attribute), _N),
    "C_FindObjectsInit": (_N, POINTER(Attribute), _N),
    "C_FindObjects": (_N, c_void_p, _N, _OUT_N),
    "C_FindObjectsFinal": (_N,),
    "C_EncryptInit": (_N, POINTER(Mechanism), _N),
    "C_Encrypt": (_N, _IN, _N, c_void_p, _OUT_N),
    "C_EncryptUpdate": (_N, _IN, _N, c_void_p, _OUT_N),
    "C_EncryptFinal": (_N, c_void_p, _OUT_N),
    "C_DecryptInit": (_N, POINTER(Mechanism), _N),
    "C_Decrypt": (_N, _IN, _N, c_void_p, _OUT_N),
    "C_DecryptUpdate": (_N, _IN, _N, c_void_p, _OUT_N),
    "C_DecryptFinal": (_N, c_void_p, _OUT_N),
    "C_DigestInit": (_N, POINTER(Mechanism)),
    "C_Digest": (_N, _IN, _N, c_void_p, _OUT_N),
    "C_DigestUpdate": (_N, _IN, _N),
    "C_DigestKey": (_N, _N),
    "C_DigestFinal": (_N, c_void_p, _OUT_N),
    "C_SignInit": (_N, POINTER(Mechanism), _N),
    "C_Sign": (_N, _IN, _N, c_void_p, _OUT_N),
    "C_SignUpdate": (_N, _IN, _N),
    "C_SignFinal": (_N, c_void_p, _OUT_N),
    "C_SignRecoverInit": (_N, POINTER(Mechanism), _N),
    "C_SignRecover": (_N, _IN, _N, c_void_p, _OUT_N),
    "C_VerifyInit": (_N, POINTER(Mechanism), _N),
    "C_Verify": (_N, _IN, _N, _IN, _N),
    "C_VerifyUpdate": (_N, _IN, _N),
    "C_VerifyFinal": (_N, _IN, _N),
    "C_VerifyRecoverInit": (_N, POINTER(Mechanism), _N),
    "C_VerifyRecover": (_N, _IN, _N, c_void_p, _OUT_N),
    "C_DigestEncryptUpdate": (_N, _IN, _N, c_void_p, _OUT_N),
    "C_DecryptDigestUpdate": (_N, _IN, _N, c_void_p, _OUT_N),
    "C_SignEncryptUpdate": (_N, _IN, _N, c_void_p, _OUT_N),
    "C_DecryptVerifyUpdate": (_N, _IN, _N, c_void_p, _OUT_N),
    "C_GenerateKey": (_N, POINTER(Mechanism), POINTER(Attribute), _N, _OUT_N),
    "C_GenerateKeyPair": (_N, POINTER(Mechanism), POINTER(Attribute), _N, POINTER(Attribute), _N, _OUT_N, _OUT_N),
    "C_WrapKey": (_N, POINTER(Mechanism), _N, _N, c_void_p, _OUT_N),
    "C_UnwrapKey": (_N, POINTER(Mechanism), _N, _IN, _N, POINTER(Attribute), _N, _OUT_N),
    "C_DeriveKey": (_N, POINTER(Mechanism), _N, POINTER(Attribute), _N, _OUT_N),
    "C_SeedRandom": (_N, _IN, _N),
    "C_GenerateRandom": (_N, c_void_p, _N),
    "C_GetFunctionStatus": (_N,),
    "C_CancelFunction": (_N,),
    "C_WaitForSlotEvent": (_N, _OUT_N, c_void_p),
}


class FunctionList(ctypes.Structure):
    """CK_FUNCTION_LIST."""

    _fields_: ClassVar[list[Any]] = [
        ("version", Version),
        *((name, ctypes.CFUNCTYPE(c_ulong, *arguments)) for name, arguments in PROTOTYPES.items()),
    ]
