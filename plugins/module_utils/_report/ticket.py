# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The return ticket: the plan that brings everything home. Pure."""

from __future__ import annotations

import dataclasses

from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import Plan, PlannedMove
from ansible_collections.virtops.kvm.plugins.module_utils._report.outcome import (
    Outcome,
    Report,
)


def return_ticket(plan: Plan, report: Report) -> Plan | None:
    """``plan`` with its moves reversed, last one first; None where nothing moved.

    Only what arrived goes home. Its fingerprint is empty: it is a statement of where things belong, whatever changed since. The
    ``kind`` in its options tells whether the hosts that it leads to were cordoned by the run that wrote it.
    """
    arrived = {outcome.id: outcome for outcome in report.outcomes if outcome.arrived}
    moves = [_back(move, arrived[move.id]) for move in reversed(plan.moves) if move.id in arrived]
    if not moves:
        return None
    return dataclasses.replace(
        plan,
        fingerprint="",
        sources=tuple(sorted({move.source for move in moves})),
        destinations=tuple(sorted({move.destination for move in moves})),
        moves=tuple(dataclasses.replace(move, order=number) for number, move in enumerate(moves, start=1)),
        blocked=(),
        staying=(),
        before=report.after,
        after=plan.before,
        options={**plan.options, "kind": report.kind},
    )


def _back(move: PlannedMove, outcome: Outcome) -> PlannedMove:
    return dataclasses.replace(
        move,
        source=move.destination,
        destination=move.source,
        method=outcome.method,
        reason=f"it came from {move.source}",
        warnings=(),
        may_stop=False,
        stop_seconds=None,
        mapping={},
    )
