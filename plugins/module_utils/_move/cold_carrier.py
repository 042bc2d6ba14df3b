# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The carrier of files: the copy engine of ``_disk``, as a move uses it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.copy import copy_disk, seed_disk
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import CopyJob, CopyProgress, Known
from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Piece
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_ports import (
    Copied,
    FarFile,
    Seeded,
    StopCheck,
    Tell,
)


class DiskCarrier:
    """One receiving end, connected when it is first needed, and anew when the connection broke."""

    def __init__(
        self, target: str, label: str, *, address: str = "", bandwidth: float = 0, clock: Clock | None = None
    ) -> None:
        self._target = target
        self._label = label
        self._address = address
        self._bandwidth = bandwidth
        self._clock = clock or Clock()
        self._remote: Remote | None = None
        self._place = ("", "")

    def look(self, paths: t.Sequence[str]) -> dict[str, FarFile]:
        """What is at these paths."""
        return {path: self._look(path) for path in paths}

    def space(self, folder: str) -> int:
        """Bytes that are free there."""
        return int(self._connected().call("space", path=folder)["free"])

    def held(self, piece: Piece) -> int:
        """What an earlier try left: the staged copy, or its partial."""
        if piece.device or piece.kind in ("nvram", "tpm"):
            return 0
        partial = f"{piece.staged}.partial-{self._job(piece).key}"
        return sum(file.allocated for file in self.look((piece.staged, partial)).values() if file.kind == "file")

    def put(self, piece: Piece) -> Copied:
        """A small file, in one message, and read back."""
        with open(piece.source, "rb") as stream:
            data = stream.read()
        remote = self._connected()
        remote.call(
            "put_file",
            path=piece.path,
            data=base64.b64encode(data).decode("ascii"),
            mode=piece.mode,
            owner=piece.owner or None,
            replace=True,
        )
        there = base64.b64decode(remote.call("get_file", path=piece.path)["data"])
        if there != data:
            raise KvmError(
                "PROOF_FAILED",
                f"What was written to {piece.path} on {self._label} is not what {piece.source} holds; run again, and look at the "
                "disks of both hosts when it fails again.",
                path=piece.path,
            )
        return Copied(hashlib.sha256(data).hexdigest(), len(data))

    def seed(self, piece: Piece, tell: Tell, stop: StopCheck) -> Seeded:
        """One pass over a source that is being written."""
        job, remote = self._job(piece, seed=True), self._connected()
        done, known = seed_disk(job, remote, tell=_counted(tell), stop=stop, clock=self._clock)
        return Seeded(done.sent_bytes, known)

    def copy(self, piece: Piece, tell: Tell, stop: StopCheck, known: Known | None = None) -> Copied:
        """Make the copy equal, and prove it."""
        job, remote = self._job(piece), self._connected()
        done = copy_disk(job, remote, tell=_counted(tell), stop=stop, clock=self._clock, known=known)
        return Copied(done.digest, done.sent_bytes, done.proven, not done.changed)

    def adopt(self, old: str, new: str) -> None:
        """Rename; never overwrites."""
        self._connected().call("rename", path=old, to=new)

    def rebase(self, path: str, backing: str, backing_format: str) -> None:
        """Name another backing file in the header."""
        self._connected().call("rebase", path=path, backing=backing, backing_format=backing_format)

    def remove(self, path: str) -> bool:
        """Remove one file."""
        return bool(self._connected().call("remove", path=path)["removed"])

    def remove_partial(self, piece: Piece) -> None:
        """Remove what an unfinished copy left."""
        self.remove(f"{piece.staged}.partial-{self._job(piece).key}")

    def make_folder(self, path: str) -> tuple[str, ...]:
        """Make a folder; gives those that are new."""
        return tuple(self._connected().call("make_folder", path=path, mode=0o711)["made"])

    def remove_folder(self, path: str) -> None:
        """Remove a folder that is empty; libvirt may have put something in it."""
        with contextlib.suppress(KvmError):
            self._connected().call("remove_empty", path=path)

    def give_up_at_end(self, uri: str, secret: str) -> None:
        """Taken along with every connection that is made from now on."""
        self._place = (uri, secret)

    def refresh(self) -> None:
        """Let go of a broken connection, so that the next question makes a new one."""
        if self._remote is not None and self._remote.lost is not None:
            self.close()

    def close(self) -> None:
        """End the other side."""
        remote, self._remote = self._remote, None
        if remote is not None:
            with contextlib.suppress(KvmError):
                remote.call("give_up_at_end", uri="", secret="")
            remote.close()

    def _connected(self) -> Remote:
        if self._remote is None:
            self._remote = Remote.connect(self._target, self._label)
            uri, secret = self._place
            if secret:
                self._remote.call("give_up_at_end", uri=uri, secret=secret)
        return self._remote

    def _look(self, path: str) -> FarFile:
        seen = self._connected().call("stat", path=path)
        if not seen["exists"]:
            return FarFile()
        return FarFile(
            seen["kind"], seen["size"], seen["allocated"], seen["mtime_ns"] // 1_000_000_000, seen.get("in_use", "")
        )

    def _job(self, piece: Piece, *, seed: bool = False) -> CopyJob:
        content = piece.source_format != "bytes"
        shared = piece.kind == "layer" and piece.staged == piece.path and not piece.device
        return CopyJob(
            source=piece.source,
            destination=piece.staged,
            source_format=piece.source_format if content else "raw",
            destination_format=piece.format if content else "",
            content=content,
            owner=piece.owner or None,
            mode=None if piece.device else piece.mode,
            device=piece.device,
            replace=not shared,
            bandwidth=self._bandwidth,
            address=self._address,
            seed=seed,
        )


def _counted(tell: Tell) -> t.Callable[[CopyProgress], None]:
    def told(progress: CopyProgress) -> None:
        tell(progress.done, progress.total)

    return told
