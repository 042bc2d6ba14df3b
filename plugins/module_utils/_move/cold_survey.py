# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Whether the destination has room and free names for what a stopped move brings: facts of its files in, findings out."""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.volumes import marker_name
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, hard_blocker
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Piece
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_ports import Carrier, FarFile

#: What the preflight says of images by way of libvirt's pools, and this room says better.
JUDGED_HERE = ("DISK_SIZE_MISMATCH", "DISK_SPACE_SHORT", "DISK_TYPE_UNSUPPORTED", "IMAGE_EXISTS")


@dataclasses.dataclass(frozen=True)
class Far:
    """The destination's files. ``free`` and ``held`` are by path; ``left`` are images that an earlier move of this domain left
    there, out of date since; ``named`` are those that a domain there names."""

    files: dict[str, FarFile]
    free: dict[str, int]
    held: dict[str, int]
    left: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()


def survey_far(
    carrier: Carrier, pieces: t.Sequence[Piece], uuid: str, named: t.Callable[[t.Collection[str]], frozenset[str]]
) -> Far:
    """Look at everything that the pieces touch."""
    paths = [piece.path for piece in pieces]
    files = carrier.look(paths)
    there = [path for path in paths if files[path].exists]
    markers = {marker_name(path, uuid, files[path].mtime): path for path in there}
    left = {markers[name] for name, file in carrier.look(tuple(markers)).items() if file.exists}
    used = named(there) if there else frozenset()
    free = {folder: carrier.space(folder) for folder in {posixpath.dirname(path) for path in paths}}
    held = {piece.path: carrier.held(piece) for piece in pieces}
    return Far(files, free, held, frozenset(left - used), used)


def settle_pieces(pieces: t.Sequence[Piece], far: Far, ours: t.Collection[str] = ()) -> tuple[Piece, ...]:
    """The pieces with what is there taken into account: old copies of ours are replaced, equal layers may be there already.
    ``ours`` are paths that an interrupted move of this domain made."""
    return tuple(_settled(piece, far.files[piece.path], far, ours) for piece in pieces)


def _settled(piece: Piece, file: FarFile, far: Far, ours: t.Collection[str]) -> Piece:
    if not file.exists or piece.device:
        return piece
    if piece.path in ours and piece.kind != "layer" and piece.path not in far.named:
        return dataclasses.replace(piece, replaces=True)
    if piece.path in far.left or (piece.kind == "tpm" and piece.path not in far.named):
        return dataclasses.replace(piece, replaces=True)
    if piece.kind == "layer":
        # Other domains may share it: it must hold the same, and is not ours.
        return dataclasses.replace(piece, staged=piece.path)
    return piece


def far_findings(pieces: t.Sequence[Piece], far: Far, move: str, destination: str, *, exact: bool) -> list[Finding]:
    """IMAGE_EXISTS, DISK_SIZE_MISMATCH, DISK_TYPE_UNSUPPORTED, DISK_SPACE_SHORT. ``move`` begins the messages; ``exact`` says
    that a device must have the very size, because restored memory knows it."""
    found: list[Finding] = []
    for piece in pieces:
        file = far.files[piece.path]
        found += _device(piece, file, move, exact) if piece.device else _file(piece, file, far, move)
    return [*found, *_space(pieces, far, move, destination)]


def _file(piece: Piece, file: FarFile, far: Far, move: str) -> t.Iterator[Finding]:
    shared = piece.kind == "layer" and piece.staged == piece.path
    if not file.exists or piece.replaces or piece.kind == "save" or shared:
        return
    used = piece.path in far.named
    user = ", and a domain there uses it" if used else ""
    # Variables of a firmware that no domain has are what a domain of this name left; still, somebody has to say so.
    yield (blocker if piece.kind == "nvram" and not used else hard_blocker)(
        "IMAGE_EXISTS",
        piece.target or piece.kind,
        f"{move}: {piece.path}, where {_what(piece)} would go, exists on the destination already{user}.",
        "Look at what it is; then move it away, or name another path in mapping"
        + (", or accept that it is overwritten." if piece.kind == "nvram" and not used else "."),
        path=piece.path,
        size=file.size,
    )


def _device(piece: Piece, file: FarFile, move: str, exact: bool) -> t.Iterator[Finding]:
    evidence = {"path": piece.path, "disk": piece.target, "source": piece.size, "destination": file.size}
    if file.kind != "block":
        yield blocker(
            "DISK_TYPE_UNSUPPORTED",
            piece.target,
            f"{move}: the destination has no block device {piece.path} for disk {piece.target}, and devices are not made by a move.",
            f"Create it there with at least {piece.size} bytes, or map the disk to a file.",
            **evidence,
        )
    elif file.size < piece.size or (exact and file.size != piece.size):
        yield blocker(
            "DISK_SIZE_MISMATCH",
            piece.target,
            f"{move}: {piece.path} on the destination has {file.size} bytes and disk {piece.target} has {piece.size}"
            f"{', where saved memory needs exactly the same' if exact else ''}.",
            "Recreate it in the right size, or map the disk to another place.",
            **evidence,
        )
    elif file.busy:
        yield hard_blocker(
            "IMAGE_EXISTS",
            piece.target,
            f"{move}: {piece.path}, where disk {piece.target} would go, is in use on the destination ({file.busy.rstrip('.')}).",
            "Unmount it or shut off its user, or name another path in mapping.",
            **evidence,
        )
    else:
        yield blocker(
            "IMAGE_EXISTS",
            piece.target,
            f"{move}: {piece.path}, where disk {piece.target} would go, is a device, whose content is overwritten.",
            "Look at what it holds; then accept that, or name another path in mapping.",
            **evidence,
        )


def _space(pieces: t.Sequence[Piece], far: Far, move: str, destination: str) -> t.Iterator[Finding]:
    # Folders with the very same room are on one file system.
    needed: dict[int, int] = {}
    folders: dict[int, set[str]] = {}
    for piece in pieces:
        if piece.device or (piece.staged == piece.path and piece.kind == "layer"):
            continue
        folder = posixpath.dirname(piece.path)
        free = far.free[folder]
        old = far.files[piece.path].allocated if piece.replaces else 0
        needed[free] = needed.get(free, 0) + max(0, piece.allocated - far.held[piece.path] - old)
        folders.setdefault(free, set()).add(folder)
    for free, amount in sorted(needed.items()):
        if amount > free:
            names = ", ".join(sorted(folders[free]))
            yield blocker(
                "DISK_SPACE_SHORT",
                destination,
                f"{move}: its files take {format_bytes(amount)} and {names} has {format_bytes(free)} free there.",
                "Free space there, or name a folder with more room in mapping, or choose another destination.",
                folder=names,
                allocated=amount,
                available=free,
            )


def _what(piece: Piece) -> str:
    names = {"nvram": "its firmware variables", "tpm": "the state of its TPM", "save": "its saved memory"}
    return names.get(piece.kind, f"disk {piece.target}")
