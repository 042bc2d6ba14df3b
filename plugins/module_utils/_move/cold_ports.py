# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a move with a stopped guest needs besides libvirt: a carrier of files to the destination, and some calls of libvirt."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import Known
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.stopped import SavedMemory
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Piece, SnapshotRecord
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import Gateway

Tell = t.Callable[[int, int], None]
"""Told of progress: bytes done, bytes in all."""
StopCheck = t.Callable[[], bool]


@dataclasses.dataclass(frozen=True)
class FarFile:
    """What is at a path of the destination. ``kind`` is file, block, folder, other, or empty where there is nothing."""

    kind: str = ""
    size: int = 0
    allocated: int = 0
    mtime: int = 0
    busy: str = ""

    @property
    def exists(self) -> bool:
        """Whether there is anything."""
        return bool(self.kind)


@dataclasses.dataclass(frozen=True)
class Copied:
    """What one copy came to; ``digest`` is of the content, read on both sides where ``proven``."""

    digest: str
    sent: int = 0
    proven: bool = True
    present: bool = False


class Seeded(t.NamedTuple):
    """What one pass over a disk in use came to: the bytes sent, and the blocks of which both sides were read and the same."""

    sent: int
    known: Known


class Carrier(t.Protocol):
    """The way of files to the destination; ``cold_carrier.py`` is the real one. All of it raises KvmError."""

    def look(self, paths: t.Sequence[str]) -> dict[str, FarFile]:
        """What is at these paths."""

    def space(self, folder: str) -> int:
        """Bytes that may still be written below ``folder`` (or where it would be made)."""

    def held(self, piece: Piece) -> int:
        """Bytes that an earlier try already has on the disk there."""

    def put(self, piece: Piece) -> Copied:
        """Write a small file under its final name, with owner and mode, and read it back."""

    def seed(self, piece: Piece, tell: Tell, stop: StopCheck) -> Seeded:
        """Bring the copy nearer to a source that is being written."""

    def copy(self, piece: Piece, tell: Tell, stop: StopCheck, known: t.Optional[Known] = None) -> Copied:
        """Bring the copy at ``piece.staged`` to the source's content, and prove it; what is ``known`` is not read again."""

    def adopt(self, old: str, new: str) -> None:
        """Rename a file there; refuses to overwrite."""

    def give_up_at_end(self, uri: str, secret: str) -> None:
        """Let the other side give back the place of this move when it loses us, whatever becomes of us."""

    def refresh(self) -> None:
        """Connect anew where the connection broke."""

    def rebase(self, path: str, backing: str, backing_format: str) -> None:
        """Let the header of the image ``path`` name another backing file."""

    def remove(self, path: str) -> bool:
        """Remove one file that a move of this domain made; False when there was none."""

    def make_folder(self, path: str) -> tuple[str, ...]:
        """Make a folder and those above it; gives those that are new, outermost first."""

    def remove_partial(self, piece: Piece) -> None:
        """Remove what an unfinished copy left."""

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""

    def close(self) -> None:
        """End whatever still runs there."""


class ColdGateway(Gateway, t.Protocol):
    """What stopped moves ask of both libvirtds, besides what all moves do; ``_libvirt/stopped.py`` says what each does."""

    def shut_down(self, uuid: str) -> None:
        """Ask the guest to shut down."""

    def power_off(self, uuid: str) -> None:
        """End it without asking."""

    def start(self, side: str, uuid: str) -> None:
        """Boot it, or continue its saved state."""

    def save(self, uuid: str) -> None:
        """Write its memory to libvirt's own place; returns when that is done."""

    def saved_state(self, uuid: str) -> t.Optional[SavedMemory]:
        """Its saved memory on the source; None where there is none."""

    def has_saved_state(self, side: str, uuid: str) -> bool:
        """Whether libvirt on this side has saved memory of it."""

    def restore(self, path: str, xml: str, *, running: bool) -> None:
        """Continue on the destination from a file there."""

    def keep_state(self, uuid: str, *, running: bool) -> None:
        """Save the paused domain on the destination into libvirt's own place."""

    def destroy_there(self, uuid: str) -> None:
        """End a domain on the destination whose CPUs never ran there."""

    def abort_job(self, uuid: str) -> None:
        """End the saving that runs; the guest goes on."""

    def refresh_pool_there(self, folder: str) -> None:
        """Let a pool of the destination see new images."""

    def define(self, xml: str) -> None:
        """Define it on the destination."""

    def forget(self, side: str, uuid: str) -> None:
        """Remove its definition and records from this side; images, NVRAM and TPM stay."""

    def track(self, uuid: str, name: str, targets: t.Sequence[str]) -> None:
        """Let the running guest's images of these disks note what is written from now on, under a checkpoint ``name``."""

    def untrack(self, uuid: str) -> None:
        """Remove all checkpoints of ours from the source; with the bitmaps, where the guest runs."""

    def snapshots(self, uuid: str) -> tuple[SnapshotRecord, ...]:
        """Its snapshots on the source, parents first."""

    def redefine_snapshot(self, uuid: str, record: SnapshotRecord) -> bool:
        """Tell libvirt on the destination of a snapshot."""

    def tpm_folder(self, uuid: str, xml: str) -> str:
        """Where the source keeps the state of its emulated TPM; empty where it has none."""

    def named_there(self, paths: t.Collection[str]) -> frozenset[str]:
        """Those of ``paths`` that a domain of the destination names."""
