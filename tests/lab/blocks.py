# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real block devices for hosts: loop devices of files of the lab, with partitions; mixed into `Lab`.

A host sees a device under a name that stays, `/dev/lab/NAME`, a link to the node as the kernel calls it, in the manner
of an LV. The kernel may lack every partition table (then `losetup -P` finds none), so the partitions are told to it one
by one; their nodes in the host come from tmpfiles.d, at each boot, so that they outlive a power cut.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .host import Host
from .shell import RUN, LabError, locked, run
from .state import State, detach_loops

FOLDER = "/dev/lab"
SECTOR = 512
FIRST_MIB = 1  # where the first partition begins
CONF = "etc/tmpfiles.d/lab-blocks.conf"
PARTITIONS = 4  # of an MBR


@dataclass(frozen=True)
class BlockDevice:
    """One block device of a host, as the host sees it; `backing` is its file on this machine."""

    host: str
    name: str
    backing: Path
    sizes_mib: tuple[int, ...]  # of the partitions

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.name}"

    @property
    def partitions(self) -> tuple[str, ...]:
        return tuple(partition_path(self.name, number) for number in range(1, len(self.sizes_mib) + 1))


def partition_path(name: str, number: int) -> str:
    return f"{FOLDER}/{name}-part{number}"


def layout(size_mib: int, partitions: int | Sequence[int]) -> tuple[int, ...]:
    """Sizes of the partitions in MiB: as listed, or so many equal ones."""
    if isinstance(partitions, int):
        room = (size_mib - FIRST_MIB) // partitions if partitions else 0
        sizes = (room,) * partitions
    else:
        sizes = tuple(partitions)
    if len(sizes) > PARTITIONS or any(size < 1 for size in sizes) or FIRST_MIB + sum(sizes) > size_mib:
        raise LabError(f"a device of {size_mib} MiB cannot have these partitions: {partitions}")
    return sizes


def extents(sizes_mib: Sequence[int]) -> list[tuple[int, int]]:
    """(first sector, number of sectors) of each partition."""
    found, begin = [], FIRST_MIB
    for size in sizes_mib:
        found.append(((begin << 20) // SECTOR, (size << 20) // SECTOR))
        begin += size
    return found


def partition_table(sizes_mib: Sequence[int]) -> bytes:
    """An MBR."""
    table = bytearray(SECTOR)
    for index, (first, count) in enumerate(extents(sizes_mib)):
        table[446 + 16 * index : 462 + 16 * index] = struct.pack("<B3xB3xII", 0, 0x83, first, count)
    table[510:] = b"\x55\xaa"
    return bytes(table)


def tmpfiles(nodes: Sequence[tuple[str, str, str]]) -> str:
    """tmpfiles.d lines for (link, kernel name, major:minor)."""
    lines = [f"d {FOLDER} 0755 root root -"]
    for link, kernel, numbers in nodes:
        quoted = link.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
        lines += [f"b /dev/{kernel} 0660 root disk - {numbers}", f'L+ "{quoted}" - - - - ../{kernel}']
    return "\n".join(lines) + "\n"


def attach(device: BlockDevice) -> list[tuple[str, str, str]]:
    """Make sure that the loop device and its partitions are there; (link, kernel name, major:minor) of each."""
    loop = run(["losetup", "--noheadings", "--output", "NAME", "--associated", str(device.backing)]).stdout.split()
    if not loop:
        loop = run(["losetup", "--partscan", "--find", "--show", str(device.backing)]).stdout.split()
    kernel = loop[0].rpartition("/")[2]
    nodes = [(device.path, kernel, numbers_of(kernel))]
    for number, (first, count) in enumerate(extents(device.sizes_mib), start=1):
        partition = f"{kernel}p{number}"
        if not Path(f"/sys/class/block/{partition}").exists():
            run(["addpart", loop[0], str(number), str(first), str(count)])
        nodes.append((partition_path(device.name, number), partition, numbers_of(partition)))
    return nodes


def numbers_of(kernel: str) -> str:
    return Path(f"/sys/class/block/{kernel}/dev").read_text(encoding="ascii").strip()


class Blocks:
    """What a lab can do with block devices."""

    name: str
    state: State

    def host(self, name: str) -> Host:
        raise NotImplementedError

    def block_device(
        self, host: str | Host, size_mib: int, partitions: int | Sequence[int] = 2, name: str | None = None
    ) -> BlockDevice:
        """Give a host a new block device full of zeros: `.path` of the whole, `.partitions` of its parts.

        `partitions` is how many equal ones, or their sizes in MiB. It stays until `remove_block_device` or `down`.
        """
        place = host if isinstance(host, Host) else self.host(host)
        if place.own_kernel:
            raise LabError(f"host {place.name} is a vm host: make a logical volume in its volume group instead")
        sizes = layout(size_mib, partitions)
        with self.state.changing():
            records = self.state.facts.setdefault("block_devices", [])
            used = {record["name"] for record in records if record["host"] == place.name}
            chosen = name or next(f"block{number}" for number in range(1, 1000) if f"block{number}" not in used)
            if not re.fullmatch(r"[^/\x00-\x1f]{1,100}", chosen) or chosen in used:
                raise LabError(f"block device {chosen!r}: no good name, or host {place.name} has it already")
            backing = place.directory / "blocks" / f"{chosen}.img"
            records.append({"host": place.name, "name": chosen, "backing": str(backing), "sizes_mib": sizes})
        self.state.record("loop", str(backing))
        fresh = backing.with_suffix(".new")
        backing.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            if sizes:
                file.write(partition_table(sizes))
            file.truncate(size_mib << 20)
        fresh.rename(backing)  # from here on it is plugged, by whoever plugs first
        self.plug_blocks(place)
        return BlockDevice(place.name, chosen, backing, sizes)

    def block_devices(self, host: str | Host) -> list[BlockDevice]:
        name = host if isinstance(host, str) else host.name
        records: list[dict[str, Any]] = State.load(self.state.path).facts.get("block_devices", [])
        return [
            BlockDevice(name, record["name"], Path(record["backing"]), tuple(record["sizes_mib"]))
            for record in records
            if record["host"] == name
        ]

    def _plugging(self, host: Host) -> contextlib.AbstractContextManager[None]:
        return locked(RUN / self.name / f".{host.name}-blocks.lock", "block devices", quiet=True)

    def plug_blocks(self, host: Host) -> None:
        """Show the host its block devices: now if it is on, and at every boot."""
        with self._plugging(host):
            nodes = [node for device in self.block_devices(host) if device.backing.exists() for node in attach(device)]
            conf = host.root / CONF
            if not nodes and not conf.exists():
                return
            conf.write_text(tmpfiles(nodes), encoding="utf-8")
            if host.leader() is not None:
                host.run(["systemd-tmpfiles", "--create", f"/{CONF}"])

    def remove_block_device(self, device: BlockDevice) -> None:
        """Take a device away from its host and give the loop device back; it must not be in use any more."""
        host = self.host(device.host)
        links = [device.path, *device.partitions]
        if host.leader() is not None:
            host.run(["sh", "-c", 'for one; do rm -f -- "$(readlink -f -- "$one")" "$one"; done', "sh", *links])
        with self._plugging(host):
            detach_loops(str(device.backing))
            device.backing.unlink(missing_ok=True)
        with self.state.changing():
            self.state.resources[:] = [one for one in self.state.resources if one["name"] != str(device.backing)]
            records = self.state.facts.get("block_devices", [])
            records[:] = [one for one in records if (one["host"], one["name"]) != (device.host, device.name)]
        self.plug_blocks(host)
