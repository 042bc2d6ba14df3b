# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A qcow2 image with a bitmap, as the format's specification lays it out: clusters of 64 KiB, one table of each kind."""

from __future__ import annotations

import struct
import typing as t

CLUSTER = 1 << 16
COMPRESSED, ZERO = 1 << 62, 1


def sample(
    mapping: t.Mapping[int, int],
    dirty: t.Iterable[int],
    *,
    clusters: int = 64,
    name: bytes = b"virtops-seed-1",
    flags: int = 2,
    version: int = 3,
    incompatible: int = 0,
    autoclear: int = 1,
    length: int = 64,
) -> bytes:
    """The guest's cluster -> entry of its table; bits of the bitmap that are set. Header, tables and bitmap take clusters 0 to 4."""
    image = bytearray(length * CLUSTER)
    struct.pack_into(
        ">4sIQIIQIIQQIIQQQQII", image, 0, b"QFI\xfb", version, 0, 0, 16, clusters * CLUSTER, 0, 1, CLUSTER, 0, 0, 0, 0,
        incompatible, 0, autoclear, 4, 104,
    )  # fmt: skip
    struct.pack_into(">II", image, 104, 0x6803F857, 5)
    struct.pack_into(">IIIIQQ", image, 120, 0x23852875, 24, 1, 0, 24 + len(name), 3 * CLUSTER)
    struct.pack_into(">Q", image, CLUSTER, 2 * CLUSTER | 1 << 63)
    for number, entry in mapping.items():
        struct.pack_into(">Q", image, 2 * CLUSTER + 8 * number, entry)
    struct.pack_into(">QIIBBHI", image, 3 * CLUSTER, 3 * CLUSTER + 512, 1, flags, 1, 16, len(name), 0)
    image[3 * CLUSTER + 24 : 3 * CLUSTER + 24 + len(name)] = name
    struct.pack_into(">Q", image, 3 * CLUSTER + 512, 4 * CLUSTER)
    for number in dirty:
        image[4 * CLUSTER + number // 8] |= 1 << number % 8
    return bytes(image)


def at(cluster: int) -> int:
    """The entry of a cluster of data that lies there."""
    return cluster * CLUSTER | 1 << 63
