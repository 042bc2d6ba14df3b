# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Huge pages of this host: how many of each size guests can still get, and of which size those in a folder are.

Also runs on other hosts, shipped there: the standard library and what is shipped before it only.
"""

from __future__ import annotations

import glob
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.mounts import Mount, mount_of, read_mounts

TYPE = "hugetlbfs"


def free_hugepages(root: str = "/") -> dict[str, int]:
    """Pages that guests can still get, per page size in KiB, for sizes of which there are any at all. What is promised to somebody
    who has not touched it yet is not free."""
    found: dict[str, int] = {}
    for folder in sorted(glob.glob(os.path.join(glob.escape(root), "sys/kernel/mm/hugepages/hugepages-*kB"))):
        size = os.path.basename(folder)[len("hugepages-") : -len("kB")]
        total, free = _count(folder, "nr_hugepages"), _count(folder, "free_hugepages")
        if total and free is not None:
            found[size] = max(0, free - (_count(folder, "resv_hugepages") or 0))
    return found


def page_kib(path: str, mounts: t.Sequence[Mount] | None = None) -> int | None:
    """The size in KiB of the huge pages that a file in ``path`` would be made of; None where it is made of something else."""
    place = os.path.realpath(path)
    mount = mount_of(place, read_mounts() if mounts is None else mounts)
    if mount is None or mount.type != TYPE:
        return None
    try:
        return os.statvfs(place).f_bsize // 1024
    except OSError:
        return None


def _count(folder: str, name: str) -> int | None:
    try:
        with open(os.path.join(folder, name), encoding="ascii") as stream:
            text = stream.read().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() else None
