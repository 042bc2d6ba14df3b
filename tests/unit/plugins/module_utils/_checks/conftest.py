# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts of a move that nothing stands in the way of; each test changes what it is about."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._checks.preflight import check
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import (
    CPU_IDENTICAL,
    CheckFacts,
    CpuComparison,
    DestinationImage,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Cpu, Disk, Domain, Nic
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host, Machines, Network, Pool
from ansible_collections.virtops.kvm.plugins.module_utils._model.reach import Probe

IMAGES = "/var/lib/libvirt/images"
SHARED = "/srv/shared"


class Case:
    """Builders for facts that differ from the clean ones in one respect."""

    def disk(self, **fields: t.Any) -> Disk:
        defaults: dict[str, t.Any] = {
            "target": "vda",
            "type": "file",
            "source": f"{IMAGES}/web01.qcow2",
            "format": "qcow2",
            "virtual_size": 10 * GIB,
            "allocated": GIB,
            "shared": False,
            "filesystem": "local:kvm1:8:1",
        }
        return Disk(**{**defaults, **fields})

    def shared_disk(self, **fields: t.Any) -> Disk:
        defaults: dict[str, t.Any] = {
            "source": f"{SHARED}/web01.qcow2",
            "shared": True,
            "filesystem": "nfs:nas:/export",
        }
        return self.disk(**{**defaults, **fields})

    def cdrom(self, **fields: t.Any) -> Disk:
        defaults: dict[str, t.Any] = {
            "target": "sda",
            "device": "cdrom",
            "source": f"{IMAGES}/install.iso",
            "format": "raw",
            "readonly": True,
        }
        return self.disk(**{**defaults, **fields})

    def image(self, **fields: t.Any) -> DestinationImage:
        defaults: dict[str, t.Any] = {"target": "vda", "path": f"{IMAGES}/web01.qcow2", "exists": False}
        return DestinationImage(**{**defaults, **fields})

    def domain(self, **fields: t.Any) -> Domain:
        defaults: dict[str, t.Any] = {
            "name": "web01",
            "uuid": "11111111-1111-4111-8111-111111111111",
            "state": "running",
            "machine": "pc-q35-10.0",
            "memory": 2 * GIB,
            "memory_max": 2 * GIB,
            "cpu": Cpu("custom", "Skylake-Server", "<cpu/>"),
            "disks": (self.disk(),),
            "nics": (Nic("52:54:00:00:00:01", "network", "default"), Nic("52:54:00:00:00:02", "bridge", "br0")),
        }
        return Domain(**{**defaults, **fields})

    def pool(self, **fields: t.Any) -> Pool:
        defaults: dict[str, t.Any] = {
            "name": "default",
            "type": "dir",
            "path": IMAGES,
            "capacity": 1000 * GIB,
            "available": 100 * GIB,
            "shared": False,
            "filesystem": "local:kvm2:8:1",
        }
        return Pool(**{**defaults, **fields})

    def shared_pool(self, **fields: t.Any) -> Pool:
        defaults: dict[str, t.Any] = {"name": "shared", "path": SHARED, "shared": True, "filesystem": "nfs:nas:/export"}
        return self.pool(**{**defaults, **fields})

    def host(self, name: str, **fields: t.Any) -> Host:
        defaults: dict[str, t.Any] = {
            "hostname": name,
            "uuid": f"uuid of {name}",
            "libvirt_version": 11003000,
            "qemu_version": 10000003,
            "cpu_model": "Skylake-Server",
            "cpu_vendor": "Intel",
            "cpu_models": {"kvm": ("Skylake-Server", "Broadwell")},
            "cpus": 16,
            "memory_total": 64 * GIB,
            "memory_free": 60 * GIB,
            "virt_types": ("kvm", "qemu"),
            "machines": (Machines("kvm", ("pc-q35-10.0",), {"q35": "pc-q35-10.0"}),),
            "firmwares": ("bios", "efi"),
            "pools": (self.pool(), self.shared_pool()),
            "networks": (Network("default"),),
            "bridges": ("br0",),
            "tls": True,
            "time_synchronized": True,
            "hugepages": {"2048": 4096, "1048576": 1},
            "hugepage_default_kib": 2048,
            "qemu_uid": 64055,
            "qemu_gid": 64055,
        }
        return Host(**{**defaults, **fields})

    def facts(
        self,
        domain: dict[str, t.Any] | None = None,
        source: dict[str, t.Any] | None = None,
        destination: dict[str, t.Any] | None = None,
        **fields: t.Any,
    ) -> CheckFacts:
        defaults: dict[str, t.Any] = {
            "domain": self.domain(**(domain or {})),
            "source": self.host("kvm1", **(source or {})),
            "destination": self.host("kvm2", **(destination or {})),
            "source_name": "kvm1",
            "destination_name": "kvm2",
            "images": (self.image(),),
            "cpu": CpuComparison(CPU_IDENTICAL),
            "probes": tuple(
                Probe(way, what, "192.0.2.2", port, result)
                for way in ("to_destination", "to_source")
                for what, port, result in (("control", 22, "open"), ("stream", 49152, "refused"))
            ),
        }
        return CheckFacts(**{**defaults, **fields})

    def found(self, facts: CheckFacts) -> list[tuple[str, str]]:
        """(severity, code) of each finding, in the order of codes."""
        return sorted({(finding.severity, finding.code) for finding in check(facts)}, key=lambda pair: pair[1])

    def only(self, facts: CheckFacts) -> Finding:
        """The one finding of ``facts``."""
        findings = check(facts)
        assert len(findings) == 1, [finding.code for finding in findings]
        return findings[0]

    def replaced(self, facts: CheckFacts, **fields: t.Any) -> CheckFacts:
        return dataclasses.replace(facts, **fields)


@pytest.fixture
def case() -> Case:
    return Case()
