# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a move with a stopped guest brings along, and in which order: from facts alone."""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PAUSED, Disk, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import SUSPENDED
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Piece
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_files import NearFile
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import Context, Survey
from ansible_collections.virtops.kvm.plugins.module_utils._move.plan import no_two_alike
from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import differences
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping
from ansible_collections.virtops.kvm.plugins.module_utils._xml.travel import travel

#: How the domain is to be on the destination.
RUNNING, PAUSED_THERE, SAVED, OFF = "running", "paused", "saved", "off"
#: Where saved memory lies on the destination until it is restored.
SAVE_FOLDER = "/var/lib/libvirt/qemu/save"
#: Kinds of pieces that are small files with an owner of their own.
SMALL = ("nvram", "tpm")

Near = t.Callable[[str], t.Optional[NearFile]]


@dataclasses.dataclass(frozen=True)
class ColdPlan:
    """Everything that is decided before anything is done."""

    uuid: str
    name: str
    method: str
    active: bool
    arrival: str
    pieces: tuple[Piece, ...]
    saved_xml: str
    source_xml: str
    autostart: bool
    source_autostart: bool
    memory: int
    snapshots: int
    changes: tuple[Change, ...] = ()

    @property
    def carries_memory(self) -> bool:
        """Whether saved memory goes along."""
        return self.arrival == SAVED or self.method == SUSPENDED

    @property
    def bytes_copied(self) -> int:
        """What all pieces take on disk."""
        return sum(piece.allocated for piece in self.pieces)


def arrival_of(domain: Domain, before: Journal | None) -> str:
    """How the domain shall be there: as it is here, or as it was when an interrupted move stopped it."""
    if domain.active:
        return PAUSED_THERE if domain.state == PAUSED else RUNNING
    if before is not None and before.stopped and before.arrival:
        return before.arrival
    return SAVED if domain.managed_save else OFF


def staged_name(path: str, uuid: str) -> str:
    """Where a copy lies until the switch; a device has no second name."""
    return path if path.startswith("/dev/") else f"{path}.moving-{uuid[:8]}"


def disk_pieces(
    domain: Domain, copied: t.Collection[str], mapping: Mapping, near: Near, *, flatten: bool
) -> tuple[Piece, ...]:
    """The images and devices of the disks ``copied``, lower layers first. Raises IMAGE_MISSING."""
    pieces: dict[str, Piece] = {}
    for disk in domain.disks:
        if disk.target not in copied or disk.source is None:
            continue
        chain = () if flatten else disk.backing_chain
        for number, layer in reversed(list(enumerate(chain))):
            path = mapping.path(layer.path)
            below = chain[number + 1] if number + 1 < len(chain) else None
            pieces.setdefault(
                layer.path,
                _piece(
                    domain, "layer", disk.target, layer.path, path, near, _rebased(layer.path, path, below, mapping)
                ),
            )
        path = mapping.disk(disk.target, disk.source)
        below = chain[0] if chain else None
        piece = _piece(
            domain, "disk", disk.target, disk.source, path, near, _rebased(disk.source, path, below, mapping)
        )
        pieces[disk.source] = _converted(
            piece, disk, flatten=flatten and bool(disk.backing_chain), keeps_records=bool(domain.snapshots)
        )
    no_two_alike((piece.source, piece.path) for piece in pieces.values())
    return tuple(pieces.values())


def _rebased(source: str, path: str, below: t.Any, mapping: Mapping) -> tuple[str | None, str | None]:
    """The name and format of the layer below for the copy's header, where it cannot stay as it is."""
    if below is None:
        return None, None
    there = mapping.path(below.path)
    same_place = posixpath.dirname(source) == posixpath.dirname(path)
    if there == below.path and same_place:
        return None, None
    return there, below.format or "raw"


def _piece(
    domain: Domain, kind: str, target: str, source: str, path: str, near: Near, backing: tuple[str | None, str | None]
) -> Piece:
    file = near(source)
    if file is None:
        raise KvmError(
            "IMAGE_MISSING",
            f"The image {source} of disk {target} of domain '{domain.name}' is not there, so it cannot be copied; look at the "
            "disk with 'virsh domblklist' and at its backing chain with 'qemu-img info --backing-chain'.",
            path=source,
            disk=target,
        )
    return Piece(
        kind, target, source, path, staged_name(path, domain.uuid),
        size=file.size, allocated=file.allocated, mode=0o644 & file.mode | 0o600, owner="" if file.device else file.owner,
        backing=backing[0], backing_format=backing[1],
    )  # fmt: skip


def _converted(piece: Piece, disk: Disk, *, flatten: bool, keeps_records: bool) -> Piece:
    """``piece`` with what its content becomes where the bytes do not go as they are. ``keeps_records``: snapshots are in the image,
    and only the image as it is has them."""
    form = disk.format or "raw"
    there = "raw" if piece.device else form
    if flatten:
        size = disk.virtual_size or piece.size
        return dataclasses.replace(
            piece,
            source_format=form,
            format=there,
            size=size,
            allocated=disk.copy_size or size,
            backing=None,
            backing_format=None,
        )
    if form == "raw" and disk.type == "block" and piece.path.endswith(".qcow2"):
        return dataclasses.replace(piece, source_format="raw", format="qcow2")
    if form == "qcow2" and disk.type == "file" and piece.device and not disk.backing_chain and not keeps_records:
        size = disk.virtual_size or piece.size
        return dataclasses.replace(piece, source_format="qcow2", format="raw", size=size)
    return piece


def small_pieces(domain: Domain, mapping: Mapping, near: Near, tpm_files: t.Sequence[str]) -> tuple[Piece, ...]:
    """Firmware variables and the state of the TPM, as far as they are there."""
    wanted = [("nvram", domain.firmware.nvram)] if domain.firmware.nvram else []
    wanted += [("tpm", path) for path in tpm_files]
    pieces = []
    for kind, source in wanted:
        file = near(t.cast(str, source))
        if file is not None and source is not None:
            path = mapping.path(source)
            pieces.append(
                Piece(
                    kind,
                    "",
                    source,
                    path,
                    path,
                    size=file.size,
                    allocated=file.allocated,
                    mode=file.mode,
                    owner=file.owner,
                )
            )
    return tuple(pieces)


def save_piece(uuid: str, source: str, file: NearFile) -> Piece:
    """The saved memory; it is secret, and never gets a final name there."""
    path = f"{SAVE_FOLDER}/{uuid}.moving"
    return Piece(
        "save", "", source, path, path, size=file.size, allocated=file.allocated, mode=0o600, owner="root:root"
    )


def expected_memory(domain: Domain) -> Piece:
    """What the memory of a running domain will take at most, once it is saved."""
    path = f"{SAVE_FOLDER}/{domain.uuid}.moving"
    size = max(domain.memory, domain.memory_max)
    return Piece("save", "", f"{SAVE_FOLDER}/{domain.name}.save", path, path, size=size, allocated=size)


def make_cold_plan(
    context: Context,
    survey: Survey,
    source_xml: str,
    pieces: tuple[Piece, ...],
    before: Journal | None,
) -> ColdPlan:
    """The plan for the domain of ``survey``; ``before`` is an interrupted move of it that stopped it here."""
    domain, options = survey.domain, context.options
    resumed = before if before is not None and before.stopped and not domain.active else None
    # A move that was cut off may have switched it off already.
    source_autostart = domain.autostart or (before is not None and before.source_autostart)
    arrival = arrival_of(domain, resumed)
    method = resumed.method if resumed is not None else survey.choice.method
    flattened = [
        disk.target for disk in domain.disks if options.chain == "flatten" and disk.target in survey.choice.copied
    ]
    saved_xml = travel(source_xml, context.mapping, flattened=flattened, formats=formats_of(pieces))
    plan = ColdPlan(
        domain.uuid, domain.name, method, domain.active, arrival, pieces, saved_xml, source_xml,
        source_autostart and options.autostart, source_autostart, max(domain.memory, domain.memory_max), len(domain.snapshots),
    )  # fmt: skip
    return dataclasses.replace(plan, changes=_changes(context, plan))


def formats_of(pieces: t.Iterable[Piece]) -> dict[str, str]:
    """The formats that copies get, by target, where they differ from the source's."""
    return {
        piece.target: piece.format for piece in pieces if piece.kind == "disk" and piece.format != piece.source_format
    }


def _changes(context: Context, plan: ColdPlan) -> tuple[Change, ...]:
    source, destination = context.gateway.source_host, context.gateway.destination_host
    changes = [Change(f"domain {plan.name}", "move", source, destination)]
    if plan.active:
        changes.append(
            Change(f"domain {plan.name}", "suspend" if plan.method == SUSPENDED else "stop", plan.arrival, None)
        )
    for piece in plan.pieces:
        if piece.kind != "save":
            changes.append(_piece_change(destination, piece))
    if plan.carries_memory:
        changes.append(
            Change(f"memory {plan.name}", "restore" if plan.method == SUSPENDED else "keep", None, destination)
        )
    rewritten = differences(plan.source_xml, plan.saved_xml)
    if rewritten:
        changes.append(Change(f"definition {plan.name}", "rewrite", None, rewritten))
    if plan.autostart:
        changes.append(Change(f"autostart {destination}:{plan.name}", "set", False, True))
    if context.options.source_disks != "keep":
        for piece in plan.pieces:
            if owned_image(piece):
                after = f"{piece.source}.migrated" if context.options.source_disks == "rename" else None
                changes.append(
                    Change(f"image {source}:{piece.source}", context.options.source_disks, piece.source, after)
                )
    return tuple(changes)


def owned_image(piece: Piece) -> bool:
    """Whether the source image is the domain's own, so that the policy for source disks applies."""
    return piece.kind == "disk" and not piece.source.startswith("/dev/")


def _piece_change(destination: str, piece: Piece) -> Change:
    # No size: a guest that runs on until it is stopped may change it, and the promise of check mode with it.
    what = {"source": piece.source}
    if piece.format != "bytes":
        what["format"] = piece.format
    if piece.device:
        return Change(f"device {destination}:{piece.path}", "overwrite", None, what)
    action = (
        "replace" if piece.replaces else "compare" if piece.staged == piece.path and piece.kind == "layer" else "create"
    )
    return Change(f"file {destination}:{piece.path}", action, None, what)


def with_pieces(context: Context, plan: ColdPlan, pieces: tuple[Piece, ...]) -> ColdPlan:
    """``plan`` for ``pieces`` of which more is known."""
    changed = dataclasses.replace(plan, pieces=pieces)
    return dataclasses.replace(changed, changes=_changes(context, changed))
