# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Read-only media (installation and cloud-init images): libvirt never copies them, so they must be there."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import CheckFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding

_DROPPED = ("requisite", "optional")


def check_media(facts: CheckFacts) -> t.Iterator[Finding]:
    """MEDIA_MISSING, MEDIA_DROPPED."""
    for disk in facts.domain.disks:
        image = facts.image(disk.target)
        if image is None or disk.empty or not (disk.readonly or disk.device in ("cdrom", "floppy")):
            continue
        if image.exists is False:
            yield _missing(facts, disk, image.path)
        elif image.exists is None and disk.shared is not True:
            yield _unknown(facts, disk, image.path)


def _missing(facts: CheckFacts, disk: Disk, path: str) -> Finding:
    evidence = {"disk": disk.target, "path": path, "startup_policy": disk.startup_policy}
    if disk.startup_policy in _DROPPED:
        return warning(
            "MEDIA_DROPPED",
            disk.target,
            f"{facts.pair.about}: {path} in drive {disk.target} is missing on the destination, and its startup "
            "policy "
            f"'{disk.startup_policy}' lets libvirt empty the drive.",
            "Copy the file to the destination first if the guest still needs it.",
            **evidence,
        )
    return blocker(
        "MEDIA_MISSING",
        disk.target,
        f"{facts.pair.move}: {path} in drive {disk.target} is missing on the destination.",
        "Copy the file to the same path there, or eject it (virsh change-media --eject), or set "
        "startupPolicy='optional'.",
        **evidence,
    )


def _unknown(facts: CheckFacts, disk: Disk, path: str) -> Finding:
    return warning(
        "MEDIA_MISSING" if disk.startup_policy not in _DROPPED else "MEDIA_DROPPED",
        disk.target,
        f"{facts.pair.about}: whether {path} in drive {disk.target} is on the destination is unknown, as no "
        "storage pool is at its folder.",
        "Define a storage pool at that folder on the destination, or make sure by hand that the file is there.",
        disk=disk.target,
        path=path,
        known=False,
    )
