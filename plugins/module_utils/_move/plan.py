# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What one move will do, from facts alone: images to create, definitions to send, and the changes that check mode announces."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PAUSED, Disk
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import Context, Survey
from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import differences, normalize
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import rewrite


@dataclasses.dataclass(frozen=True)
class PlannedImage:
    """One disk that is copied. ``create`` is false for a block device, which must be there; ``replaces`` when an
    out-of-date copy that an earlier move of this domain left is removed for it."""

    target: str
    source: str
    path: str
    format: str
    virtual_size: int
    create: bool = True
    replaces: bool = False


@dataclasses.dataclass(frozen=True)
class MovePlan:
    """Everything that is decided before anything is done."""

    uuid: str
    name: str
    method: str
    images: tuple[PlannedImage, ...]
    nvram: t.Optional[str]
    live_xml: str
    saved_xml: str
    source_saved_xml: str
    persistent: bool
    paused: bool
    autostart: bool
    memory: int
    changes: tuple[Change, ...]

    @property
    def copied(self) -> tuple[str, ...]:
        """The targets of the disks that are copied."""
        return tuple(image.target for image in self.images)

    @property
    def bytes_copied(self) -> int:
        """The virtual size of all of them."""
        return sum(image.virtual_size for image in self.images)


def make_plan(context: Context, survey: Survey, live_xml: str, saved_xml: str) -> MovePlan:
    """The plan for the domain of ``survey``. ``live_xml`` and ``saved_xml`` are its migratable definitions on the source."""
    domain, options, mapping = survey.domain, context.options, context.mapping
    copied = set(survey.choice.copied)
    images = tuple(_image(disk, context, survey.leftovers) for disk in domain.disks if disk.target in copied)
    no_two_alike((f"disk {image.target}", image.path) for image in images)
    live = rewrite(live_xml, mapping, copied=copied)
    saved = rewrite(saved_xml, mapping, copied=copied) if domain.persistent else ""
    nvram = mapping.path(domain.firmware.nvram) if domain.firmware.nvram else None
    plan = MovePlan(
        domain.uuid,
        domain.name,
        survey.choice.method,
        images,
        nvram,
        live,
        saved,
        saved_xml if domain.persistent else live_xml,
        domain.persistent,
        domain.state == PAUSED,
        domain.autostart and options.autostart,
        domain.memory,
        (),
    )
    return dataclasses.replace(plan, changes=_changes(context, plan, live_xml, saved_xml))


def _image(disk: Disk, context: Context, leftovers: t.Collection[str]) -> PlannedImage:
    if disk.virtual_size is None or disk.source is None:
        raise KvmError(
            "IMAGE_SIZE_UNKNOWN",
            f"The size of disk {disk.target} ({disk.source}) on {context.gateway.source_host} cannot be read, so no image of its size "
            "can be made; look at the disk with 'virsh domblkinfo'.",
            disk=disk.target,
        )
    path = context.mapping.disk(disk.target, disk.source)
    create = disk.type == "file"
    return PlannedImage(
        disk.target, disk.source, path, disk.format or "raw", disk.virtual_size, create, create and path in leftovers
    )


def no_two_alike(places: t.Iterable[tuple[str, str]]) -> None:
    """Of what is copied (each by what it is called, and its path on the destination), no two may go to one path. Raises InputError."""
    seen: dict[str, str] = {}
    for name, path in places:
        if path in seen:
            raise InputError(
                "mapping",
                f"{seen[path]} and {name} would both be {path} on the destination; map one elsewhere.",
                path=path,
            )
        seen[path] = name


def _changes(context: Context, plan: MovePlan, live_xml: str, saved_xml: str) -> tuple[Change, ...]:
    source, destination = context.gateway.source_host, context.gateway.destination_host
    changes = [Change(f"domain {plan.name}", "move", source, destination)]
    for image in plan.images:
        if image.create:
            what = {"format": image.format, "virtual_size": image.virtual_size}
            changes.append(
                Change(f"image {destination}:{image.path}", "replace" if image.replaces else "create", None, what)
            )
        else:
            changes.append(
                Change(f"device {destination}:{image.path}", "overwrite", None, {"virtual_size": image.virtual_size})
            )
    rewritten = differences(saved_xml, plan.saved_xml) if plan.persistent else differences(live_xml, plan.live_xml)
    if rewritten:
        changes.append(Change(f"definition {plan.name}", "rewrite", None, rewritten))
    if plan.autostart:
        changes.append(Change(f"autostart {destination}:{plan.name}", "set", False, True))
    if context.options.source_disks != "keep":
        for image in plan.images:
            if image.create:
                after = f"{image.source}.migrated" if context.options.source_disks == "rename" else None
                changes.append(
                    Change(f"image {source}:{image.source}", context.options.source_disks, image.source, after)
                )
    return tuple(changes)


def diff_of_plan(context: Context, plan: MovePlan) -> dict[str, str]:
    """The two definitions as text without passwords, for diff mode."""
    return diff_of_documents(
        context, plan.name, plan.source_saved_xml, plan.saved_xml if plan.persistent else plan.live_xml
    )


def diff_of_documents(context: Context, name: str, before: str, after: str) -> dict[str, str]:
    """Two definitions of the domain ``name`` as text without passwords."""
    return {
        "before_header": f"{name} on {context.gateway.source_host}",
        "after_header": f"{name} on {context.gateway.destination_host}",
        "before": normalize(before),
        "after": normalize(after),
    }
