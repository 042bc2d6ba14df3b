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
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PROCESS, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import (
    PLAN_VERSION,
    Blocked,
    HostFacts,
    Placement,
    Plan,
    Staying,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import memory_needed
from ansible_collections.virtops.kvm.plugins.module_utils._placement.affinity import partners, solve_together
from ansible_collections.virtops.kvm.plugins.module_utils._placement.fingerprint import parts_of, whole
from ansible_collections.virtops.kvm.plugins.module_utils._placement.matcher import Matcher, Place
from ansible_collections.virtops.kvm.plugins.module_utils._placement.moves import ordered_moves
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions
from ansible_collections.virtops.kvm.plugins.module_utils._placement.policy import live_alone, why_stay
from ansible_collections.virtops.kvm.plugins.module_utils._placement.problem import (
    NAME_GROUP,
    Bin,
    Fitting,
    Item,
    Problem,
    groups_of,
    make_bin,
    shortage,
)
from ansible_collections.virtops.kvm.plugins.module_utils._placement.solve import State

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


def plan(facts: t.Sequence[HostFacts], options: PlanOptions, place: Place | None = None) -> Plan:
    """The plan that empties ``options.sources``; ``place`` says where images lie on a destination, by default where they are."""
    fleet = fleet_of(facts, options)
    items, staying = _who_moves(fleet, facts, options)
    bins = [make_bin(one, options) for one in fleet.destinations]
    matcher = Matcher(options, place) if place else Matcher(options)
    movable, blocked = _leave_at_all(items, matcher, fleet)
    homes = frozenset(group for bin_ in bins for group in bin_.homes)
    fittings = [[_fitting(matcher, item, bin_, options, homes) for bin_ in bins] for item in movable]
    problem, assignment = _solved(movable, bins, fittings)
    state = State(problem)
    for item, where in assignment.items():
        state.put(item, where)
    blocked += [_no_place(problem, state, item) for item in range(len(movable)) if item not in assignment]
    _warn_of_starts(problem, state)
    parts = parts_of(options, fleet.sources, fleet.destinations)
    return Plan(
        version=PLAN_VERSION,
        fingerprint=whole(parts),
        sources=tuple(one.name for one in fleet.sources),
        destinations=tuple(one.name for one in fleet.destinations),
        moves=ordered_moves(problem, assignment, options, [one.name for one in facts]),
        blocked=tuple(sorted(blocked, key=lambda one: (one.domain, one.source))),
        staying=tuple(sorted(staying, key=lambda one: (one.domain, one.source))),
        before=tuple(_placement(one, one.domains) for one in (*fleet.sources, *fleet.destinations)),
        after=_after(fleet, moves_to(problem, assignment)),
        options={**to_data(options), "parts": parts},
    )


def _solved(items: list[Item], bins: list[Bin], fittings: list[list[Fitting]]) -> tuple[Problem, dict[int, int]]:
    """The assignment, and the problem that it solves: a guest that some host takes live is stopped only if that has no room left."""
    problem = Problem(items, bins, [live_alone(row) for row in fittings])
    assignment = solve_together(problem)
    second = {item for item, row in enumerate(fittings) if item not in assignment and problem.fittings[item] != row}
    if not second:
        return problem, assignment
    rows = [row if item in second else problem.fittings[item] for item, row in enumerate(fittings)]
    problem = Problem(items, bins, rows)
    return problem, solve_together(problem)


def _fitting(matcher: Matcher, item: Item, bin_: Bin, options: PlanOptions, homes: frozenset[str]) -> Fitting:
    """How ``item`` fits on ``bin_``; a domain with a home fits nowhere else, and so does one that the policies tie to hosts, or to
    domains that run on one of the destinations (``homes`` are the affinity groups of those)."""
    fitting = matcher.fitting(item, bin_)
    reasons = []
    home = options.homes.get(item.domain.uuid, bin_.name)
    if home != bin_.name:
        reasons.append(f"Its home is {home}.")
    terms = options.terms_of(item.domain)
    if terms.pinned and bin_.name not in terms.pinned:
        reasons.append(f"It may only go to {' or '.join(terms.pinned)}, by {terms.by} of the policies.")
    reasons += [
        f"A member of its affinity group ({group}) runs on another host."
        for group in terms.affinity
        if group in homes and group not in bin_.homes
    ]
    return dataclasses.replace(fitting, reasons=(*reasons, *fitting.reasons)) if reasons else fitting


def _who_moves(fleet: Fleet, facts: t.Sequence[HostFacts], options: PlanOptions) -> tuple[list[Item], list[Staying]]:
    runs_on = {domain.uuid: one.name for one in facts for domain in one.domains if domain.active}
    items, staying = [], []
    for one in fleet.sources:
        for domain in sorted(one.domains, key=lambda domain: (domain.name, domain.uuid)):
            code, reason = why_stay(domain, options)
            if not code and domain.shut_off and domain.uuid in runs_on:
                code = "RUNS_ELSEWHERE"
                old = "unit, which can be removed" if domain.kind == PROCESS else "definition, which can be undefined"
                reason = f"It runs on {runs_on[domain.uuid]}; what is here is an old {old}."
            if code:
                staying.append(Staying(domain.name, domain.uuid, one.name, code, reason, domain.kind))
            else:
                together = options.terms_of(domain).affinity
                items.append(
                    Item(domain, one, groups_of(domain, options), options.stoppable(domain), together=together)
                )
    return items, staying


def _leave_at_all(items: list[Item], matcher: Matcher, fleet: Fleet) -> tuple[list[Item], list[Blocked]]:
    """Items that can leave their host, and those that cannot."""
    homes: dict[tuple[str, bool], list[str]] = {}
    for one in fleet.sources:
        for domain in one.domains:
            homes.setdefault((domain.uuid, domain.active), []).append(one.name)
    movable, blocked = [], []
    for item in items:
        released, reasons = matcher.released(item)
        copies = sorted(homes[(item.domain.uuid, item.domain.active)])
        if len(copies) > 1 and item.domain.active:
            reasons = [*reasons, f"It runs on {' and '.join(copies)} at once: stop the wrong copy first."]
        elif len(copies) > 1:
            reasons = [*reasons, f"It is defined on {' and '.join(copies)}: undefine the wrong copy first."]
        if reasons:
            blocked.append(_blocked(item, {ANY_HOST: tuple(reasons)}))
        else:
            movable.append(released)
    return movable, blocked


def _warn_of_starts(problem: Problem, state: State) -> None:
    """Add a warning to what is shut off and could not be started where it goes, once all that runs is there."""
    for item, where in state.bin_of.items():
        fitting = problem.fittings[item][where]
        short = [
            shortage(resource, amount, state.free[where][resource])
            for resource, amount in fitting.dormant.items()
            if amount > state.free[where][resource]
        ]
        if short:
            warning = f"As things are it cannot be started there: {' '.join(short)}"
            problem.fittings[item][where] = dataclasses.replace(fitting, warnings=(*fitting.warnings, warning))


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
        if not found:
            others = ", ".join(f"'{name}'" for name in partners(problem, index))
            found.append(f"It does not fit there together with {others}, as its affinity group asks.")
        reasons[bin_.name] = tuple(found)
    return _blocked(item, reasons)


def _blocked(item: Item, reasons: dict[str, tuple[str, ...]]) -> Blocked:
    return Blocked(item.domain.name, item.domain.uuid, item.source.name, reasons, item.domain.kind)


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
