# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The way home: a return ticket and what the hosts run now in, plan out. Pure.

The ticket says where each domain belongs; where it is now is looked up. So it does not matter what happened in between. Of the policies
all holds but what says where: the hosts that may take a domain, and the groups that go together or apart.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import (
    PLAN_VERSION,
    HostFacts,
    Plan,
    PlannedMove,
    Staying,
)
from ansible_collections.virtops.kvm.plugins.module_utils._placement.fingerprint import parts_of, whole
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions
from ansible_collections.virtops.kvm.plugins.module_utils._placement.planner import plan


def plan_home(ticket: Plan, facts: t.Sequence[HostFacts], options: PlanOptions) -> Plan:
    """The plan that brings the ticket's domains to the destinations it names; ``options``' own hosts do not matter."""
    staying: list[Staying] = []
    away: dict[str, set[str]] = {}
    for move in ticket.moves:
        at = _where(move, facts)
        if at.stays:
            staying.append(at.stays)
        else:
            away.setdefault(at.host, set()).add(move.uuid)
    homes = {move.uuid: move.destination for move in ticket.moves}
    options = dataclasses.replace(
        options,
        destinations=tuple(sorted(set(homes.values()) - set(away))),
        homes=homes,
        terms={
            uuid: dataclasses.replace(terms, affinity=(), anti_affinity=(), pinned=())
            for uuid, terms in options.terms.items()
        },
    )
    if not away:
        return _nothing(ticket, facts, staying)
    wanted = tuple(sorted(uuid for uuids in away.values() for uuid in uuids))
    planned = plan(facts, dataclasses.replace(options, sources=tuple(sorted(away)), selected=wanted))
    # Of those that others say stay, only the ticket's own matter.
    staying += [one for one in planned.staying if one.uuid in wanted and one.source in away]
    return dataclasses.replace(planned, staying=tuple(staying))


@dataclasses.dataclass(frozen=True)
class _At:
    """Where a domain of the ticket is: on ``host``, whence it goes home, or it ``stays``."""

    host: str = ""
    stays: t.Optional[Staying] = None


def _where(move: PlannedMove, facts: t.Sequence[HostFacts]) -> _At:
    found = {one.name: domain.active for one in facts for domain in one.domains if domain.uuid == move.uuid}
    active = [name for name, is_active in found.items() if is_active]
    if not found:
        return _stays(move, move.source, "GONE", "It is gone: none of the hosts knows it any more.")
    if not active and move.destination in found:
        return _stays(move, move.destination, "HOME", f"It is home, and shut off on {move.destination}.")
    if active == [move.destination]:
        return _stays(move, move.destination, "HOME", "It is home.")
    # Where it runs counts; of several places where it does not, the first, and the planner says what is wrong with that.
    return _At(host=next(name for name in active or sorted(found) if name != move.destination))


def _stays(move: PlannedMove, host: str, code: str, reason: str) -> _At:
    return _At(stays=Staying(move.domain, move.uuid, host, code, reason, move.kind))


def _nothing(ticket: Plan, facts: t.Sequence[HostFacts], staying: t.Sequence[Staying]) -> Plan:
    parts = parts_of(PlanOptions(sources=ticket.sources), [], facts)
    return Plan(PLAN_VERSION, whole(parts), ticket.sources, ticket.destinations, staying=tuple(staying))
