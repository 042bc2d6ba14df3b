# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What LVM itself says of a volume group of this host: libvirt does not tell extents, nor thin volumes, nor who has what open."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command

#: Of lv_attr: what kind a volume is, and whether it is open (lvs(8)).
_KIND, _OPEN = 0, 5
#: Kinds that are no volume of anybody: thin pools and parts of volumes.
_PARTS = "tTeiIlD"


@dataclasses.dataclass(frozen=True)
class LogicalVolume:
    """A logical volume. ``open``: a file system, a program or another device has it."""

    name: str
    open: bool = False


def extent_size(group: str) -> int | None:
    """Bytes of an extent; None where this host has no such volume group."""
    done = command.run(["vgs", "--noheadings", "--nosuffix", "--units", "b", "-o", "vg_extent_size", "--", group])
    said = done.stdout.strip()
    return int(said) if done.status == 0 and said.isdigit() else None


def volumes(group: str) -> tuple[LogicalVolume, ...]:
    """All volumes of the group, those too that are not active or thin. Raises KvmError VOLUME_GROUP_UNREADABLE."""
    words = ["lvs", "--noheadings", "--separator", "/", "-o", "lv_name,lv_attr", "--", group]
    return parse(command.check(words, "VOLUME_GROUP_UNREADABLE", f"Reading the volume group {group}").stdout)


def parse(text: str) -> tuple[LogicalVolume, ...]:
    """The volumes in what lvs prints of lv_name and lv_attr."""
    found: list[LogicalVolume] = []
    for line in text.splitlines():
        name, attributes = (*line.strip().split("/", 1), "")[:2]
        if name and len(attributes) > _OPEN and attributes[_KIND] not in _PARTS:
            found.append(LogicalVolume(name, attributes[_OPEN] == "o"))
    return tuple(found)


def extend(group: str, name: str, capacity: int) -> None:
    """Make a volume larger. Raises KvmError VOLUME_GROW_FAILED."""
    words = ["lvextend", "--size", f"{capacity}b", "--", f"{group}/{name}"]
    command.check(words, "VOLUME_GROW_FAILED", f"Growing the logical volume {group}/{name}")


def names(found: t.Iterable[LogicalVolume], *, opened: bool = False) -> tuple[str, ...]:
    """The names, with ``opened`` of those only that are open."""
    return tuple(one.name for one in found if one.open or not opened)
