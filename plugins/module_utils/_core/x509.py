# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a certificate says of itself: names and times, read from its DER encoding. Nothing is verified here."""

from __future__ import annotations

import calendar
import dataclasses
import hashlib
import re
import ssl
import time

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
#: 2.5.4.3 and 2.5.4.10: the common name, else the organisation names somebody.
_COMMON_NAME, _ORGANISATION = b"\x55\x04\x03", b"\x55\x04\x0a"


@dataclasses.dataclass(frozen=True)
class Identity:
    """``not_before`` and ``not_after`` are seconds since the epoch; ``fingerprint`` is the SHA-256 of the whole certificate."""

    subject: str
    issuer: str
    not_before: float
    not_after: float
    fingerprint: str


def read_pem(text: str) -> list[Identity]:
    """All certificates in ``text``, in their order. Raises ValueError for one that is none."""
    return [read_der(ssl.PEM_cert_to_DER_cert(block)) for block in _PEM.findall(text)]


def read_der(data: bytes) -> Identity:
    """The certificate in ``data``. Raises ValueError where it is none."""
    try:
        (certificate,) = _items(data)
        fields = _items(_items(certificate[1])[0][1])
        # The version stands before the serial number, in a tag of its own, where there is one.
        start = 1 if fields[0][0] == 0xA0 else 0
        issuer, validity, subject = fields[start + 2], fields[start + 3], fields[start + 4]
        begin, end = _items(validity[1])
        return Identity(
            _name(subject[1]), _name(issuer[1]), _time(*begin), _time(*end), hashlib.sha256(data).hexdigest()
        )
    except (IndexError, ValueError) as exc:
        raise ValueError("this is no certificate") from exc


def _items(data: bytes) -> list[tuple[int, bytes]]:
    """The elements in ``data``: tag and content each."""
    found, at = [], 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError("this certificate is cut off")
        found.append((tag, data[at : at + length]))
        at += length
    return found


def _name(data: bytes) -> str:
    """The common name in a distinguished name, else the organisation."""
    found: dict[bytes, str] = {}
    for _tag, group in _items(data):
        for _inner, pair in _items(group):
            (_oid, key), (tag, value) = _items(pair)[:2]
            found.setdefault(key, value.decode("utf-16-be" if tag == 0x1E else "utf-8", "replace"))
    return found.get(_COMMON_NAME) or found.get(_ORGANISATION) or next(iter(found.values()), "")


def _time(tag: int, value: bytes) -> float:
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280: two digits of a year mean 1950 to 2049.
        text = f"{'19' if int(text[:2]) >= 50 else '20'}{text}"
    elif tag != _GENERALIZED_TIME:
        raise ValueError("this certificate has no time where one belongs")
    return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))
