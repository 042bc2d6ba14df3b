# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading the head of disk images."""

from __future__ import annotations

import os
import pathlib
import struct

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.imageheader import (
    ImageFacts,
    backing_location,
    parse_qcow2,
    read_image,
)


def qcow2(size: int, backing: str = "", form: str = "", *, version: int = 3) -> bytes:
    """The first cluster of a qcow2 image."""
    header_length = 112 if version == 3 else 72
    extensions = b"".join(
        struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)
        for kind, data in [(0x6803F857, b"x" * 13), (0xE2792ACA, form.encode()), (0, b"")]
        if data or kind == 0
    )
    name = backing.encode()
    offset = header_length + len(extensions) if backing else 0
    head = b"QFI\xfb" + struct.pack(">IQIIQ", version, offset, len(name), 16, size)
    head += b"\0" * (100 - len(head))
    head = head[:72] if version == 2 else head + struct.pack(">I", header_length)
    return head.ljust(header_length, b"\0") + extensions + name + b"\0" * 100


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("backing", "form"), [("", ""), ("base.qcow2", "qcow2"), ("/abs/büro.raw", "raw"), ("unnamed", "")]
)
def test_qcow2(version: int, backing: str, form: str) -> None:
    facts = parse_qcow2(qcow2(5 * 1024**3 + 512, backing, form, version=version))
    assert facts == ImageFacts(5 * 1024**3 + 512, None, backing or None, form or None)


@pytest.mark.parametrize("head", [b"", b"QFI\xfb", b"\0" * 200, b"QFI\xfb" + b"\0" * 100, b"KDMV" + b"\0" * 200])
def test_anything_else_is_no_qcow2(head: bytes) -> None:
    assert parse_qcow2(head) is None


def test_a_name_outside_of_the_first_cluster_is_not_believed() -> None:
    head = bytearray(qcow2(1024, "base"))
    struct.pack_into(">Q", head, 8, 1 << 40)
    assert parse_qcow2(bytes(head)) == ImageFacts(1024)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("base.qcow2", "/srv/a/base.qcow2"),
        ("../base/b.qcow2", "/srv/base/b.qcow2"),
        ("/abs/b", "/abs/b"),
        ("file:/abs/b", "/abs/b"),
        ("with:colon/b", "with:colon/b"),
        ("sub/with:colon", "/srv/a/sub/with:colon"),
        ("nbd://host/export", "nbd://host/export"),
        ('json:{"driver":"qcow2","file":{"driver":"file","filename":"/x/y"}}', "/x/y"),
        ('json:{"driver":"raw","file.driver":"file","file.filename":"/x/z"}', "/x/z"),
        ('json:{"driver":"nbd","export":"e"}', 'json:{"driver":"nbd","export":"e"}'),
        ("json:{", "json:{"),
    ],
)
def test_backing_location(name: str, expected: str) -> None:
    assert backing_location("/srv/a/top.qcow2", name) == expected


def test_read_qcow2(tmp_path: pathlib.Path) -> None:
    image = tmp_path / "a.qcow2"
    image.write_bytes(qcow2(1 << 30, "base", "raw"))
    facts = read_image(str(image), "qcow2")
    assert (facts.virtual_size, facts.backing_path, facts.backing_format) == (1 << 30, "base", "raw")
    assert facts.allocated == image.stat().st_blocks * 512


def test_a_raw_image_is_not_looked_into(tmp_path: pathlib.Path) -> None:
    image = tmp_path / "a.raw"
    image.write_bytes(qcow2(1 << 30, "/etc/shadow", "raw"))
    os.truncate(image, 1 << 20)
    facts = read_image(str(image), "raw")
    assert (facts.virtual_size, facts.backing_path) == (1 << 20, None)
    assert facts.allocated is not None
    assert facts.allocated < 1 << 20


def test_read_luks(tmp_path: pathlib.Path) -> None:
    image = tmp_path / "a.luks"
    head = bytearray(b"LUKS\xba\xbe\0\1".ljust(592, b"\0"))
    struct.pack_into(">I", head, 104, 4096)
    image.write_bytes(head)
    os.truncate(image, (4096 + 8) * 512)
    assert read_image(str(image), "luks").virtual_size == 8 * 512


@pytest.mark.parametrize("form", ["vmdk", "qcow2", "luks"])
def test_the_size_of_an_unknown_header_is_unknown(tmp_path: pathlib.Path, form: str) -> None:
    image = tmp_path / "a.img"
    image.write_bytes(b"KDMV" * 100)
    assert read_image(str(image), form).virtual_size is None


def test_a_missing_image_raises(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        read_image(str(tmp_path / "absent"), "qcow2")
