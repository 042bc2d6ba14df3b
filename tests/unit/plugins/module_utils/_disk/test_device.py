# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths that are refused, and what sysfs tells of a device."""

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import device


@pytest.mark.parametrize("path", ["/dev/vg/lv", "/srv/büro 1/a..b.img", "/x"])
def test_plain_paths_are_taken(path: str) -> None:
    assert device.check_path(path, "disks") == path


@pytest.mark.parametrize("path", ["", "lv", "dev/vg/lv", "/srv/../etc/x", "/srv/a\nb", "/srv/x/", "//srv/x", "/a\0b"])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(InputError):
        device.check_path(path, "disks")


def test_what_is_no_device_is_refused_with_the_reason(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a file"
    file.write_bytes(b"x" * 700)
    assert (device.look(str(file)).kind, device.look(str(file)).size) == (device.FILE, 700)
    assert device.look(str(tmp_path)).kind == device.OTHER
    for path, code, words in (
        (str(file), "NO_BLOCK_DEVICE", "regular file"),
        (str(tmp_path), "NO_BLOCK_DEVICE", "no block device"),
        (str(tmp_path / "gone"), "DEVICE_NOT_FOUND", "There is no device"),
    ):
        with pytest.raises(KvmError, match=words) as caught:
            device.look_at_device(path)
        assert caught.value.error_code == code


def tree(root: pathlib.Path) -> str:
    """A disk 8:0 with the partitions 8:1 and 8:2, the latter under an LV, as sysfs shows them."""
    real = root / "devices" / "sda"
    for part, numbers in (("sda1", "8:1"), ("sda2", "8:2")):
        (real / part / "holders").mkdir(parents=True)
        (real / part / "partition").write_text("1\n", encoding="ascii")
        (real / part / "dev").write_text(f"{numbers}\n", encoding="ascii")
    (real / "sda2" / "holders" / "dm-0").mkdir()
    (real / "dev").write_text("8:0\n", encoding="ascii")
    (real / "ro").write_text("1\n", encoding="ascii")
    (real / "stat").write_text("  10 0 80 5 20 0 160 9 0 1 1\n", encoding="ascii")
    links = root / "block"
    links.mkdir()
    for numbers, target in (("8:0", real), ("8:1", real / "sda1"), ("8:2", real / "sda2")):
        os.symlink(target, links / numbers)
    return str(links)


def test_sysfs_tells_partitions_parents_and_holders(tmp_path: pathlib.Path) -> None:
    sysfs = tree(tmp_path)
    disk, part = device.read_node("8:0", sysfs), device.read_node("8:2", sysfs)
    assert (disk.name, disk.parent, disk.partitions, disk.read_only) == ("sda", None, ("8:1", "8:2"), True)
    assert (part.name, part.parent, part.partitions, part.holders) == ("sda2", "8:0", (), ("dm-0",))
    assert device.read_node("9:9", sysfs) == device.Node("9:9", "9:9")
    assert (device.written_sectors("8:0", sysfs), device.written_sectors("9:9", sysfs)) == (160, None)


def test_zeros_are_written_where_the_kernel_cannot_make_them(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 4096)
    descriptor = os.open(file, os.O_RDWR)
    try:
        device.zero_out(descriptor, 512, 1024)
        device.zero_out(descriptor, 3, 5)
        assert device.reread_partitions(descriptor) is False
    finally:
        os.close(descriptor)
    assert file.read_bytes() == b"xxx" + bytes(5) + b"x" * 504 + bytes(1024) + b"x" * 2560


def test_what_is_filled_is_found_up_to_the_last_byte(tmp_path: pathlib.Path) -> None:
    mib, file = 1 << 20, tmp_path / "a device"
    file.write_bytes(b"x" * mib + bytes(mib) + b"x" + bytes(mib - 1) + bytes(499) + b"x")
    descriptor = os.open(file, os.O_RDWR)
    try:
        size = os.fstat(descriptor).st_size
        assert list(device.filled(descriptor, mib, size)) == [(2 * mib, mib), (3 * mib, 500)]
        assert list(device.filled(descriptor, size - 1, size)) == [(size - 1, 1)]
        assert not list(device.filled(descriptor, mib, 2 * mib))
        assert not list(device.filled(descriptor, size, size))
        for begin, length in list(device.filled(descriptor, mib, size)):
            device.zero_out(descriptor, begin, length)
        assert not list(device.filled(descriptor, mib, size))
    finally:
        os.close(descriptor)
    assert file.read_bytes()[:mib] == b"x" * mib
