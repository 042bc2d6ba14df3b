# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The head of a layer names another backing file, and everything else in it stays."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.imageheader import parse_qcow2
from ansible_collections.virtops.kvm.plugins.module_utils._disk import header

FORMAT, FEATURES, BITMAPS = 0xE2792ACA, 0x6803F857, 0x23852875


def image(
    *,
    version: int = 3,
    extensions: tuple[tuple[int, bytes], ...] = (),
    name: bytes = b"",
    bits: int = 16,
    needs: int = 0,
) -> bytes:
    """The first cluster of an image, as QEMU writes it."""
    length = 72 if version == 2 else 112
    head = bytearray(length)
    struct.pack_into(">4sI", head, 0, b"QFI\xfb", version)
    struct.pack_into(">I", head, 20, bits)
    struct.pack_into(">Q", head, 24, 5 << 30)
    if version == 3:
        struct.pack_into(">Q", head, 72, needs)
        struct.pack_into(">II", head, 96, 4, length)
        head[104] = 1
    for kind, data in extensions:
        head += struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)
    head += bytes(8)
    if name:
        struct.pack_into(">QI", head, 8, len(head), len(name))
        head += name
    return bytes(head).ljust(1 << bits, b"\0")


OTHERS = ((FEATURES, b"x" * 96), (BITMAPS, b"b" * 24))
CASES = [
    image(),
    image(version=2),
    image(extensions=OTHERS),
    image(extensions=((FORMAT, b"raw"), *OTHERS), name=b"/old/base.raw"),
    image(extensions=(*OTHERS, (FORMAT, b"qcow2")), name=b"base.qcow2"),
    image(version=2, name=b"/old"),
    image(bits=12, extensions=OTHERS),
]


@pytest.mark.parametrize("head", CASES)
@pytest.mark.parametrize("name", ["/new/base.qcow2", "/b", '/büro/it\'s "x".qcow2', "/" + "x" * 1000])
def test_with_backing(head: bytes, name: str) -> None:
    found = header.with_backing(head, name, "qcow2")
    assert len(found) == len(head)
    facts = parse_qcow2(found)
    assert facts is not None
    assert (facts.backing_path, facts.backing_format, facts.virtual_size) == (name, "qcow2", 5 << 30)
    length = 72 if found[7] == 2 else 112
    assert (found[:8], found[20:length]) == (head[:8], head[20:length])
    for kind, data in OTHERS:
        whole = struct.pack(">II", kind, len(data)) + data
        assert (whole in found) == (whole in head)
    assert header.with_backing(found, name, "qcow2") == found


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "/a"),
        (bytes(65536), "/a"),
        (image()[:60000], "/a"),
        (image(needs=4), "/a"),
        (image(bits=5), "/a"),
        (image(), "/" + "x" * 1100),
        (image(bits=9, extensions=OTHERS), "/" + "x" * 400),
        (image().replace(b"QFI\xfb\0\0\0\3", b"QFI\xfb\0\0\0\7"), "/a"),
        (
            image(extensions=((FEATURES, b"x" * 16),)).replace(
                struct.pack(">II", FEATURES, 16), struct.pack(">II", FEATURES, 99999)
            ),
            "/a",
        ),
    ],
)
def test_what_is_refused(head: bytes, name: str) -> None:
    with pytest.raises(KvmError) as caught:
        header.with_backing(head, name, "qcow2")
    assert caught.value.error_code == "IMAGE_INVALID"
