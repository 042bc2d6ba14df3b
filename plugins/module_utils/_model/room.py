# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How much memory and disk space a host has to give, and what a domain takes: shared by planner and checker."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import MIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host, Pool
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import folder_of

#: What a host keeps for itself unless told otherwise: the larger of a part of its memory and a fixed amount.
RESERVE_PERCENT = 5.0
RESERVE_BYTES = 512 * MIB


def default_reserve(host: Host) -> int:
    """Bytes of memory that guests shall leave to the host itself."""
    return reserve_of(host.memory_total)


def reserve_of(total: int) -> int:
    """The same of a host that has ``total`` bytes in all."""
    return max(RESERVE_BYTES, int(total * RESERVE_PERCENT / 100))


def memory_available(host: Host, reserve: int) -> int:
    """Bytes of memory for more guests: bounded by what is free now and by what running guests may still grow into."""
    promised = host.memory_total - host.memory_domains
    return min(host.memory_free, promised) - reserve


@dataclasses.dataclass(frozen=True)
class Need:
    """What one copied image takes on the destination now (``allocated``, an upper bound) and at most (``virtual``)."""

    target: str
    path: str
    folder: str
    allocated: int
    virtual: int


def needs_of(domain: Domain, copied: t.Sequence[str], paths: t.Mapping[str, str] | None = None) -> tuple[Need, ...]:
    """What the disks ``copied`` (targets) take as files. ``paths`` gives other paths on the destination by target.

    What goes onto a block device is not in it: that has to be there already. What leaves one for a file is.
    """
    needs = []
    for disk in domain.disks:
        path = (paths or {}).get(disk.target, disk.source) if disk.source else None
        if disk.target in copied and disk.type in ("file", "block") and path and not path.startswith("/dev/"):
            now = disk.copy_size or 0
            needs.append(Need(disk.target, path, folder_of(path), now, max(now, disk.virtual_size or 0)))
    return tuple(needs)


def store_of(pool: Pool) -> str:
    """What pools with one value of this have in common: the free space behind them."""
    return f"filesystem {pool.filesystem}" if pool.filesystem else f"pool {pool.name}"


def hugepages_free(host: Host, size_kib: int | None) -> int:
    """Bytes in free huge pages of one size, by default the host's default size."""
    size = size_kib or host.hugepage_default_kib
    if size is None:
        return max((int(key) * 1024 * count for key, count in host.hugepages.items()), default=0)
    return size * 1024 * host.hugepages.get(str(size), 0)


def memory_needed(domain: Domain) -> int:
    """Bytes of memory that the guest may take: its balloon can grow any time."""
    return max(domain.memory, domain.memory_max)
