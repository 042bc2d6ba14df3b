# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a run comes to, as the module returns it."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import MoveResult
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import Context

MOVED, ALREADY_THERE, ATTACHED, UNDONE = "moved", "already_there", "attached", "undone"


@dataclasses.dataclass(frozen=True)
class Report:
    """``outcome`` is one of the constants above; the rest is for the user. ``files`` are what a stopped move copies."""

    outcome: str
    move: MoveResult
    msg: str
    findings: tuple[Finding, ...] = ()
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    diff: t.Optional[dict[str, t.Any]] = None
    files: tuple[dict[str, t.Any], ...] = ()


def report_of(
    context: Context,
    outcome: str,
    uuid: str,
    changes: tuple[Change, ...],
    kept: tuple[str, ...] = (),
    reason: str = "",
    stats: t.Mapping[str, t.Any] | None = None,
) -> Report:
    """The report of this run. ``stats`` are libvirt's figures of the finished job; only a move that was made has them."""
    journal, figures, made = context.journal, dict(stats or {}), stats is not None
    downtime = figures.get("downtime_net", figures.get("downtime"))
    move = MoveResult(
        domain=context.name,
        uuid=uuid,
        method=context.method or (journal.method if journal else ""),
        method_reason=reason,
        source_host=context.gateway.source_host,
        destination_host=context.gateway.destination_host,
        # When the call began, not the journal: the stages count the wait for a turn as well.
        started=round(context.clock.now() - context.elapsed(), 3) if made else 0.0,
        seconds=round(context.elapsed(), 3) if made else 0.0,
        downtime_ms=None if downtime is None else int(downtime),
        disk_bytes=int(figures.get("disk_processed") or 0),
        memory_bytes=int(figures.get("memory_processed") or 0),
        stages=dict(context.stages),
        source_disks_kept=kept,
        warnings=tuple(context.warnings),
    )
    return Report(outcome, move, _sentence(outcome, move), changes=changes, warnings=tuple(context.warnings))


def _sentence(outcome: str, move: MoveResult) -> str:
    if outcome == ALREADY_THERE:
        return f"Domain '{move.domain}' is on {move.destination_host} already."
    if outcome == ATTACHED:
        return f"Domain '{move.domain}' came to {move.destination_host} by the move that ran already."
    pause = "" if move.downtime_ms is None else f", the guest paused for {move.downtime_ms} ms"
    return f"Domain '{move.domain}' moved from {move.source_host} to {move.destination_host} in {move.seconds:.1f} s{pause}."
