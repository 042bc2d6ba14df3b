# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""All that interrupted work left on a fleet, and what is to be done about each thing: the facts of all hosts in, things out. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.repair import (
    FINISH,
    LEAVE,
    UNDO,
    Done,
    HostState,
    Options,
    Repair,
    Thing,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move import repair_moves, repair_rest
from ansible_collections.virtops.kvm.plugins.module_utils._move.repair_fleet import Fleet

_ACTIONS = {FINISH: 0, UNDO: 1, LEAVE: 2}
_SEVERITIES = {"blocker": 0, "warning": 1, "info": 2}


def find(states: t.Sequence[HostState], unread: t.Sequence[str], options: Options) -> tuple[Thing, ...]:
    """Every thing, what is acted on first, then the worst of what is left."""
    fleet = Fleet(sorted(states, key=lambda state: state.name), sorted(unread))
    found = [
        *repair_rest.unread(fleet),
        *repair_moves.domain_moves(fleet),
        *repair_moves.guest_moves(fleet),
        *repair_moves.arrivals(fleet),
        *repair_moves.strangers(fleet),
        *repair_rest.twice(fleet),
        *repair_rest.guests_twice(fleet),
        *repair_rest.files(fleet, options),
        *repair_rest.cordons(fleet, options),
    ]
    return tuple(
        sorted(found, key=lambda one: (_ACTIONS[one.action], _SEVERITIES[one.severity], one.code, one.host, one.object))
    )


def repair_of(
    name: str,
    states: t.Sequence[HostState],
    unread: t.Sequence[str],
    options: Options,
    before: t.Sequence[Thing],
    done: t.Sequence[Done],
) -> Repair:
    """The run as it stands: ``before`` are the things of its earlier rounds, ``done`` what came of those that were acted on."""
    said = {one.id: one for one in done}
    known = {thing.id: thing for thing in before}
    return Repair(
        name,
        tuple(sorted(state.name for state in states)),
        tuple(sorted(unread)),
        find(states, unread, options),
        tuple((known[key], said[key]) for key in said if key in known),
    )
