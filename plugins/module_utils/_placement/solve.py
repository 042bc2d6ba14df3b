# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Which item goes to which bin: Problem in, assignment out. Another placement can take its place behind ``solve``.

Evacuations have few items and fixed free capacity, so the question is "does it all fit, and is it balanced after". Worst
fit with the hardest item first answers most of them well at once. What it leaves over, other orders and rules may place,
and ejection chains after them: an unplaced item pushes others out of a bin, which then look for a new one.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._placement.problem import MEMORY, VCPUS, Problem, Resource

#: An item's index -> its bin's index.
Assignment = dict[int, int]
#: A rule rates a bin for an item; the lowest rate wins, the bin's index breaks ties.
Rule = t.Callable[["State", int, int], float]

#: What copying disks and other drawbacks cost in terms of load, when another host would do without.
_DRAWBACK = 0.2
#: How many bins are looked at, by the heuristics after the first and by the ejection chains, before they give up: this
#: bounds the time, and is the same on every machine.
_EFFORT = 40000
#: Steps of the ejection chains for each item, so that a small problem without an answer is given up soon.
_STEPS_PER_ITEM = 50


class State:
    """A growing assignment and what it leaves free."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.free: list[dict[Resource, float]] = [dict(bin_.free) for bin_ in problem.bins]
        self.used: list[dict[Resource, float]] = [dict(bin_.used) for bin_ in problem.bins]
        self.groups: list[dict[str, int]] = [{} for _bin in problem.bins]
        self.bin_of: Assignment = {}
        self.items_in: list[set[int]] = [set() for _bin in problem.bins]

    def fits(self, item: int, where: int) -> bool:
        """Whether ``item`` fits into what is left of the bin (it must be a candidate)."""
        free, held = self.free[where], self.groups[where]
        if any(group in held for group in self.problem.items[item].groups):
            return False
        demand = self.problem.fittings[item][where].demand
        return all(amount <= free[resource] for resource, amount in demand.items())

    def put(self, item: int, where: int) -> None:
        """Place ``item``."""
        self._change(item, where, 1)
        self.bin_of[item] = where
        self.items_in[where].add(item)

    def take(self, item: int) -> None:
        """Undo put()."""
        where = self.bin_of.pop(item)
        self.items_in[where].discard(item)
        self._change(item, where, -1)

    def _change(self, item: int, where: int, sign: int) -> None:
        free, used, held = self.free[where], self.used[where], self.groups[where]
        fitting = self.problem.fittings[item][where]
        for resource, amount in fitting.demand.items():
            free[resource] -= sign * amount
        for resource, amount in (*fitting.demand.items(), *fitting.dormant.items()):
            if resource in used:
                used[resource] += sign * amount
        for group in self.problem.items[item].groups:
            held[group] = held.get(group, 0) + sign
            if not held[group]:
                del held[group]

    def load(self, where: int, item: int | None = None) -> float:
        """How full the bin is (its fullest of memory and vCPUs), with ``item`` on top. Rests on lasting facts alone."""
        size, used = self.problem.bins[where].size, self.used[where]
        fitting = self.problem.fittings[item][where] if item is not None else None
        demand = {**fitting.demand, **fitting.dormant} if fitting else {}
        return max((used[key] + demand.get(key, 0)) / size[key] for key in (MEMORY, VCPUS))


def solve(problem: Problem) -> Assignment:
    """The best assignment found: most items placed first, then the best balance. Same problem, same answer."""
    candidates = [problem.candidates(item) for item in range(len(problem.items))]
    placeable = sum(1 for bins in candidates if bins)
    effort = sum(len(bins) for bins in candidates)
    best: State | None = None
    tried = 0
    for order in (_hardest_first, _largest_first, _as_they_come):
        for rule in (_worst_fit, _best_fit, _dot_product, _first_fit):
            if best is not None and tried * effort > _EFFORT:
                break
            state = _greedy(problem, candidates, order(problem, candidates), rule)
            tried += 1
            if best is None or _score(state) > _score(best):
                best = state
            if len(best.bin_of) == placeable:
                return best.bin_of
    return _chains(best, candidates, placeable).bin_of if best is not None else {}


def _score(state: State) -> tuple[int, float]:
    return len(state.bin_of), -sum(state.load(where) ** 2 for where in set(state.bin_of.values()))


def _greedy(problem: Problem, candidates: list[list[int]], order: list[int], rule: Rule) -> State:
    state = State(problem)
    for item in order:
        fitting = [where for where in candidates[item] if state.fits(item, where)]
        if fitting:
            state.put(item, min(fitting, key=lambda where: (rule(state, item, where), where)))
    return state


def _hardest_first(problem: Problem, candidates: list[list[int]]) -> list[int]:
    """Fewest choices first; among equals the largest."""
    size = _sizes(problem, candidates)
    return sorted(range(len(problem.items)), key=lambda item: (len(candidates[item]), -size[item], item))


def _largest_first(problem: Problem, candidates: list[list[int]]) -> list[int]:
    size = _sizes(problem, candidates)
    return sorted(range(len(problem.items)), key=lambda item: (-size[item], item))


def _as_they_come(problem: Problem, candidates: list[list[int]]) -> list[int]:
    """Unsorted: sorting by size loses the complement of disk-heavy and memory-heavy items."""
    return list(range(len(problem.items)))


def _sizes(problem: Problem, candidates: list[list[int]]) -> list[float]:
    """The larger part that each item takes of the memory or vCPUs of its first candidate. Rests on lasting facts alone, as
    load() does: so a second survey, with a little more or less free memory, gives the same plan."""
    return [_lasting_part(problem, item, bins[0]) if bins else 0.0 for item, bins in enumerate(candidates)]


def _lasting_part(problem: Problem, item: int, where: int) -> float:
    size, demand = problem.bins[where].size, problem.fittings[item][where].demand
    return max(demand.get(key, 0) / size[key] for key in (MEMORY, VCPUS))


def _part(problem: Problem, item: int, where: int) -> float:
    """The largest part that the item takes of anything the bin has free now."""
    free = problem.bins[where].free
    parts = (amount / free[key] for key, amount in problem.fittings[item][where].demand.items() if amount)
    return max(parts, default=0.0)


def _worst_fit(state: State, item: int, where: int) -> float:
    """The emptiest bin, unless a slightly fuller one spares copying disks or has no warning."""
    fitting = state.problem.fittings[item][where]
    drawbacks = bool(fitting.copy_bytes) + bool(fitting.warnings) + fitting.stops
    return round(state.load(where, item) + _DRAWBACK * drawbacks, 9)


def _best_fit(state: State, item: int, where: int) -> float:
    """The bin that is left with the least."""
    return _left(state, item, where)


def _dot_product(state: State, item: int, where: int) -> float:
    """The bin whose free capacity has the shape of the item."""
    free, total = state.free[where], state.problem.bins[where].free
    demand = state.problem.fittings[item][where].demand
    return -sum(
        (amount / total[key]) * (free[key] / total[key])
        for key, amount in demand.items()
        if 0 < total[key] < float("inf")
    )


def _first_fit(state: State, item: int, where: int) -> float:
    return 0.0


def _left(state: State, item: int, where: int) -> float:
    free, total = state.free[where], state.problem.bins[where].free
    demand = state.problem.fittings[item][where].demand
    return sum((free[key] - amount) / total[key] for key, amount in demand.items() if 0 < total[key] < float("inf"))


def _chains(state: State, candidates: list[list[int]], placeable: int) -> State:
    """Ejection chains from ``state``; the best state seen. Items that were pushed out often are pushed out less."""
    problem = state.problem
    waiting = [item for item in range(len(problem.items)) if candidates[item] and item not in state.bin_of]
    pushed = [0] * len(problem.items)
    best = dict(state.bin_of)
    effort, steps = 0, _STEPS_PER_ITEM * len(problem.items)
    while waiting and effort < _EFFORT and steps > 0:
        steps -= 1
        waiting.sort(key=lambda item: (len(candidates[item]), -_part(problem, item, candidates[item][0]), item))
        item = waiting.pop(0)
        effort += len(candidates[item])
        fitting = [where for where in candidates[item] if state.fits(item, where)]
        if fitting:
            state.put(item, min(fitting, key=lambda where: (_left(state, item, where), where)))
        else:
            waiting += _push_in(state, item, candidates[item], pushed)
        if len(state.bin_of) > len(best):
            best = dict(state.bin_of)
        if len(best) == placeable:
            break
    return _rebuilt(problem, best)


def _push_in(state: State, item: int, candidates: list[int], pushed: list[int]) -> list[int]:
    """Put ``item`` where that costs the least, and return those that had to leave."""
    cheapest: tuple[float, int, list[int]] | None = None
    for where in candidates:
        leaving = _who_leaves(state, item, where, pushed)
        if leaving is not None:
            cost = sum(1.0 + pushed[other] + _part(state.problem, other, where) for other in leaving)
            if cheapest is None or (cost, where) < cheapest[:2]:
                cheapest = (cost, where, leaving)
    pushed[item] += 1
    if cheapest is None:
        return []
    for other in cheapest[2]:
        state.take(other)
    state.put(item, cheapest[1])
    return cheapest[2]


def _who_leaves(state: State, item: int, where: int, pushed: list[int]) -> list[int] | None:
    """Items that have to leave the bin for ``item``: group members first, then the seldom pushed and small. None: in vain."""
    inside = state.items_in[where]
    groups = set(state.problem.items[item].groups)
    leaving = [other for other in sorted(inside) if groups & set(state.problem.items[other].groups)]
    rest = sorted(inside - set(leaving), key=lambda other: (pushed[other], _part(state.problem, other, where), other))
    for other in leaving:
        state.take(other)
    while not state.fits(item, where) and rest:
        other = rest.pop(0)
        state.take(other)
        leaving.append(other)
    fits = state.fits(item, where)
    if fits:
        for other in list(leaving):
            state.put(other, where)
            if state.fits(item, where):
                leaving.remove(other)
            else:
                state.take(other)
    for other in leaving:
        state.put(other, where)
    return leaving if fits else None


def _rebuilt(problem: Problem, assignment: Assignment) -> State:
    state = State(problem)
    for item, where in assignment.items():
        state.put(item, where)
    return state
