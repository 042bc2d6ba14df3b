# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Huge pages that guests can still get, and of which size those in a folder are."""

from __future__ import annotations

import os
import pathlib
import types

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core import hugepages
from ansible_collections.virtops.kvm.plugins.module_utils._core.mounts import Mount


def test_what_is_promised_to_others_is_not_free(tmp_path: pathlib.Path) -> None:
    told = {
        "2048": ("512", "500", "100"),
        "1048576": ("0", "0", "0"),
        "64": ("many", "1", "0"),
        "16384": ("8", "2", None),
    }
    for size, counts in told.items():
        folder = tmp_path / f"sys/kernel/mm/hugepages/hugepages-{size}kB"
        folder.mkdir(parents=True)
        for name, count in zip(("nr_hugepages", "free_hugepages", "resv_hugepages"), counts):
            if count is not None:
                (folder / name).write_text(f"{count}\n")
    assert hugepages.free_hugepages(str(tmp_path)) == {"2048": 400, "16384": 2}


def test_pages_are_of_the_size_of_the_mount(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mounted(kind: str, point: str) -> Mount:
        return Mount(point, kind, "none", "0:1", "/")

    mounts = [mounted("ext4", "/"), mounted("hugetlbfs", str(tmp_path))]
    monkeypatch.setattr(os, "statvfs", lambda path: types.SimpleNamespace(f_bsize=2 << 20))
    inside, beside = tmp_path / "guests", tmp_path.parent / "link"
    beside.symlink_to(inside)
    assert hugepages.page_kib(str(inside), mounts) == hugepages.page_kib(str(beside), mounts) == 2048
    assert hugepages.page_kib("/elsewhere", mounts) is None


def test_a_folder_of_this_host_that_has_none() -> None:
    assert hugepages.page_kib("/proc") is None
    assert hugepages.page_kib("/no such folder") is None
