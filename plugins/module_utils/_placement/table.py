# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The plan as aligned lines for people: what moves, what stays, what cannot move and why."""

from __future__ import annotations

import math
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.columns import padded
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes, format_seconds
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import Blocked, Plan, PlannedMove

_HEADER = ("#", "VM", "from -> to", "method", "disk", "memory", "est.", "stopped", "reason")
_STOPPED = _HEADER.index("stopped")
#: More hosts than this with one and the same reason are counted, not named.
_NAMED_HOSTS = 4


def table_of(plan: Plan) -> list[str]:
    """All lines."""
    lines = _moves(plan.moves) if plan.moves else ["No domain has to move."]
    for move in plan.moves:
        lines += [f"  warning  {move.domain}: {text}" for text in move.warnings]
    if plan.staying:
        lines += ["", "Staying:"]
        lines += [f"  {name}  {reason}" for name, reason in padded([(one.domain, one.reason) for one in plan.staying])]
    if plan.blocked:
        lines += ["", "Cannot move:"]
        for one in plan.blocked:
            lines += [f"  {one.domain} (on {one.source})", *_reasons(one)]
    lines += ["", sums_of(plan)["sentence"]]
    return lines


def sums_of(plan: Plan) -> dict[str, t.Any]:
    """What the plan comes to, as figures and as one sentence."""
    moves = plan.moves
    disks, memory = sum(move.disk_bytes for move in moves), sum(move.memory_bytes for move in moves)
    # Newer Pythons add more exactly than older ones; everybody shall read the same.
    seconds = math.fsum(move.seconds for move in moves)
    return {
        "moves": len(moves),
        "staying": len(plan.staying),
        "blocked": len(plan.blocked),
        "stopped": sum(move.stop_seconds is not None for move in moves),
        "disk_bytes": disks,
        "memory_bytes": memory,
        "seconds": seconds,
        "sentence": (
            f"{len(moves)} to move ({format_bytes(disks + memory)}, about {format_seconds(seconds)} one after another), "
            f"{len(plan.staying)} staying, {len(plan.blocked)} blocked."
        ),
    }


def _moves(moves: t.Sequence[PlannedMove]) -> list[str]:
    rows: list[tuple[str, ...]] = [_HEADER]
    for move in moves:
        rows.append(
            (
                str(move.order),
                move.domain,
                f"{move.source} -> {move.destination}",
                move.method,
                format_bytes(move.disk_bytes) if move.disk_bytes else "-",
                format_bytes(move.memory_bytes) if move.memory_bytes else "-",
                format_seconds(move.seconds),
                _stopped(move),
                _why(move),
            )
        )
    if all(move.stop_seconds is None for move in moves):
        rows = [(*row[:_STOPPED], *row[_STOPPED + 1 :]) for row in rows]
    return ["  ".join(cells).rstrip() for cells in padded(rows)]


def _stopped(move: PlannedMove) -> str:
    """For how long it is stopped; nothing for what is shut off anyway."""
    return "-" if move.stop_seconds is None else f"about {format_seconds(move.stop_seconds)}"


def _why(move: PlannedMove) -> str:
    """The part of the reason that says why this method."""
    return move.reason.split("; ")[0].partition(": ")[2]


def _reasons(one: Blocked) -> list[str]:
    hosts: dict[tuple[str, ...], list[str]] = {}
    for host, sentences in one.reasons.items():
        hosts.setdefault(sentences, []).append(host)
    lines = []
    for sentences, names in hosts.items():
        named = ", ".join(names) if len(names) <= _NAMED_HOSTS else f"{names[0]} and {len(names) - 1} other hosts"
        lines += [f"    {named}: {sentence}" for sentence in sentences]
    return lines
