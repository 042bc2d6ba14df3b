# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Where a command line of QEMU says that the memory of its guest lies. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import CommandLine
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argvread import bytes_of, memory_of


@dataclasses.dataclass(frozen=True)
class Backing:
    """A part of the memory that is no plain one: ``size`` bytes in a file at ``path``, or in huge pages without a file. ``page_kib``
    is their size, None where that is the host's default or the folder's."""

    size: int
    path: str = ""
    page_kib: t.Optional[int] = None


def backings_of(line: CommandLine) -> tuple[Backing, ...]:
    """The parts that are no plain memory, in their order."""
    found = []
    if line.last("mem-path"):
        found.append(Backing(memory_of(line), line.last("mem-path")))
    for option in line.all("object"):
        keys = option.keys
        size = bytes_of(keys.get("size"), "B")
        if keys.get("qom-type") == "memory-backend-file" and keys.get("mem-path"):
            found.append(Backing(size, keys.get("mem-path")))
        elif keys.get("qom-type") == "memory-backend-memfd" and keys.is_on("hugetlb"):
            page = bytes_of(keys.get("hugetlbsize"), "B")
            found.append(Backing(size, page_kib=page // 1024 or None))
    return tuple(found)


def huge_pages(backings: t.Sequence[Backing], folders: t.Mapping[str, t.Optional[int]]) -> tuple[bool, t.Optional[int]]:
    """Whether any of it is in huge pages, and their size in KiB where one is known; ``folders`` as for pages_needed."""
    for one in backings:
        size = folders.get(one.path) if one.path else one.page_kib
        if size or not one.path:
            return True, size
    return False, None


def pages_needed(
    backings: t.Sequence[Backing], folders: t.Mapping[str, t.Optional[int]], default_kib: int | None
) -> dict[int, int]:
    """The bytes in huge pages that they take of a host, by page size in KiB. ``folders`` are the page sizes of the paths there, None
    where a file is of no huge pages; ``default_kib`` is the size that the host takes by itself, None where it has none."""
    found: dict[int, int] = {}
    for one in backings:
        size = folders.get(one.path) if one.path else one.page_kib or default_kib
        if size:
            pages = -(-one.size // (size * 1024))
            found[size] = found.get(size, 0) + pages * size * 1024
    return found
