# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One move: its stages, its progress while it runs, and what it was in the end."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import ACTIVE_STATES

#: The stages of a move in their order (DESIGN, "One move").
STAGES = ("claim", "prepare", "transfer", "switch", "verify", "release", "done")
#: What a move may do when its controller is not heard of any more.
ON_CONTROLLER_LOSS = ("finish", "abort")
#: How memory may be compressed on its way, and what of that is for several connections.
MULTIFD_COMPRESSIONS = ("zlib", "zstd")
COMPRESSIONS = ("none", "xbzrle", *MULTIFD_COMPRESSIONS)

#: How it is found what changed in a disk that was copied while its guest ran.
BY_BITMAP, BY_TIME, BY_HASHES = "bitmap", "time", "hashes"


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a running move is. Bytes, bytes per second, seconds since the move began; None where not known yet."""

    domain: str
    method: str
    stage: str
    elapsed: float = 0.0
    disk_total: t.Optional[int] = None
    disk_done: t.Optional[int] = None
    memory_total: t.Optional[int] = None
    memory_done: t.Optional[int] = None
    rate: t.Optional[float] = None
    eta: t.Optional[float] = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Sighting:
    """What one host's libvirtd says of the domain. ``state`` and ``reason`` as in Domain; ``job`` is the operation that runs
    for it. When ``reachable`` is false nothing else is known, and ``error`` says why."""

    host: str
    reachable: bool = True
    found: bool = False
    uuid: str = ""
    name: str = ""
    state: str = ""
    reason: str = ""
    persistent: bool = False
    autostart: bool = False
    job: t.Optional[str] = None
    error: str = ""

    @property
    def active(self) -> bool:
        """Whether a QEMU process exists for it there."""
        return self.found and self.state in ACTIVE_STATES


@dataclasses.dataclass(frozen=True)
class CreatedImage:
    """An image that this move created on the destination: undo may remove it, and nothing else."""

    path: str
    pool_path: str
    format: str
    virtual_size: int


@dataclasses.dataclass(frozen=True)
class Piece:
    """One file or device that a move with a stopped guest brings along.

    ``kind`` is disk, layer (of a backing chain), nvram, tpm or save (the saved memory). The copy is made at ``staged``, which is
    renamed to ``path`` in the switch; both are equal for a device. Formats are "bytes" for a copy of the file as it is, else
    what the content is converted from and to. ``size`` is the length of the source, ``allocated`` what it takes on disk.
    ``backing`` is what the copy's header must name where that differs from the source's. ``digest``, ``sent`` and ``proven``
    are known once it is copied; ``present`` says that the destination had it already. ``delta`` tells how it is found what the
    guest changed while the piece was copied: by a bitmap, by the time of the file, or by hashes of all of it.
    """

    kind: str
    target: str
    source: str
    path: str
    staged: str
    source_format: str = "bytes"
    format: str = "bytes"
    size: int = 0
    allocated: int = 0
    mode: int = 0o600
    owner: str = ""
    backing: t.Optional[str] = None
    backing_format: t.Optional[str] = None
    replaces: bool = False
    digest: str = ""
    sent: int = 0
    proven: bool = False
    present: bool = False
    delta: str = ""

    @property
    def device(self) -> bool:
        """Whether it goes onto a block device."""
        return self.path.startswith("/dev/")


@dataclasses.dataclass(frozen=True)
class SnapshotRecord:
    """What libvirt knows of one snapshot: its document, and whether it is the current one."""

    xml: str
    current: bool = False


@dataclasses.dataclass(frozen=True)
class Journal:
    """The record of one move on its source host: stage by stage, written before each stage starts.

    ``folders`` and ``nvram`` are what the move made on the destination besides images; ``state`` is the domain's state before
    it; ``source_disks`` are the local images that were copied, and ``source_disks_policy`` what becomes of them.

    The rest belongs to moves with a stopped guest. ``arrival`` is how the domain is to be on the destination: running, paused,
    saved or off. ``stopped`` tells that this move ended the guest on the source, ``stopped_at`` when, and ``seals`` what its
    files looked like then, so that a start in between shows. ``source_autostart`` is what the source goes back to; ``defined``
    that the destination may have the definition; ``managed_save`` whether the guest ran when its memory was saved.
    ``transfer_host`` is how ssh reaches the destination where its URI is none of ssh.
    """

    id: str
    domain: str
    uuid: str
    source_host: str
    destination_uri: str
    destination_host: str
    method: str
    stage: str
    started: float
    updated: float
    created_images: tuple[CreatedImage, ...] = ()
    autostart: bool = False
    source_disks: tuple[str, ...] = ()
    source_disks_policy: str = "keep"
    source_xml: str = ""
    persistent_xml: str = ""
    state: str = ""
    suspended: bool = False
    folders: tuple[str, ...] = ()
    nvram: t.Optional[str] = None
    checkpoints: tuple[str, ...] = ()
    error_code: t.Optional[str] = None
    message: str = ""
    arrival: str = ""
    stopped: bool = False
    stopped_at: float = 0.0
    source_autostart: bool = False
    seals: dict[str, str] = dataclasses.field(default_factory=dict)
    pieces: tuple[Piece, ...] = ()
    snapshots: tuple[SnapshotRecord, ...] = ()
    state_xml: str = ""
    managed_save: bool = False
    defined: bool = False
    transfer_host: str = ""


@dataclasses.dataclass(frozen=True)
class Proof:
    """One copied file: the digest of its content was read on both hosts, and was the same."""

    disk: str
    path: str
    size: int
    digest: str


@dataclasses.dataclass(frozen=True)
class MoveResult:
    """What a move was. Durations are milliseconds where the name says so, else seconds; bytes went over the wire (or, for disks,
    were processed by the mirror, holes included). ``started`` is the source's clock in seconds since the epoch, 0 where unknown.
    ``stopped_seconds`` is how long the guest did not run, None for a live move; ``sent_bytes`` and ``proofs`` are of stopped ones."""

    domain: str
    uuid: str
    method: str
    method_reason: str
    source_host: str
    destination_host: str
    started: float = 0.0
    seconds: float = 0.0
    downtime_ms: t.Optional[int] = None
    disk_bytes: int = 0
    memory_bytes: int = 0
    stages: dict[str, float] = dataclasses.field(default_factory=dict)
    source_disks_kept: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    stopped_seconds: t.Optional[float] = None
    sent_bytes: int = 0
    proofs: tuple[Proof, ...] = ()
