# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The stages of a move with a stopped guest, in their order. Each is in the journal before it begins."""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.volumes import marker_name
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Piece, SnapshotRecord
from ansible_collections.virtops.kvm.plugins.module_utils._move import cold_files
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_plan import (
    OFF,
    PAUSED_THERE,
    RUNNING,
    SAVED,
    SMALL,
    save_piece,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_shared import (
    Cold,
    Shown,
    Watch,
    ended,
    started_meanwhile,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import DESTINATION, SOURCE
from ansible_collections.virtops.kvm.plugins.module_utils._xml.travel import travel, travel_record

# -- transfer ------------------------------------------------------------------------------------------------------------


def add_memory(cold: Cold) -> None:
    """The saved memory becomes one more piece, and its document is rewritten."""
    saved = cold.gateway.saved_state(cold.uuid)
    if saved is None:
        raise KvmError(
            "SAVED_STATE_MISSING",
            f"libvirt on {cold.context.gateway.source_host} has no saved memory of domain '{cold.plan.name}'; somebody may have "
            "removed it. Run again to move it as it is now.",
        )
    file = cold_files.near_file(saved.path)
    if file is None:
        raise KvmError(
            "SAVED_STATE_UNREADABLE", f"There is no saved memory at {saved.path}; run again.", path=saved.path
        )
    xml = travel(saved.xml, cold.context.mapping, flattened=_flattened(cold))
    pieces = (*(piece for piece in cold.plan.pieces if piece.kind != "save"), save_piece(cold.uuid, saved.path, file))
    cold.plan = dataclasses.replace(cold.plan, pieces=pieces)
    journal = t.cast(Journal, cold.context.journal)
    cold.context.record(
        pieces=pieces,
        state_xml=xml,
        managed_save=saved.ran,
        seals={**journal.seals, **cold_files.seal([saved.path])},
    )


def _flattened(cold: Cold) -> list[str]:
    return [piece.target for piece in cold.plan.pieces if piece.kind == "disk" and piece.source_format != "bytes"]


def transfer(cold: Cold) -> None:
    """Every piece is copied and proven under its second name; only then all get their names."""
    context = cold.context
    with context.stage("transfer"):
        make_folders(cold)
        watch = Watch(cold)
        meter = Shown(cold)
        for number, piece in enumerate(cold.plan.pieces):
            claim_old_copy(cold, piece)
            copied = _carry(cold, piece, watch, meter)
            finished = dataclasses.replace(
                piece, digest=copied.digest, sent=piece.sent + copied.sent, proven=copied.proven, present=copied.present
            )
            meter.finished(finished)
            _keep(cold, number, finished)
        check_source(cold)
        publish(cold)


def _carry(cold: Cold, piece: Piece, watch: Watch, meter: Shown) -> t.Any:
    if piece.kind in SMALL:
        return cold.carrier.put(piece)
    seed = cold.seeds.get(piece.source)
    try:
        copied = cold.carrier.copy(piece, meter.tell(piece), watch, seed.known if seed is not None else None)
    except KvmError as error:
        if error.error_code == "COPY_STOPPED":
            watch.explain()
            raise ended(cold.context, "the copy") from error
        if error.error_code == "DESTINATION_EXISTS":
            raise KvmError("IMAGE_EXISTS", error.message, **error.details) from error
        raise
    if piece.backing is not None and piece.backing_format is not None:
        cold.carrier.rebase(piece.staged, piece.backing, piece.backing_format)
    return copied


def _keep(cold: Cold, number: int, piece: Piece) -> None:
    pieces = (*cold.plan.pieces[:number], piece, *cold.plan.pieces[number + 1 :])
    cold.plan = dataclasses.replace(cold.plan, pieces=pieces)
    cold.context.record(pieces=pieces)


def make_folders(cold: Cold) -> None:
    """The folders that the copies need; those that are new are in the journal."""
    context = cold.context
    for folder in sorted({posixpath.dirname(piece.path) for piece in cold.plan.pieces if not piece.device}):
        made = cold.carrier.make_folder(folder)
        if made and context.journal is not None:
            context.record(folders=(*context.journal.folders, *made))


def claim_old_copy(cold: Cold, piece: Piece) -> None:
    """An old copy of ours becomes the beginning of the new one, so that only what changed since is sent."""
    if not piece.replaces:
        return
    seen = cold.carrier.look((piece.path, piece.staged))
    old = seen[piece.path]
    if not old.exists:
        return
    if piece.kind not in SMALL and not seen[piece.staged].exists:
        cold.carrier.adopt(piece.path, piece.staged)
    cold.carrier.remove(marker_name(piece.path, cold.uuid, old.mtime))


def publish(cold: Cold) -> None:
    """All copies get their names; the first that cannot stops it."""
    for piece in cold.plan.pieces:
        if piece.staged != piece.path:
            cold.carrier.adopt(piece.staged, piece.path)
    for folder in {posixpath.dirname(piece.path) for piece in cold.plan.pieces if piece.kind in ("disk", "layer")}:
        cold.gateway.refresh_pool_there(folder)


# -- switch --------------------------------------------------------------------------------------------------------------


def check_source(cold: Cold) -> None:
    """Nobody started the domain or wrote to its files since it was stopped. Raises DOMAIN_STARTED, SOURCE_CHANGED."""
    context = cold.context
    seen = cold.gateway.look(SOURCE, cold.uuid)
    if seen.active:
        raise started_meanwhile(cold)
    broken = cold_files.broken_seals(context.journal.seals) if context.journal is not None else ()
    if broken:
        raise KvmError(
            "SOURCE_CHANGED",
            f"{', '.join(broken)} of domain '{context.name}' changed on {seen.host} while it was copied, although the domain does not "
            "run; find out what writes to it, and run again.",
            paths=list(broken),
        )


def switch(cold: Cold) -> None:
    """The destination has the domain, and runs it if the source did."""
    context, plan = cold.context, cold.plan
    context.give_way()
    check_source(cold)
    snapshots = cold.gateway.snapshots(cold.uuid)
    checkpoints = cold.gateway.checkpoints(cold.uuid)
    mapping = context.mapping
    context.record(
        defined=True,
        snapshots=tuple(SnapshotRecord(travel_record(one.xml, mapping), one.current) for one in snapshots),
        checkpoints=tuple(travel_record(xml, mapping) for xml in checkpoints),
    )
    cold.gateway.define(plan.saved_xml)
    _redefine(cold)
    with context.stage("switch"):
        context.note("switch", "starts it on the destination" if plan.arrival in (RUNNING, PAUSED_THERE) else "")
        bring_up(cold)


def _redefine(cold: Cold) -> None:
    journal = t.cast(Journal, cold.context.journal)
    lost = [one for one in journal.snapshots if not cold.gateway.redefine_snapshot(cold.uuid, one)]
    if lost:
        cold.context.warnings.append(
            f"{len(lost)} snapshot(s) of '{cold.context.name}' could not be told to libvirt on the destination; the images hold them."
        )
    # Only a file that is copied as it is brings its bitmaps along.
    whole = all(piece.source_format == "bytes" for piece in cold.plan.pieces if piece.kind == "disk")
    points = [xml for xml in journal.checkpoints if not (whole and cold.gateway.redefine_checkpoint(cold.uuid, xml))]
    if points:
        cold.context.warnings.append(
            f"{len(points)} checkpoint(s) of '{cold.context.name}' could not be told to libvirt on the destination; the next backup "
            "has to be a full one."
        )


def bring_up(cold: Cold) -> None:
    """Start or restore it there, as it was here. Nothing is started for a domain that was shut off."""
    journal = t.cast(Journal, cold.context.journal)
    saves = [piece for piece in journal.pieces if piece.kind == "save"]
    arrival = journal.arrival
    if saves and arrival in (RUNNING, PAUSED_THERE, SAVED):
        path = saves[0].path
        cold.gateway.restore(path, journal.state_xml, running=arrival == RUNNING)
        if arrival == SAVED:
            cold.gateway.keep_state(cold.uuid, running=journal.managed_save)
        cold.carrier.remove(path)
    elif arrival == RUNNING:
        cold.gateway.start(DESTINATION, cold.uuid)
    elif arrival != OFF:
        raise KvmError(
            "SAVED_STATE_MISSING", f"The saved memory of domain '{cold.context.name}' is not there any more."
        )
