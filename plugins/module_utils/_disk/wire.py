# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How digests and names travel between the two ends of a copy.

Needs the standard library only, because the receiving end of a copy runs it too.
"""

from __future__ import annotations

import base64
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError

_DIGEST = 32


def encode(data: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(data).decode("ascii")


def decode(text: str) -> bytes:
    """The bytes of encode's text."""
    return base64.b64decode(text)


def pack_digests(digests: t.Mapping[int, bytes]) -> list[list[t.Any]]:
    """Digests as runs of neighbours: [first number, text]. Zero blocks are left out."""
    packed: list[list[t.Any]] = []
    following, data = -1, b""
    for number in sorted(digests):
        if not digests[number]:
            continue
        if number != following:
            if data:
                packed[-1].append(encode(data))
            packed.append([number])
            data = b""
        data += digests[number]
        following = number + 1
    if data:
        packed[-1].append(encode(data))
    return packed


def unpack_digests(packed: t.Iterable[t.Sequence[t.Any]]) -> dict[int, bytes]:
    """The digests of pack_digests' runs."""
    found: dict[int, bytes] = {}
    for first, text in packed:
        data = decode(text)
        for place in range(0, len(data), _DIGEST):
            found[int(first) + place // _DIGEST] = data[place : place + _DIGEST]
    return found


def checked_path(path: str, what: str = "path") -> str:
    """``path`` if it is absolute and plain. Raises InputError."""
    parts = path.split("/") if isinstance(path, str) else []
    if not parts or parts[0] or len(path) < 2 or ".." in parts or "\n" in path or "\0" in path:
        raise InputError(
            what, f"The {what} {path!r} cannot be used; give an absolute path without '..' and line breaks."
        )
    return os.path.normpath(path)
