# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What of a qcow2 image did not change since a dirty bitmap of it began: by the bitmap that its QEMU left in it at its end.

The bitmap tells of what the guest sees; a copy is of the bytes of the file. A cluster of data lies where it lay, and holds what it
held, as long as nobody wrote to the guest's part that it is mapped to. All else in the file (tables, counts, bitmaps, snapshots,
compressed and free clusters) is not known to be unchanged.
"""

from __future__ import annotations

import array
import dataclasses
import os
import struct
import sys

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import BLOCK

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_BITMAPS = 0x23852875
_EXTENSION = struct.Struct(">IIQQ")
_ENTRY = struct.Struct(">QIIBBHI")
#: Of the incompatible features only another compression changes nothing here. (An image that is dirty or corrupt, with data
#: elsewhere, or with subclusters, is not looked into.)
_HARMLESS = 1 << 3
_CONSISTENT = 1
_IN_USE, _ALL_SET = 1, 1
_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED, _ZERO = 1 << 62, 1
#: The first byte of any entry of a table of clusters: 8 bytes, the highest first.
_ENTRY_BYTES = 8
#: A table or directory that is longer belongs to no sane image.
_MOST_TABLE = 256 << 20


@dataclasses.dataclass(frozen=True)
class Dirty:
    """What the guest wrote: one bit per ``granularity`` bytes, the lowest bit of the first byte first."""

    granularity: int
    bits: bytes


@dataclasses.dataclass(frozen=True)
class _Stored:
    name: str
    table: int
    length: int
    flags: int
    granularity: int


def tracks(path: str) -> bool:
    """Whether a QEMU that runs on this image can keep a bitmap in it. Raises OSError."""
    try:
        with _Image(path):
            return True
    except KvmError:
        return False


def names(path: str) -> tuple[str, ...]:
    """The bitmaps in the image; none for what is no qcow2 image that can hold some. Raises OSError."""
    try:
        with _Image(path) as image:
            return tuple(one.name for one in image.stored())
    except KvmError:
        return ()


def read(path: str, name: str) -> Dirty:
    """The bitmap of an image that no QEMU has open. Raises KvmError BITMAP_UNUSABLE, OSError."""
    with _Image(path) as image:
        for stored in image.stored():
            if stored.name == name:
                return image.bits(stored)
    raise _unusable(path, f"it holds no bitmap {name}")


def unchanged(path: str, dirty: Dirty, block: int = BLOCK) -> set[int]:
    """The numbers of those blocks of the file that hold nothing but clusters of data that the guest did not write to.

    Raises KvmError BITMAP_UNUSABLE, OSError.
    """
    with _Image(path) as image:
        written = _written(dirty, image.cluster, -(-image.size // image.cluster))
        clean = image.count_clean(written, block)
        length = image.length
    return {number for number, count in clean.items() if count == min(block, length - number * block) and count > 0}


def _written(dirty: Dirty, cluster: int, count: int) -> bytearray:
    """One byte per cluster of the guest's disk: 1 where any bit of the cluster is set."""
    written = bytearray(count)
    for place, byte in enumerate(dirty.bits):
        if not byte:
            continue
        for bit in range(8):
            if byte >> bit & 1:
                start = (place * 8 + bit) * dirty.granularity
                first, last = start // cluster, (start + dirty.granularity - 1) // cluster
                for number in range(first, min(last + 1, count)):
                    written[number] = 1
    return written


class _Image:
    """A qcow2 image of version 3, open for reading."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.length = os.lseek(self._descriptor, 0, os.SEEK_END)
            self._parse()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> _Image:
        return self

    def __exit__(self, *unused_details: object) -> None:
        os.close(self._descriptor)

    def _parse(self) -> None:
        head = os.pread(self._descriptor, _HEADER.size, 0)
        if len(head) < _HEADER.size or head[:4] != _MAGIC:
            raise _unusable(self._path, "it is no qcow2 image of version 3")
        fields = _HEADER.unpack(head)
        version, bits, self.size, self._l1_count, self._l1 = fields[1], fields[4], fields[5], fields[7], fields[8]
        incompatible, self._autoclear, self._header_length = fields[13], fields[15], fields[17]
        if version != 3 or not 9 <= bits <= 21 or incompatible & ~_HARMLESS:
            raise _unusable(self._path, "its version, or a feature that it uses, is not known")
        self.cluster = 1 << bits

    def _read(self, offset: int, length: int) -> bytes:
        data = os.pread(self._descriptor, length, offset) if 0 <= length <= _MOST_TABLE else b""
        if len(data) != length:
            raise _unusable(self._path, "it is shorter than its own tables say")
        return data

    def _table(self, offset: int, count: int) -> array.array[int]:
        table = array.array("Q", self._read(offset, count * _ENTRY_BYTES))
        if sys.byteorder == "little":
            table.byteswap()
        return table

    def stored(self) -> list[_Stored]:
        """The bitmaps of its directory; none where a program that does not know bitmaps wrote to the image since."""
        place, head = self._header_length, self._read(0, min(self.cluster, self.length))
        while place + 8 <= len(head):
            kind, length = struct.unpack_from(">II", head, place)
            if kind == 0:
                break
            if kind == _BITMAPS and length >= _EXTENSION.size and self._autoclear & _CONSISTENT:
                count, _unused, size, offset = _EXTENSION.unpack_from(head, place + 8)
                return self._directory(self._read(offset, size), count)
            place += 8 + (length + 7) // 8 * 8
        return []

    def _directory(self, data: bytes, count: int) -> list[_Stored]:
        found = []
        place = 0
        for _number in range(count):
            if place + _ENTRY.size > len(data):
                raise _unusable(self._path, "its directory of bitmaps is damaged")
            table, length, flags, kind, bits, name_length, extra = _ENTRY.unpack_from(data, place)
            name = data[place + _ENTRY.size + extra :][:name_length].decode("utf-8", "replace")
            if kind == 1 and 9 <= bits <= 31:
                found.append(_Stored(name, table, length, flags, 1 << bits))
            place += (_ENTRY.size + extra + name_length + 7) // 8 * 8
        return found

    def bits(self, stored: _Stored) -> Dirty:
        """The bits of one bitmap."""
        if stored.flags & _IN_USE:
            raise _unusable(self._path, f"its bitmap {stored.name} was not closed: its QEMU was killed")
        parts = []
        for entry in self._table(stored.table, stored.length):
            offset = entry & _OFFSET
            if offset:
                parts.append(self._read(offset, self.cluster))
            else:
                parts.append((b"\xff" if entry & _ALL_SET else b"\0") * self.cluster)
        length = -(-self.size // (8 * stored.granularity))
        bits = b"".join(parts)[:length]
        if len(bits) < length:
            raise _unusable(self._path, f"its bitmap {stored.name} is shorter than its disk")
        return Dirty(stored.granularity, bits)

    def count_clean(self, written: bytearray, block: int) -> dict[int, int]:
        """Per block of the file, how many of its bytes belong to clusters of data that are not ``written``."""
        clean: dict[int, int] = {}
        cluster, entries = self.cluster, self.cluster // _ENTRY_BYTES
        part = min(cluster, block)
        for number, entry in enumerate(self._table(self._l1, self._l1_count)):
            if not entry & _OFFSET:
                continue
            first = number * entries
            for place, found in enumerate(self._table(entry & _OFFSET, entries)[: max(0, len(written) - first)]):
                offset = found & _OFFSET
                if found & (_COMPRESSED | _ZERO) or not offset or written[first + place]:
                    continue
                for start in range(offset, offset + cluster, part):
                    clean[start // block] = clean.get(start // block, 0) + part
        return clean


def _unusable(path: str, why: str) -> KvmError:
    return KvmError("BITMAP_UNUSABLE", f"The changes of '{path}' cannot be told by a bitmap: {why}.", path=path)
