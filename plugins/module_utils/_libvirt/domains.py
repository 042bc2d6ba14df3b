# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""All domains of one host, read with few calls: what can be asked for all at once is never asked per domain."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import read_settings
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import constant, library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import (
    Connection,
    libvirt_code,
    translated,
)
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.states import (
    block_job_name,
    job_operation_name,
    job_type_name,
    reason_name,
    state_name,
)
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.storage_probe import StorageProbe, is_local
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import ACTIVE_STATES, Cpu, Disk, Domain, Job
from ansible_collections.virtops.kvm.plugins.module_utils._xml.domain import parse_cpu, parse_domain

QEMU_CONF = "/etc/libvirt/qemu.conf"
_NO_DOMAIN = 42
_NO_SUPPORT = 3
#: Of a migration at its receiving end libvirt tells nothing, and says so by the one error or, later in its course, by the other.
_TOLD_AT_THE_SOURCE = (55, 84)
#: The lists that libvirt filters by itself: one call tells for all domains what one call per domain would tell.
_FILTERS = {
    "persistent": "VIR_CONNECT_LIST_DOMAINS_PERSISTENT",
    "autostart": "VIR_CONNECT_LIST_DOMAINS_AUTOSTART",
    "managed_save": "VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE",
    "snapshots": "VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT",
    "checkpoints": "VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT",
}


@dataclasses.dataclass(frozen=True)
class _Seen:
    """One domain as the bulk calls show it."""

    handle: t.Any
    name: str
    uuid: str
    state: str
    reason: str


def read_domains(connection: Connection, names: t.Sequence[str] | None = None) -> list[Domain]:
    """The domains of the host in the order of their names; only those in ``names`` (names or UUIDs) where given.

    Raises KvmError DOMAIN_NOT_FOUND for a name that the host does not know. A domain that vanishes meanwhile is left
    out.
    """
    with translated(f"Cannot list the domains at '{connection.uri}'"):
        seen = _select(_list(connection), names, connection.uri)
        # Each list is a call; for one or two domains asking them directly is as cheap, but the code would be twofold.
        members = {key: _members(connection, flag) for key, flag in _FILTERS.items()}
    probe = _probe(connection)
    pools: dict[tuple[str, str], str | None] = {}
    found: list[Domain] = []
    unsized: list[tuple[int, t.Any]] = []
    for item in seen:
        domain = _read(connection, item, members)
        if domain is None:
            continue
        disks = tuple(_complete(connection, disk, probe, pools) for disk in domain.disks)
        domain = dataclasses.replace(domain, disks=disks)
        if any(_lacks_size(disk) for disk in disks) and (domain.active or probe is None):
            unsized.append((len(found), item.handle))
        found.append(domain)
    _size_by_daemon(connection, found, unsized)
    return found


def unknown_domain(name: str, known: t.Sequence[str], uri: str) -> KvmError:
    """The error for a domain that the host at ``uri`` does not have; names what comes close."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    folded = {other.casefold(): other for other in known}
    if not near and name.casefold() in folded:
        near = [folded[name.casefold()]]
    hint = "See domain_info for those it has."
    if near:
        hint = f"Did you mean {' or '.join(repr(other) for other in near)}?"
    return KvmError(
        "DOMAIN_NOT_FOUND", f"There is no domain '{name}' at '{uri}'. {hint}", domain=name, uri=uri, close_matches=near
    )


def _list(connection: Connection) -> list[_Seen]:
    stats = connection.handle.getAllDomainStats(library().VIR_DOMAIN_STATS_STATE, 0)
    seen: list[_Seen] = []
    for handle, values in stats:
        state = state_name(values.get("state.state", 0))
        reason = reason_name(state, values.get("state.reason", 0))
        seen.append(_Seen(handle, handle.name(), handle.UUIDString().lower(), state, reason))
    return sorted(seen, key=lambda item: item.name)


def _select(seen: list[_Seen], names: t.Sequence[str] | None, uri: str) -> list[_Seen]:
    if names is None:
        return seen
    known = {item.name for item in seen} | {item.uuid for item in seen}
    for name in names:
        if name not in known and name.lower() not in known:
            raise unknown_domain(name, sorted(item.name for item in seen), uri)
    wanted = set(names) | {name.lower() for name in names if name not in known}
    return [item for item in seen if item.name in wanted or item.uuid in wanted]


def _members(connection: Connection, flag: str) -> frozenset[str]:
    number = constant(flag)
    if number is None:
        return frozenset()
    return frozenset(handle.UUIDString().lower() for handle in connection.handle.listAllDomains(number))


def _probe(connection: Connection) -> StorageProbe | None:
    if not is_local(connection.uri):
        return None
    return StorageProbe.of_this_host(read_settings(QEMU_CONF), connection.handle.getLibVersion())


def _read(connection: Connection, item: _Seen, members: t.Mapping[str, frozenset[str]]) -> Domain | None:
    lib = library()
    try:
        domain = parse_domain(item.handle.XMLDesc(0))
        active = item.state in ACTIVE_STATES
        return dataclasses.replace(
            domain,
            state=item.state,
            state_reason=item.reason,
            persistent=item.uuid in members["persistent"],
            autostart=item.uuid in members["autostart"],
            cpu_defined=_defined_cpu(item.handle, domain) if active and item.uuid in members["persistent"] else None,
            managed_save=item.uuid in members["managed_save"],
            snapshots=tuple(item.handle.snapshotListNames(0)) if item.uuid in members["snapshots"] else (),
            checkpoints=_checkpoints(item.handle) if item.uuid in members["checkpoints"] else (),
            job=_job(item.handle, item.reason) if active else None,
            block_jobs=_block_jobs(item.handle, domain) if active else (),
        )
    except lib.libvirtError as exc:
        if libvirt_code(exc) == _NO_DOMAIN:
            return None
        with translated(f"Cannot read the domain '{item.name}' at '{connection.uri}'"):
            raise


def _defined_cpu(handle: t.Any, domain: Domain) -> Cpu | None:
    """The CPU of the definition, where that can differ from what the guest runs with; None where it does not."""
    if domain.cpu.mode != "custom":
        return None
    defined = parse_cpu(handle.XMLDesc(library().VIR_DOMAIN_XML_INACTIVE))
    return defined if (defined.mode, defined.model) != (domain.cpu.mode, domain.cpu.model) else None


def _checkpoints(handle: t.Any) -> tuple[str, ...]:
    return tuple(checkpoint.getName() for checkpoint in handle.listAllCheckpoints(0))


def _job(handle: t.Any, reason: str) -> Job | None:
    lib = library()
    try:
        values = handle.jobStats(0)
    except lib.libvirtError as exc:
        if libvirt_code(exc) == _NO_SUPPORT:
            return None
        if libvirt_code(exc) not in _TOLD_AT_THE_SOURCE:
            raise
        return Job("unbounded", "migration_in") if reason in ("migration", "postcopy", "starting_up") else None
    kind = job_type_name(values.get("type", 0))
    if kind == "none":
        return None
    return Job(kind, job_operation_name(values.get("operation", 0)))


def _block_jobs(handle: t.Any, domain: Domain) -> tuple[str, ...]:
    lib = library()
    found: list[str] = []
    for disk in domain.disks:
        if disk.readonly or disk.empty:
            continue
        # A disk or a domain that went away meanwhile has no job.
        with contextlib.suppress(lib.libvirtError):
            info = handle.blockJobInfo(disk.target, 0)
            if info:
                found.append(f"{disk.target}: {block_job_name(info.get('type', 0))}")
    return tuple(found)


def _complete(
    connection: Connection, disk: Disk, probe: StorageProbe | None, pools: dict[tuple[str, str], str | None]
) -> Disk:
    if disk.type == "volume" and disk.pool and disk.volume:
        disk = dataclasses.replace(disk, source=_volume_path(connection, disk.pool, disk.volume, pools))
        if probe is None or disk.source is None:
            return disk
        kind = "block" if disk.source.startswith("/dev/") else "file"
        completed = probe.complete(dataclasses.replace(disk, type=kind))
        return dataclasses.replace(completed, type="volume")
    return probe.complete(disk) if probe is not None else disk


def _volume_path(
    connection: Connection, pool: str, volume: str, known: dict[tuple[str, str], str | None]
) -> str | None:
    lib = library()
    key = (pool, volume)
    if key not in known:
        known[key] = None
        # A pool or volume that is not there leaves the disk without a path: the checks speak of it.
        with contextlib.suppress(lib.libvirtError):
            known[key] = connection.handle.storagePoolLookupByName(pool).storageVolLookupByName(volume).path()
    return known[key]


def _lacks_size(disk: Disk) -> bool:
    return not disk.empty and (disk.virtual_size is None or disk.allocated is None)


def _size_by_daemon(connection: Connection, found: list[Domain], unsized: t.Sequence[tuple[int, t.Any]]) -> None:
    """Fill the sizes that could not be read here (another host, network storage, unreadable) by one call."""
    if not unsized:
        return
    lib = library()
    flags = constant("VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT") or 0
    # A domain that goes away meanwhile spoils the call: then the sizes stay unknown.
    with contextlib.suppress(lib.libvirtError):
        handles = [handle for position, handle in unsized]
        stats = connection.handle.domainListGetStats(handles, lib.VIR_DOMAIN_STATS_BLOCK, flags)
        by_uuid = {handle.UUIDString().lower(): values for handle, values in stats}
        for position, handle in unsized:
            values = by_uuid.get(handle.UUIDString().lower(), {})
            domain = found[position]
            disks = tuple(sized_by_stats(disk, values, active=domain.active) for disk in domain.disks)
            found[position] = dataclasses.replace(domain, disks=disks)


def sized_by_stats(disk: Disk, values: t.Mapping[str, t.Any], *, active: bool) -> Disk:
    """``disk`` with the sizes that libvirt's block statistics ``values`` give for its top image.

    For a running domain ``allocation`` is the highest offset ever written and ``physical`` what the file takes; for one
    that is shut off ``physical`` is the length of the file and ``allocation`` what it takes.
    """
    for number in range(int(values.get("block.count", 0))):
        key = f"block.{number}"
        if values.get(f"{key}.name") != disk.target:
            continue
        allocated = values.get(f"{key}.physical" if active and disk.type == "file" else f"{key}.allocation")
        return dataclasses.replace(
            disk,
            virtual_size=disk.virtual_size if disk.virtual_size is not None else values.get(f"{key}.capacity"),
            allocated=disk.allocated if disk.allocated is not None else allocated,
        )
    return disk
