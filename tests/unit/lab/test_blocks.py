# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts, partition tables and device nodes of the lab's block devices: the pure parts."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab.blocks import BlockDevice, extents, layout, partition_table, tmpfiles
from tests.lab.shell import LabError


@pytest.mark.parametrize(
    ("size", "partitions", "expected"),
    [(64, 2, (31, 31)), (64, 0, ()), (64, (40, 8), (40, 8)), (2, 1, (1,)), (64, (63,), (63,))],
)
def test_partitions_fit_their_device(size: int, partitions: int | Sequence[int], expected: tuple[int, ...]) -> None:
    assert layout(size, partitions) == expected


@pytest.mark.parametrize(("size", "partitions"), [(2, 2), (64, 5), (64, (64,)), (64, (10, 0)), (1, 1)])
def test_partitions_that_do_not_fit_are_refused(size: int, partitions: int | Sequence[int]) -> None:
    with pytest.raises(LabError, match="cannot have these partitions"):
        layout(size, partitions)


def test_partitions_follow_each_other() -> None:
    assert extents((2, 3)) == [(2048, 4096), (6144, 6144)]


def test_the_table_says_where_partitions_are() -> None:
    table = partition_table((2, 3))
    assert len(table) == 512
    assert table[510:] == b"\x55\xaa"
    entries = [struct.unpack("<B3xB3xII", table[446 + 16 * index : 462 + 16 * index]) for index in range(4)]
    assert entries == [(0, 0x83, 2048, 4096), (0, 0x83, 6144, 6144), (0, 0, 0, 0), (0, 0, 0, 0)]


def test_nodes_of_odd_names_are_quoted() -> None:
    text = tmpfiles([('/dev/lab/wéb "1" 5%', "loop3p1", "259:7")])
    assert "b /dev/loop3p1 0660 root disk - 259:7\n" in text
    assert 'L+ "/dev/lab/wéb \\"1\\" 5%%" - - - - ../loop3p1\n' in text


def test_a_device_names_its_parts() -> None:
    device = BlockDevice("kvm1", "web 01", Path("/x/web 01.img"), (8, 8))
    assert device.path == "/dev/lab/web 01"
    assert device.partitions == ("/dev/lab/web 01-part1", "/dev/lab/web 01-part2")
