# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Volumes of storage pools: what one is, and what has to be done to have the one that is asked for. Pure."""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.ownership import Ownership, amiss
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes

FORMATS = ("qcow2", "raw")
SPARSE, METADATA, FULL = ALLOCATIONS = ("sparse", "metadata", "full")
#: Sizes are whole KiB: with less, libvirt and QEMU round differently.
GRAIN = 1024
LOGICAL = "logical"


@dataclasses.dataclass(frozen=True)
class VolumeFacts:
    """A volume as it is. ``domains`` are all domains of the host that name it, ``users`` those of them that run; ``overlays`` are the
    volumes that are built on it. Sizes are bytes."""

    name: str
    pool: str
    path: str
    type: str = "file"
    format: str = "raw"
    capacity: int = 0
    allocation: int = 0
    backing: t.Optional[str] = None
    backing_format: t.Optional[str] = None
    owner: t.Optional[int] = None
    group: t.Optional[int] = None
    mode: t.Optional[str] = None
    users: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    overlays: tuple[str, ...] = ()

    @property
    def ownership(self) -> Ownership:
        """Owner, group and mode as numbers."""
        return Ownership(self.owner, self.group, int(self.mode, 8) if self.mode else None)


@dataclasses.dataclass(frozen=True)
class VolumeWanted:
    """What is asked for. ``backing`` is an absolute path; ``capacity`` None is that of the backing image, or what there is."""

    name: str
    pool: str
    state: str = "present"
    capacity: t.Optional[int] = None
    format: t.Optional[str] = None
    allocation: t.Optional[str] = None
    backing: t.Optional[str] = None
    backing_format: t.Optional[str] = None
    ownership: Ownership = dataclasses.field(default_factory=Ownership)
    grow: bool = False
    may_delete: bool = False


@dataclasses.dataclass(frozen=True)
class Room:
    """What the volume is to be in: the type of the pool, its free bytes, and for a logical pool its extents."""

    pool_type: str = "dir"
    available: int = 0
    extent: int = 1

    def whole(self, size: int) -> int:
        """What a volume of ``size`` bytes really gets: a volume group gives whole extents."""
        return -(-size // self.extent) * self.extent


@dataclasses.dataclass(frozen=True)
class VolumeStep:
    """One thing to do: create, grow, set (owner and mode) or delete."""

    action: str
    before: t.Any = None
    after: t.Any = None


def steps_to(present: VolumeFacts | None, wanted: VolumeWanted, room: Room) -> list[VolumeStep]:
    """What has to be done. Raises KvmError where it would lose data, or cannot be."""
    if wanted.state == "absent":
        return _to_absent(present, wanted)
    if present is None:
        return [_create(wanted, room)]
    _check_same(present, wanted)
    return [*_grow(present, wanted, room), *_own(present, wanted)]


def form_of(wanted: VolumeWanted, room: Room) -> str:
    """The format of a new volume."""
    return wanted.format or ("raw" if room.pool_type == LOGICAL else "qcow2")


def allocation_of(wanted: VolumeWanted, room: Room) -> str:
    """How a new volume is allocated."""
    return wanted.allocation or (FULL if room.pool_type == LOGICAL else SPARSE)


def _create(wanted: VolumeWanted, room: Room) -> VolumeStep:
    form, allocation = form_of(wanted, room), allocation_of(wanted, room)
    if wanted.capacity is None:
        raise InputError(
            "capacity", f"The volume '{wanted.name}' is new in the pool '{wanted.pool}', and needs a capacity."
        )
    if room.pool_type == LOGICAL and (form != "raw" or allocation != FULL or wanted.backing):
        raise InputError(
            "format",
            f"The pool '{wanted.pool}' is a volume group: a volume in it is raw, fully allocated, and has no backing image.",
        )
    if form == "raw" and wanted.backing:
        raise InputError("backing", "A raw volume cannot have a backing image; ask for format=qcow2.")
    if form == "raw" and allocation == METADATA:
        raise InputError("allocation", "A raw volume has no metadata to allocate; ask for sparse or full.")
    if allocation == FULL and wanted.backing:
        raise InputError(
            "allocation", "A volume with a backing image is not fully allocated; ask for sparse or metadata."
        )
    size = room.whole(wanted.capacity)
    if allocation == FULL and size > room.available:
        raise _full(wanted, size, room)
    shown: dict[str, t.Any] = {"capacity": size, "format": form, "allocation": allocation}
    if wanted.backing:
        shown["backing"] = wanted.backing
    return VolumeStep("create", None, {**shown, **wanted.ownership.shown()})


def _check_same(present: VolumeFacts, wanted: VolumeWanted) -> None:
    """Raises VOLUME_DIFFERS for what is never changed."""
    asked: list[tuple[str, t.Any, t.Any]] = []
    if wanted.format is not None:
        asked.append(("format", present.format, wanted.format))
    if wanted.backing is not None:
        there = posixpath.normpath(present.backing) if present.backing else None
        asked.append(("backing", there, posixpath.normpath(wanted.backing)))
        if present.backing_format:
            asked.append(("backing_format", present.backing_format, wanted.backing_format))
    for what, now, then in asked:
        if now != then:
            raise KvmError(
                "VOLUME_DIFFERS",
                f"The volume '{present.name}' in the pool '{present.pool}' has the {what} {now or 'none'}, and {then} is asked for; it is "
                "never changed in place. Ask for another name, or copy it with disk_copy.",
                volume=present.name,
                pool=present.pool,
                option=what,
                before=now,
                after=then,
            )


def _grow(present: VolumeFacts, wanted: VolumeWanted, room: Room) -> list[VolumeStep]:
    size = wanted.capacity
    # A volume group gives whole extents, so a volume may be a little larger than it was asked for.
    if size is None or size <= present.capacity < size + room.extent:
        return []
    words = f"The volume '{present.name}' in the pool '{present.pool}' has {format_bytes(present.capacity)} ({present.capacity} bytes)"
    details = {"volume": present.name, "pool": present.pool, "before": present.capacity, "after": size}
    if size < present.capacity:
        raise KvmError(
            "VOLUME_TOO_LARGE",
            f"{words}, and {size} bytes are asked for; nothing is ever shrunk. Ask for as much.",
            **details,
        )
    if not wanted.grow:
        raise KvmError(
            "VOLUME_TOO_SMALL", f"{words}, and {size} bytes are asked for; it grows only with grow=true.", **details
        )
    if present.overlays:
        raise KvmError(
            "VOLUME_IS_BACKING",
            f"{words}, and does not grow, because others are built on it: {', '.join(present.overlays)}. Grow those.",
            overlays=list(present.overlays),
            **details,
        )
    size = room.whole(size)
    if room.pool_type == LOGICAL and size - present.capacity > room.available:
        raise _full(wanted, size - present.capacity, room)
    return [VolumeStep("grow", present.capacity, size)]


def _own(present: VolumeFacts, wanted: VolumeWanted) -> list[VolumeStep]:
    # libvirt has given the image of a running guest to its QEMU, and takes it back at the end.
    missing = amiss(present.ownership, wanted.ownership)
    if missing.empty or present.users:
        return []
    now = present.ownership
    before = Ownership(
        now.owner if missing.owner is not None else None,
        now.group if missing.group is not None else None,
        now.mode if missing.mode is not None else None,
    )
    return [VolumeStep("set", before.shown(), missing.shown())]


def _to_absent(present: VolumeFacts | None, wanted: VolumeWanted) -> list[VolumeStep]:
    if present is None:
        return []
    words = f"The volume '{present.name}' in the pool '{present.pool}' ({present.path}) is not deleted"
    details: dict[str, t.Any] = {"volume": present.name, "pool": present.pool, "path": present.path}
    if present.domains:
        raise KvmError(
            "VOLUME_IN_USE",
            f"{words}, because domains of this host have it: {', '.join(present.domains)}. Take it out of their definitions first.",
            domains=list(present.domains),
            **details,
        )
    if present.overlays:
        raise KvmError(
            "VOLUME_IS_BACKING",
            f"{words}, because others are built on it: {', '.join(present.overlays)}. Delete those before, or flatten them.",
            overlays=list(present.overlays),
            **details,
        )
    if not wanted.may_delete:
        raise KvmError(
            "VOLUME_KEPT", f"{words} unasked, for its data would be lost; allow it with may_delete=true.", **details
        )
    return [VolumeStep("delete", {"capacity": present.capacity, "format": present.format}, None)]


def _full(wanted: VolumeWanted, needed: int, room: Room) -> KvmError:
    return KvmError(
        "POOL_FULL",
        f"The pool '{wanted.pool}' has {format_bytes(room.available)} free, and the volume '{wanted.name}' needs {format_bytes(needed)}: "
        "make room, or ask for less.",
        pool=wanted.pool,
        volume=wanted.name,
        available=room.available,
        needed=needed,
    )
