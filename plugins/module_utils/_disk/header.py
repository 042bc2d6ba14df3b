# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The head of a qcow2 image with another backing file in it. Pure.

A layer of a chain is copied with its head already changed, and not rebased afterwards: then its bytes are known before, the
proof covers them, and a second copy finds nothing to do.
"""

from __future__ import annotations

import struct

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

_MAGIC = b"QFI\xfb"
_BACKING_FORMAT = 0xE2792ACA
_DATA_FILE_BIT = 1 << 2
_V2_LENGTH = 72
#: As much of an image tells its version and what it needs.
FIXED = 104
#: QEMU's own limit for the name of a backing file.
_MOST_NAME = 1023


def cluster_size(head: bytes) -> int:
    """The size of a cluster: the head with all its extensions lies in the first one. Raises KvmError IMAGE_INVALID."""
    if len(head) < _V2_LENGTH or head[:4] != _MAGIC:
        raise _invalid("it is no qcow2 image")
    bits = int.from_bytes(head[20:24], "big")
    if not 9 <= bits <= 21:
        raise _invalid("its cluster size makes no sense")
    return 1 << bits


def check_whole(head: bytes) -> None:
    """Raises KvmError IMAGE_INVALID for an image whose data lies in another file: its own bytes are not all of it."""
    version = int.from_bytes(head[4:8], "big")
    if head[:4] == _MAGIC and version >= 3 and int.from_bytes(head[72:80], "big") & _DATA_FILE_BIT:
        raise _invalid("its data lies in an external data file; convert it first, or copy it flattened")


def with_backing(head: bytes, backing: str, backing_format: str) -> bytes:
    """The first cluster ``head`` with another backing file, and always with its format. Raises KvmError IMAGE_INVALID."""
    size = cluster_size(head)
    if len(head) < size:
        raise _invalid("it is shorter than its first cluster")
    check_whole(head)
    version = int.from_bytes(head[4:8], "big")
    length = _V2_LENGTH if version < 3 else int.from_bytes(head[100:104], "big")
    if version not in (2, 3) or not _V2_LENGTH <= length <= size:
        raise _invalid(f"its version {version} is not known")
    name = backing.encode("utf-8", "surrogateescape")
    kept = b"".join(
        _extension(kind, data) for kind, data in _extensions(head[:size], length) if kind != _BACKING_FORMAT
    )
    extensions = _extension(_BACKING_FORMAT, backing_format.encode("ascii")) + kept + bytes(8)
    place = length + len(extensions)
    if len(name) > _MOST_NAME or place + len(name) > size:
        raise _invalid(f"there is no room in its head for the backing file '{backing}'")
    fixed = bytearray(head[:length])
    struct.pack_into(">QI", fixed, 8, place, len(name))
    return (bytes(fixed) + extensions + name).ljust(size, b"\0")


def _extensions(head: bytes, place: int) -> list[tuple[int, bytes]]:
    found = []
    while place + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, place)
        if kind == 0:
            break
        if place + 8 + length > len(head):
            raise _invalid("its head is damaged")
        found.append((kind, head[place + 8 : place + 8 + length]))
        place += 8 + (length + 7) // 8 * 8
    return found


def _extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)


def _invalid(why: str) -> KvmError:
    return KvmError("IMAGE_INVALID", f"The image cannot be copied as it is: {why}.")
