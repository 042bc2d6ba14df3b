# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small fleets: hosts that are alike and reach each other, unless a test says otherwise."""

from __future__ import annotations

import dataclasses
import typing as t
import uuid

from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet import Options, readiness
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Cpu, Disk, Domain, Nic
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host, Machines, Network, Pool, Reachability
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import (
    MIGRATION,
    Cell,
    Certificate,
    Control,
    Member,
    Readiness,
)

NOW = 1_800_000_000.0
DAY = 86400.0
IMAGES = "/var/lib/libvirt/images"
NAMES = ("kvm1", "kvm2", "kvm3")
POOL = Pool("default", "dir", IMAGES, autostart=True, shared=False, filesystem="local:1")
SHARED = Pool("shared", "netfs", "/srv/shared", autostart=True, shared=True, filesystem="nfs:nas:/x")


def domain(name: str, **fields: t.Any) -> Domain:
    """A running domain with one disk on its own host."""
    disk = Disk("vda", "file", source=f"{IMAGES}/{name}.qcow2", format="qcow2", shared=False, filesystem="local:1")
    values: dict[str, t.Any] = {
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "state": "running",
        "machine": "pc-q35-10.0",
        "memory": 2 * GIB,
        "memory_max": 2 * GIB,
        "cpu": Cpu("custom", "Haswell", "<cpu/>"),
        "disks": (disk,),
        "nics": (Nic("52:54:00:00:00:01", "network", "lab"),),
    }
    return Domain(name=name, **{**values, **fields})


def certificate(**fields: t.Any) -> Certificate:
    """A good certificate for migrations."""
    values: dict[str, t.Any] = {
        "purpose": MIGRATION,
        "path": "/etc/pki/qemu/server-cert.pem",
        "subject": "kvm1",
        "issuer": "fleet",
        "not_before": NOW - 100 * DAY,
        "not_after": NOW + 100 * DAY,
        "authorities": ("aa",),
    }
    return Certificate(**{**values, **fields})


def member(name: str, *domains: Domain, others: t.Sequence[str] = NAMES, **fields: t.Any) -> Member:
    """A host, of which fields of Host and of Member may be given."""
    own = {field.name for field in dataclasses.fields(Member)} - {"name", "host", "domains"}
    values: dict[str, t.Any] = {
        "hostname": name,
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"host {name}")),
        "libvirt_version": 11003000,
        "qemu_version": 10000003,
        "cpu_model": "Haswell",
        "cpu_vendor": "Intel",
        "cpu_models": {"kvm": ("Haswell", "Nehalem"), "qemu": ("Haswell", "Nehalem")},
        "memory_total": 64 * GIB,
        "virt_types": ("kvm", "qemu"),
        "machines": (Machines("kvm", ("pc-q35-10.0", "q35"), {"q35": "pc-q35-10.0"}),),
        "firmwares": ("bios", "efi"),
        "pools": (POOL, SHARED),
        "networks": (Network("lab", autostart=True, forward="bridge", bridge="br0"),),
        "bridges": ("br0",),
        "daemons": {"libvirtd": "running"},
        "tls": True,
        "time": NOW,
        "time_synchronized": True,
        "qemu_uid": 64055,
        "qemu_gid": 64055,
        "reachability": tuple(Reachability(one, one, 49215, "refused") for one in others if one != name),
        **{key: value for key, value in fields.items() if key not in own},
    }
    more: dict[str, t.Any] = {
        "certificates": (certificate(subject=name),),
        "controls": tuple(Control(one, f"qemu+tls://{one}/system", True) for one in others if one != name),
        "not_before": NOW - 2,
        "not_after": NOW + 2,
        **{key: value for key, value in fields.items() if key in own},
    }
    return Member(name, Host(**values), domains, **more)


def judged(*members: Member, **options: t.Any) -> Readiness:
    """What comes of these hosts."""
    return readiness(members, Options(now=NOW, **options))


def cell(ready: Readiness, source: str, destination: str) -> Cell:
    """One cell of the matrix."""
    return ready.matrix[ready.hosts.index(source)][ready.hosts.index(destination)]


def codes(ready: Readiness) -> list[tuple[str, str]]:
    """The findings: code and object."""
    return [(one.code, one.object) for one in ready.findings]


def whys(ready: Readiness, source: str, destination: str) -> list[str]:
    """The codes that stand in one cell."""
    found = cell(ready, source, destination)
    ids = [*found.way, *(one for answer in found.classes.values() for one in answer[1:])]
    named = {reason.id: reason.code for reason in ready.reasons}
    return [named[one] for one in ids]
