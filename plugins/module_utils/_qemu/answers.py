# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a monitor's answers say about a guest, by QMP and by the human monitor alike. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Layer
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import (
    GuestDevice,
    GuestDisk,
    GuestJob,
    GuestNic,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import CommandLine, parse_keys
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argvread import disks_of, nics_of

_PERIPHERAL = re.compile(r"\A/machine/peripheral/([^/]+)")
#: Drives that QEMU names itself: those of -hda and its kin, of -drive without an id, and the empty ones that a machine always has.
_OWN_NAME = re.compile(r"\A(?:ide|scsi|virtio|floppy|sd|mtd|pflash|none|xen)[0-9]+(?:-(?:hd|cd)[0-9]+)?\Z")
_CHILD = re.compile(r"\Achild<(.+)>\Z")
_HEADER = re.compile(r"\A(.+?)(?: \(([^()]*)\))?: (?:\[not inserted\]|(.*) \((\S+?)((?:, [a-z-]+)*)\))\Z")
_JOB = re.compile(r"(?:Type (\S+), device|Streaming device) (.+?): Completed ([0-9]+) of ([0-9]+) bytes")


# ---- disks ----

#: Nodes that a job or a limit puts on top of an image while it lasts.
FILTERS = ("copy-before-write", "copy-on-read", "mirror_top", "commit_top", "backup-top", "preallocate", "throttle")
_PROTOCOLS = ("file", "host_device", "host_cdrom", "nbd", "nvme", "iscsi", "rbd", "ssh", "http", "https", "null-co")


def has_filter(answer: t.Iterable[t.Mapping[str, t.Any]]) -> bool:
    """Whether a filter hides the image of a disk in the answer of query-block."""
    return any((entry.get("inserted") or {}).get("drv") in FILTERS for entry in answer)


def below_filters(
    answer: t.Iterable[t.Mapping[str, t.Any]], nodes: t.Sequence[t.Mapping[str, t.Any]]
) -> list[dict[str, t.Any]]:
    """The answer of query-block with each filter replaced by the image below it, from that of query-named-block-nodes.

    Which node is below is not told, so it is the one with the same file, where there is only one such.
    """
    found = []
    for entry in answer:
        inserted = entry.get("inserted") or {}
        same = [
            node
            for node in nodes
            if node["file"] == inserted.get("file") and node["drv"] not in FILTERS and node["drv"] not in _PROTOCOLS
        ]
        hidden = inserted.get("drv") in FILTERS and len(same) == 1
        found.append({**entry, "inserted": {**same[0], "ro": inserted.get("ro")}} if hidden else dict(entry))
    return found


def disks_by_qmp(answer: t.Iterable[t.Mapping[str, t.Any]]) -> tuple[GuestDisk, ...]:
    """The disks in the answer of query-block."""
    found = []
    for entry in answer:
        inserted = entry.get("inserted") or {}
        image = inserted.get("image", {})
        found.append(
            GuestDisk(
                device_name(entry.get("qdev", "")),
                drive=entry.get("device", ""),
                node=inserted.get("node-name", ""),
                source=inserted.get("file") if inserted else None,
                format=inserted.get("drv"),
                virtual_size=image.get("virtual-size"),
                allocated=image.get("actual-size"),
                readonly=bool(inserted.get("ro")),
                removable=bool(entry.get("removable")),
                backing_chain=tuple(_layers(image)),
            )
        )
    return tuple(found)


def _layers(image: t.Mapping[str, t.Any]) -> t.Iterator[Layer]:
    below = image.get("backing-image")
    while below:
        yield Layer(below.get("filename", ""), below.get("format"), allocated=below.get("actual-size"))
        below = below.get("backing-image")


def device_name(path: str) -> str:
    """The id of a device, where its QOM ``path`` is that of one with an id, else the path."""
    match = _PERIPHERAL.match(path)
    return match.group(1) if match else path


def disks_by_hmp(text: str) -> tuple[GuestDisk, ...]:
    """The disks in what ``info block -v`` prints. It rounds the sizes on disk, so they are left out."""
    found: list[GuestDisk] = []
    images: list[dict[str, str]] = []

    def close() -> None:
        if found and images:
            below = tuple(Layer(image.get("image", ""), image.get("file format")) for image in images[1:])
            found[-1] = dataclasses.replace(found[-1], virtual_size=_bytes_of(images[0]), backing_chain=below)
        images.clear()

    for line in text.splitlines():
        header = _HEADER.match(line) if line[:1].strip() else None
        key, colon, value = line.strip().partition(":")
        if key == "image" and colon:
            images.append({"image": value.strip()})
        elif header and not (images and key in ("virtual size", "disk size", "backing file")):
            close()
            name, node, source, form, more = header.groups()
            # A drive of -blockdev has no name of its own: the node stands there, or the device where it is empty.
            found.append(
                GuestDisk(
                    "" if source is not None or node else device_name(name) if name.startswith("/") else "",
                    drive=name if node or (source is None and not name.startswith("/")) else "",
                    node=node or (name if source is not None else ""),
                    source=source,
                    format=form,
                    readonly="read-only" in (more or ""),
                )
            )
        elif found and key == "Attached to":
            found[-1] = dataclasses.replace(found[-1], device=device_name(value.strip()))
        elif found and key == "Removable device":
            found[-1] = dataclasses.replace(found[-1], removable=True)
        elif images and colon:
            images[-1].setdefault(key, value.strip())
    close()
    return tuple(found)


def _bytes_of(image: t.Mapping[str, str]) -> int | None:
    match = re.search(r"\(([0-9]+) bytes\)", image.get("virtual size", ""))
    return int(match.group(1)) if match else None


def joined_disks(line: CommandLine, disks: t.Sequence[GuestDisk]) -> tuple[GuestDisk, ...]:
    """The disks that a monitor told, with what the command line adds: the option that made each, or that none did."""
    asked = list(disks_of(line))
    found = []
    for disk in disks:
        match = _asked(disk, asked)
        if match is not None:
            asked.remove(match)
            found.append(dataclasses.replace(disk, style=match.style))
        elif _OWN_NAME.match(disk.drive) or disk.device.startswith("/machine/system.flash"):
            found.append(dataclasses.replace(disk, style="default"))
        else:
            found.append(dataclasses.replace(disk, hot_plugged=True))
    return tuple(found)


def _asked(disk: GuestDisk, asked: t.Sequence[GuestDisk]) -> GuestDisk | None:
    """The option that made ``disk``: by the drive's id, by the device's, by what is in it, by being the only one for a CD-ROM."""
    tests: tuple[t.Callable[[GuestDisk], bool], ...] = (
        lambda one: bool(one.drive) and one.drive == disk.drive,
        lambda one: bool(one.device) and one.device == disk.device,
        lambda one: not one.drive and not one.device and one.source is not None and one.source == disk.source,
        lambda one: not one.drive and not one.device and bool(_OWN_NAME.match(disk.drive)) and _same_kind(one, disk),
    )
    for test in tests:
        for one in asked:
            if test(one):
                return one
    return None


def _same_kind(one: GuestDisk, disk: GuestDisk) -> bool:
    return one.removable and disk.removable and disk.source is None and "-cd" in disk.drive


# ---- NICs ----


def nics_by_text(text: str) -> tuple[GuestNic, ...]:
    """The NICs in what ``info network`` prints, each with what is behind it."""
    found: list[GuestNic] = []
    for line in text.splitlines():
        match = re.match(r"\s*(\\)?\s*(.+?): index=[0-9]+,(.*)", line)
        if match is None:
            continue
        below, name, rest = match.groups()
        keys = parse_keys(rest)
        if keys.get("type") == "nic":
            found.append(GuestNic(name, keys.get("model"), keys.get("macaddr").lower()))
        elif below and found:
            interface = keys.get("ifname") or keys.get("br")
            found[-1] = dataclasses.replace(found[-1], netdev=name, backend=keys.get("type"), interface=interface)
    return tuple(found)


def joined_nics(line: CommandLine, nics: t.Sequence[GuestNic], later: t.Container[str]) -> tuple[GuestNic, ...]:
    """The NICs that a monitor told, with the names of the command line; ``later`` are the ids of devices that were plugged in."""
    asked = {nic.netdev: nic for nic in nics_of(line) if nic.netdev}
    found = []
    for nic in nics:
        known = asked.get(nic.netdev)
        interface = nic.interface or (known.interface if known else "")
        device = known.device if known and known.device else nic.device
        found.append(dataclasses.replace(nic, device=device, interface=interface, hot_plugged=nic.device in later))
    return tuple(found)


# ---- devices ----


def children(answer: t.Iterable[t.Mapping[str, str]]) -> dict[str, str]:
    """Name -> type of each child in the answer of qom-list."""
    pairs = ((entry["name"], _CHILD.match(entry["type"])) for entry in answer)
    return {name: match.group(1) for name, match in pairs if match}


def children_by_text(text: str) -> dict[str, str]:
    """Name -> type of each child in what ``qom-list`` prints."""
    rows = (re.match(r"(.+) \((.+)\)\Z", line.strip()) for line in text.splitlines())
    return children({"name": row.group(1), "type": row.group(2)} for row in rows if row)


def plugged(
    line: CommandLine, named: t.Mapping[str, str], nameless: t.Mapping[str, str]
) -> tuple[tuple[GuestDevice, ...], tuple[str, ...]]:
    """The devices that are there and not in the command line, and the ids of those that are there no more.

    ``named`` and ``nameless`` are the children of /machine/peripheral and peripheral-anon. Nameless ones can only be counted, by type.
    """
    keys = [option.keys for option in line.all("device")]
    asked = {one.get("id"): one.get("driver") for one in keys if one.get("id")}
    left = [_driver(one.get("driver")) for one in keys if not one.get("id")]
    left += ["virtio-blk-pci" for option in line.all("drive") if option.keys.get("if") == "virtio"]
    later = [GuestDevice(name, kind) for name, kind in named.items() if name not in asked]
    for name, kind in nameless.items():
        if kind in left:
            left.remove(kind)
        elif not line.has("virtfs") and not line.has("watchdog") and not line.has("readconfig"):
            later.append(GuestDevice(f"/machine/peripheral-anon/{name}", kind))
    return tuple(later), tuple(sorted(set(asked) - set(named)))


def _driver(name: str) -> str:
    """The type that a short name stands for on a PC."""
    return (
        f"{name}-pci" if re.fullmatch(r"virtio-(?:blk|net|scsi|rng|balloon|serial|9p|gpu|input-host)", name) else name
    )


# ---- work ----


def jobs_by_qmp(jobs: t.Iterable[t.Mapping[str, t.Any]]) -> tuple[GuestJob, ...]:
    """The jobs in the answer of query-jobs."""
    return tuple(
        GuestJob(
            job["id"],
            job["type"],
            job.get("status", ""),
            job.get("current-progress", 0),
            job.get("total-progress", 0),
            job.get("error", ""),
        )
        for job in jobs
    )


def jobs_by_hmp(text: str) -> tuple[GuestJob, ...]:
    """The jobs in what ``info block-jobs`` prints."""
    return tuple(
        GuestJob(device, kind or "stream", "running", int(done), int(total))
        for kind, device, done, total in _JOB.findall(text)
    )


def migration_by_hmp(text: str) -> tuple[str, tuple[str, ...]]:
    """State of the migration and what blocks one, in what ``info migrate`` prints."""
    state = re.search(r"^(?:Migration status|Status):\s*([\w-]+)", text, re.MULTILINE)
    blocked = re.search(r"^Outgoing migration blocked:\n((?:[ \t]+\S.*\n?)+)", text, re.MULTILINE)
    reasons = tuple(line.strip() for line in blocked.group(1).splitlines()) if blocked else ()
    return (state.group(1) if state else ""), reasons


def status_by_hmp(text: str) -> str:
    """The run state in what ``info status`` prints, in the words of QMP."""
    match = re.search(r"VM status: ([\w-]+)(?: \(([\w-]+)\))?", text)
    return (match.group(2) or match.group(1)) if match else ""


def machine_name(kind: str) -> str:
    """The machine type in the QOM type of /machine."""
    return kind.strip().strip('"').removesuffix("-machine")


def cpu_name(kind: str) -> str:
    """The CPU model in the QOM type of a vCPU; empty for the type of anything else."""
    match = re.fullmatch(r"(.+?)(?:-(?:x86_64|i386|arm|riscv64|ppc64|s390x))?-cpu", kind.strip().strip('"'))
    return match.group(1) if match else ""
