# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""From an assignment to ordered moves: identifiers, estimates, reasons."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PROCESS
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import STOPPED_METHODS
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import PlannedMove
from ansible_collections.virtops.kvm.plugins.module_utils._model.stopping import resumes
from ansible_collections.virtops.kvm.plugins.module_utils._placement.estimates import estimate
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions
from ansible_collections.virtops.kvm.plugins.module_utils._placement.problem import Fitting, Item, Problem

#: Names that mean something to Ansible, so that no move may have them.
_RESERVED = ("localhost", "127.0.0.1", "::1", "all", "ungrouped")
#: Characters that make a pattern or an address of an inventory host's name.
_SPECIAL = str.maketrans(dict.fromkeys(":,[]{}*?&!%#~", "_"))


def ordered_moves(
    problem: Problem, assignment: t.Mapping[int, int], options: PlanOptions, host_names: t.Collection[str]
) -> tuple[PlannedMove, ...]:
    """The moves in the order they shall start."""
    rows = [
        (problem.items[item], problem.bins[where].name, problem.fittings[item][where])
        for item, where in assignment.items()
    ]
    rows = _ordered(rows, options)
    ids = _identifiers([item for item, _destination, _fitting in rows], host_names)
    return tuple(
        _move(index, ids[index - 1], item, destination, fitting, options)
        for index, (item, destination, fitting) in enumerate(rows, start=1)
    )


Row = tuple[Item, str, Fitting]


def _ordered(rows: list[Row], options: PlanOptions) -> list[Row]:
    """As the policies say, and among equals as the option order does."""
    ranks: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        terms = options.terms_of(row[0].domain)
        ranks.setdefault((terms.order_group, -terms.priority), []).append(row)
    return [row for rank in sorted(ranks) for row in _equals(ranks[rank], options.order)]


def _equals(rows: list[Row], order: str) -> list[Row]:
    keys: dict[str, t.Callable[[Row], tuple[t.Any, ...]]] = {
        "memory": lambda row: (-_memory_sent(row[0], row[2]), row[0].key),
        "disk": lambda row: (-row[2].copy_bytes, row[0].key),
        "small": lambda row: (row[2].copy_bytes + _memory_sent(row[0], row[2]), row[0].key),
        "name": lambda row: row[0].key,
    }
    rows = sorted(rows, key=keys[order])
    if order == "name":
        return rows
    # In turn over the ways, so that moves that run side by side do not queue for one destination.
    turn: dict[tuple[str, str], int] = {}
    ranked = []
    for row in rows:
        way = (row[0].source.name, row[1])
        ranked.append((turn.get(way, 0), row))
        turn[way] = turn.get(way, 0) + 1
    return [row for _rank, row in sorted(ranked, key=lambda pair: (pair[0], keys[order](pair[1])))]


_ORDER_REASONS = {
    "memory": "those with most memory start first",
    "disk": "those with most to copy start first",
    "small": "the smallest start first",
    "name": "in the order of their names",
}


def _move(index: int, name: str, item: Item, destination: str, fitting: Fitting, options: PlanOptions) -> PlannedMove:
    domain, method = item.domain, fitting.choice.method
    memory = _memory_sent(item, fitting)
    expected = estimate(
        method,
        runs=domain.active,
        disk_bytes=fitting.copy_bytes,
        memory_bytes=memory,
        link_rate=options.link_rate,
    )
    room = (
        f"{format_bytes(domain.memory)} of memory and {domain.vcpus} virtual CPU(s)" if domain.active else "its disks"
    )
    terms = options.terms_of(domain)
    what = "guest process, " if domain.kind == PROCESS else ""
    reason = (
        f"{method}: {what}{fitting.choice.reason}; {destination} has room for {room}; {_ORDER_REASONS[options.order]}"
    )
    if terms.rules:
        reason += f"; {terms.by} of the policies holds"
    return PlannedMove(
        id=name,
        order=index,
        domain=domain.name,
        uuid=domain.uuid,
        source=item.source.name,
        destination=destination,
        method=method,
        reason=reason,
        disk_bytes=fitting.copy_bytes,
        memory_bytes=memory,
        seconds=expected.seconds,
        warnings=fitting.warnings,
        runs=domain.active,
        may_stop=domain.active and method in STOPPED_METHODS,
        stop_seconds=expected.stopped,
        max_downtime=terms.max_pause,
        kind=domain.kind,
    )


def _memory_sent(item: Item, fitting: Fitting) -> int:
    """A guest that boots anew takes no memory along, saved memory aside."""
    method = fitting.choice.method
    return item.domain.memory if method not in STOPPED_METHODS or resumes(item.domain, method) else 0


def _identifiers(items: t.Sequence[Item], host_names: t.Collection[str]) -> list[str]:
    """One inventory name per move: the domain's name where that is free, else with its source, else with its UUID."""
    plain = [item.domain.name.translate(_SPECIAL) for item in items]
    taken = {*host_names, *_RESERVED}
    ids = []
    for item, name in zip(items, plain):
        choices = (name, f"{name}@{item.source.name}", f"{name}@{item.domain.uuid}")
        free = [one for one in choices if one not in taken and (one != name or plain.count(name) == 1)]
        ids.append(free[0] if free else choices[-1])
        taken.add(ids[-1])
    return ids
