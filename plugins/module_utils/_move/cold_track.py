# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a seeding proved equal, and what of that still holds once the guest has stopped: so the stop proves only what changed.

A pass reads every block of both sides. Which of them were written since is told by a checkpoint of ours, begun before the pass,
whose bitmap QEMU leaves in a qcow2 image; or by the time of a file that nobody wrote to. What nobody can vouch for is read
again. The checkpoint is gone before the images are sealed, so neither side keeps it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import time
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import bitmap
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.stopped import TRACK
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import (
    BY_BITMAP,
    BY_HASHES,
    BY_TIME,
    Journal,
    Piece,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_ports import ColdGateway, Seeded
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_shared import Cold, Seed
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import Context

#: A file that was written just now may be written again within the same tick of its clock.
_QUIET_SECONDS = 2.0
_TRIES, _BETWEEN_SECONDS = 5, 1.0
_SEEDED_KINDS = ("disk", "layer")


def foresee(pieces: t.Iterable[Piece], domain: Domain) -> tuple[Piece, ...]:
    """The pieces, with how the changes of each disk are to be found that is copied while the guest runs."""
    formats = {disk.target: disk.format for disk in domain.disks}
    return tuple(
        dataclasses.replace(piece, delta=_foreseen(piece, formats)) if piece.kind in _SEEDED_KINDS else piece
        for piece in pieces
    )


def _foreseen(piece: Piece, formats: t.Mapping[str, str | None]) -> str:
    if piece.source_format != "bytes" or piece.device:
        return BY_HASHES
    if piece.kind == "layer":
        return BY_TIME
    with contextlib.suppress(OSError):
        if formats.get(piece.target) == "qcow2" and bitmap.tracks(piece.source):
            return BY_BITMAP
    return BY_HASHES


def begin(cold: Cold) -> None:
    """Before a pass: from now on the images note what the guest writes. Where they cannot, hashes find it, and the user hears why."""
    targets = [piece.target for piece in cold.plan.pieces if piece.delta == BY_BITMAP]
    if not targets:
        return
    try:
        cold.gateway.untrack(cold.uuid)
        cold.gateway.track(cold.uuid, _name(cold), targets)
    except KvmError as error:
        _give_up(cold, ", ".join(targets), error.message)
        cold.plan = dataclasses.replace(cold.plan, pieces=tuple(_hashed(piece) for piece in cold.plan.pieces))


def _hashed(piece: Piece) -> Piece:
    return dataclasses.replace(piece, delta=BY_HASHES) if piece.delta == BY_BITMAP else piece


def _give_up(cold: Cold, disks: str, why: str) -> None:
    cold.context.warnings.append(
        f"The changes of {disks} of domain '{cold.context.name}' are found by hashes of the whole disk, which makes the stop longer: {why}"
    )


def stamp(path: str) -> tuple[int, ...]:
    """What changes when somebody writes to a file; nothing for a device, and for a file that was written just now."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode) or time.time() - status.st_mtime < _QUIET_SECONDS:
        return ()
    # Not the time of its inode: libvirt changes the owner when a guest ends.
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def keep(cold: Cold, piece: Piece, seeded: Seeded, before: tuple[int, ...]) -> None:
    """After a pass over one piece: what is known of it, and how its file looked ``before``."""
    cold.seeds[piece.source] = Seed(seeded.known, before)


def settle(cold: Cold) -> None:
    """The guest has stopped: keep of every seed what still holds, and remove our checkpoint and its bitmaps."""
    pieces = list(cold.plan.pieces)
    changes: dict[str, bitmap.Dirty] = {}
    for piece in pieces:
        if piece.delta == BY_BITMAP and piece.source in cold.seeds:
            try:
                changes[piece.source] = bitmap.read(piece.source, _name(cold))
            except (KvmError, OSError) as error:
                _give_up(cold, piece.target, str(error))
    remove(cold.context, cold.gateway, cold.uuid, pieces)
    for place, piece in enumerate(pieces):
        seed = cold.seeds.pop(piece.source, None)
        if seed is None:
            continue
        delta, known = BY_HASHES, None
        if seed.stamp and seed.stamp == stamp(piece.source):
            delta, known = BY_TIME, seed.known
        elif piece.source in changes:
            with contextlib.suppress(KvmError, OSError):
                numbers = bitmap.unchanged(piece.source, changes[piece.source])
                delta, known = BY_BITMAP, seed.known.only(numbers)
        if known is not None:
            cold.seeds[piece.source] = Seed(known, ())
        pieces[place] = dataclasses.replace(piece, delta=delta)
    cold.plan = dataclasses.replace(cold.plan, pieces=tuple(pieces))
    cold.context.record(pieces=cold.plan.pieces)


def _name(cold: Cold) -> str:
    """Of this move alone: a bitmap that another one left may have begun, or ended, at another time."""
    return f"{TRACK}{t.cast(Journal, cold.context.journal).id[:8]}"


def remove(context: Context, gateway: ColdGateway, uuid: str, pieces: t.Iterable[Piece]) -> None:
    """Remove what tracks changes from the source, whatever a run that was killed left of it. The user's own checkpoints stay."""
    try:
        gateway.untrack(uuid)
        for piece in pieces:
            if piece.kind == "disk" and piece.source_format == "bytes":
                _remove_from(context, piece.source)
    except (KvmError, OSError) as error:
        context.warnings.append(
            f"A checkpoint {TRACK}... of domain '{context.name}' may be left on {gateway.source_host} ({error}); the next move of "
            "the domain removes it."
        )


def _remove_from(context: Context, path: str) -> None:
    """While a guest runs its QEMU has the bitmaps, and libvirt has removed them."""
    for name in bitmap.names(path) if os.path.exists(path) else ():
        if not name.startswith(TRACK):
            continue
        for number in range(_TRIES):
            done = command.run(["qemu-img", "bitmap", "--remove", "-f", "qcow2", path, name])
            if done.status == 0:
                break
            if number == _TRIES - 1:
                raise KvmError("BITMAP_LEFT", f"{path} keeps the bitmap {name}: {done.reason}.", path=path)
            context.clock.sleep(_BETWEEN_SECONDS)
