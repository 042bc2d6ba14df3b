# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Disk images on the destination: shared where they stay, room and a free place where they are copied."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import CheckFacts, DestinationImage
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, hard_blocker, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import (
    DISPROVEN,
    LIVE_METHODS,
    LOCAL,
    STOPPED_METHODS,
    UNPROVEN,
    folder_of,
    sharing,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import Need, needs_of, store_of

#: From this libvirt on (with any QEMU of its age) the source drops its cache, so that write-back caching is safe.
_DROPS_CACHE = 5007000
_SAFE_CACHES = (None, "default", "none", "directsync")

_CAUSES = {LOCAL: "only its own host sees it", DISPROVEN: "the destination has other storage at that path"}


def check_sharing(facts: CheckFacts) -> t.Iterator[Finding]:
    """STORAGE_NOT_SHARED, SHARED_UNPROVEN: for every writable disk that is not copied."""
    choice = facts.choice
    if choice.method not in (*LIVE_METHODS, *STOPPED_METHODS):
        return
    for disk in facts.domain.disks:
        if disk.readonly or disk.empty or disk.device in ("cdrom", "floppy") or disk.target in choice.copied:
            continue
        state = sharing(disk, facts.destination)
        if state == LOCAL and choice.finding is not None:
            # METHOD_UNSUITABLE says it already.
            continue
        image = facts.image(disk.target)
        absent = image is not None and image.exists is False
        if absent or state in (LOCAL, DISPROVEN):
            cause = _CAUSES.get(state, "the destination does not have it")
            yield blocker(
                "STORAGE_NOT_SHARED",
                disk.target,
                f"{facts.pair.move}: disk {disk.target} ({disk.source}) would not be copied, and {cause}.",
                "Let the disk be copied (method live_block or auto, and list it in disks), or put it on shared "
                "storage.",
                disk=disk.target,
                path=disk.source,
                filesystem=disk.filesystem,
            )
        elif state == UNPROVEN:
            yield _unproven(facts, disk)


def _unproven(facts: CheckFacts, disk: Disk) -> Finding:
    message = f"disk {disk.target} ({disk.source}) is taken to be shared, which nothing on the destination proves."
    remedy = "Define a storage pool at that folder on both hosts, so that the storage behind it can be compared."
    evidence = {"disk": disk.target, "path": disk.source, "filesystem": disk.filesystem}
    if disk.shared:
        return warning("SHARED_UNPROVEN", disk.target, f"{facts.pair.about}: {message}", remedy, **evidence)
    return blocker("SHARED_UNPROVEN", disk.target, f"{facts.pair.move}: {message}", remedy, **evidence)


def check_cache(facts: CheckFacts) -> t.Iterator[Finding]:
    """UNSAFE_CACHE: the newest writes to a shared disk may still be in the source's cache when they are read there."""
    copied = facts.choice.copied
    for disk in facts.domain.disks:
        if not disk.copyable or disk.type not in ("file", "block") or disk.target in copied:
            continue
        old = disk.cache not in _SAFE_CACHES and 0 < facts.source.libvirt_version < _DROPS_CACHE
        if old or disk.cache == "unsafe":
            yield blocker(
                "UNSAFE_CACHE",
                disk.target,
                f"{facts.pair.move}: shared disk {disk.target} uses cache mode '{disk.cache}', so the destination "
                "may read old data.",
                "Set its cache mode to none (the change takes effect when the guest is started again).",
                disk=disk.target,
                cache=disk.cache,
            )


def check_images(facts: CheckFacts) -> t.Iterator[Finding]:
    """IMAGE_EXISTS, DISK_SIZE_MISMATCH, DISK_TYPE_UNSUPPORTED, POOL_MISSING: for every disk that is copied."""
    choice = facts.choice
    for disk in facts.domain.disks:
        image = facts.image(disk.target) if disk.target in choice.copied else None
        if image is not None:
            yield from _image(facts, disk, image)


def _image(facts: CheckFacts, disk: Disk, image: DestinationImage) -> t.Iterator[Finding]:
    evidence = {"disk": disk.target, "path": image.path}
    if image.type == "file" and facts.destination.pool_at(folder_of(image.path)) is None:
        yield blocker(
            "POOL_MISSING",
            facts.destination_name,
            f"{facts.pair.move}: the destination has no active storage pool at {folder_of(image.path)} for disk "
            f"{disk.target}.",
            "Define and start a pool of type dir there, or name another path in mapping, or accept that the folder is made.",
            folder=folder_of(image.path),
            **evidence,
        )
        return
    if image.type == "block" and not image.exists:
        yield blocker(
            "DISK_TYPE_UNSUPPORTED",
            disk.target,
            f"{facts.pair.move}: the destination shows no block device {image.path} for disk {disk.target}, and "
            "block devices "
            "are not created by a move.",
            f"Create it there with exactly {disk.virtual_size} bytes and as a volume of an active pool.",
            **evidence,
        )
        return
    if image.exists:
        yield from _existing(facts, disk, image, evidence)


def _existing(
    facts: CheckFacts, disk: Disk, image: DestinationImage, evidence: dict[str, t.Any]
) -> t.Iterator[Finding]:
    # QEMU's mirror and restored memory need the very size; a guest that boots afresh takes a larger device.
    larger_fits = facts.stopped and not facts.resumes and image.type == "block"
    mismatch = False
    if disk.virtual_size is not None and image.virtual_size is not None:
        mismatch = image.virtual_size < disk.virtual_size or (
            image.virtual_size > disk.virtual_size and not larger_fits
        )
    if mismatch and (image.type == "block" or image.made_by_us):
        yield blocker(
            "DISK_SIZE_MISMATCH",
            disk.target,
            f"{facts.pair.move}: {image.path} on the destination has {image.virtual_size} bytes and disk "
            f"{disk.target} has "
            f"{disk.virtual_size}, where QEMU needs exactly the same.",
            "Recreate it in the exact size, or remove it.",
            source=disk.virtual_size,
            destination=image.virtual_size,
            **evidence,
        )
    if not image.made_by_us:
        # A file may be another guest's image, and the move makes its own; a block device has to be there beforehand.
        block = image.type == "block"
        yield (blocker if block else hard_blocker)(
            "IMAGE_EXISTS",
            disk.target,
            f"{facts.pair.move}: {image.path}, where disk {disk.target} would go, exists on the destination already.",
            "Look at what it is; then move it away, or name another path in mapping"
            + (", or accept that its content is overwritten." if block else "."),
            size=image.virtual_size,
            **evidence,
        )


def check_space(facts: CheckFacts) -> t.Iterator[Finding]:
    """DISK_SPACE_SHORT, DISK_SPACE_OVERCOMMIT: by the storage behind the pools, as pools may share a file system."""
    paths = {image.target: image.path for image in facts.images}
    groups: dict[str, list[Need]] = {}
    available: dict[str, int] = {}
    for need in needs_of(facts.domain, facts.choice.copied, paths):
        pool = facts.destination.pool_at(need.folder)
        if pool is None:
            continue
        groups.setdefault(store_of(pool), []).append(need)
        available[store_of(pool)] = min(pool.available, available.get(store_of(pool), pool.available))
    for store, needs in sorted(groups.items()):
        yield from _space(facts, needs, available[store])


def _space(facts: CheckFacts, needs: list[Need], available: int) -> t.Iterator[Finding]:
    # What an interrupted move left there is replaced, so its space counts as taken twice: on the safe side.
    allocated, virtual = sum(need.allocated for need in needs), sum(need.virtual for need in needs)
    folders = ", ".join(sorted({need.folder for need in needs}))
    evidence = {"folder": folders, "allocated": allocated, "virtual": virtual, "available": available}
    if allocated > available:
        yield blocker(
            "DISK_SPACE_SHORT",
            facts.destination_name,
            f"{facts.pair.move}: its disks hold {format_bytes(allocated)} and {folders} has "
            f"{format_bytes(available)} free there.",
            "Free space there, or name a folder with more room in mapping, or choose another destination.",
            **evidence,
        )
    elif virtual > available:
        yield warning(
            "DISK_SPACE_OVERCOMMIT",
            facts.destination_name,
            f"{facts.pair.about}: its disks may grow to {format_bytes(virtual)} and {folders} has "
            f"{format_bytes(available)} free there.",
            "Watch the free space there: a guest whose disk cannot grow is paused.",
            **evidence,
        )
