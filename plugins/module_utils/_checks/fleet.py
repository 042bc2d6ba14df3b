# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How ready a fleet is: facts of all its hosts in, matrix, findings, drift and baseline out. Pure, and in order: the same facts give
the same answer to the letter."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_classes import (
    Group,
    classes_of,
    needs_of_class,
    title_of,
)
from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_drift import baseline_of, drift_of
from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_fit import Fitter, Verdict
from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_hosts import (
    check_authorities,
    check_certificates,
    check_clock,
    check_identity,
    check_qemu_user,
    check_tls,
)
from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_ways import Obstacle, Ways, named
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, INFO, WARNING, Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.reach import CONTROL_PORTS
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import (
    ALL,
    ALL_BY_STOP,
    AS_IS,
    BY_STOP,
    NONE,
    NOT,
    OPEN,
    SELF,
    SOME,
    Cell,
    Member,
    Readiness,
    Reason,
    Summary,
    VmClass,
)

_SEVERITIES = {BLOCKER: 0, WARNING: 1, INFO: 2}


@dataclasses.dataclass(frozen=True)
class Options:
    """``unread`` are hosts that should have been read and could not be; ``now`` is the controller's clock."""

    name: str = "fleet"
    unread: tuple[str, ...] = ()
    now: float = 0.0
    tls: bool = False
    warn_days: int = 30
    control_ports: tuple[int, ...] = CONTROL_PORTS
    baseline: dict[str, str] = dataclasses.field(default_factory=dict)


class _Reasons:
    """The reasons seen so far, each once, and for how many pairs of a domain and a host each holds."""

    def __init__(self) -> None:
        self._ids: dict[Obstacle, str] = {}
        self._pairs: dict[Obstacle, int] = {}
        self._where: dict[Obstacle, tuple[dict[str, None], dict[str, None], dict[str, None]]] = {}

    def note(
        self,
        found: t.Iterable[tuple[t.Any, ...]],
        domains: int,
        classes: t.Iterable[str],
        source: str,
        destination: str,
    ) -> tuple[str, ...]:
        """The ids of what was found between two hosts, for so many domains of these classes."""
        ids = []
        for one in found:
            obstacle = Obstacle(*one)
            ids.append(self._ids.setdefault(obstacle, f"r{len(self._ids) + 1}"))
            self._pairs[obstacle] = self._pairs.get(obstacle, 0) + domains
            seen = self._where.setdefault(obstacle, ({}, {}, {}))
            seen[0].update(dict.fromkeys(classes))
            seen[1][source] = None
            seen[2][destination] = None
        return tuple(ids)

    def all(self) -> tuple[Reason, ...]:
        """Those that keep most domains from most hosts first."""
        found = [
            Reason(
                id_,
                one.code,
                one.text,
                one.remedy,
                one.curable,
                self._pairs[one],
                *(tuple(names) for names in self._where[one]),
            )
            for one, id_ in self._ids.items()
        ]
        return tuple(sorted(found, key=lambda reason: (-reason.pairs, reason.code, reason.text)))


def readiness(members: t.Sequence[Member], options: Options) -> Readiness:
    """The whole answer for these hosts."""
    members = sorted(members, key=lambda member: member.name)
    names = tuple(member.name for member in members)
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError("facts", f"facts has more than one entry for {', '.join(twice)}.", hosts=twice)
    groups = classes_of(members)
    ways = Ways(members, options.control_ports, options.tls)
    reasons = _Reasons()
    fitter = Fitter(members)
    takers: dict[tuple[str, str], int] = {}
    matrix = tuple(tuple(_row(source, members, groups, ways, fitter, reasons, takers)) for source in members)
    stuck = _stuck(groups, takers, len(members))
    by_cpu = _kept_by_cpu(groups, reasons)
    drift = drift_of(members)
    findings = _findings(members, options, ways, stuck)
    return Readiness(
        name=options.name,
        hosts=names,
        summary=_summary(members, options, groups, matrix, stuck, len(drift), findings),
        unread=tuple(sorted(options.unread)),
        findings=findings,
        classes=tuple(_class(group, takers) for group in groups),
        reasons=reasons.all(),
        matrix=matrix,
        groups=_alike(members, fitter, matrix),
        stuck=tuple(f"{host}/{name}" for host, name in stuck),
        drift=drift,
        baseline=baseline_of(members, options.baseline, by_cpu),
    )


def _row(
    source: Member,
    members: t.Sequence[Member],
    groups: t.Sequence[Group],
    ways: Ways,
    fitter: Fitter,
    reasons: _Reasons,
    takers: dict[tuple[str, str], int],
) -> t.Iterator[Cell]:
    """How the domains of ``source`` can go to each host."""
    here = [(group, len(group.members[source.name])) for group in groups if source.name in group.members]
    total = sum(count for _group, count in here)
    for destination in members:
        if destination.name == source.name:
            yield Cell(SELF)
            continue
        between = ways.between(source, destination)
        way = reasons.note(between, total, [group.id for group, _count in here], source.name, destination.name)
        yield _cell(here, way, between, source, destination, fitter, reasons, takers)


def _cell(
    here: t.Sequence[tuple[Group, int]],
    way: tuple[str, ...],
    between: t.Sequence[Obstacle],
    source: Member,
    destination: Member,
    fitter: Fitter,
    reasons: _Reasons,
    takers: dict[tuple[str, str], int],
) -> Cell:
    shut = NOT if any(not one.curable for one in between) else BY_STOP if between else AS_IS
    if not here:
        return Cell({NOT: NONE, BY_STOP: ALL_BY_STOP, AS_IS: OPEN}[shut], way=way)
    counts = {AS_IS: 0, BY_STOP: 0, NOT: 0}
    classes: dict[str, tuple[str, ...]] = {}
    for group, count in here:
        verdict = fitter.verdict(group, source, destination)
        how = _worse(verdict, shut, running=group.example.active)
        counts[how] += count
        if how != NOT:
            takers[(group.id, source.name)] = takers.get((group.id, source.name), 0) + 1
        if verdict.obstructions:
            ids = reasons.note(verdict.obstructions, count, [group.id], source.name, destination.name)
            classes[group.id] = (how, *ids)
        elif how != AS_IS:
            classes[group.id] = (how,)
    return Cell(_state(counts), counts[AS_IS], counts[BY_STOP], counts[NOT], way, classes)


def _worse(verdict: Verdict, shut: str, *, running: bool) -> str:
    if NOT in (verdict.how, shut):
        return NOT
    # What does not run needs no stream, so a way that only a stop opens is open to it.
    return BY_STOP if verdict.how == BY_STOP or (shut == BY_STOP and running) else AS_IS


def _state(counts: t.Mapping[str, int]) -> str:
    if not counts[NOT]:
        return ALL_BY_STOP if counts[BY_STOP] else ALL
    return SOME if counts[AS_IS] or counts[BY_STOP] else NONE


def _stuck(groups: t.Sequence[Group], takers: t.Mapping[tuple[str, str], int], hosts: int) -> list[tuple[str, str]]:
    """(host, domain) that no other host takes; nothing is stuck on the only host there is."""
    return sorted(
        (host, domain.name)
        for group in groups
        for host, domains in group.members.items()
        if hosts > 1 and not takers.get((group.id, host))
        for domain in domains
    )


def _kept_by_cpu(groups: t.Sequence[Group], reasons: _Reasons) -> list[str]:
    """``host/name`` of the domains that their CPU keeps from some host."""
    kept = [(one.classes, one.sources) for one in reasons.all() if one.code == "CPU_INCOMPATIBLE"]
    return sorted(
        f"{host}/{domain.name}"
        for group in groups
        for host, domains in group.members.items()
        if any(group.id in classes and host in sources for classes, sources in kept)
        for domain in domains
    )


def _class(group: Group, takers: t.Mapping[tuple[str, str], int]) -> VmClass:
    names = tuple(f"{host}/{domain.name}" for host, domains in group.members.items() for domain in domains)
    return VmClass(
        group.id,
        title_of(group),
        needs_of_class(group),
        group.count,
        {host: len(domains) for host, domains in group.members.items()},
        names,
        min(takers.get((group.id, host), 0) for host in group.members),
    )


def _findings(
    members: t.Sequence[Member], options: Options, ways: Ways, stuck: t.Sequence[tuple[str, str]]
) -> tuple[Finding, ...]:
    found = [
        *check_identity(members),
        *(one for member in members for one in check_certificates(member, options.now, options.warn_days)),
        *check_authorities(members),
        *check_tls(members, options.tls),
        *check_qemu_user(members),
        *ways.findings(),
        *ways.cordons(),
        *(one for member in members for one in check_clock(member)),
    ]
    for name in sorted(options.unread):
        message = f"{name} could not be read, so nothing is known of it."
        found.append(
            blocker(
                "HOST_UNREAD", name, message, "See what the task that reads the hosts says of it, then run this again."
            )
        )
    by_host: dict[str, list[str]] = {}
    for host, domain in stuck:
        by_host.setdefault(host, []).append(domain)
    for host, domains in by_host.items():
        what = (
            f"{len(domains)} domains of {host} ({named(domains)}) have"
            if len(domains) > 1
            else f"{domains[0]} on {host} has"
        )
        message = f"{what} no other host to go to, not even by a stop."
        remedy = "The reasons of the matrix say what keeps them; a host that cannot be emptied cannot be serviced without stopping them."
        found.append(warning("DOMAINS_STUCK", host, message, remedy, domains=domains))
    return tuple(sorted(found, key=lambda one: (_SEVERITIES[one.severity], one.code, one.object, one.message)))


def _summary(
    members: t.Sequence[Member],
    options: Options,
    groups: t.Sequence[Group],
    matrix: t.Sequence[t.Sequence[Cell]],
    stuck: t.Sequence[tuple[str, str]],
    drifts: int,
    findings: t.Sequence[Finding],
) -> Summary:
    cells = [cell for row in matrix for cell in row if cell.state != SELF]
    held = {host for host, _domain in stuck}
    return Summary(
        hosts=len(members),
        unread=len(options.unread),
        domains=sum(group.count for group in groups),
        classes=len(groups),
        pairs=len(cells),
        pairs_open=sum(cell.state in (ALL, OPEN) for cell in cells),
        emptiable=sum(member.name not in held for member in members),
        stuck=len(stuck),
        drifts=drifts,
        errors=sum(one.severity == BLOCKER for one in findings),
        warnings=sum(one.severity == WARNING for one in findings),
    )


def _alike(
    members: t.Sequence[Member], fitter: Fitter, matrix: t.Sequence[t.Sequence[Cell]]
) -> tuple[tuple[str, ...], ...]:
    """Hosts of one kind that all others reach alike, the largest group first. Which domains a host has now does not count."""
    blocked = [[bool(cell.way) for cell in row] for row in matrix]
    groups: dict[tuple[t.Any, ...], list[str]] = {}
    for index, member in enumerate(members):
        there = sum(row[index] for row in blocked)
        key = (fitter.kind(member.name), there, sum(blocked[index]) > len(members) // 2)
        groups.setdefault(key, []).append(member.name)
    return tuple(tuple(names) for names in sorted(groups.values(), key=lambda names: (-len(names), names)))
