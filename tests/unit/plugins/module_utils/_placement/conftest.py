# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fleets for tests of the planner."""

from __future__ import annotations

import dataclasses
import random
import typing as t
import uuid

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host, Machines, Network, Pool
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import HostFacts

IMAGES = "/var/lib/libvirt/images"


class Fleet:
    """Builds hosts and domains that fit together unless a test says otherwise."""

    GIB = GIB
    IMAGES = IMAGES

    def uuid(self, name: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))

    def domain(self, name: str, memory: int = 2 * GIB, **fields: t.Any) -> Domain:
        disk = self.disk("vda", f"{IMAGES}/{name}.qcow2")
        defaults: dict[str, t.Any] = {
            "uuid": self.uuid(name),
            "state": "running",
            "machine": "pc-q35-10.0",
            "memory": memory,
            "memory_max": memory,
            "disks": (disk,),
        }
        return Domain(name=name, **{**defaults, **fields})

    def disk(self, target: str, source: str, **fields: t.Any) -> Disk:
        defaults: dict[str, t.Any] = {
            "type": "file",
            "format": "qcow2",
            "virtual_size": 10 * GIB,
            "allocated": GIB,
            "shared": False,
            "filesystem": "local:a:1",
        }
        return Disk(target=target, source=source, **{**defaults, **fields})

    def host(self, name: str, domains: t.Sequence[Domain] = (), **fields: t.Any) -> HostFacts:
        held = sum(domain.memory_max for domain in domains if domain.active)
        total = fields.get("memory_total", 64 * GIB)
        defaults: dict[str, t.Any] = {
            "hostname": name,
            "uuid": self.uuid(f"host {name}"),
            "libvirt_version": 11003000,
            "qemu_version": 10000003,
            "cpus": 16,
            "memory_total": total,
            "memory_free": total - held,
            "memory_domains": held,
            "vcpus_domains": sum(domain.vcpus for domain in domains if domain.active),
            "virt_types": ("kvm", "qemu"),
            "machines": (Machines("kvm", ("pc-q35-10.0", "pc-i440fx-10.0"), {"q35": "pc-q35-10.0"}),),
            "firmwares": ("bios", "efi"),
            "pools": (self.pool(),),
            "networks": (Network("default"),),
            "bridges": ("br0",),
        }
        return HostFacts(name, Host(**{**defaults, **fields}), tuple(domains))

    def pool(self, **fields: t.Any) -> Pool:
        defaults: dict[str, t.Any] = {
            "name": "default",
            "type": "dir",
            "path": IMAGES,
            "capacity": 1000 * GIB,
            "available": 800 * GIB,
            "shared": False,
            "filesystem": "local:b:1",
        }
        return Pool(**{**defaults, **fields})

    def large(self, hosts: int, per_host: int, fill: float, seed: int) -> list[HostFacts]:
        """Hosts with random domains, each filled to about ``fill`` of its memory."""
        dice = random.Random(seed)
        facts = []
        for number in range(hosts):
            total = 256 * GIB
            sizes = [dice.choice((1, 2, 4, 8, 16, 32)) * GIB for _index in range(per_host)]
            scale = fill * total / sum(sizes)
            domains = [
                self.domain(f"vm{number:04}-{index:02}", int(size * scale), vcpus=dice.choice((1, 2, 4)))
                for index, size in enumerate(sizes)
            ]
            facts.append(self.host(f"host{number:04}", domains, memory_total=total, cpus=64))
        return facts

    def shuffled(self, facts: t.Sequence[HostFacts], seed: int) -> list[HostFacts]:
        """The same facts in another order: of hosts, of domains, of what hosts have."""
        dice = random.Random(seed)

        def mixed(items: t.Sequence[t.Any]) -> tuple[t.Any, ...]:
            return tuple(dice.sample(list(items), len(items)))

        result = []
        for one in mixed(facts):
            host = dataclasses.replace(one.host, pools=mixed(one.host.pools), networks=mixed(one.host.networks))
            result.append(HostFacts(one.name, host, mixed(one.domains)))
        return result


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()
