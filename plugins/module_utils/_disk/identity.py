# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A key with a certificate for one copy: whoever has it is let in, and nobody else. Python's TLS wants one, and cannot make one.

The key is drawn, used and forgotten within minutes, so that how long its making takes betrays nothing to anybody. Pure.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import textwrap

#: The curve P-256 (NIST SP 800-186): its field, the order of its base point, and that point.
_FIELD = 2**256 - 2**224 + 2**192 + 2**96 - 1
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_BASE = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

#: Object identifiers, encoded: id-ecPublicKey, prime256v1, ecdsa-with-SHA256, commonName.
_EC_KEY, _CURVE = bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06082a8648ce3d030107")
_SIGNED, _COMMON_NAME = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("0603550403")
_SEQUENCE, _SET, _INTEGER, _BITS, _OCTETS, _TEXT, _TIME = 0x30, 0x31, 0x02, 0x03, 0x04, 0x0C, 0x18
#: Both ends' clocks may be anywhere; the certificate is trusted for itself, and lives as long as the copy.
_ALWAYS = (b"20000101000000Z", b"99991231235959Z")

_Point = tuple[int, int, int]


def make_identity() -> str:
    """A new key and its certificate, signed by itself, as PEM."""
    key = secrets.randbelow(_ORDER - 1) + 1
    public = _affine(_times(key))
    point = b"\x04" + b"".join(number.to_bytes(32, "big") for number in public)
    name = _der(_SEQUENCE, _der(_SET, _der(_SEQUENCE, _COMMON_NAME + _der(_TEXT, b"virtops-kvm copy"))))
    algorithm = _der(_SEQUENCE, _SIGNED)
    to_sign = _der(
        _SEQUENCE,
        _integer(secrets.randbits(120) + 1)
        + algorithm
        + name
        + _der(_SEQUENCE, b"".join(_der(_TIME, moment) for moment in _ALWAYS))
        + name
        + _der(_SEQUENCE, _der(_SEQUENCE, _EC_KEY + _CURVE) + _der(_BITS, b"\0" + point)),
    )
    certificate = _der(_SEQUENCE, to_sign + algorithm + _der(_BITS, b"\0" + _signature(key, to_sign)))
    private = _der(
        _SEQUENCE,
        _integer(1)
        + _der(_OCTETS, key.to_bytes(32, "big"))
        + _der(0xA0, _CURVE)
        + _der(0xA1, _der(_BITS, b"\0" + point)),
    )
    return _pem("EC PRIVATE KEY", private) + _pem("CERTIFICATE", certificate)


def _signature(key: int, data: bytes) -> bytes:
    """ECDSA with SHA-256 (FIPS 186-5)."""
    hashed = int.from_bytes(hashlib.sha256(data).digest(), "big")
    while True:
        nonce = secrets.randbelow(_ORDER - 1) + 1
        first = _affine(_times(nonce))[0] % _ORDER
        second = pow(nonce, -1, _ORDER) * (hashed + first * key) % _ORDER
        if first and second:
            return _der(_SEQUENCE, _integer(first) + _integer(second))


def _times(number: int) -> _Point:
    """The base point, ``number`` times."""
    found: _Point = (1, 1, 0)
    for digit in bin(number)[2:]:
        found = _doubled(found)
        if digit == "1":
            found = _plus_base(found)
    return found


def _doubled(point: _Point) -> _Point:
    """Twice a point in Jacobian coordinates."""
    x, y, z = point
    square = y * y % _FIELD
    both = 4 * x * square % _FIELD
    slope = 3 * (x - z * z) * (x + z * z) % _FIELD
    new_x = (slope * slope - 2 * both) % _FIELD
    return new_x, (slope * (both - new_x) - 8 * square * square) % _FIELD, 2 * y * z % _FIELD


def _plus_base(point: _Point) -> _Point:
    """A point and the base point, which are different unless the first is none."""
    x, y, z = point
    if z == 0:
        return (*_BASE, 1)
    square = z * z % _FIELD
    across, up = (_BASE[0] * square - x) % _FIELD, (_BASE[1] * square * z - y) % _FIELD
    if across == 0:
        return _doubled(point) if up == 0 else (1, 1, 0)
    two = across * across % _FIELD
    three = two * across % _FIELD
    both = x * two % _FIELD
    new_x = (up * up - three - 2 * both) % _FIELD
    return new_x, (up * (both - new_x) - y * three) % _FIELD, z * across % _FIELD


def _affine(point: _Point) -> tuple[int, int]:
    x, y, z = point
    inverse = pow(z, -1, _FIELD)
    return x * inverse**2 % _FIELD, y * inverse**3 % _FIELD


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def _integer(number: int) -> bytes:
    return _der(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _pem(kind: str, data: bytes) -> str:
    lines = textwrap.wrap(base64.b64encode(data).decode("ascii"), 64)
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])
