# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How a move with a stopped guest ends: verified and released on the destination, or taken back and at home again."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PAUSED, RUNNING
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import SEEDED
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Piece, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move import cold_plan, cold_track
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_ports import Carrier, ColdGateway
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import DESTINATION, SOURCE, Context
from ansible_collections.virtops.kvm.plugins.module_utils._move.stages import put_source_disks_away
from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import differences

_STATES = {cold_plan.RUNNING: RUNNING, cold_plan.PAUSED_THERE: PAUSED}


class Held(t.NamedTuple):
    """What ends of moves work with; the carrier may be unable to connect."""

    context: Context
    gateway: ColdGateway
    carrier: Carrier


def verify(held: Held) -> list[str]:
    """It is there as it was here, and not here; its definition means the same. Gives the differences, which are warnings."""
    context, journal = held.context, t.cast(Journal, held.context.journal)
    with context.stage("verify"):
        there = held.gateway.look(DESTINATION, journal.uuid)
        source = held.gateway.look(SOURCE, journal.uuid)
        if source.active:
            raise KvmError(
                "TWO_RUNNING_COPIES" if there.active else "DOMAIN_STARTED",
                f"Domain '{context.name}' is {source.state} on {source.host} although it was moved to {there.host}, where it is "
                f"{there.state or 'absent'}. Nothing was touched; find out who started it, and end the older copy.",
                source=to_data(source),
                destination=to_data(there),
            )
        if not there.reachable:
            raise _unproven(held, there)
        wanted = _STATES.get(journal.arrival)
        if wanted is not None and there.state != wanted:
            raise KvmError(
                "VERIFY_FAILED",
                f"Domain '{context.name}' was {wanted} on {journal.source_host} and is {there.state or 'absent'} ({there.reason}) on "
                f"{there.host}; look at it there. It does not run on {journal.source_host}.",
                state=there.state,
                reason=there.reason,
            )
        if not journal.persistent_xml:
            return []
        found = differences(journal.persistent_xml, held.gateway.definition(DESTINATION, journal.uuid, saved=True))
        if found:
            context.warnings.append(
                f"The saved definition of '{context.name}' on {there.host} differs from what was sent: {'; '.join(found[:5])}."
            )
        return found


def release(held: Held) -> tuple[str, ...]:
    """The destination has it for good: autostart there, nothing but files here. Gives the source disks that were kept."""
    context, gateway, journal = held.context, held.gateway, t.cast(Journal, held.context.journal)
    with context.stage("release"):
        if journal.autostart:
            gateway.set_autostart(DESTINATION, journal.uuid, True)
        seen = gateway.look(SOURCE, journal.uuid)
        if seen.found and not seen.active:
            gateway.forget(SOURCE, journal.uuid)
        for piece in journal.pieces:
            _tidy(held, piece)
        _mark_small(held, journal)
        kept = put_source_disks_away(context, journal)
    context.record(
        stage="done",
        pieces=(),
        folders=(),
        seals={},
        snapshots=(),
        checkpoints=(),
        persistent_xml="",
        state_xml="",
        message="",
        error_code=None,
        defined=False,
        stopped=False,
    )
    return kept


def _tidy(held: Held, piece: Piece) -> None:
    """A saved memory that was not needed, and the note beside an old copy that is now the domain's disk."""
    with contextlib.suppress(KvmError):
        if piece.kind == "save":
            held.carrier.remove(piece.path)


def _mark_small(held: Held, journal: Journal) -> None:
    """Firmware variables that stay here are out of date: a move back may replace them. (TPM state is named by the domain's UUID.)"""
    for piece in journal.pieces:
        if piece.kind == "nvram":
            with contextlib.suppress(OSError):
                held.gateway.mark_left(piece.source, journal.uuid, journal.destination_host)


# -- taking back ---------------------------------------------------------------------------------------------------------


def take_back(held: Held) -> tuple[str, ...]:
    """Undo what the destination has of a move that did not get there, but for copies that the next try goes on with; gives
    those. Raises OWNERSHIP_UNPROVEN where the destination may run the domain."""
    context, journal = held.context, t.cast(Journal, held.context.journal)
    there = held.gateway.look(DESTINATION, journal.uuid)
    may_run = journal.stage in ("switch", "verify", "release")
    if may_run and (not there.reachable or there.active):
        there = _end_half(held, there) if there.active else there
        if not there.reachable or there.active:
            raise _unproven(held, there)
    context.record(stage="undo")
    if there.reachable and there.found and journal.defined:
        held.gateway.forget(DESTINATION, journal.uuid)
    if journal.method == SEEDED:
        cold_track.remove(context, held.gateway, journal.uuid, journal.pieces)
    held.carrier.refresh()
    left: list[str] = []
    try:
        for piece in reversed(journal.pieces):
            left += _withdraw(held, piece)
        if not left:
            for folder in reversed(journal.folders):
                held.carrier.remove_folder(folder)
    except KvmError as error:
        context.record(message=error.message)
        return tuple(
            sorted({piece.staged for piece in journal.pieces if not piece.device and piece.kind in ("disk", "layer")})
        )
    return tuple(left)


def _end_half(held: Held, there: Sighting) -> Sighting:
    """A restored domain that only was to be saved again never ran there: it can be ended."""
    journal = t.cast(Journal, held.context.journal)
    if journal.arrival == cold_plan.SAVED and there.state == PAUSED:
        held.gateway.destroy_there(journal.uuid)
        return held.gateway.look(DESTINATION, journal.uuid)
    return there


def _withdraw(held: Held, piece: Piece) -> list[str]:
    """Take the name from a copy, so that nobody uses it by mistake; small files and memory go. Gives what stays."""
    if piece.device or (piece.present and piece.staged == piece.path):
        return []
    if piece.kind in (*cold_plan.SMALL, "save"):
        if piece.proven or piece.kind == "save":
            held.carrier.remove(piece.path)
        if piece.kind == "save":
            held.carrier.remove_partial(piece)
        return []
    if piece.staged == piece.path:
        return []
    seen = held.carrier.look((piece.path, piece.staged))
    if piece.proven and seen[piece.path].exists and not seen[piece.staged].exists:
        held.carrier.adopt(piece.path, piece.staged)
        return [piece.staged]
    return [piece.staged] if seen[piece.staged].exists or held.carrier.held(piece) else []


def _unproven(held: Held, there: Sighting) -> KvmError:
    journal = t.cast(Journal, held.context.journal)
    state = f"is {there.state} there" if there.reachable else f"cannot be asked for ({there.error or 'no answer'})"
    return KvmError(
        "OWNERSHIP_UNPROVEN",
        f"Domain '{held.context.name}' was being started on {journal.destination_host}, and {state}; so it was not started on "
        f"{journal.source_host}, and nothing was deleted. Bring {journal.destination_host} back, and run again: that finishes the "
        "move or takes it back.",
        destination=to_data(there),
    )


def bring_home(held: Held) -> None:
    """The domain is on the source as it was before this move. The destination is proven not to run it."""
    gateway, journal = held.gateway, t.cast(Journal, held.context.journal)
    seen = gateway.look(SOURCE, journal.uuid)
    if not seen.found:
        return
    if journal.source_autostart and not seen.autostart:
        gateway.set_autostart(SOURCE, journal.uuid, True)
    if journal.stopped and not seen.active and journal.arrival in _STATES:
        # Where its memory was saved, this continues it, paused if it was.
        gateway.start(SOURCE, journal.uuid)


def failed(held: Held, error: KvmError) -> KvmError:
    """Take back, bring home, and give the error that says all of it."""
    context = held.context
    journal = t.cast(Journal, context.journal)
    stage = journal.stage
    try:
        left = take_back(held)
    except KvmError as unproven:
        context.record(error_code=unproven.error_code, message=unproven.message)
        unproven.details.setdefault("cause", error.message)
        return unproven
    words = [
        f"The move of domain '{context.name}' from {journal.source_host} to {journal.destination_host} failed: {error.message}"
    ]
    try:
        bring_home(held)
    except KvmError as trouble:
        words.append(f"It could not be started on {journal.source_host} again: {trouble.message}")
    seen = held.gateway.look(SOURCE, journal.uuid)
    words.append(f"The domain is {seen.state or 'gone'} on {seen.host}.")
    if left:
        words.append(
            f"{', '.join(left)} on {journal.destination_host} are kept, so that the next run sends only the rest."
        )
    else:
        words.append(f"Nothing of this move is left on {journal.destination_host}.")
    aborted = error.error_code == "MOVE_ABORTED"
    close(context, error_code=error.error_code, message=error.message)
    details = {key: value for key, value in error.details.items() if key not in ("stage", "left")}
    message = " ".join([error.message, *words[1:]] if aborted else words)
    return KvmError(
        error.error_code, message, stage=stage, domain_state=seen.state, left=list(left), stages=dict(context.stages),
        source=to_data(seen), **{key: value for key, value in details.items() if key not in ("source", "domain_state", "stages")},
    )  # fmt: skip


def close(context: Context, **more: t.Any) -> None:
    """The record of a move that was taken back."""
    context.record(
        stage="undone",
        stopped=False,
        defined=False,
        persistent_xml="",
        state_xml="",
        snapshots=(),
        checkpoints=(),
        seals={},
        **more,
    )
