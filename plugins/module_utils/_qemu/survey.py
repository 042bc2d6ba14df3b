# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The guest processes of this host, each with all that its command line and its monitors tell."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import list_setting, read_settings
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.hugepages import page_kib
from ansible_collections.virtops.kvm.plugins.module_utils._core.mounts import (
    CLUSTER_TYPES,
    Mount,
    locate,
    mount_of,
    read_mounts,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import (
    ANSWERS,
    BUSY,
    GONE,
    SILENT,
    UNREACHABLE,
    Guest,
    GuestDisk,
    GuestMonitor,
    GuestProcess,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import answers, argv, argvread, discovery, monitor
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import Address
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import CommandLine
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argvread import Place
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.backing import backings_of, huge_pages
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.monitor import Monitor
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.session import Session

_AT_A_TIME = 8
#: Where libvirt is told which folders are shared between hosts.
DECLARED = "/etc/libvirt/qemu.conf"
#: In the kernel's letters.
_STOPPED = ("T", "t")
_STATES = {"MONITOR_BUSY": BUSY, "MONITOR_SILENT": SILENT, "MONITOR_GONE": GONE}
_VERSIONED = re.compile(r"-[0-9]+\.[0-9]+|\Amicrovm\Z|\Anone\Z|-rhel[0-9.]+\Z")


def read_guests(timeout: float) -> list[Guest]:
    """All guest processes; each monitor gets at most ``timeout`` seconds for its greeting, and for each answer."""
    found = find_processes()
    if not found:
        return []
    with concurrent.futures.ThreadPoolExecutor(min(_AT_A_TIME, len(found))) as pool:
        guests = list(pool.map(lambda process: read_guest(process, timeout), found))
    mounts = read_mounts()
    declared = list_setting(read_settings(DECLARED), "shared_filesystems")
    return [
        dataclasses.replace(guest, disks=tuple(placed(guest.process, disk, mounts, declared) for disk in guest.disks))
        for guest in guests
    ]


def placed(process: GuestProcess, disk: GuestDisk, mounts: t.Sequence[Mount], declared: t.Sequence[str]) -> GuestDisk:
    """``disk`` with the storage that it lies on, where it is a file of this host; ``declared`` folders are shared by somebody's word."""
    if not disk.source or disk.source.startswith("/dev/") or "mnt" in process.namespaces or ":" in disk.source:
        return disk
    folder = os.path.dirname(local_path(process, disk.source))
    mount = mount_of(folder, mounts)
    if mount is None or mount.type not in CLUSTER_TYPES:
        # Links on the mount of a server that may be silent are not followed.
        folder = os.path.realpath(folder)
    place = locate(folder, mounts, declared, os.uname().nodename)
    return dataclasses.replace(disk, shared=place.shared, filesystem=place.filesystem)


def find_processes() -> list[GuestProcess]:
    """The QEMU processes that libvirt does not manage, by pid."""
    recorded = discovery.recorded_pids()
    found = []
    for pid in discovery.pids():
        process = discovery.read_process(pid)
        if process is None:
            continue
        bound = [address.path for address in discovery.sockets_of(pid).values() if address.kind == "unix"]
        if not discovery.libvirt_evidence(process, argv.parse(process.words), bound, recorded):
            found.append(process)
    return found


def read_guest(process: GuestProcess, timeout: float) -> Guest:
    """One guest process, asked by the best of its monitors that answers."""
    line = argv.parse(process.words)
    guest = told_by_argv(process, line)
    places = sorted(argvread.monitors_of(line), key=lambda place: place.kind != "qmp")
    states = []
    for place in places:
        address, why = reach(process, place)
        shown = str(address) if address else place.text
        if process.state in _STOPPED:
            # Whoever connects would wait in vain, and is served when the process goes on.
            states.append(GuestMonitor(place.kind, shown, SILENT, "A signal has stopped the process."))
            continue
        if address is None:
            states.append(GuestMonitor(place.kind, shown, UNREACHABLE, why))
            continue
        try:
            with monitor.connect(address, timeout=timeout, command_timeout=timeout) as spoken:
                if guest.told_by == "argv":
                    guest = ask(guest, line, spoken)
                states.append(GuestMonitor(spoken.kind, shown, ANSWERS))
        except KvmError as exc:
            states.append(GuestMonitor(place.kind, shown, _STATES.get(exc.error_code, UNREACHABLE), exc.message))
    unknown = list(guest.unknown)
    if guest.told_by == "argv":
        unknown.append(
            "No monitor answered, so the run state, what was plugged in since the start, jobs, and what blocks a migration are unknown."
        )
        if not guest.machine:
            unknown.append("Without a monitor the machine type cannot be resolved to its version.")
    return dataclasses.replace(guest, monitors=tuple(states), unknown=tuple(unknown))


def for_people(guest: Guest) -> Guest:
    """``guest`` without the secrets of its command line."""
    disks = (
        dataclasses.replace(disk, source=argvread.redacted([disk.source])[0] if disk.source else disk.source)
        for disk in guest.disks
    )
    words = tuple(argvread.redacted(guest.process.words))
    return dataclasses.replace(guest, process=dataclasses.replace(guest.process, words=words), disks=tuple(disks))


def chosen(guests: t.Sequence[Guest], wanted: t.Sequence[str]) -> list[Guest]:
    """The guests with one of the names, UUIDs or pids ``wanted``; all where nothing is. Raises GUEST_UNKNOWN."""
    found = [guest for guest in guests if not wanted or _called(guest) & {one.lower() for one in wanted}]
    for one in wanted:
        if not any(one.lower() in _called(guest) for guest in guests):
            known = ", ".join(f"{guest.name or 'without a name'} (pid {guest.process.pid})" for guest in guests)
            raise KvmError(
                "GUEST_UNKNOWN",
                f"This host has no guest process with the name, UUID or pid '{one}'; it has {known or 'none'}.",
                guest=one,
                known=[guest.process.pid for guest in guests],
            )
    return found


def _called(guest: Guest) -> set[str]:
    return {guest.name.lower(), guest.uuid, str(guest.process.pid)} - {""}


def told_by_argv(process: GuestProcess, line: CommandLine) -> Guest:
    """What the command line alone says."""
    asked = argvread.machine_of(line)
    disks = tuple(
        dataclasses.replace(disk, allocated=discovery.allocated(local_path(process, disk.source)))
        if disk.source
        else disk
        for disk in argvread.disks_of(line)
    )
    backings = backings_of(line)
    # Looked up here also for a process with mounts of its own: hosts have the folders of their pages alike.
    folders = {one.path: page_kib(os.path.join(process.directory or "/", one.path)) for one in backings if one.path}
    hugepages, hugepage_kib = huge_pages(backings, folders)
    return Guest(
        process,
        name=argvread.name_of(line),
        uuid=line.last("uuid").lower(),
        machine=asked if _VERSIONED.search(asked) else "",
        machine_asked=asked,
        accelerator=argvread.accelerator_of(line),
        cpu=line.last("cpu"),
        memory=argvread.memory_of(line),
        hugepages=hugepages,
        hugepage_kib=hugepage_kib,
        vcpus=argvread.vcpus_of(line),
        incoming=line.last("incoming") if line.has("incoming") else None,
        pidfile=line.last("pidfile"),
        vnc=line.last("vnc"),
        disks=disks,
        nics=argvread.nics_of(line),
        unknown=("A part of its command line is in a file (-readconfig).",) if line.has("readconfig") else (),
    )


def local_path(process: GuestProcess, path: str) -> str:
    """A path as the process has it, as this process reaches it."""
    full = os.path.normpath(os.path.join(process.directory or "/", path))
    elsewhere = "mnt" in process.namespaces
    return f"/proc/{process.pid}/root{full}" if elsewhere else full


def reach(process: GuestProcess, place: Place) -> tuple[Address | None, str]:
    """The address to connect to, or None and why nobody should."""
    address = place.address
    if place.descriptor >= 0:
        address = discovery.sockets_of(process.pid).get(place.descriptor)
    if address is None:
        return None, place.why
    if place.waits and discovery.not_started(process.pid):
        return (
            None,
            "QEMU waits for the first client of this monitor before it starts the guest, so whoever connects starts it",
        )
    if address.kind == "tcp":
        if "net" in process.namespaces:
            return None, "it listens in another network namespace"
        return dataclasses.replace(address, pid=process.pid), ""
    if address.abstract:
        if "net" in process.namespaces:
            return None, "it listens in another network namespace"
        return dataclasses.replace(address, pid=process.pid), ""
    return Address("unix", path=local_path(process, address.path), bound=address.path, pid=process.pid), ""


# ---- asking ----


def ask(guest: Guest, line: CommandLine, spoken: Monitor) -> Guest:
    """``guest`` with what its monitor tells. Raises what the monitor raises when it stops answering."""
    found = _by_hmp(spoken) if spoken.session is None else _by_qmp(spoken.session)
    later, gone = answers.plugged(line, found["named"], found["nameless"])
    nics = answers.nics_by_text(spoken.hmp("info network"))
    disks = [
        dataclasses.replace(disk, allocated=discovery.allocated(local_path(guest.process, disk.source)))
        if disk.source and disk.allocated is None
        else disk
        for disk in found["disks"]
    ]
    return dataclasses.replace(
        guest,
        told_by=spoken.kind,
        name=found["name"] or guest.name,
        uuid=found["uuid"] or guest.uuid,
        qemu_version=".".join(str(number) for number in spoken.version),
        status=found["status"],
        machine=found["machine"] or guest.machine,
        cpu=guest.cpu or found["cpu"],
        memory=found["memory"] or guest.memory,
        vcpus=found["vcpus"] or guest.vcpus,
        disks=answers.joined_disks(line, disks),
        nics=answers.joined_nics(line, nics, {device.device for device in later}),
        hot_plugged=later,
        unplugged=gone,
        jobs=found["jobs"],
        migration=found["migration"],
        blockers=found["blockers"],
    )


def _by_qmp(session: Session) -> dict[str, t.Any]:
    def maybe(command: str, arguments: t.Mapping[str, t.Any] | None = None, default: t.Any = None) -> t.Any:
        """The answer, or ``default`` where this QEMU refuses: an older one, or a guest that is not far enough."""
        try:
            return session.execute(command, arguments)
        except KvmError as exc:
            if exc.error_code != "MONITOR_REFUSED":
                raise
            return default

    cpus = maybe("query-cpus-fast", default=[])
    first = cpus[0]["qom-path"] if cpus else ""
    memory = maybe("query-memory-size-summary", default={})
    migration = maybe("query-migrate", default={})
    blocks = session.execute("query-block")
    if answers.has_filter(blocks):
        blocks = answers.below_filters(blocks, maybe("query-named-block-nodes", default=[]))
    return {
        "name": maybe("query-name", default={}).get("name", ""),
        "uuid": _real_uuid(maybe("query-uuid", default={}).get("UUID", "")),
        "status": session.execute("query-status")["status"],
        "machine": answers.machine_name(maybe("qom-get", {"path": "/machine", "property": "type"}, "")),
        "cpu": answers.cpu_name(maybe("qom-get", {"path": first, "property": "type"}, "") if first else ""),
        "memory": memory.get("base-memory", 0) + memory.get("plugged-memory", 0),
        "vcpus": len(cpus),
        "disks": answers.disks_by_qmp(blocks),
        "named": answers.children(maybe("qom-list", {"path": "/machine/peripheral"}, [])),
        "nameless": answers.children(maybe("qom-list", {"path": "/machine/peripheral-anon"}, [])),
        "jobs": answers.jobs_by_qmp(maybe("query-jobs", default=[])),
        "migration": migration.get("status", ""),
        "blockers": tuple(migration.get("blocked-reasons", ())),
    }


def _by_hmp(spoken: Monitor) -> dict[str, t.Any]:
    cpus = re.findall(r"CPU #[0-9]+:", spoken.hmp("info cpus"))
    sizes = dict(re.findall(r"(base memory|plugged memory): ([0-9]+)", spoken.hmp("info memory_size_summary")))
    migration, blockers = answers.migration_by_hmp(spoken.hmp("info migrate"))
    return {
        "name": _word(spoken.hmp("info name")),
        "uuid": _real_uuid(_word(spoken.hmp("info uuid"))),
        "status": answers.status_by_hmp(spoken.hmp("info status")),
        "machine": answers.machine_name(_json_word(spoken.hmp("qom-get /machine type"))),
        "cpu": answers.cpu_name(_json_word(spoken.hmp("qom-get /machine/unattached/device[0] type"))),
        "memory": sum(int(size) for size in sizes.values()),
        "vcpus": len(cpus),
        "disks": answers.disks_by_hmp(spoken.hmp("info block -v")),
        "named": answers.children_by_text(spoken.hmp("qom-list /machine/peripheral")),
        "nameless": answers.children_by_text(spoken.hmp("qom-list /machine/peripheral-anon")),
        "jobs": answers.jobs_by_hmp(spoken.hmp("info block-jobs")),
        "migration": migration,
        "blockers": blockers,
    }


def _word(text: str) -> str:
    found = text.strip()
    return "" if found.startswith(("Error", "unknown command")) or "\n" in found else found


def _json_word(text: str) -> str:
    """A string as QOM prints it; empty for anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        return ""
    return value if isinstance(value, str) else ""


def _real_uuid(text: str) -> str:
    """QEMU tells zeros for a guest without one."""
    return "" if not text.replace("-", "").strip("0") else text.lower()
