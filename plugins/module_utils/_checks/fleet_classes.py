# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Classes of domains: those that need the same of a host are judged once, however many they are."""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB, format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import folder_of
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import Member
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import memory_needed

Key = tuple[t.Any, ...]


@dataclasses.dataclass
class Group:
    """Domains of one class: which of them stand on which host, and the one that stands for all."""

    key: Key
    example: Domain
    members: dict[str, list[Domain]] = dataclasses.field(default_factory=dict)
    id: str = ""

    @property
    def count(self) -> int:
        """How many they are."""
        return sum(len(domains) for domains in self.members.values())


def cpu_digest(domain: Domain) -> str:
    """A short name for the CPU of a guest, as far as hosts can be asked for it; empty where it names no model."""
    if not domain.cpu.model or not domain.cpu.xml:
        return ""
    return hashlib.sha256(f"{domain.arch} {domain.virt_type} {domain.cpu.xml}".encode()).hexdigest()[:12]


def memory_class(domain: Domain) -> int:
    """The power of two of GiB that holds its memory; a quarter is the least."""
    size = GIB // 4
    while size < memory_needed(domain):
        size *= 2
    return size


def classes_of(members: t.Sequence[Member]) -> list[Group]:
    """All classes, the largest first. The same facts give the same classes with the same ids."""
    groups: dict[Key, Group] = {}
    for member in members:
        for domain in member.domains:
            key = _key(domain)
            group = groups.get(key)
            if group is None:
                group = groups[key] = Group(key, domain)
            # The largest stands for all: what holds it holds the others.
            if memory_needed(domain) > memory_needed(group.example):
                group.example = domain
            group.members.setdefault(member.name, []).append(domain)
    ordered = sorted(groups.values(), key=lambda group: (-group.count, repr(group.key)))
    for number, group in enumerate(ordered, 1):
        group.id = f"c{number}"
    return ordered


def _key(domain: Domain) -> Key:
    cpu, boots = domain.cpu, domain.boot_cpu
    return (
        domain.active,
        domain.persistent,
        domain.managed_save,
        domain.virt_type,
        domain.arch,
        domain.machine,
        (cpu.mode, cpu.model, cpu_digest(domain)),
        (boots.mode, boots.model),
        (domain.firmware.type, domain.firmware.loader),
        domain.tpm,
        (domain.hugepages, domain.hugepage_kib),
        memory_class(domain),
        tuple(sorted({_disk(disk) for disk in domain.disks if not disk.empty}, key=repr)),
        tuple(sorted({(nic.type, nic.source) for nic in domain.nics}, key=repr)),
        tuple(sorted({(device.type, device.migratable) for device in domain.host_devices})),
        bool(domain.filesystems),
        domain.obstacles,
        (bool(domain.snapshots), bool(domain.checkpoints)),
    )


def _disk(disk: Disk) -> Key:
    shared = disk.shared
    return (
        disk.type,
        disk.copyable,
        shared,
        # The name of local storage means nothing elsewhere, and would make a class of every host's domains.
        disk.filesystem if disk.filesystem and not disk.filesystem.startswith("local:") else "",
        folder_of(disk.source) if disk.source and disk.type == "file" else "",
        disk.transient,
        disk.cache == "unsafe",
    )


def needs_of_class(group: Group) -> dict[str, t.Any]:
    """What its domains need, for people and for programs."""
    domain = group.example
    local = sorted({folder_of(disk.source) for disk in domain.local_disks() if disk.source})
    shared = sorted({disk.filesystem or disk.type for disk in domain.disks if disk.copyable and disk.shared is True})
    needs = {
        "state": "running" if domain.active else "shut off",
        "virt_type": domain.virt_type,
        "machine": domain.machine,
        "cpu": domain.cpu.model or domain.cpu.mode or "",
        "firmware": "uefi" if domain.firmware.type == "efi" else "",
        "tpm": domain.tpm or "",
        "hugepages": domain.hugepages,
        "memory_up_to": memory_class(domain),
        "local_storage": local,
        "shared_storage": shared,
        "networks": sorted({nic.source for nic in domain.nics if nic.source}),
        "host_devices": sorted({device.type for device in domain.host_devices}),
        "obstacles": list(domain.obstacles),
        "snapshots": bool(domain.snapshots),
    }
    return {name: value for name, value in needs.items() if value not in ("", [], False, None)}


def title_of(group: Group) -> str:
    """One line that tells a class from the others."""
    domain, needs = group.example, needs_of_class(group)
    cpu = domain.cpu.model or domain.cpu.mode or "default CPU"
    parts = [
        needs["state"],
        domain.machine or domain.virt_type,
        cpu if domain.cpu.mode != "host-passthrough" else "host's own CPU",
        f"up to {format_bytes(memory_class(domain))}",
        "local disks" if "local_storage" in needs else "shared disks" if "shared_storage" in needs else "no disks",
        *(word for word, there in _extras(domain) if there),
        f"on {', '.join(needs['networks'])}" if "networks" in needs else "",
    ]
    return ", ".join(part for part in parts if part)


def _extras(domain: Domain) -> list[tuple[str, bool]]:
    return [
        ("UEFI", domain.firmware.type == "efi"),
        ("TPM", bool(domain.tpm)),
        ("huge pages", domain.hugepages),
        ("devices of the host", bool(domain.host_devices)),
        ("folders of the host", bool(domain.filesystems)),
        ("snapshots", bool(domain.snapshots)),
        ("saved memory", domain.managed_save),
    ]
