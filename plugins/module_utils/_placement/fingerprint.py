# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The fingerprint of the facts a plan rests on: what has to be the same for the plan to hold, part by part.

What changes by itself (free memory, free disk space, clocks, running jobs, probes) is left out: a second survey of an
unchanged fleet gives the same fingerprint. The preflight of each move looks at those again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import fingerprint, to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PROCESS, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import folder_of
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import HostFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import memory_needed
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions

_DISK_FACTS = (
    "target",
    "type",
    "device",
    "source",
    "pool",
    "volume",
    "format",
    "virtual_size",
    "readonly",
    "shareable",
    "transient",
    "shared",
    "filesystem",
)
#: Characters kept of each part's fingerprint: parts are compared with themselves only.
_SHORT = 12


def parts_of(
    options: PlanOptions, sources: t.Sequence[HostFacts], destinations: t.Sequence[HostFacts]
) -> dict[str, str]:
    """A short fingerprint for each thing the plan rests on, by a name that people understand."""
    parts = {"the options": _short(to_data(dataclasses.replace(options, sources=(), destinations=())))}
    networks = {nic.source for facts in sources for domain in facts.domains for nic in domain.nics if nic.source}
    folders = {
        folder_of(disk.source) for facts in sources for domain in facts.domains for disk in domain.disks if disk.source
    }
    for facts in sources:
        parts[f"host {facts.name}"] = _short([facts.host.uuid, facts.host.arch])
        for domain in facts.domains:
            parts[f"{domain.noun} '{domain.name}' on {facts.name}"] = _short(_domain(domain))
    for facts in destinations:
        parts[f"host {facts.name}"] = _short(_destination(facts, networks, folders))
        parts[f"the domains on {facts.name}"] = _short(sorted(_tenant(domain) for domain in facts.domains))
    return dict(sorted(parts.items()))


def whole(parts: t.Mapping[str, str]) -> str:
    """The one fingerprint of all parts."""
    return fingerprint(dict(parts))


def changed_parts(before: t.Mapping[str, str], now: t.Mapping[str, str]) -> list[str]:
    """What differs between two surveys, one phrase each."""
    phrases = [f"{name} is gone" for name in before if name not in now]
    phrases += [f"{name} is new" for name in now if name not in before]
    phrases += [f"{name} changed" for name in before if name in now and before[name] != now[name]]
    return sorted(phrases)


def _short(data: t.Any) -> str:
    """Of plain data; thousands of domains are in it, so it spares the walk that the codec's fingerprint takes."""
    canonical = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()[:_SHORT]


def _domain(domain: Domain) -> list[t.Any]:
    return [
        *([domain.kind] if domain.kind == PROCESS else []),
        domain.name,
        domain.uuid,
        # Paused or running moves the same way; whether it runs at all decides if it moves.
        domain.active,
        [domain.virt_type, domain.arch, domain.machine, domain.cpu.mode, domain.cpu.model, domain.firmware.type],
        [domain.boot_cpu.mode, domain.boot_cpu.model, domain.managed_save, domain.persistent],
        [memory_needed(domain), domain.vcpus, domain.hugepages, domain.hugepage_kib],
        [[getattr(disk, name) for name in _DISK_FACTS] for disk in domain.disks],
        [[nic.type, nic.source] for nic in domain.nics],
        to_data(domain.host_devices),
        [sorted(domain.filesystems), sorted((*domain.obstacles, *domain.ties)), sorted(domain.snapshots)],
    ]


def _tenant(domain: Domain) -> list[t.Any]:
    return [domain.uuid, domain.name, domain.active, memory_needed(domain), domain.vcpus]


def _destination(facts: HostFacts, networks: t.Collection[str], folders: t.Collection[str]) -> list[t.Any]:
    host = facts.host
    return [
        [host.uuid, host.arch, host.cpu_model, host.cpu_vendor, host.libvirt_version, host.qemu_version],
        [host.cpus, sorted(host.virt_types), sorted(host.firmwares), host.cordoned],
        sorted([network.name, network.active] for network in host.networks if network.name in networks),
        sorted(bridge for bridge in host.bridges if bridge in networks),
        sorted(
            [pool.name, pool.path or "", pool.active, pool.filesystem or ""]
            for pool in host.pools
            if (pool.path or "").rstrip("/") in folders
        ),
    ]
