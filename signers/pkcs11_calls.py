"""C_SignInit and C_Sign of a loaded module, called past PyKCS11.

PyKCS11 calls C_Sign twice and hands out a signature byte by byte, which together takes a tenth of the time of
signing.
"""

from __future__ import annotations

import ctypes
from typing import Final

import PyKCS11

# Positions in CK_FUNCTION_LIST, the same in all of PKCS #11 2.x and, for these, in what 3.x gives by this entry.
_FUNCTIONS: Final = 68
_SIGN_INIT: Final = 42
_SIGN: Final = 43
_ROOM: Final = 256


class _Mechanism(ctypes.Structure):
    _fields_ = (("mechanism", ctypes.c_ulong), ("parameter", ctypes.c_void_p), ("length", ctypes.c_ulong))


class _FunctionList(ctypes.Structure):
    _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * _FUNCTIONS))


_Handle = ctypes.c_ulong
_SignInit = ctypes.CFUNCTYPE(ctypes.c_ulong, _Handle, ctypes.POINTER(_Mechanism), _Handle)
_Sign = ctypes.CFUNCTYPE(
    ctypes.c_ulong, _Handle, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p, ctypes.POINTER(ctypes.c_ulong)
)


class SignCalls:
    """The calls of one module, for one session, key and mechanism (a CKM_ number, without a parameter)."""

    def __init__(self, library: ctypes.CDLL, session: int, key: int, mechanism: int) -> None:
        table = ctypes.POINTER(_FunctionList)()
        code = library.C_GetFunctionList(ctypes.byref(table))
        if code != PyKCS11.CKR_OK:
            raise PyKCS11.PyKCS11Error(code)
        self._sign_init = _SignInit(table.contents.functions[_SIGN_INIT])
        self._sign = _Sign(table.contents.functions[_SIGN])
        self._session, self._key = session, key
        self._mechanism = _Mechanism(mechanism, None, 0)
        self._room = ctypes.create_string_buffer(_ROOM)

    def sign(self, data: bytes) -> bytes:
        """The signature as the module gives it. Raises PyKCS11Error."""
        code = self._sign_init(self._session, ctypes.byref(self._mechanism), self._key)
        length = ctypes.c_ulong(_ROOM)
        if code == PyKCS11.CKR_OK:
            code = self._sign(self._session, data, len(data), self._room, ctypes.byref(length))
        if code != PyKCS11.CKR_OK:
            raise PyKCS11.PyKCS11Error(code)
        return self._room.raw[: length.value]
