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


def encode(data: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(data).decode("ascii")


def decode(text: str) -> bytes:
    """The bytes of encode's text."""
    return base64.b64decode(text)


def pack_digests(digests: t.Mapping[int, bytes]) -> list[list[t.Any]]:
    """Digests as runs of neighbours: [first number, how many, text]. Zero blocks are left out."""
    runs: list[tuple[int, list[bytes]]] = []
    for number in sorted(digests):
        if not digests[number]:
            continue
        if runs and sum((runs[-1][0], len(runs[-1][1]))) == number:
            runs[-1][1].append(digests[number])
        else:
            runs.append((number, [digests[number]]))
    return [[first, len(found), encode(b"".join(found))] for first, found in runs]


def unpack_digests(packed: t.Iterable[t.Sequence[t.Any]]) -> dict[int, bytes]:
    """The digests of pack_digests' runs."""
    found: dict[int, bytes] = {}
    for first, count, text in packed:
        data = decode(text)
        size = len(data) // int(count)
        for place in range(int(count)):
            found[int(first) + place] = data[place * size : (place + 1) * size]
    return found


def checked_path(path: str, what: str = "path") -> str:
    """``path`` if it is absolute and plain. Raises InputError."""
    parts = path.split("/") if isinstance(path, str) else []
    if not parts or parts[0] or len(path) < 2 or ".." in parts or "\n" in path or "\0" in path:
        raise InputError(
            what, f"The {what} {path!r} cannot be used; give an absolute path without '..' and line breaks."
        )
    return os.path.normpath(path)
