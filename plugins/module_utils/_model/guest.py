# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a guest process is: a QEMU that libvirt does not manage, by its process, its command line and its monitor."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Layer

#: How a monitor answered.
ANSWERS = "answers"
BUSY = "busy"
SILENT = "silent"
GONE = "gone"
UNREACHABLE = "unreachable"
#: The status of a guest that has no process: a unit describes it.
OFF = "stopped"


@dataclasses.dataclass(frozen=True)
class GuestMonitor:
    """One monitor of a guest process. ``kind`` is qmp or hmp; ``state`` is answers, busy (somebody else speaks with it), silent,
    gone (nobody listens there), or unreachable (it is no socket, or one in another network); ``reason`` says more."""

    kind: str
    address: str
    state: str = UNREACHABLE
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class GuestDisk:
    """One disk or CD-ROM drive. Sizes are bytes, None where nobody could tell.

    ``device`` is the id or QOM path of the drive that the guest sees, ``drive`` the name of QEMU's own for it (empty with -blockdev),
    ``node`` the block node. ``source`` is None for an empty drive. ``style`` is the option that made it (drive, hda, cdrom,
    blockdev), empty where the command line has none such: then it was plugged in later, and ``hot_plugged`` is true. ``shared`` and
    ``filesystem`` are as in Disk.
    """

    device: str
    drive: str = ""
    node: str = ""
    source: t.Optional[str] = None
    format: t.Optional[str] = None
    virtual_size: t.Optional[int] = None
    allocated: t.Optional[int] = None
    readonly: bool = False
    removable: bool = False
    backing_chain: tuple[Layer, ...] = ()
    style: str = ""
    hot_plugged: bool = False
    shared: t.Optional[bool] = None
    filesystem: t.Optional[str] = None


@dataclasses.dataclass(frozen=True)
class GuestNic:
    """One network interface. ``backend`` is tap, user, bridge and so on; ``interface`` the tap device of the host."""

    device: str = ""
    model: str = ""
    mac: str = ""
    netdev: str = ""
    backend: str = ""
    interface: str = ""
    hot_plugged: bool = False


@dataclasses.dataclass(frozen=True)
class GuestDevice:
    """A device that was plugged in after the start, so that the command line does not have it."""

    device: str
    driver: str = ""


@dataclasses.dataclass(frozen=True)
class GuestJob:
    """A block job or other long work of QEMU's."""

    id: str
    type: str
    status: str = ""
    done: int = 0
    total: int = 0
    error: str = ""


@dataclasses.dataclass(frozen=True)
class GuestProcess:
    """The process. ``state`` is the kernel's letter (R, S, D, T ...); ``started`` is seconds since the epoch, and with ``pid`` it
    names the process for good. ``unit`` is systemd's service or scope, ``parent`` the program that started it (or pid 1, which takes
    what is left behind). ``namespaces`` are those that differ from ours."""

    pid: int
    program: str
    words: tuple[str, ...]
    state: str = ""
    started: float = 0.0
    user: str = ""
    group: str = ""
    directory: str = ""
    cgroup: str = ""
    unit: str = ""
    parent_pid: int = 0
    parent: str = ""
    namespaces: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    taps: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Guest:
    """A guest process and all that could be told about it. ``told_by`` is qmp or hmp, or argv where no monitor answered: then the
    ``status`` is None, and everything is what the command line says.

    A guest of ours that is off has the status ``OFF``, its unit and its arguments as its process, and no pid.

    ``hugepages`` and ``hugepage_kib`` are as in Domain.

    ``machine`` is the versioned type where the monitor could resolve it, ``machine_asked`` what the command line has.
    """

    process: GuestProcess
    told_by: str = "argv"
    name: str = ""
    uuid: str = ""
    qemu_version: str = ""
    status: t.Optional[str] = None
    machine: str = ""
    machine_asked: str = ""
    accelerator: str = ""
    cpu: str = ""
    memory: int = 0
    hugepages: bool = False
    hugepage_kib: t.Optional[int] = None
    vcpus: int = 0
    incoming: t.Optional[str] = None
    pidfile: str = ""
    vnc: str = ""
    disks: tuple[GuestDisk, ...] = ()
    nics: tuple[GuestNic, ...] = ()
    hot_plugged: tuple[GuestDevice, ...] = ()
    unplugged: tuple[str, ...] = ()
    jobs: tuple[GuestJob, ...] = ()
    migration: str = ""
    blockers: tuple[str, ...] = ()
    monitors: tuple[GuestMonitor, ...] = ()
    unknown: tuple[str, ...] = ()
    """What could not be read, a sentence each."""
