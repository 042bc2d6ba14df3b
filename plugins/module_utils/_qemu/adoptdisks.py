# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The disks of a guest process as those of a domain: from -drive, -blockdev and -device. Pure."""

from __future__ import annotations

import dataclasses
import string
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import CommandLine, Keys, Option

_BUSES = {
    "virtio-blk-pci": "virtio", "virtio-blk": "virtio", "virtio-blk-pci-non-transitional": "virtio", "ide-hd": "ide", "ide-cd": "ide",
    "scsi-hd": "scsi", "scsi-cd": "scsi",
}  # fmt: skip
_LETTERS = {"virtio": "vd", "ide": "hd", "sata": "sd", "scsi": "sd"}
_FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vpc", "qed")
_CACHES = ("none", "writeback", "writethrough", "directsync", "unsafe")
#: What a device may have beside its drive; all but the serial number is libvirt's to say.
_DEVICE_KEYS = frozenset(
    (
        "driver", "id", "drive", "serial", "bus", "addr", "unit", "bootindex", "logical_block_size", "physical_block_size", "num-queues",
        "vectors", "disable-legacy", "secs", "cyls", "heads", "write-cache",
    )
)  # fmt: skip
_DRIVE_KEYS = frozenset(
    ("file", "format", "if", "index", "media", "id", "cache", "readonly", "read-only", "aio", "discard", "driver", "unit", "bus")
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Disks:
    """``elements`` of the definition, the ``devices`` that they stand for, and ``problems``."""

    elements: tuple[ET.Element, ...]
    devices: tuple[Option, ...]
    problems: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Disk:
    source: str
    form: str
    bus: str
    optical: bool
    readonly: bool
    serial: str = ""
    cache: str = ""
    place: int = -1


def disks(line: CommandLine, machine: str) -> Disks:
    """All disks of a command line; those of the firmware are not among them."""
    found: list[_Disk] = []
    problems: list[str] = []
    handled: list[Option] = []
    users = {option.keys.get("drive"): option for option in line.all("device") if "drive" in option.keys}
    drives = {option.keys.get("id"): option.keys for option in line.all("drive") if option.keys.get("id")}
    nodes = {option.keys.get("node-name"): option.keys for option in line.all("blockdev")}
    for option in line.options:
        keys = option.keys
        if option.name == "drive" and keys.get("if") != "none" and keys.get("if") != "pflash":
            problems += _strange(keys, _DRIVE_KEYS, f"-drive {option.value}")
            # A controller that libvirt would have to be told of.
            bus = keys.get("if") or "ide"
            found.append(_of_drive(keys, "lsi" if bus == "scsi" else bus))
        elif option.name == "device" and keys.get("driver") in _BUSES:
            handled.append(option)
            problems += _strange(keys, _DEVICE_KEYS, f"-device {option.value}")
            problems += _strange(drives.get(keys.get("drive"), Keys()), _DRIVE_KEYS, f"-drive {keys.get('drive')}")
            found.append(_of_device(keys, drives, nodes))
    for name, option in users.items():
        if option not in handled:
            problems.append(f"its disk {name} is on a {option.keys.get('driver')}, which is not understood")
    return Disks(tuple(_elements(found, machine, problems)), tuple(handled), tuple(problems))


def _strange(keys: Keys, known: t.Container[str], what: str) -> list[str]:
    return [f"{key} of its {what} is not understood" for key, _value in keys.pairs if key not in known]


def _of_drive(keys: Keys, bus: str, device: Keys | None = None) -> _Disk:
    optical = keys.get("media") == "cdrom" or (device is not None and device.get("driver").endswith("-cd"))
    index = keys.get("index")
    return _Disk(
        source=keys.get("file"),
        form=keys.get("format") or keys.get("driver") or "raw",
        bus=bus,
        optical=optical,
        readonly=optical or keys.is_on("readonly") or keys.is_on("read-only"),
        serial=device.get("serial") if device is not None else "",
        cache=keys.get("cache"),
        place=int(index) if index.isdigit() and device is None else -1,
    )


def _of_device(device: Keys, drives: t.Mapping[str, Keys], nodes: t.Mapping[str, Keys]) -> _Disk:
    bus, name = _BUSES[device.get("driver")], device.get("drive")
    if name not in nodes:
        return _of_drive(drives.get(name, Keys()), bus, device)
    keys = nodes[name]
    optical = device.get("driver").endswith("-cd")
    cache = "none" if keys.is_on("cache.direct") else ""
    readonly = optical or keys.is_on("read-only")
    return _Disk(_source(keys, nodes), keys.get("driver"), bus, optical, readonly, device.get("serial"), cache)


def _source(keys: Keys, nodes: t.Mapping[str, Keys], depth: int = 0) -> str:
    direct = keys.get("filename") or keys.get("file.filename")
    below = keys.get("file")
    return direct if direct or below not in nodes or depth > 10 else _source(nodes[below], nodes, depth + 1)


def _elements(found: t.Sequence[_Disk], machine: str, problems: list[str]) -> t.Iterator[ET.Element]:
    taken: dict[str, set[int]] = {}
    for disk in found:
        bus = "sata" if disk.bus == "ide" and "q35" in machine else disk.bus
        if bus not in _LETTERS or disk.form not in (*_FORMATS, "host_device"):
            problems.append(
                f"its disk {disk.source or '(empty)'} on the bus {disk.bus} in the format {disk.form} is not understood"
            )
            continue
        if disk.source and not disk.source.startswith("/"):
            problems.append(f"its disk {disk.source} is no file and no device of the host")
            continue
        places = taken.setdefault(_LETTERS[bus], set())
        number = disk.place if disk.place >= 0 else min(set(range(len(places) + 1)) - places)
        if number >= len(string.ascii_lowercase):
            problems.append(
                f"its disk {disk.source or '(empty)'} is number {number + 1} on the bus {disk.bus}, which is beyond the letter z"
            )
            continue
        places.add(number)
        block = disk.source.startswith("/dev/")
        element = ET.Element("disk", type="block" if block else "file", device="cdrom" if disk.optical else "disk")
        driver = {"name": "qemu", "type": "raw" if disk.form == "host_device" else disk.form}
        if disk.cache in _CACHES:
            driver["cache"] = disk.cache
        ET.SubElement(element, "driver", driver)
        if disk.source:
            ET.SubElement(element, "source", {"dev" if block else "file": disk.source})
        ET.SubElement(element, "target", dev=f"{_LETTERS[bus]}{string.ascii_lowercase[number]}", bus=bus)
        if disk.serial:
            serial = ET.SubElement(element, "serial")
            serial.text = disk.serial
        if disk.readonly:
            ET.SubElement(element, "readonly")
        yield element
