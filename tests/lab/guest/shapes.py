# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lab guests look like: a shape by name, and its libvirt definition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from xml.sax.saxutils import escape, quoteattr

from ..blocks import FOLDER, partition_path
from ..host import IMAGES, SHARED
from ..shell import LabError
from .assets import ON_HOST


@dataclass(frozen=True)
class Disk:
    format: str = "qcow2"
    chain: bool = False  # an overlay on a base image
    shared: bool = False  # in the directory that all hosts share
    block: bool = False  # on the first partition of a block device of the host


@dataclass(frozen=True)
class Shape:
    """A kind of guest; every field can be set by an option of `create`."""

    disks: tuple[Disk, ...] = (Disk(),)
    machine: str = "q35"
    uefi: bool = False
    tpm: bool = False
    snapshots: int = 0  # internal ones, of a shut-off guest; behind the records, each has a block of its own number
    iso: bool = False
    startup_policy: str | None = None  # of the ISO: mandatory, requisite, optional
    start: str = "running"  # running, paused, shutoff
    idle: bool = False  # finds nothing to boot and halts: it costs no processor time, never beats, and writes nothing
    autostart: bool = False
    size_mib: int = 128
    fill_mib: int = 0  # random data in the first disk
    memory_mib: int = 96
    vcpus: int = 1
    cache: str | None = None
    cpu: str | None = None  # a CPU model, or the text of a <cpu> element
    nic: str = "network"  # network or bridge
    records: int = 10  # per second and disk
    beat_ms: int = 20  # between two beats for those who watch; from 100 on, whatever it does it does as seldom
    dirty: int = 0  # pages per second
    area_mib: int = 32  # memory that is dirtied
    extra_devices: str = field(default="", repr=False)  # more XML inside <devices>


SHAPES: dict[str, Shape] = {
    "qcow2": Shape(),
    "raw": Shape(disks=(Disk("raw"),)),
    "three-disks": Shape(disks=(Disk("qcow2"), Disk("raw"), Disk("qcow2"))),
    "chain": Shape(disks=(Disk("qcow2", chain=True),), fill_mib=16),
    "iso": Shape(iso=True),
    "uefi": Shape(uefi=True, memory_mib=192),  # OVMF needs room to unpack the kernel
    "q35": Shape(machine="q35"),
    "pc": Shape(machine="pc"),
    "paused": Shape(start="paused"),
    "shutoff": Shape(start="shutoff"),
    "autostart": Shape(autostart=True),
    "block": Shape(disks=(Disk("raw", block=True),)),
    "block-qcow2": Shape(disks=(Disk("qcow2", block=True),)),
    "tpm": Shape(tpm=True),
    "snapshots": Shape(snapshots=2, start="shutoff"),
    "shared": Shape(disks=(Disk("qcow2", shared=True),)),
}


def shape_named(name: str, **options: object) -> Shape:
    if name not in SHAPES:
        raise LabError(f"unknown shape {name}; there are {', '.join(SHAPES)}")
    try:
        return replace(SHAPES[name], **options)  # type: ignore[arg-type]
    except TypeError as error:
        raise LabError(f"shape {name}: {error}") from error


def disk_path(name: str, index: int, disk: Disk) -> str:
    suffix = "" if index == 0 else f"-vd{'abcdefgh'[index]}"
    if disk.block:
        return partition_path(device_name(name, index), 1)
    return f"{SHARED if disk.shared else IMAGES}/{name}{suffix}.{disk.format}"


def device_name(name: str, index: int) -> str:
    """The block device that holds a guest's disk."""
    return f"{name}-vd{'abcdefgh'[index]}"


def base_path(path: str) -> str:
    stem, _dot, suffix = path.rpartition(".")
    return f"{stem}-base.{suffix}"


def iso_path(name: str) -> str:
    return f"{IMAGES}/{name}-seed.iso"


@dataclass(frozen=True)
class Identity:
    name: str
    uuid: str
    mac: str
    address: str


def disk_xml(path: str, index: int, disk: Disk, cache: str | None) -> str:
    mode = f" cache={quoteattr(cache)}" if cache else ""
    kind, attribute = ("block", "dev") if path.startswith(f"{FOLDER}/") else ("file", "file")
    return (
        f"    <disk type='{kind}' device='disk'><driver name='qemu' type='{disk.format}'{mode}/>"
        f"<source {attribute}={quoteattr(path)}/><target dev='vd{'abcdefgh'[index]}' bus='virtio'/></disk>"
    )


def iso_xml(shape: Shape, path: str) -> str:
    policy = f" startupPolicy='{shape.startup_policy}'" if shape.startup_policy else ""
    bus, device = ("ide", "hda") if shape.machine == "pc" else ("sata", "sda")
    return (
        "    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/>"
        f"<source file={quoteattr(path)}{policy}/><target dev='{device}' bus='{bus}'/><readonly/></disk>"
    )


#: Without hardware virtualisation these spare a quarter of what a boot costs: no self-tests, no calibration, no waiting for grace periods.
QUICK_BOOT = "mitigations=off nokaslr no_timer_check lpj=10000000 cryptomgr.notests rcupdate.rcu_expedited=1"


def kernel_options(shape: Shape, address: str) -> str:
    """What the guest's kernel, and the program that is its only process, are told."""
    return (
        f"console=ttyS0 quiet panic=1 {QUICK_BOOT} lab.ip={address}/24 lab.interval={shape.beat_ms} "
        f"lab.records={shape.records} lab.dirty={shape.dirty} lab.area={shape.area_mib}"
    )


def os_xml(shape: Shape, address: str) -> str:
    firmware = ""
    if shape.uefi:
        firmware = (
            "\n    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>"
            "\n    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/>"
        )
    if shape.idle:
        return f"  <os>\n    <type arch='x86_64' machine='{shape.machine}'>hvm</type>{firmware}\n  </os>"
    return (
        f"  <os>\n    <type arch='x86_64' machine='{shape.machine}'>hvm</type>{firmware}\n"
        f"    <kernel>{ON_HOST}/vmlinuz</kernel>\n    <initrd>{ON_HOST}/initrd</initrd>\n"
        f"    <cmdline>{escape(kernel_options(shape, address))}</cmdline>\n  </os>"
    )


def nic_xml(shape: Shape, mac: str) -> str:
    source = "<source network='lab'/>" if shape.nic == "network" else "<source bridge='br0'/>"
    return (
        f"    <interface type='{shape.nic}'><mac address='{mac}'/>{source}<model type='virtio'/>"
        "<rom enabled='no'/></interface>"
    )


def cpu_xml(cpu: str | None) -> str:
    if not cpu:
        return ""
    if cpu.lstrip().startswith("<"):
        return f"  {cpu}\n"
    return f"  <cpu mode='custom' match='exact'><model fallback='forbid'>{escape(cpu)}</model></cpu>\n"


def domain_xml(identity: Identity, shape: Shape, disks: Sequence[tuple[str, Disk]], kvm: bool) -> str:
    """The definition that `create` gives to libvirt."""
    devices = [disk_xml(path, index, disk, shape.cache) for index, (path, disk) in enumerate(disks)]
    if shape.iso:
        devices.append(iso_xml(shape, iso_path(identity.name)))
    devices.append(nic_xml(shape, identity.mac))
    log = quoteattr(f"/var/log/libvirt/qemu/{identity.name}-console.log")
    devices.append(f"    <serial type='pty'><log file={log} append='on'/><target port='0'/></serial>")
    if shape.tpm:
        devices.append("    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>")
    if shape.extra_devices:
        devices.append(shape.extra_devices)
    return (
        f"<domain type='{'kvm' if kvm else 'qemu'}'>\n"
        f"  <name>{escape(identity.name)}</name>\n  <uuid>{identity.uuid}</uuid>\n"
        f"  <memory unit='MiB'>{shape.memory_mib}</memory>\n  <vcpu>{shape.vcpus}</vcpu>\n"
        f"{os_xml(shape, identity.address)}\n"
        f"  <features><acpi/><apic/></features>\n{cpu_xml(shape.cpu)}"
        "  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>\n"
        "  <devices>\n    <controller type='usb' model='none'/>\n" + "\n".join(devices) + "\n  </devices>\n</domain>\n"
    )
