# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The planner: facts of a fleet and options in, plan out. Pure; the same facts and options give the same plan."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import (
    PLAN_VERSION,
    Blocked,
    HostFacts,
    Placement,
    Plan,
    Staying,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import memory_needed
from ansible_collections.virtops.kvm.plugins.module_utils._placement.fingerprint import parts_of, whole
from ansible_collections.virtops.kvm.plugins.module_utils._placement.moves import ordered_moves, with_warnings
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions
from ansible_collections.virtops.kvm.plugins.module_utils._placement.problem import (
    NAME_GROUP,
    Bin,
    Fitting,
    Item,
    Matcher,
    Problem,
    groups_of,
    make_bin,
    shortage,
)
from ansible_collections.virtops.kvm.plugins.module_utils._placement.solve import State, solve

#: The key under which a domain's reasons stand that hold whatever the host.
ANY_HOST = "any host"


@dataclasses.dataclass(frozen=True)
class Fleet:
    """The hosts a plan is about, each in the order of its names."""

    sources: tuple[HostFacts, ...]
    destinations: tuple[HostFacts, ...]


def fleet_of(facts: t.Sequence[HostFacts], options: PlanOptions) -> Fleet:
    """Sources and destinations, found by name. Raises KvmError for names without facts and where nothing is left to go to."""
    by_name = {one.name: one for one in facts}
    if len(by_name) != len(facts):
        twice = sorted({one.name for one in facts if [other.name for other in facts].count(one.name) > 1})
        raise InputError("facts", f"facts has more than one entry for {', '.join(twice)}.", hosts=twice)
    if not options.sources:
        raise InputError(
            "sources", "sources is empty, so there is nothing to plan: name the hosts that are to be emptied."
        )
    for option, names in (("sources", options.sources), ("destinations", options.destinations)):
        unknown = sorted(set(names) - set(by_name))
        if unknown:
            raise KvmError(
                "UNKNOWN_HOST",
                f"{option} names {', '.join(unknown)}, of which facts knows nothing; it knows "
                f"{', '.join(sorted(by_name)) or 'no host'}.",
                option=option,
                hosts=unknown,
            )
    targets = set(options.destinations or by_name) - set(options.sources)
    if not targets:
        raise KvmError(
            "NO_DESTINATION",
            f"No host is left to move to once the sources ({', '.join(sorted(set(options.sources)))}) are taken "
            "out of the "
            "destinations; name at least one other host.",
            sources=sorted(set(options.sources)),
        )
    return Fleet(
        tuple(by_name[name] for name in sorted(set(options.sources))), tuple(by_name[name] for name in sorted(targets))
    )


def plan(facts: t.Sequence[HostFacts], options: PlanOptions) -> Plan:
    """The plan that empties ``options.sources``."""
    fleet = fleet_of(facts, options)
    items, staying = _who_moves(fleet, options)
    bins = [make_bin(one, options) for one in fleet.destinations]
    matcher = Matcher(options)
    movable, blocked, notes = _leave_at_all(items, matcher, fleet, facts)
    problem = Problem(movable, bins, [[_fitting(matcher, item, bin_, options) for bin_ in bins] for item in movable])
    assignment = solve(problem)
    state = State(problem)
    for item, where in assignment.items():
        state.put(item, where)
    blocked += [_no_place(problem, state, item) for item in range(len(movable)) if item not in assignment]
    moves = ordered_moves(problem, assignment, options, [one.name for one in facts])
    parts = parts_of(options, fleet.sources, fleet.destinations)
    return Plan(
        version=PLAN_VERSION,
        fingerprint=whole(parts),
        sources=tuple(one.name for one in fleet.sources),
        destinations=tuple(one.name for one in fleet.destinations),
        moves=tuple(with_warnings(move, notes.get((move.source, move.uuid), ())) for move in moves),
        blocked=tuple(sorted(blocked, key=lambda one: (one.domain, one.source))),
        staying=tuple(sorted(staying, key=lambda one: (one.domain, one.source))),
        before=tuple(_placement(one, one.domains) for one in (*fleet.sources, *fleet.destinations)),
        after=_after(fleet, moves_to(problem, assignment)),
        options={**to_data(options), "parts": parts},
    )


def _fitting(matcher: Matcher, item: Item, bin_: Bin, options: PlanOptions) -> Fitting:
    """How ``item`` fits on ``bin_``; a domain with a home fits nowhere else."""
    fitting = matcher.fitting(item, bin_)
    home = options.homes.get(item.domain.uuid, bin_.name)
    if home == bin_.name:
        return fitting
    return dataclasses.replace(fitting, reasons=(f"Its home is {home}.", *fitting.reasons))


def _who_moves(fleet: Fleet, options: PlanOptions) -> tuple[list[Item], list[Staying]]:
    items, staying = [], []
    for facts in fleet.sources:
        for domain in sorted(facts.domains, key=lambda one: (one.name, one.uuid)):
            code, reason = _why_stay(domain, options)
            if code:
                staying.append(Staying(domain.name, domain.uuid, facts.name, code, reason))
            else:
                items.append(Item(domain, facts, groups_of(domain.name, options.anti_affinity)))
    return items, staying


def _why_stay(domain: Domain, options: PlanOptions) -> tuple[str, str]:
    if domain.name in options.exclude or domain.uuid in options.exclude:
        return "EXCLUDED", "It is excluded by option exclude."
    if options.selected is not None and domain.uuid not in options.selected:
        return "NOT_SELECTED", "Option select does not choose it."
    if not domain.active:
        return (
            "SHUTOFF",
            f"It is {domain.state}; moving a domain that does not run is not possible yet, so it stays as it is.",
        )
    return "", ""


Notes = dict[tuple[str, str], list[str]]


def _leave_at_all(
    items: list[Item], matcher: Matcher, fleet: Fleet, facts: t.Sequence[HostFacts]
) -> tuple[list[Item], list[Blocked], Notes]:
    """Items that can leave their host, those that cannot, and what to know of the former wherever they go."""
    sources = {one.name for one in fleet.sources}
    homes: dict[str, list[str]] = {}
    for one in facts:
        if one.name in sources:
            for domain in one.domains:
                if domain.active:
                    homes.setdefault(domain.uuid, []).append(one.name)
    movable, blocked, notes = [], [], {}
    for item in items:
        reasons, warnings = matcher.anywhere(item)
        if len(homes[item.domain.uuid]) > 1:
            reasons.append(
                f"It runs on {' and '.join(sorted(homes[item.domain.uuid]))} at once: stop the wrong copy first."
            )
        if reasons:
            blocked.append(Blocked(item.domain.name, item.domain.uuid, item.source.name, {ANY_HOST: tuple(reasons)}))
        else:
            movable.append(item)
            notes[(item.source.name, item.domain.uuid)] = warnings
    return movable, blocked, notes


def _no_place(problem: Problem, state: State, index: int) -> Blocked:
    """Why the item at ``index`` got no host, host by host, with what the planned moves leave free there."""
    item = problem.items[index]
    reasons = {}
    for where, bin_ in enumerate(problem.bins):
        fitting = problem.fittings[index][where]
        found = list(fitting.reasons)
        if not found:
            found += [_rival(group) for group in item.groups if group in state.groups[where]]
            found += [
                shortage(resource, amount, state.free[where][resource]) + " The planned moves take the rest."
                for resource, amount in fitting.demand.items()
                if amount > state.free[where][resource]
            ]
        reasons[bin_.name] = tuple(found)
    return Blocked(item.domain.name, item.domain.uuid, item.source.name, reasons)


def _rival(group: str) -> str:
    """A sentence about the group that an item cannot share a host with."""
    if group.startswith(NAME_GROUP):
        return "Another domain of that name is planned to go there."
    return f"A member of its anti-affinity group ({group}) is planned to go there."


def moves_to(problem: Problem, assignment: t.Mapping[int, int]) -> dict[tuple[str, str], str]:
    """(source name, UUID) -> destination name."""
    return {
        (problem.items[item].source.name, problem.items[item].domain.uuid): problem.bins[where].name
        for item, where in assignment.items()
    }


def _after(fleet: Fleet, moved: t.Mapping[tuple[str, str], str]) -> tuple[Placement, ...]:
    arriving: dict[str, list[Domain]] = {}
    for facts in fleet.sources:
        for domain in facts.domains:
            target = moved.get((facts.name, domain.uuid))
            if target is not None:
                arriving.setdefault(target, []).append(domain)
    placements = []
    for facts in (*fleet.sources, *fleet.destinations):
        stay = [domain for domain in facts.domains if (facts.name, domain.uuid) not in moved]
        placements.append(_placement(facts, [*stay, *arriving.get(facts.name, [])]))
    return tuple(placements)


def _placement(facts: HostFacts, domains: t.Iterable[Domain]) -> Placement:
    active = [domain for domain in domains if domain.active]
    return Placement(
        host=facts.name,
        domains=tuple(sorted(domain.name for domain in active)),
        memory_bytes=sum(memory_needed(domain) for domain in active),
        memory_total=facts.host.memory_total,
        vcpus=sum(domain.vcpus for domain in active),
        cpus=facts.host.cpus,
    )
