# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The first bytes of a disk image: its virtual size and what it is backed by, without starting a program per image."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import struct

_HEADER_BYTES = 104
_QCOW2_MAGIC = b"QFI\xfb"
_EXTENSION_END = 0
_EXTENSION_BACKING_FORMAT = 0xE2792ACA
#: More than any header needs: its extensions and the name of the backing file lie in the first cluster.
_FIRST_CLUSTER = 65536
_SECTOR = 512


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """What an image says of itself. Bytes; ``virtual_size`` is None for formats whose header is not read here."""

    virtual_size: int | None = None
    allocated: int | None = None
    backing_path: str | None = None
    backing_format: str | None = None


def parse_qcow2(head: bytes) -> ImageFacts | None:
    """The facts in ``head``, the first bytes of a qcow2 (or qcow2 v3) image; None for anything else."""
    if len(head) < 72 or head[:4] != _QCOW2_MAGIC:
        return None
    version, backing_offset, backing_length = struct.unpack_from(">IQI", head, 4)
    (size,) = struct.unpack_from(">Q", head, 24)
    if version < 2:
        return None
    header_length = 72 if version == 2 or len(head) < _HEADER_BYTES else int.from_bytes(head[100:104], "big")
    backing: str | None = None
    if backing_offset and backing_length and backing_offset + backing_length <= len(head):
        backing = head[backing_offset : backing_offset + backing_length].decode("utf-8", "replace")
    return ImageFacts(size, None, backing, _backing_format(head, header_length) if backing else None)


def _backing_format(head: bytes, offset: int) -> str | None:
    while offset + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, offset)
        if kind == _EXTENSION_END:
            return None
        if kind == _EXTENSION_BACKING_FORMAT:
            return head[offset + 8 : offset + 8 + length].decode("ascii", "replace")
        offset += 8 + (length + 7) // 8 * 8
    return None


def backing_location(image: str, name: str) -> str:
    """The path of the backing file ``name`` of ``image``; relative names start at the image.

    Anything that is no local file is returned as it is.
    """
    if name.startswith("json:"):
        path = _json_path(name[5:])
        return path if path is not None and path.startswith("/") else name
    if name.startswith("file:"):
        name = name[5:]
    if name.startswith("/"):
        return name
    if ":" in name.split("/", 1)[0]:
        return name
    return os.path.normpath(os.path.join(os.path.dirname(image), name))


def _json_path(text: str) -> str | None:
    try:
        node = json.loads(text)
    except ValueError:
        return None
    while isinstance(node, dict):
        path = node.get("filename") or node.get("file.filename")
        if isinstance(path, str):
            return path
        node = node.get("file")
    return None


def _luks_payload(head: bytes) -> int | None:
    if head[:6] != b"LUKS\xba\xbe" or head[6:8] != b"\0\1":
        return None
    return int(struct.unpack_from(">I", head, 104)[0]) * _SECTOR


def read_image(path: str, form: str | None) -> ImageFacts:
    """The facts of the image or block device at ``path``, whose format ``form`` is as libvirt has it.

    A raw image is never looked into: its content is the guest's. Raises OSError where it cannot be read.
    """
    status = os.stat(path)
    block = stat.S_ISBLK(status.st_mode)
    allocated = None if block else status.st_blocks * _SECTOR
    if form in (None, "raw") and not block:
        return ImageFacts(status.st_size, allocated)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        length = os.lseek(descriptor, 0, os.SEEK_END)
        allocated = length if allocated is None else allocated
        if form in (None, "raw"):
            return ImageFacts(length, allocated)
        head = os.pread(descriptor, _FIRST_CLUSTER if form == "qcow2" else 4096, 0)
    finally:
        os.close(descriptor)
    if form == "luks":
        payload = _luks_payload(head)
        return ImageFacts(length - payload if payload else None, allocated)
    found = parse_qcow2(head) if form == "qcow2" else None
    return dataclasses.replace(found, allocated=allocated) if found else ImageFacts(None, allocated)
