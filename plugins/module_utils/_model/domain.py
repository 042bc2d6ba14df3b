# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a domain is, as libvirt describes it: identity, resources, devices, and what could hold it back from moving."""

from __future__ import annotations

import dataclasses
import typing as t

RUNNING = "running"
PAUSED = "paused"
SHUTOFF = "shutoff"
#: What manages a VM: libvirt, or nobody.
DOMAIN, PROCESS = "domain", "process"
_NOUNS = {DOMAIN: "domain", PROCESS: "guest process"}
#: States in which a QEMU process exists, so that a live method applies.
ACTIVE_STATES = ("running", "blocked", "paused", "pmsuspended", "shutdown")


@dataclasses.dataclass(frozen=True)
class Layer:
    """One image below the top of a backing chain. ``allocated`` is its own bytes on disk, None where unknown."""

    path: str
    format: t.Optional[str] = None
    type: str = "file"
    allocated: t.Optional[int] = None


@dataclasses.dataclass(frozen=True)
class Disk:
    """One disk, cdrom, floppy or LUN. Sizes are bytes, None where they could not be read.

    ``type`` is libvirt's source type (file, block, network, volume, nvme, dir, vhostuser, vhostvdpa);
    ``source`` is the path, device or network name, None for an empty drive. ``shared`` tells whether the image lies on
    storage that other hosts see: True, False, or None where that cannot be told from this host. ``filesystem`` is the
    storage behind it so that two hosts' views can be compared (``nfs:192.0.2.5:/export``, ``shared:/srv/images``);
    names that begin with ``local:`` mean something on one host only. ``allocated`` is the top image alone.
    """

    target: str
    type: str
    device: str = "disk"
    bus: t.Optional[str] = None
    source: t.Optional[str] = None
    pool: t.Optional[str] = None
    volume: t.Optional[str] = None
    format: t.Optional[str] = None
    virtual_size: t.Optional[int] = None
    allocated: t.Optional[int] = None
    readonly: bool = False
    shareable: bool = False
    transient: bool = False
    startup_policy: t.Optional[str] = None
    cache: t.Optional[str] = None
    serial: t.Optional[str] = None
    backing_chain: tuple[Layer, ...] = ()
    shared: t.Optional[bool] = None
    filesystem: t.Optional[str] = None
    encrypted: bool = False
    protocol: t.Optional[str] = None

    @property
    def empty(self) -> bool:
        """A drive with nothing in it."""
        return not self.source and not self.volume

    @property
    def copyable(self) -> bool:
        """libvirt's default set for copying storage: not shareable, not read-only, not empty."""
        return not (self.readonly or self.shareable or self.empty)

    @property
    def copy_size(self) -> t.Optional[int]:
        """Upper bound of what a full copy fills: the allocated bytes of all layers, at most the virtual size."""
        layers = [self.allocated, *(layer.allocated for layer in self.backing_chain)]
        if self.virtual_size is not None and None in layers:
            return self.virtual_size
        known = sum(size for size in layers if size is not None)
        if self.virtual_size is not None:
            return min(known, self.virtual_size)
        return None if None in layers else known


@dataclasses.dataclass(frozen=True)
class Nic:
    """One network interface: ``type`` is network, bridge, direct, user, ethernet, hostdev ...

    ``source`` is its network, bridge or device.
    """

    mac: str
    type: str
    source: t.Optional[str] = None
    model: t.Optional[str] = None
    target: t.Optional[str] = None
    portgroup: t.Optional[str] = None


@dataclasses.dataclass(frozen=True)
class HostDevice:
    """A device of the host that is handed to the guest (PCI, USB, SCSI, mdev)."""

    type: str
    address: str
    migratable: bool = False


@dataclasses.dataclass(frozen=True)
class Cpu:
    """The guest CPU: ``mode`` (custom, host-model, host-passthrough, maximum), ``model``, live ``xml`` for comparisons."""

    mode: t.Optional[str] = None
    model: t.Optional[str] = None
    xml: str = ""


@dataclasses.dataclass(frozen=True)
class Firmware:
    """How the guest boots: ``type`` is bios or efi; ``loader`` and ``nvram`` are paths on the host."""

    type: str = "bios"
    loader: t.Optional[str] = None
    nvram: t.Optional[str] = None
    nvram_template: t.Optional[str] = None
    secure_boot: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
    """A job that libvirt runs for the domain now: ``operation`` is migration_out, migration_in, backup, save ..."""

    type: str
    operation: str


@dataclasses.dataclass(frozen=True)
class Domain:
    """One domain on one host.

    ``memory`` is what the guest has now (balloon), ``memory_max`` what it may take: plan with the latter. Bytes, both.
    ``hugepage_kib`` is the page size asked for, None for the host's default size. ``obstacles`` are further things in
    the definition that QEMU or libvirt refuse to migrate, one phrase each; ``ties`` are what keeps a guest process from moving even
    where it may be stopped. ``block_jobs`` read ``vda: copy``.
    ``kind`` is DOMAIN, or PROCESS for a bare QEMU process (see ``process``), which has what applies to it.
    ``cpu_defined`` is the CPU that it gets when it boots anew, where it runs with another: libvirt shows a host-model, while
    it runs, as the model and features that this came to mean. See ``boot_cpu``.
    """

    name: str
    uuid: str
    state: str
    state_reason: str = ""
    persistent: bool = True
    autostart: bool = False
    managed_save: bool = False
    title: t.Optional[str] = None
    virt_type: str = "kvm"
    arch: str = "x86_64"
    machine: str = ""
    emulator: t.Optional[str] = None
    memory: int = 0
    memory_max: int = 0
    vcpus: int = 1
    vcpus_max: int = 1
    hugepages: bool = False
    hugepage_kib: t.Optional[int] = None
    cpu: Cpu = Cpu()
    cpu_defined: t.Optional[Cpu] = None
    firmware: Firmware = Firmware()
    tpm: t.Optional[str] = None
    kernel: t.Optional[str] = None
    initrd: t.Optional[str] = None
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    host_devices: tuple[HostDevice, ...] = ()
    filesystems: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    ties: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    job: t.Optional[Job] = None
    block_jobs: tuple[str, ...] = ()
    kind: str = DOMAIN

    @property
    def noun(self) -> str:
        """What it is called in messages."""
        return _NOUNS[self.kind]

    @property
    def active(self) -> bool:
        """Whether a QEMU process exists for it."""
        return self.state in ACTIVE_STATES

    @property
    def shut_off(self) -> bool:
        """Whether it is off, and starts where it is started. A process that waits for its guest, or has handed it over, does not."""
        return self.state == SHUTOFF if self.kind == PROCESS else not self.active

    @property
    def boot_cpu(self) -> Cpu:
        """The CPU that its definition asks for: what counts where it is stopped and booted anew."""
        return self.cpu_defined or self.cpu

    def local_disks(self) -> tuple[Disk, ...]:
        """Disks whose bytes must be copied in a move, because no other host sees them."""
        local = [disk for disk in self.disks if disk.type in ("file", "block") and disk.shared is not True]
        return tuple(disk for disk in local if disk.copyable)
