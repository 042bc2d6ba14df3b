# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a planner and a checker need of one host, read in one go."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import (
    Value,
    number_setting,
    read_settings,
    text_setting,
)
from ansible_collections.virtops.kvm.plugins.module_utils._core.cordon import read_cordon
from ansible_collections.virtops.kvm.plugins.module_utils._core.hugepages import free_hugepages
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt import localhost
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import constant, library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection, translated
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.domains import QEMU_CONF
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.reachability import Peer, probe_all
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.states import pool_state_name
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.storage_probe import StorageProbe, is_local
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Endpoint, Host, Network, Pool
from ansible_collections.virtops.kvm.plugins.module_utils._xml.host import (
    Capabilities,
    DomainCapabilities,
    parse_capabilities,
    parse_domain_capabilities,
)
from ansible_collections.virtops.kvm.plugins.module_utils._xml.storage import parse_network, parse_pool

_KIB = 1024
#: Pools that are a folder of a mounted file system: its free space is asked of the kernel, always fresh.
_FOLDER_POOLS = ("dir", "fs", "netfs")
#: Addresses that mean "all", so nothing that anyone could connect to.
_WILDCARDS = ("", "::", "0.0.0.0")


def read_host(connection: Connection, peers: t.Sequence[Peer] = ()) -> Host:
    """The Host behind ``connection``. ``peers`` are probed from here, and their results are in ``reachability``.

    Through a connection to another host, what only that host's files tell (bridges, TLS, time, cordon ...) keeps its
    default.
    """
    with translated(f"Cannot read the host at '{connection.uri}'"):
        handle = connection.handle
        capabilities = parse_capabilities(handle.getCapabilities())
        offered = {kind: _domain_capabilities(handle, capabilities, kind) for kind in capabilities.virt_types}
        best = offered.get(capabilities.virt_types[0]) if capabilities.virt_types else None
        memory, vcpus = _taken(handle)
        total, free = _memory(handle)
        host = Host(
            hostname=handle.getHostname(),
            uuid=capabilities.uuid,
            uri=connection.uri,
            libvirt_version=handle.getLibVersion(),
            qemu_version=_qemu_version(handle),
            arch=capabilities.arch,
            cpu_model=capabilities.cpu_model,
            cpu_vendor=capabilities.cpu_vendor,
            host_cpu_xml=best.host_model_xml if best else "",
            cpu_models={kind: found.cpu_models for kind, found in offered.items()},
            cpus=handle.getInfo()[2],
            memory_total=total,
            memory_free=free,
            memory_domains=memory,
            vcpus_domains=vcpus,
            virt_types=capabilities.virt_types,
            machines=capabilities.machines,
            firmwares=best.firmwares if best else (),
            networks=_networks(handle),
        )
        local = is_local(connection.uri)
        settings = read_settings(QEMU_CONF) if local else {}
        probe = StorageProbe.of_this_host(settings, host.libvirt_version) if local else None
        host = dataclasses.replace(host, pools=_pools(handle, probe))
    if local:
        host = _with_local_facts(host, settings)
    return dataclasses.replace(host, reachability=probe_all(peers))


def _with_local_facts(host: Host, settings: t.Mapping[str, Value]) -> Host:
    sizes = localhost.meminfo()
    cordon = read_cordon()
    uid, gid = localhost.qemu_ids(settings)
    return dataclasses.replace(
        host,
        memory_free=sizes.get("MemAvailable", host.memory_free),
        bridges=localhost.bridges(),
        endpoint=endpoint_of(settings, host.hostname),
        daemons=localhost.daemons(),
        tls=localhost.tls_ready(settings),
        time=time.time(),
        time_synchronized=localhost.clock_synchronized(),
        hugepages=free_hugepages(),
        hugepage_default_kib=sizes["Hugepagesize"] // _KIB if "Hugepagesize" in sizes else None,
        qemu_uid=uid,
        qemu_gid=gid,
        cordoned=cordon is not None,
        cordon_reason=cordon.reason if cordon else "",
        cordoned_since=cordon.since if cordon else None,
    )


def endpoint_of(settings: t.Mapping[str, Value], hostname: str) -> Endpoint:
    """Where migrations arrive, as qemu.conf has it: the address it listens on, the name it gives to sources."""
    address = text_setting(settings, "migration_address")
    name = text_setting(settings, "migration_host")
    return Endpoint(
        address=address if address and address.strip("[]") not in _WILDCARDS else name,
        hostname=name or hostname,
        port_min=number_setting(settings, "migration_port_min", Endpoint.port_min),
        port_max=number_setting(settings, "migration_port_max", Endpoint.port_max),
    )


def _domain_capabilities(handle: t.Any, capabilities: Capabilities, virt_type: str) -> DomainCapabilities:
    lib = library()
    try:
        xml = handle.getDomainCapabilities(capabilities.emulator, capabilities.arch, None, virt_type, 0)
    except lib.libvirtError:
        # Listed, but not to be had: then there is nothing to offer.
        return DomainCapabilities()
    return parse_domain_capabilities(xml)


def _qemu_version(handle: t.Any) -> int:
    lib = library()
    try:
        return int(handle.getVersion())
    except lib.libvirtError:
        # No emulator is installed.
        return 0


def _memory(handle: t.Any) -> tuple[int, int]:
    lib = library()
    try:
        sizes = handle.getMemoryStats(lib.VIR_NODE_MEMORY_STATS_ALL_CELLS, 0)
    except lib.libvirtError:
        return int(handle.getInfo()[1]) * _KIB * _KIB, 0
    free = sum(int(sizes.get(key, 0)) for key in ("free", "buffers", "cached"))
    return int(sizes.get("total", 0)) * _KIB, free * _KIB


def _taken(handle: t.Any) -> tuple[int, int]:
    """Memory (bytes) and vCPUs that the active domains may take."""
    lib = library()
    flags = lib.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | (constant("VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT") or 0)
    stats = handle.getAllDomainStats(lib.VIR_DOMAIN_STATS_BALLOON | lib.VIR_DOMAIN_STATS_VCPU, flags)
    memory = sum(int(values.get("balloon.maximum", 0)) for domain, values in stats)
    vcpus = sum(int(values.get("vcpu.current", 0)) for domain, values in stats)
    return memory * _KIB, vcpus


def _pools(handle: t.Any, probe: StorageProbe | None) -> tuple[Pool, ...]:
    lib = library()
    found: list[Pool] = []
    for pool in handle.listAllStoragePools(0):
        # A pool that goes away meanwhile is none.
        with contextlib.suppress(lib.libvirtError):
            found.append(_pool(pool, probe))
    return tuple(sorted(found, key=lambda pool: pool.name))


def _pool(handle: t.Any, probe: StorageProbe | None) -> Pool:
    lib = library()
    pool = parse_pool(handle.XMLDesc(0))
    active = pool_state_name(handle.info()[0]) in ("running", "degraded")
    pool = dataclasses.replace(pool, active=active, autostart=bool(handle.autostart()))
    if not active:
        return dataclasses.replace(pool, capacity=0, available=0)
    if pool.type == "logical":
        # libvirt remembers a volume group as it was at the last refresh; one look at it is cheap.
        with contextlib.suppress(lib.libvirtError):
            handle.refresh(0)
            pool = dataclasses.replace(pool, capacity=handle.info()[1], available=handle.info()[3])
    path = pool.path
    if probe is None or path is None or pool.type not in _FOLDER_POOLS:
        return pool
    place = probe.folder_location(path)
    pool = dataclasses.replace(pool, shared=place.shared, filesystem=place.filesystem)
    if probe.silent(path):
        return pool
    with contextlib.suppress(OSError):
        sizes = os.statvfs(path)
        capacity, available = sizes.f_blocks * sizes.f_frsize, sizes.f_bavail * sizes.f_frsize
        reserved = (sizes.f_bfree - sizes.f_bavail) * sizes.f_frsize
        return dataclasses.replace(pool, capacity=capacity, available=available, reserved=reserved)
    return pool


def _networks(handle: t.Any) -> tuple[Network, ...]:
    lib = library()
    found: list[Network] = []
    for network in handle.listAllNetworks(0):
        with contextlib.suppress(lib.libvirtError):
            parsed = parse_network(network.XMLDesc(0))
            active, autostart = bool(network.isActive()), bool(network.autostart())
            found.append(dataclasses.replace(parsed, active=active, autostart=autostart))
    return tuple(sorted(found, key=lambda network: network.name))
