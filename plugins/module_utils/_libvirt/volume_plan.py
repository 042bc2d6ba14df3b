# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One volume from what it is to what is asked for: first the whole plan, which changes nothing; then its steps."""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._core.ownership import amiss
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.pool import PoolFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.volume import (
    Room,
    VolumeFacts,
    VolumeStep,
    VolumeWanted,
    form_of,
    steps_to,
)


class Volumes(t.Protocol):
    """What is needed of a gateway."""

    def pool(self, name: str) -> PoolFacts:
        """The pool, active and refreshed."""

    def find(self, pool: PoolFacts, name: str) -> VolumeFacts | None:
        """The volume."""

    def room(self, pool: PoolFacts) -> Room:
        """What a volume has to fit in."""

    def backing_capacity(self, path: str, form: str | None) -> int:
        """The virtual size of an image."""

    def check_free(self, volume: VolumeFacts) -> None:
        """Raises KvmError where somebody uses it."""

    def create(self, pool: PoolFacts, wanted: VolumeWanted, room: Room) -> None:
        """Create it."""

    def grow(self, pool: PoolFacts, volume: VolumeFacts, capacity: int) -> None:
        """Make it larger."""

    def own(self, volume: VolumeFacts, wanted: t.Any) -> None:
        """Set owner, group and mode."""

    def delete(self, pool: PoolFacts, volume: VolumeFacts) -> None:
        """Delete it."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be done. ``present`` is None for a volume that is not there; ``wanted`` is complete: its backing is a path."""

    wanted: VolumeWanted
    pool: PoolFacts
    room: Room
    present: t.Optional[VolumeFacts]
    steps: tuple[VolumeStep, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """Everything that changes, in its order."""
        what = f"volume {self.wanted.name} in pool {self.wanted.pool}"
        return tuple(Change(what, step.action, step.before, step.after) for step in self.steps)

    @property
    def capacity(self) -> int | None:
        """The size in the end."""
        for step in self.steps:
            if step.action in ("create", "grow"):
                return t.cast(int, step.after["capacity"] if step.action == "create" else step.after)
        return self.present.capacity if self.present else None

    @property
    def format(self) -> str | None:
        """The format in the end."""
        if self.present is not None:
            return self.present.format
        return form_of(self.wanted, self.room) if self.steps else None

    def diff(self) -> dict[str, t.Any]:
        """Before and after for diff mode."""
        before: dict[str, t.Any] = {}
        if self.present is not None:
            before = {
                "capacity": self.present.capacity,
                "format": self.present.format,
                **self.present.ownership.shown(),
            }
        after = dict(before)
        for step in self.steps:
            if step.action == "grow":
                after["capacity"] = step.after
            elif step.action == "delete":
                after = {}
            else:
                after.update(step.after)
        name = f"{self.wanted.pool}/{self.wanted.name}"
        return {"before_header": name, "after_header": name, "before": before, "after": after}


def make_plan(volumes: Volumes, wanted: VolumeWanted) -> Plan:
    """What has to be done, with every check that can be made before. Raises KvmError; changes nothing."""
    pool = volumes.pool(wanted.pool)
    present, room = volumes.find(pool, wanted.name), volumes.room(pool)
    if wanted.state == "present":
        wanted = _complete(volumes, pool, present, wanted)
    steps = steps_to(present, wanted, room)
    warnings: list[str] = []
    for step in steps:
        if present is not None and step.action in ("grow", "delete") and not present.users:
            volumes.check_free(present)
        if step.action == "create" and wanted.capacity and wanted.capacity > room.available:
            warnings.append(
                f"The volume '{wanted.name}' may grow to {format_bytes(wanted.capacity)}, and the pool '{pool.name}' has "
                f"{format_bytes(room.available)} free."
            )
    return Plan(wanted, pool, room, present, tuple(steps), tuple(warnings))


def _complete(volumes: Volumes, pool: PoolFacts, present: VolumeFacts | None, wanted: VolumeWanted) -> VolumeWanted:
    """``wanted`` with the path of its backing image, and for a new volume with the size of that."""
    if wanted.backing is None:
        return wanted
    path = wanted.backing
    if not path.startswith("/"):
        path = posixpath.join(pool.definition.path or "/", path)
    wanted = dataclasses.replace(wanted, backing=path)
    if present is not None:
        return wanted
    below = volumes.backing_capacity(path, wanted.backing_format)
    if wanted.capacity is not None and wanted.capacity < below:
        raise InputError(
            "capacity",
            f"The backing image {path} has {below} bytes, and the volume on it would have {wanted.capacity}: a guest would see a part "
            "of its disk only. Ask for as much at least, or leave the capacity out.",
        )
    return dataclasses.replace(wanted, capacity=wanted.capacity or below)


def carry_out(volumes: Volumes, plan: Plan) -> VolumeFacts | None:
    """Do what ``plan`` says, and give the volume as it is then."""
    pool, wanted, present = plan.pool, plan.wanted, plan.present
    for step in plan.steps:
        if step.action == "create":
            volumes.create(pool, wanted, plan.room)
            present = volumes.find(pool, wanted.name)
            # A server may have squashed the owner, or libvirt's umask the mode.
            missing = amiss(present.ownership, wanted.ownership) if present else wanted.ownership
            if present is not None and not missing.empty:
                volumes.own(present, missing)
        elif present is not None and step.action == "grow":
            volumes.grow(pool, present, t.cast(int, step.after))
        elif present is not None and step.action == "set":
            volumes.own(present, amiss(present.ownership, wanted.ownership))
        elif present is not None and step.action == "delete":
            volumes.delete(pool, present)
    return volumes.find(pool, wanted.name)
