# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The move of one guest process: what both hosts show of it, and the record that is kept of it on both."""

from __future__ import annotations

import dataclasses

#: Run states of a source that a migration has stopped: its CPUs stand still until somebody says otherwise.
HANDED_OVER = "postmigrate"
SWITCHING = "finish-migrate"
INCOMING = "inmigrate"
#: The guest has shut itself down, and its process stayed.
SHUT_DOWN = "shutdown"
OFFLINE, SHARED = "offline", "live_shared"

#: What a user may choose.
METHODS = ("live_block", SHARED, OFFLINE)
BASES = ("copy", "shared")
MEDIA = ("refuse", "copy", "eject")
POLICIES = ("keep", "rename", "delete")
TIMEOUT_ACTIONS = ("abort", "postcopy", "suspend")
SHUTDOWN_ACTIONS = ("fail", "destroy")
PROCESS, LIBVIRT = TARGETS = ("process", "libvirt")


@dataclasses.dataclass(frozen=True)
class BareSighting:
    """What one host shows of the guest process.

    ``state`` is QEMU's run state, ``migration`` the status of its migration, empty where there is none. ``ours`` tells that the
    process is the one that this move started; ``gone`` that the one that this move started is proven to have ended. When
    ``reachable`` is false nothing else is known, and ``error`` says why; with an ``error`` a found process does not answer. ``described``
    tells that there is no process, and a unit of qemu_guest for one. ``name`` and ``uuid`` are those of its command line, empty where it
    has none.
    """

    host: str
    reachable: bool = True
    found: bool = False
    pid: int = 0
    start: str = ""
    state: str = ""
    migration: str = ""
    ours: bool = False
    gone: bool = False
    described: bool = False
    error: str = ""
    name: str = ""
    uuid: str = ""


@dataclasses.dataclass(frozen=True)
class MovedDisk:
    """One disk whose content travels: where QEMU has it, and the image on the destination."""

    device: str
    qdev: str
    node: str
    source: str
    path: str
    format: str
    size: int
    owner: str = ""
    backing: str = ""
    backing_format: str = ""

    @property
    def key(self) -> str:
        """By what both QEMUs call it."""
        return self.device or self.qdev


@dataclasses.dataclass(frozen=True)
class BareJournal:
    """The record of one move, kept on both hosts and written before each stage. ``source`` and ``there`` are [pid, start time of the
    process, boot id of the host]; ``images`` and ``folders`` are what this move made on the destination, and all that its undo removes;
    ``source_run`` is the folder that an earlier move gave to the process that ends now. ``left`` are images that stay on the source, and
    how they were left; ``returned`` tells that the guest came back there since (see ``_qemu.departed``).

    An offline move goes on by its record alone, for a guest that is off tells nothing: ``argv``, ``user`` and ``disks`` are what the
    destination gets, ``home`` is the command line by which the source starts it again, as ``home_user``; ``stopped`` tells that the
    guest was asked to shut down, ``disabled`` that its unit does not start with the source any more. ``domain`` is the definition
    where the guest becomes a domain of libvirt's there, ``defined`` that libvirt was given it, ``owners`` whose its files are, as libvirt
    makes them its own when it opens them: path -> [uid, gid].
    ``unit_file`` is what the unit of qemu_guest says there that describes a guest without a process. ``suspended`` tells that the move
    paused a guest that ran, so that its memory could follow; it is to run in the end, wherever that is.
    """

    id: str
    key: str
    name: str
    uuid: str
    method: str
    stage: str
    started: float
    updated: float
    source_host: str
    destination: str
    destination_host: str
    monitor: str = ""
    state: str = "running"
    source: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    unit: str = ""
    socket: str = ""
    log: str = ""
    images: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    source_disks: tuple[str, ...] = ()
    source_disks_policy: str = "keep"
    source_unit: str = ""
    source_run: str = ""
    ejected: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    argv: tuple[str, ...] = ()
    user: str = ""
    disks: tuple[MovedDisk, ...] = ()
    base: str = "copy"
    domain: str = ""
    defined: bool = False
    owners: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    unit_file: str = ""
    home: tuple[str, ...] = ()
    home_user: str = ""
    stopped: bool = False
    suspended: bool = False
    disabled: bool = False
    error_code: str = ""
    message: str = ""
    left: dict[str, str] = dataclasses.field(default_factory=dict)
    returned: bool = False

    @property
    def open(self) -> bool:
        """Whether the move neither ended nor was undone."""
        return self.stage not in ("done", "undone")

    @property
    def paused_by_us(self) -> bool:
        """Whether a pause of the guest on the source is this move's, and not its user's."""
        return self.open and self.suspended
