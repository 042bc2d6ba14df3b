# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Domains that go to one host together: a bundle of them is one item to the solver. Pure."""

from __future__ import annotations

import dataclasses

from ansible_collections.virtops.kvm.plugins.module_utils._placement.problem import Fitting, Problem, Resource
from ansible_collections.virtops.kvm.plugins.module_utils._placement.solve import Assignment, solve


def solve_together(problem: Problem) -> Assignment:
    """The best assignment in which the members of each affinity group share a host, or all stay without one."""
    bundles = bundles_of(problem)
    if all(len(members) == 1 for members in bundles):
        return solve(problem)
    items = [
        dataclasses.replace(
            problem.items[members[0]],
            groups=tuple(dict.fromkeys(group for one in members for group in problem.items[one].groups)),
        )
        for members in bundles
    ]
    rows = [
        [_merged([problem.fittings[one][where] for one in members]) for where in range(len(problem.bins))]
        for members in bundles
    ]
    for members, row in zip(bundles, rows):
        rivals = _rivals(problem, members)
        if rivals:
            row[:] = [dataclasses.replace(one, reasons=(*one.reasons, rivals)) for one in row]
    assignment = solve(Problem(items, problem.bins, rows))
    return {one: where for bundle, where in assignment.items() for one in bundles[bundle]}


def bundles_of(problem: Problem) -> list[list[int]]:
    """The items (by index) that go together, in the order of their first members; most are alone."""
    bundle_of = list(range(len(problem.items)))
    first: dict[str, int] = {}
    for index, item in enumerate(problem.items):
        for group in item.together:
            other = first.setdefault(group, index)
            if bundle_of[other] != bundle_of[index]:
                low, high = sorted((bundle_of[other], bundle_of[index]))
                bundle_of = [low if one == high else one for one in bundle_of]
    members: dict[int, list[int]] = {}
    for index, bundle in enumerate(bundle_of):
        members.setdefault(bundle, []).append(index)
    return list(members.values())


def partners(problem: Problem, index: int) -> list[str]:
    """Names of the other domains that have to go where the item at ``index`` goes."""
    bundle = next(members for members in bundles_of(problem) if index in members)
    return [problem.items[one].domain.name for one in bundle if one != index]


def _merged(fittings: list[Fitting]) -> Fitting:
    """All of a bundle on one bin."""
    if len(fittings) == 1:
        return fittings[0]
    return Fitting(
        choice=fittings[0].choice,
        demand=_sum([one.demand for one in fittings]),
        dormant=_sum([one.dormant for one in fittings]),
        copy_bytes=sum(one.copy_bytes for one in fittings),
        reasons=tuple(reason for one in fittings for reason in one.reasons),
        warnings=tuple(warning for one in fittings for warning in one.warnings),
        stops=any(one.stops for one in fittings),
    )


def _sum(parts: list[dict[Resource, float]]) -> dict[Resource, float]:
    total: dict[Resource, float] = {}
    for part in parts:
        for resource, amount in part.items():
            total[resource] = total.get(resource, 0) + amount
    return total


def _rivals(problem: Problem, members: list[int]) -> str:
    """A sentence when two members of a bundle may not share a host either; empty otherwise."""
    seen: dict[str, str] = {}
    for one in members:
        item = problem.items[one]
        for group in item.groups:
            if group in seen:
                return f"'{seen[group]}' and '{item.domain.name}' have to share a host, and may not ({group})."
            seen[group] = item.domain.name
    return ""
