# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Proof by a file that storage is shared: what the destination makes there, the source has to see.

Names of storage can agree where the storage does not: two servers with one address, a mount that is stale, a folder that was
declared as shared and is not. The destination writes and the source looks, for a name that was never looked up is asked of the
server, while a listing may come from a cache.
"""

from __future__ import annotations

import contextlib
import posixpath
import typing as t
import uuid as uuid_room

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError, TimeoutExpired
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import Context, Survey

PREFIX = "virtops-kvm-probe-"
#: A file system that is shared shows a new name at once, or nearly.
_PATIENCE = 10.0
_ATTEMPTS = 5


def stays(disk: Disk, copied: t.Container[str]) -> bool:
    """Whether the move relies on both hosts having the very image of ``disk``. What one host has alone, the preflight refuses."""
    media = disk.readonly or disk.empty or disk.device in ("cdrom", "floppy")
    return not media and disk.type == "file" and disk.target not in copied and disk.shared is not False


def prove_shared(context: Context, survey: Survey, findings: t.Sequence[Finding]) -> tuple[Finding, ...]:
    """Prove it for the folder of every disk that is not copied. Raises STORAGE_NOT_SHARED.

    Gives ``findings`` without the warnings that are settled by that. Where the destination may not write there, nothing is
    proven, and a warning says so.
    """
    folders: dict[tuple[str, str], list[Disk]] = {}
    for disk in survey.domain.disks:
        if disk.source and stays(disk, survey.choice.copied):
            there = context.mapping.disk(disk.target, disk.source)
            folders.setdefault((posixpath.dirname(disk.source), posixpath.dirname(there)), []).append(disk)
    proven: set[str] = set()
    for (here, there), disks in folders.items():
        if _prove(context, disks[0], here, there):
            proven.update(disk.target for disk in disks)
    return tuple(one for one in findings if one.code != "SHARED_UNPROVEN" or one.object not in proven)


def _prove(context: Context, disk: Disk, here: str, there: str) -> bool:
    gateway, name = context.gateway, PREFIX + uuid_room.uuid4().hex
    path = posixpath.join(there, name)
    try:
        new_folder = gateway.create_image(path, "raw", 0)
    except KvmError as error:
        context.warnings.append(
            f"That {there} is shared was not proven by a file, because {gateway.destination_host} cannot make one there: {error.message}"
        )
        return False
    try:
        seen = not new_folder and _seen(context, posixpath.join(here, name))
    finally:
        _remove(context, path)
        if new_folder:
            with contextlib.suppress(KvmError):
                gateway.remove_folder(there)
    if not seen:
        raise KvmError(
            "STORAGE_NOT_SHARED",
            f"Cannot move domain '{context.name}' from {gateway.source_host} to {gateway.destination_host}: disk {disk.target} "
            f"({disk.source}) would not be copied, yet a file that {gateway.destination_host} made in {there} is not seen in {here} on "
            f"{gateway.source_host}, so the two have different storage there. Mount the same storage on both, or let the disk be copied.",
            disk=disk.target,
            path=disk.source,
            folder=there,
            probe=name,
        )
    return True


def _remove(context: Context, path: str) -> None:
    """Remove the file. Where the folder has no pool, another move may end the transient one that both use at any moment."""
    said = ""
    for _unused in range(_ATTEMPTS):
        try:
            context.gateway.remove_image(path)
        except KvmError as error:
            said = error.message
        else:
            return
    context.warnings.append(f"The empty file {path} is left on {context.gateway.destination_host}; remove it. {said}")


def _seen(context: Context, path: str) -> bool:
    def look() -> bool:
        return context.gateway.sees(path)

    try:
        wait_until(context.clock, look, bool, what="the file to be seen", timeout=_PATIENCE)
    except TimeoutExpired:
        return False
    return True
