# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Only blocks that are data all through, and that nobody wrote to, are called unchanged; anything else is read again."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import bitmap

from .qcow2_sample import COMPRESSED, ZERO, at, sample

NAME = "virtops-seed-1"
#: Blocks of 4 clusters: the guest's clusters 0 to 11 fill blocks 2, 3 and 4 of the file, in another order than the guest's.
BLOCK = 4 << 16
PLACES = {number: at(8 + (number * 5) % 12) for number in range(12)}


def unchanged(path: pathlib.Path, **layout: t.Any) -> set[int]:
    path.write_bytes(sample(**layout))
    return bitmap.unchanged(str(path), bitmap.read(str(path), NAME), BLOCK)


@pytest.mark.parametrize(
    ("mapping", "dirty", "wanted"),
    [
        (PLACES, [], {2, 3, 4}),
        (PLACES, [0], {3, 4}),  # cluster 8
        (PLACES, [1], {2, 4}),  # cluster 13
        (PLACES, [0, 1, 2], set()),  # 8, 13, 18
        (PLACES, [12, 63], {2, 3, 4}),
        ({**PLACES, 3: 0}, [], {2, 4}),  # 11 is nobody's
        ({**PLACES, 0: at(8) | ZERO}, [], {3, 4}),
        ({**PLACES, 0: at(8) | COMPRESSED}, [], {3, 4}),
        ({**PLACES, 20: at(8)}, [], {3, 4}),  # twice: damaged, so believed in nothing
        ({}, [], set()),
    ],
)
def test_unchanged(tmp_path: pathlib.Path, mapping: dict[int, int], dirty: list[int], wanted: set[int]) -> None:
    if mapping.get(3) == 0:
        wanted = {2, 3, 4} - {(8 + 15 % 12) // 4}
    assert unchanged(tmp_path / "a.qcow2", mapping=mapping, dirty=dirty) == wanted


@pytest.mark.parametrize(
    "layout",
    [
        {"flags": 3},
        {"autoclear": 0},
        {"version": 2},
        {"incompatible": 1},
        {"incompatible": 1 << 2},
        {"incompatible": 1 << 4},
        {"name": b"another"},
        {"clusters": 1 << 20},
        {"length": 4},
    ],
)
def test_what_cannot_be_believed_is_said(tmp_path: pathlib.Path, layout: dict[str, t.Any]) -> None:
    layout = {"mapping": {}, "dirty": [], **layout}
    image = sample(**{**layout, "length": 64})[: layout.get("length", 64) << 16]
    path = tmp_path / "a.qcow2"
    path.write_bytes(image)
    with pytest.raises(KvmError) as caught:
        bitmap.read(str(path), NAME)
    assert caught.value.error_code == "BITMAP_UNUSABLE"
    assert str(path) in caught.value.message


def test_other_files_hold_no_bitmaps(tmp_path: pathlib.Path) -> None:
    for content in (b"", b"QFI\xfb", bytes(4096)):
        path = tmp_path / "raw"
        path.write_bytes(content)
        assert bitmap.names(str(path)) == ()
        assert not bitmap.tracks(str(path))
    path.write_bytes(sample({}, []))
    assert bitmap.names(str(path)) == (NAME,)
    assert bitmap.tracks(str(path))
