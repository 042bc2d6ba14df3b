# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Taking back a move that an earlier run left half done, without beginning another."""

from __future__ import annotations

import dataclasses

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move import cold_end, cold_run
from ansible_collections.virtops.kvm.plugins.module_utils._move import decide as table
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_prepare import SWITCHED
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import SOURCE, Context
from ansible_collections.virtops.kvm.plugins.module_utils._move.outcome import UNDONE, Report, report_of
from ansible_collections.virtops.kvm.plugins.module_utils._move.undo import undo


def take_back(
    context: Context,
    source: Sighting,
    decision: table.Decision,
    journal: Journal | None,
    before: Journal | None,
    *,
    check_mode: bool,
) -> Report:
    """The domain is proven to be on the source alone: what its move made on the destination goes, and it is here as it was before.

    ``journal`` is that of the last move to this destination, ``before`` that of a stopped one that did not end. Raises
    UNDO_INCOMPLETE for what could not be removed; the journal keeps it for the next run.
    """
    changes = _changes(context, source, decision, journal, before)
    if changes and not check_mode:
        if decision.action == table.RESUME_SOURCE:
            context.gateway.resume(SOURCE, source.uuid)
        if before is not None:
            _stopped(context, before)
        elif is_open(journal):
            _live(context, journal)
    report = report_of(context, UNDONE, source.uuid, changes)
    name, host = context.name, context.gateway.source_host
    msg = f"The move of domain '{name}' to {context.gateway.destination_host} was taken back; it is on {host}."
    if not changes:
        msg = f"No move of domain '{name}' to {context.gateway.destination_host} is half done; it is on {host}."
    return dataclasses.replace(report, msg=msg)


def is_open(journal: Journal | None) -> bool:
    """Whether the move neither ended nor was taken back."""
    return journal is not None and journal.stage not in ("done", "undone")


def close_journal(context: Context, *, check_mode: bool) -> tuple[Change, ...]:
    """The domain came to be where it is without this move, so its journal has nothing more to say."""
    journal = context.journal
    if journal is None or not is_open(journal):
        return ()
    change = Change(f"journal of {context.name}", "close", journal.stage, "done")
    if not check_mode:
        context.record(stage="done")
    return (change,)


def _changes(
    context: Context, source: Sighting, decision: table.Decision, journal: Journal | None, before: Journal | None
) -> tuple[Change, ...]:
    found = []
    there = context.gateway.destination_host
    if journal is not None and is_open(journal):
        found += [
            Change(f"image {there}:{image.path}", "remove", "made by the move", None)
            for image in reversed(journal.created_images)
        ]
        found.append(Change(f"move of {context.name}", "undo", journal.stage, "undone"))
    wakes = before is not None and before.stopped and not source.active
    if wakes or decision.action == table.RESUME_SOURCE:
        found.append(
            Change(f"domain {source.host}:{context.name}", "start" if wakes else "resume", source.state, "running")
        )
    return tuple(found)


def _live(context: Context, journal: Journal | None) -> None:
    left = undo(context, journal) if journal is not None else None
    if left is not None and left.left:
        raise KvmError(
            "UNDO_INCOMPLETE",
            f"The move of domain '{context.name}' left {', '.join(left.left)} on {context.gateway.destination_host}, and that could not be "
            f"removed: {left.reason}. The domain is on {context.gateway.source_host}. Mend that, and run again.",
            left=list(left.left),
        )


def _stopped(context: Context, before: Journal) -> None:
    """Copies of whole disks stay, under the name that says so, for a next move to go on with."""
    context.journal = before
    if before.stage in SWITCHED:
        # Somebody started it here after the destination had it: what lies there is a matter for a person.
        left = [piece.path for piece in before.pieces if not piece.device]
        context.warnings.append(
            f"Domain '{context.name}' was started again on {context.gateway.source_host} after {before.destination_host} had it; "
            f"{', '.join(left) or 'what lies'} there was not touched."
        )
        cold_end.close(context)
        return
    with cold_run.holding(context) as held:
        left = list(cold_end.take_back(held))
        cold_end.bring_home(held)
        cold_end.close(context)
    if left:
        context.warnings.append(
            f"{', '.join(left)} on {before.destination_host}: kept, so that another move of '{context.name}' to there sends only the rest."
        )
