# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small ISO 9660 image (level 1 names and Joliet-free), enough for a cloud-init seed."""

from __future__ import annotations

import struct

SECTOR = 2048


def both(value: int, size: int = 4) -> bytes:
    """A number in both byte orders, as ISO 9660 wants it."""
    return value.to_bytes(size, "little") + value.to_bytes(size, "big")


def directory_record(name: bytes, sector: int, size: int, folder: bool) -> bytes:
    body = both(sector) + both(size) + bytes([126, 1, 1, 0, 0, 0, 0]) + bytes([2 if folder else 0, 0, 0])
    body += both(1, 2) + bytes([len(name)]) + name
    body += b"\0" * (len(body) % 2 == 1)
    length = len(body) + 2
    if length % 2:
        body += b"\0"
        length += 1
    return bytes([length, 0]) + body


def pad(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % SECTOR)


def descriptor(label: str, sectors: int, root: bytes, table: int) -> bytes:
    text = b"\x01CD001\x01\0" + b" " * 32 + label.upper().encode().ljust(32) + b"\0" * 8 + both(sectors) + b"\0" * 32
    text += both(1, 2) + both(1, 2) + both(SECTOR, 2) + both(10)
    text += struct.pack("<II", table, 0) + struct.pack(">II", table + 1, 0)
    text += root + b" " * 128 * 4 + b" " * 37 * 3 + (b"0" * 16 + b"\0") * 4 + b"\x01\0"
    return pad(text)


def iso(label: str, files: dict[str, bytes]) -> bytes:
    """An image with the files in its root directory; 16 empty sectors come first."""
    table, root_at = 18, 20
    at, records, contents = root_at + 1, b"", b""
    for name in sorted(files):
        data = pad(files[name] or b"\0")
        records += directory_record(name.upper().encode() + b";1", at, len(files[name]), False)
        contents += data
        at += len(data) // SECTOR
    root = directory_record(b"\0", root_at, SECTOR, True)
    listing = pad(root + directory_record(b"\x01", root_at, SECTOR, True) + records)
    paths = struct.pack("<BBIH", 1, 0, root_at, 1) + b"\0\0", struct.pack(">BBIH", 1, 0, root_at, 1) + b"\0\0"
    end = pad(b"\xffCD001\x01")
    return (
        b"\0" * 16 * SECTOR
        + descriptor(label, at, root, table)
        + end
        + pad(paths[0])
        + pad(paths[1])
        + listing
        + contents
    )


def seed(name: str) -> bytes:
    """A cloud-init NoCloud seed."""
    meta = f"instance-id: {name}\nlocal-hostname: {name}\n".encode()
    return iso("cidata", {"meta-data": meta, "user-data": b"#cloud-config\n{}\n"})
