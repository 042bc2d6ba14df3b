# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A guest process as planner and report see it: the same facts as of a domain, of another kind. Pure."""

from __future__ import annotations

import collections
import dataclasses
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import (
    PAUSED,
    PROCESS,
    RUNNING,
    SHUTOFF,
    Cpu,
    Disk,
    Domain,
    Nic,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import OFF, Guest, GuestDisk
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host

#: QEMU's run states in which a process has no guest of its own that could run: it waits for one, or has handed it over.
_WITHOUT_GUEST = {
    "inmigrate": "it waits for a guest that comes by a migration (inmigrate)",
    "postmigrate": "it was handed over to another host and is not ended here (postmigrate); run qemu_migration for it again, which "
    "finishes that",
}
_MOVABLE = (RUNNING, PAUSED)
_PROGRAM = "qemu-system-"
_CPU_MODES = {"host": "host-passthrough", "max": "maximum"}


def as_domains(guests: t.Sequence[Guest], host: Host | None = None) -> tuple[Domain, ...]:
    """The guest processes of one host, each with what keeps it from moving while it runs as its ``obstacles``, and what keeps it from
    moving at all as its ``ties``. ``host`` tells what storage their images are on, where it is known."""
    names = collections.Counter(guest.name for guest in guests)
    uuids = collections.Counter(guest.uuid.lower() for guest in guests)
    found = []
    for guest in guests:
        domain = _as_domain(guest, host)
        ties = list(_ties(guest))
        if (names[guest.name] > 1 and guest.name) or (uuids[guest.uuid.lower()] > 1 and guest.uuid):
            ties.append(
                "another QEMU process of its host has its name or its UUID, so that neither tells which one is meant"
            )
        found.append(dataclasses.replace(domain, obstacles=tuple(_obstacles(guest, domain)), ties=tuple(ties)))
    return tuple(found)


def _as_domain(guest: Guest, host: Host | None) -> Domain:
    pid = f"pid {guest.process.pid}"
    return Domain(
        name=guest.name or guest.uuid or pid,
        # What has no UUID is known by its name, also where it goes.
        uuid=guest.uuid.lower() or guest.name or pid,
        state=_state(guest),
        virt_type="kvm" if guest.accelerator == "kvm" else "qemu",
        arch=_arch(guest.process.program, host),
        machine=guest.machine,
        emulator=guest.process.program,
        memory=guest.memory,
        memory_max=guest.memory,
        hugepages=guest.hugepages,
        hugepage_kib=guest.hugepage_kib,
        vcpus=max(guest.vcpus, 1),
        vcpus_max=max(guest.vcpus, 1),
        cpu=_cpu(guest.cpu),
        disks=tuple(_disk(disk, host) for disk in guest.disks),
        nics=tuple(
            Nic(nic.mac, nic.backend or "user", None, nic.model or None, nic.interface or None) for nic in guest.nics
        ),
        kind=PROCESS,
    )


def _ties(guest: Guest) -> t.Iterator[str]:
    """Why it cannot move as it is, whether or not it may be stopped, a clause each."""
    if not guest.name and not guest.uuid:
        yield "it has neither a name (-name) nor a UUID (-uuid) by which it would be found where it goes"
    if guest.status == OFF:
        return
    if guest.told_by == "argv":
        yield _no_monitor(guest)
    elif guest.status in _WITHOUT_GUEST:
        yield _WITHOUT_GUEST[guest.status]
    elif guest.status not in _MOVABLE:
        yield f"it is in the state '{guest.status}', and only what runs or is paused can move"
    if guest.jobs:
        yield f"QEMU is busy with it ({', '.join(f'{job.type} {job.id}' for job in guest.jobs)})"


def _obstacles(guest: Guest, domain: Domain) -> t.Iterator[str]:
    """Why it cannot move while it runs, a clause each."""
    local = ", ".join(disk.target for disk in domain.local_disks())
    if guest.told_by == "hmp" and local:
        yield (
            f"it has only a human monitor, which does not tell whether the copy of a disk ({local}) failed: give it a QMP monitor, or "
            "permit a stop"
        )
    for blocker in guest.blockers:
        yield f"QEMU says that it cannot be migrated: {blocker.rstrip('.')}"


def _no_monitor(guest: Guest) -> str:
    if not guest.monitors:
        return "it has no monitor on a socket (-qmp unix:PATH,server=on,wait=off), without which it cannot be asked or moved"
    told = ", ".join(
        f"{one.address} is {one.state}{f': {one.reason}' if one.reason else ''}".rstrip(".") for one in guest.monitors
    )
    return f"its monitor cannot be used ({told})"


def _state(guest: Guest) -> str:
    """In the words of domains. A process that does not answer may run; one that has no guest of its own does not."""
    if guest.status is None:
        return RUNNING
    if guest.status == OFF:
        return SHUTOFF
    if guest.status in (*_WITHOUT_GUEST, *_MOVABLE):
        return guest.status
    return PAUSED


def _arch(program: str, host: Host | None) -> str:
    name = posixpath.basename(program)
    if name.startswith(_PROGRAM):
        return name[len(_PROGRAM) :]
    return host.arch if host is not None else "x86_64"


def _cpu(text: str) -> Cpu:
    model = text.partition(",")[0]
    if not model:
        return Cpu()
    mode = _CPU_MODES.get(model, "custom")
    return Cpu(mode, model if mode == "custom" else None)


def _disk(disk: GuestDisk, host: Host | None) -> Disk:
    path = disk.source
    kind = "network" if path and not path.startswith("/") else "block" if path and path.startswith("/dev/") else "file"
    pool = host.pool_at(posixpath.dirname(path)) if host is not None and path and kind == "file" else None
    return Disk(
        target=disk.drive or disk.device or disk.node,
        type=kind,
        device="cdrom" if disk.removable else "disk",
        source=path,
        format=disk.format,
        virtual_size=disk.virtual_size,
        allocated=disk.allocated,
        readonly=disk.readonly,
        backing_chain=disk.backing_chain,
        shared=pool.shared if pool is not None and disk.shared is None else disk.shared,
        filesystem=disk.filesystem or (pool.filesystem if pool is not None else None),
    )
