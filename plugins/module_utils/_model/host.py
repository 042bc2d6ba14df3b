# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a planner and a checker know of one host."""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Pool:
    """A storage pool. Sizes are bytes. ``shared`` and ``filesystem`` (the storage behind it) are as in Disk.

    ``reserved`` is free space that root alone may use: QEMU cannot, and libvirt counts it as available all the same.
    """

    name: str
    type: str
    path: t.Optional[str] = None
    active: bool = True
    autostart: bool = False
    capacity: int = 0
    available: int = 0
    reserved: int = 0
    shared: t.Optional[bool] = None
    filesystem: t.Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Network:
    """A libvirt network; ``bridge`` is the bridge behind it, if it has one."""

    name: str
    active: bool = True
    autostart: bool = False
    forward: t.Optional[str] = None
    bridge: t.Optional[str] = None
    portgroups: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where migrations to this host arrive: an address for the streams, and the port range libvirt takes ports from."""

    address: t.Optional[str] = None
    hostname: str = ""
    port_min: int = 49152
    port_max: int = 49215


@dataclasses.dataclass(frozen=True)
class Machines:
    """The machine types of one virt type, and what their aliases (pc, q35) stand for."""

    virt_type: str
    names: tuple[str, ...] = ()
    aliases: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Reachability:
    """One TCP probe from this host: ``result`` is open, refused (reachable, nobody listens), timeout, unreachable or unresolved."""

    peer: str
    address: str
    port: int
    result: str


@dataclasses.dataclass(frozen=True)
class Host:
    """One hypervisor. Memory is bytes; ``time`` is its clock in seconds since the epoch when it was read.

    ``memory_free`` is what new guests could take (page cache counts as free); ``memory_domains`` and ``vcpus_domains``
    are the sums over active domains of what each may take. ``host_cpu_xml`` is the host-model CPU of the best virt type,
    as a custom ``<cpu>``; ``cpu_models`` are the named models usable per virt type. ``hugepages`` maps a page size in KiB
    to the number of free pages. ``daemons`` maps a name to running or socket (starts on demand). ``tls`` tells whether
    the certificates that migrations need are in place. Versions are 1000000 * major + 1000 * minor + release.
    """

    hostname: str
    uuid: str
    uri: str = "qemu:///system"
    libvirt_version: int = 0
    qemu_version: int = 0
    arch: str = "x86_64"
    cpu_model: t.Optional[str] = None
    cpu_vendor: t.Optional[str] = None
    host_cpu_xml: str = ""
    cpu_models: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    cpus: int = 0
    memory_total: int = 0
    memory_free: int = 0
    memory_domains: int = 0
    vcpus_domains: int = 0
    virt_types: tuple[str, ...] = ()
    machines: tuple[Machines, ...] = ()
    firmwares: tuple[str, ...] = ()
    pools: tuple[Pool, ...] = ()
    networks: tuple[Network, ...] = ()
    bridges: tuple[str, ...] = ()
    endpoint: Endpoint = Endpoint()
    daemons: dict[str, str] = dataclasses.field(default_factory=dict)
    tls: bool = False
    time: float = 0.0
    time_synchronized: t.Optional[bool] = None
    hugepages: dict[str, int] = dataclasses.field(default_factory=dict)
    hugepage_default_kib: t.Optional[int] = None
    qemu_uid: t.Optional[int] = None
    qemu_gid: t.Optional[int] = None
    cordoned: bool = False
    cordon_reason: str = ""
    cordoned_since: t.Optional[float] = None
    reachability: tuple[Reachability, ...] = ()

    def machine_types(self, virt_type: str) -> Machines:
        """The machine types for ``virt_type``; empty where the host does not offer it."""
        for machines in self.machines:
            if machines.virt_type == virt_type:
                return machines
        return Machines(virt_type)

    def pool_at(self, folder: str) -> Pool | None:
        """The active pool whose target path is exactly ``folder``, if there is one."""
        for pool in self.pools:
            if pool.active and pool.path and pool.path.rstrip("/") == folder.rstrip("/"):
                return pool
        return None
