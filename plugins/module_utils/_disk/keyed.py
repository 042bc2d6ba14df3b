# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A digest with a key, for two ends that compare now: about ten times as fast as one that anybody may compute at any time.

It is GMAC (AES-128 in GCM over data that is only authenticated), by the OpenSSL that Python itself has loaded. Whoever does not know the
key, and nobody can who wrote the content before the key was drawn, finds two blocks of 1 MiB with the same digest with a probability
of 2^-111: for a proof that is as good as a longer digest. Of what is written down for later, it is of no use.

Needs the standard library only, because the receiving end of a copy runs it too.
"""

from __future__ import annotations

import ctypes
import threading
import typing as t

try:
    import _hashlib
except ImportError:
    _hashlib = None  # type: ignore[assignment]

NAME = "gmac"
KEY_BYTES, TAG_BYTES = 16, 16
_GET_TAG = 0x10
_NONCE = bytes(12)


def _library() -> t.Any:
    """The OpenSSL behind hashlib; None where this Python has none, or has it built in."""
    try:
        library = ctypes.CDLL(_hashlib.__file__)
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int)
        for name, result, arguments in (
            ("EVP_aes_128_gcm", pointer, []),
            ("EVP_CIPHER_CTX_new", pointer, []),
            ("EVP_CIPHER_CTX_free", None, [pointer]),
            ("EVP_EncryptInit_ex", ctypes.c_int, [pointer, pointer, pointer, text, text]),
            ("EVP_EncryptUpdate", ctypes.c_int, [pointer, pointer, number, pointer, ctypes.c_int]),
            ("EVP_EncryptFinal_ex", ctypes.c_int, [pointer, pointer, number]),
            ("EVP_CIPHER_CTX_ctrl", ctypes.c_int, [pointer, ctypes.c_int, ctypes.c_int, pointer]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (AttributeError, OSError, TypeError):
        return None
    return library


class _State:
    """What one thread needs."""

    def __init__(self, library: t.Any, key: bytes) -> None:
        self._library = library
        self.context = ctypes.c_void_p(library.EVP_CIPHER_CTX_new())
        self.tag = ctypes.create_string_buffer(TAG_BYTES)
        self.count = ctypes.c_int()
        self.usable = bool(
            self.context and library.EVP_EncryptInit_ex(self.context, library.EVP_aes_128_gcm(), None, key, None) == 1
        )

    def __del__(self) -> None:
        self._library.EVP_CIPHER_CTX_free(self.context)


class Gmac:
    """Digests with one key, from any thread."""

    def __init__(self, library: t.Any, key: bytes) -> None:
        self._library = library
        self._key = key
        self._states = threading.local()

    def _state(self) -> _State:
        state = getattr(self._states, "state", None)
        if state is None:
            state = self._states.state = _State(self._library, self._key)
        return t.cast(_State, state)

    @property
    def usable(self) -> bool:
        """Whether this OpenSSL lets us."""
        return self._state().usable

    def __call__(self, data: bytes | bytearray) -> bytes:
        """The digest of ``data``."""
        library, state = self._library, self._state()
        # What can be written to is passed as it is, without a copy.
        place = ctypes.byref(ctypes.c_char.from_buffer(data)) if data and isinstance(data, bytearray) else bytes(data)
        count = ctypes.byref(state.count)
        done = (
            library.EVP_EncryptInit_ex(state.context, None, None, None, _NONCE) == 1
            and library.EVP_EncryptUpdate(state.context, None, count, place, len(data)) == 1
            and library.EVP_EncryptFinal_ex(state.context, state.tag, count) == 1
            and library.EVP_CIPHER_CTX_ctrl(state.context, _GET_TAG, TAG_BYTES, state.tag) == 1
        )
        if not done:
            raise OSError("OpenSSL cannot make a digest")
        return state.tag.raw


def keyed(key: bytes) -> Gmac | None:
    """The digest with ``key``; None where this Python's OpenSSL cannot be had for it."""
    library = _library()
    if library is None:
        return None
    found = Gmac(library, key)
    return found if found.usable else None
