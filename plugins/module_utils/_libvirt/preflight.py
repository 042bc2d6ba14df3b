# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Gathers what a preflight has to know from both ends of a move: from here, and through the destination's libvirtd."""

from __future__ import annotations

import contextlib
import dataclasses
import posixpath
import time
import typing as t
from urllib.parse import urlsplit

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._core.knock import probe
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import (
    Connection,
    libvirt_code,
    translated,
)
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.control import control_port
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.cpus import compare_cpu
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.hosts import read_host
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.reachability import Peer, probe_all
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.states import state_name
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.volumes import TRANSIENT_PREFIX, RemoteImages
from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import (
    CheckFacts,
    CpuComparison,
    DestinationImage,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Cpu, Disk, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Endpoint, Host, Pool
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import LIVE_METHODS, STOPPED_METHODS, SUSPENDED
from ansible_collections.virtops.kvm.plugins.module_utils._model.namesake import Namesake
from ansible_collections.virtops.kvm.plugins.module_utils._model.reach import (
    CONTROL,
    STREAM,
    TO_DESTINATION,
    TO_SOURCE,
    Probe,
    probes_of,
)
from ansible_collections.virtops.kvm.plugins.module_utils._xml.domain import parse_domain
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping, check_names
from ansible_collections.virtops.kvm.plugins.module_utils._xml.storage import parse_pool

#: Ports of the migration range that are tried: memory takes one, disks the next.
_STREAM_PORTS = 2
_NO_DOMAIN = 42
#: What only a host's own files tell, so that a connection to it from elsewhere leaves the default.
_OWN_FACTS = (
    "bridges",
    "endpoint",
    "daemons",
    "tls",
    "time_synchronized",
    "hugepages",
    "hugepage_default_kib",
    "qemu_uid",
    "qemu_gid",
    "cordoned",
    "cordon_reason",
    "cordoned_since",
    "reachability",
)


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked of a preflight. ``address`` is where the streams go (by default the host in the URI), and ``port`` the one for
    memory, 0 for one of the destination's range; ``facts`` is the Host that host_info read on the destination itself; ``ours`` are
    paths that an interrupted move of this domain made there."""

    destination_name: str
    source_name: str = ""
    address: t.Optional[str] = None
    port: int = 0
    method: str = "auto"
    disks: tuple[str, ...] = ()
    mapping: Mapping = dataclasses.field(default_factory=Mapping)
    accept: tuple[str, ...] = ()
    tls: bool = False
    may_stop: bool = False
    facts: t.Optional[Host] = None
    ours: tuple[str, ...] = ()


def facts_of(data: t.Mapping[str, t.Any] | None) -> Host | None:
    """The destination as host_info read it, if given. Raises InputError for anything else."""
    if not data:
        return None
    try:
        return from_data(Host, data)
    except (AttributeError, TypeError, ValueError) as exc:
        raise InputError("destination_facts", f"destination_facts is not what host_info returns ({exc}).") from exc


def check_named(domain: Domain, disks: t.Sequence[str], mapping: Mapping) -> None:
    """Raises InputError where the options name what the domain does not have."""
    targets = [disk.target for disk in domain.disks]
    for target in disks:
        if target not in targets:
            raise InputError(
                "disks",
                f"The domain '{domain.name}' has no disk '{target}'; it has {', '.join(targets) or 'none'}.",
                disk=target,
            )
    sources = {
        kind: [nic.source for nic in domain.nics if nic.type == kind and nic.source] for kind in ("network", "bridge")
    }
    check_names(mapping, targets, sources["network"], sources["bridge"])


def stream_ports(endpoint: Endpoint, request: Request) -> tuple[int, ...]:
    """The ports to try for the streams: the last ones of the range. libvirt takes them from its start, and a QEMU that waits for
    its stream takes whoever connects first for it: a probe there would end the move of another domain. So where memory goes to a
    port that was asked for, and no disk to another, there is none to try."""
    if request.port and request.method == LIVE_METHODS[0]:
        return ()
    last = endpoint.port_max
    return tuple(range(max(endpoint.port_min, last - _STREAM_PORTS + 1), last + 1))


def control_probe(uri: str) -> Probe | None:
    """Whether libvirt's control port at ``uri`` answers; None for a URI without a host or with a transport of its own."""
    place = control_port(uri)
    return None if place is None else Probe(TO_DESTINATION, CONTROL, *place, probe(*place))


def gather(
    source: Connection, destination: Connection, domain: Domain, request: Request, here: Host | None = None
) -> CheckFacts:
    """All facts for moving ``domain`` from ``source`` (this host) to ``destination``; ``here`` is the source, if it was read before."""
    here = here or read_host(source)
    stopped = not domain.active or request.method in STOPPED_METHODS
    if stopped:
        domain = dataclasses.replace(domain, cpu=_cpu_at_arrival(source, domain, request))
    # First the images: looking for them refreshes the pools, whose free space is read after.
    images = _images(destination, domain, request, stopped)
    there = _assumed(_completed(read_host(destination), request.facts), request, domain)
    with translated(f"Cannot look for domain '{domain.name}' on {request.destination_name}"):
        same_name = _namesake(lambda: destination.handle.lookupByName(domain.name))
        same_uuid = _namesake(lambda: destination.handle.lookupByUUIDString(domain.uuid))
    return CheckFacts(
        domain=domain,
        source=here,
        destination=there,
        source_name=request.source_name or here.hostname,
        destination_name=request.destination_name,
        method=request.method,
        disks=request.disks,
        networks=request.mapping.networks,
        bridges=request.mapping.bridges,
        images=images,
        same_name=same_name,
        same_uuid=same_uuid,
        cpu=_compare_cpu(destination, domain),
        probes=_probes(here, there, destination.uri, request),
        clock_offset=_clock_offset(request.facts),
        tls=request.tls,
        may_stop=request.may_stop,
        accept=request.accept,
    )


def _completed(live: Host, facts: Host | None) -> Host:
    """``live`` as libvirt tells it from afar, with what host_info read on the host itself."""
    if facts is None:
        return live
    if facts.uuid != live.uuid:
        raise InputError(
            "destination_facts",
            f"destination_facts is of host {facts.hostname} ({facts.uuid}), and the destination is {live.hostname} "
            f"({live.uuid}); give the facts of the destination, or none.",
            given=facts.uuid,
            found=live.uuid,
        )
    known = {pool.name: pool for pool in facts.pools}
    return dataclasses.replace(
        live,
        pools=tuple(_pool_as_known(pool, known.get(pool.name)) for pool in live.pools),
        **{name: getattr(facts, name) for name in _OWN_FACTS},
    )


def _pool_as_known(pool: Pool, known: Pool | None) -> Pool:
    if known is None or known.path != pool.path:
        return pool
    available = max(0, pool.available - known.reserved)
    return dataclasses.replace(pool, shared=known.shared, filesystem=known.filesystem, available=available)


def _assumed(host: Host, request: Request, domain: Domain) -> Host:
    """Without the host's own facts nothing is known of its bridges, huge pages and certificates: libvirt will say so in
    time, before the guest is touched; a finding here would be a guess."""
    if request.facts is not None or not urlsplit(host.uri).netloc:
        return host
    bridges = [nic.source for nic in domain.nics if nic.type == "bridge" and nic.source]
    size = domain.hugepage_kib or 2048
    return dataclasses.replace(
        host,
        tls=True,
        bridges=tuple(request.mapping.bridges.get(bridge, bridge) for bridge in bridges),
        hugepages={str(size): max(domain.memory, domain.memory_max) // (size * 1024) + 1},
        hugepage_default_kib=size,
    )


def _cpu_at_arrival(source: Connection, domain: Domain, request: Request) -> Cpu:
    """The CPU that the destination has to provide after a stop: that of the saved memory, or as defined for a fresh boot."""
    if domain.active:
        return domain.cpu if request.method == SUSPENDED else domain.boot_cpu
    if not domain.managed_save:
        return domain.boot_cpu
    with translated(f"Cannot read the saved state of domain '{domain.name}'"):
        return parse_domain(source.handle.lookupByUUIDString(domain.uuid).managedSaveGetXMLDesc(0)).cpu


def _images(destination: Connection, domain: Domain, request: Request, stopped: bool) -> tuple[DestinationImage, ...]:
    """Where every file or device of the domain lies there, and what is there now. Pools that are missing stay missing: a
    preflight changes nothing."""
    found = []
    folders = _pool_folders(destination)
    images = RemoteImages(destination, request.destination_name)
    for disk in domain.disks:
        if disk.type in ("file", "block") and disk.source:
            found.append(_image(disk, request, folders, images, stopped))
    return tuple(found)


def _image(
    disk: Disk, request: Request, folders: t.Collection[str], images: RemoteImages, stopped: bool
) -> DestinationImage:
    path = request.mapping.disk(disk.target, disk.source or "")
    # A stopped guest's disk may become a file where it was a device, and the other way round: the new path tells.
    kind = ("block" if path.startswith("/dev/") else "file") if stopped else disk.type
    image = DestinationImage(disk.target, path, kind, made_by_us=path in request.ours)
    if posixpath.dirname(path) not in folders:
        return image
    seen = images.find(path)
    if seen is None:
        return dataclasses.replace(image, exists=False)
    return dataclasses.replace(image, exists=True, virtual_size=seen.capacity, format=seen.format)


def _pool_folders(connection: Connection) -> set[str]:
    """Folders with an active pool. One that a move made for the moment does not count: it may go any time."""
    with translated(f"Cannot read the storage pools at '{connection.uri}'"):
        handles = connection.handle.listAllStoragePools(library().VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
    pools = []
    for handle in handles:
        # The pool of another move may go between the list and this look.
        with contextlib.suppress(library().libvirtError):
            pools.append(parse_pool(handle.XMLDesc(0)))
    return {pool.path.rstrip("/") for pool in pools if pool.path and not pool.name.startswith(TRANSIENT_PREFIX)}


def _namesake(look: t.Callable[[], t.Any]) -> Namesake | None:
    lib = library()
    try:
        found = look()
        return Namesake(found.name(), found.UUIDString().lower(), state_name(found.state()[0]))
    except lib.libvirtError as exc:
        if libvirt_code(exc) == _NO_DOMAIN:
            return None
        raise


def _compare_cpu(destination: Connection, domain: Domain) -> CpuComparison:
    """libvirt's own comparison. Without a model there is nothing to compare: the hypervisor's default, or the host's."""
    if not domain.cpu.xml or not domain.cpu.model:
        return CpuComparison()
    return compare_cpu(destination, domain.arch, domain.virt_type, domain.cpu.xml)


def _probes(here: Host, there: Host, uri: str, request: Request) -> tuple[Probe, ...]:
    """The ways there, tried now; the ways back, as the destination's own survey has them."""
    parts = urlsplit(uri)
    found: list[Probe] = []
    address = request.address or there.endpoint.address or parts.hostname
    control = control_probe(uri)
    if control is not None:
        found.append(control)
    if address and parts.hostname:
        results = probe_all([Peer(request.destination_name, address, stream_ports(there.endpoint, request))])
        found += [Probe(TO_DESTINATION, STREAM, one.address, one.port, one.result) for one in results]
    names = {request.source_name, here.hostname, here.endpoint.address or ""} - {""}
    found += probes_of(there.reachability, names, TO_SOURCE)
    return tuple(found)


def _clock_offset(facts: Host | None) -> float | None:
    """The facts are older than now, so a time in them that is ahead of ours proves how far ahead; one behind proves nothing."""
    ahead = facts.time - time.time() if facts is not None and facts.time else 0.0
    return ahead if ahead > 0 else None
