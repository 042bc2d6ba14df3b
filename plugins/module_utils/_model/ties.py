# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What ties a domain down wherever it would go: its devices, its kinds of disks, its records and jobs. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, hard_blocker, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PROCESS, Disk
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.pair import Fit, Pair

_DISK_TYPES = ("file", "block", "network", "volume")


def fit_devices(pair: Pair) -> t.Iterator[Finding]:
    """Devices and records that tie a running guest to its host, whatever the destination."""
    domain = pair.domain
    if domain.kind == PROCESS:
        yield from _process(pair)
        return
    held = [f"{device.type} {device.address}" for device in domain.host_devices if not device.migratable]
    held += [f"{nic.type} interface {nic.mac}" for nic in domain.nics if nic.type in ("hostdev", "vdpa")]
    if held:
        yield hard_blocker(
            "HOST_DEVICE",
            domain.name,
            f"{pair.move}: it holds devices of its host ({', '.join(held)}).",
            "Detach them before the move, or shut the guest off and move it then.",
            devices=held,
        )
    if domain.filesystems:
        yield blocker(
            "FILESYSTEM_DEVICE",
            domain.name,
            f"{pair.move}: directories of its host are passed to it ({', '.join(domain.filesystems)}).",
            "Unmount and detach them in the guest before the move.",
            filesystems=list(domain.filesystems),
        )
    if domain.obstacles:
        yield blocker(
            "METHOD_UNSUITABLE",
            domain.name,
            f"{pair.move}: its definition has what cannot move while it runs ({'; '.join(domain.obstacles)}).",
            "Shut the guest off and move it then, or change its definition.",
            obstacles=list(domain.obstacles),
        )
    transient = [disk.target for disk in domain.disks if disk.transient]
    if transient:
        yield blocker(
            "TRANSIENT_DISK",
            domain.name,
            f"{pair.move}: its disks {', '.join(transient)} are transient, and libvirt cannot move what it will "
            "throw away.",
            "Shut the guest off and move it then, or make the disks permanent.",
            disks=transient,
        )
    yield from _disk_types(pair)


def _process(pair: Pair) -> t.Iterator[Finding]:
    """What keeps a guest process from moving, and nobody may accept."""
    for why in pair.domain.ties:
        yield hard_blocker(
            "METHOD_UNSUITABLE",
            pair.domain.name,
            f"{pair.move}: {why}.",
            "Remove that, or leave the guest process where it is.",
            tie=why,
        )
    for obstacle in pair.domain.obstacles:
        yield hard_blocker(
            "METHOD_UNSUITABLE",
            pair.domain.name,
            f"{pair.move}: {obstacle}.",
            "Remove that, shut the guest off and move it then, or leave it where it is.",
            obstacles=[obstacle],
        )


def _disk_types(pair: Pair) -> t.Iterator[Finding]:
    for disk in pair.domain.disks:
        if disk.copyable and (disk.type not in _DISK_TYPES or (disk.type == "volume" and disk.shared is not True)):
            yield blocker(
                "DISK_TYPE_UNSUPPORTED",
                disk.target,
                f"{pair.move}: disk {disk.target} is of type '{disk.type}' ({_source(disk)}), whose content "
                "cannot be moved.",
                "Put the content on a file or a block device, or on storage that both hosts share.",
                disk=disk.target,
                type=disk.type,
            )


def _source(disk: Disk) -> str:
    return disk.source or f"{disk.pool}/{disk.volume}"


def fit_records(pair: Pair) -> t.Iterator[Finding]:
    """Snapshots, checkpoints and running jobs."""
    domain = pair.domain
    if domain.snapshots:
        yield blocker(
            "SNAPSHOTS_PRESENT",
            domain.name,
            f"{pair.move}: it has {len(domain.snapshots)} snapshot(s), and libvirt does not move a running domain "
            "with snapshots.",
            "Delete the snapshots that are no longer needed (virsh snapshot-delete), then move it.",
            snapshots=list(domain.snapshots),
        )
    if domain.checkpoints:
        yield warning(
            "CHECKPOINTS_PRESENT",
            domain.name,
            f"{pair.about}: its {len(domain.checkpoints)} checkpoint(s) can be carried only with qcow2 disks; "
            "where they are lost the next backup has to be a full one.",
            "Plan a full backup after the move.",
            checkpoints=list(domain.checkpoints),
        )
    running = [domain.job.operation or domain.job.type] if domain.job else []
    running += [f"block job on {target}" for target in domain.block_jobs]
    if running:
        yield blocker(
            "JOB_RUNNING",
            domain.name,
            f"{pair.move}: libvirt is busy with it ({', '.join(running)}).",
            "Wait until the job is done, or abort it (virsh domjobabort, virsh blockjob --abort).",
            jobs=running,
        )


#: All of it.
ANYWHERE: tuple[Fit, ...] = (fit_devices, fit_records)
