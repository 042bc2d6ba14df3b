# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Moves of the domains that a user lists, to one destination: who is meant, and the planner's answer for them. Pure."""

from __future__ import annotations

import dataclasses
import difflib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PROCESS, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import OFFLINE, SEEDED, STOPPED_METHODS
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import (
    Blocked,
    HostFacts,
    Plan,
    PlannedMove,
    Staying,
)
from ansible_collections.virtops.kvm.plugins.module_utils._placement.matcher import Place
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions
from ansible_collections.virtops.kvm.plugins.module_utils._placement.planner import ANY_HOST, plan
from ansible_collections.virtops.kvm.plugins.module_utils._placement.terms import Terms

#: The method of a run, or of a rule, that leaves it open.
_AUTO = "auto"
#: Kinds of a mapping that name what a domain has: its disks by target, its networks and bridges.
_NAMING = ("disks", "networks", "bridges")
#: Kinds that only domains have, and those that only guest processes have, whose bridges are not in their facts.
_OF_DOMAINS = ("networks", "pools", "graphics_listen", "nvram")
_OF_PROCESSES = ("taps", "ports", "addresses")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """UUIDs of the domains that shall move, and those that are listed and need not."""

    uuids: tuple[str, ...]
    staying: tuple[Staying, ...] = ()


def find(names: t.Sequence[str], selected: t.Collection[str], facts: t.Sequence[HostFacts], destination: str) -> Wanted:
    """The domains that ``names`` (names or UUIDs) and ``selected`` (UUIDs) mean. Raises KvmError DOMAIN_NOT_FOUND."""
    sources = [one for one in facts if one.name != destination]
    there = [domain for one in facts if one.name == destination for domain in one.domains]
    uuids, staying = set(selected), {}
    for name in names:
        here = {domain.uuid for one in sources for domain in one.domains if name in (domain.name, domain.uuid)}
        arrived = [domain for domain in there if name in (domain.name, domain.uuid)]
        if not here and not arrived:
            raise _not_found(name, sources)
        uuids |= here
        for domain in arrived:
            if domain.uuid not in here:
                staying[domain.uuid] = _already(domain, destination)
    for domain in there:
        if domain.uuid in uuids and domain.active:
            # Where it runs is where it is; a definition that a source still has of it is an old one.
            uuids.discard(domain.uuid)
            staying[domain.uuid] = _already(domain, destination)
    return Wanted(tuple(sorted(uuids)), tuple(sorted(staying.values(), key=lambda one: one.domain)))


def _already(domain: Domain, destination: str) -> Staying:
    return Staying(
        domain.name,
        domain.uuid,
        destination,
        "ALREADY_THERE",
        f"It is {domain.state} on {destination} already.",
        domain.kind,
    )


def _not_found(name: str, sources: t.Sequence[HostFacts]) -> KvmError:
    known = sorted({domain.name for one in sources for domain in one.domains})
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(repr(other) for other in near)}?" if near else "look at the list of them."
    hosts = ", ".join(one.name for one in sources)
    return KvmError(
        "DOMAIN_NOT_FOUND",
        f"There is no domain and no guest process '{name}' on {hosts}; {hint}",
        domain=name,
        close_matches=near,
    )


def plan_listed(
    facts: t.Sequence[HostFacts],
    wanted: Wanted,
    options: PlanOptions,
    mapping: t.Mapping[str, t.Any],
    place: Place | None = None,
) -> Plan:
    """The plan for ``wanted``; each move carries what of the user's ``mapping`` concerns it."""
    moving = [
        domain for one in facts if one.name in options.sources for domain in one.domains if domain.uuid in wanted.uuids
    ]
    _check_mapping(mapping, moving)
    refused = _against_policies(facts, wanted, options)
    uuids = tuple(uuid for uuid in wanted.uuids if uuid not in {one.uuid for one in refused})
    options = dataclasses.replace(options, selected=uuids, terms=_of_this_run(options))
    planned = plan(facts, options, place)
    domains = {domain.uuid: domain for domain in moving}
    staying = [*wanted.staying, *(one for one in planned.staying if one.uuid in uuids)]
    return dataclasses.replace(
        planned,
        moves=tuple(_mapped(move, mapping, domains[move.uuid]) for move in planned.moves),
        blocked=tuple(sorted((*planned.blocked, *refused), key=lambda one: (one.domain, one.source))),
        staying=tuple(sorted(staying, key=lambda one: (one.domain, one.source))),
    )


def _of_this_run(options: PlanOptions) -> dict[str, Terms]:
    """The policies' terms, bound by what the run itself permits: a rule may forbid a stop, and name a method that the run leaves open."""
    return {
        uuid: dataclasses.replace(
            terms,
            may_stop=False if terms.may_stop is False else None,
            method=_method(options.method, terms.method) or "",
        )
        for uuid, terms in options.terms.items()
    }


def _method(asked: str, said: str) -> str | None:
    """The method by which a domain moves of which the policies say ``said``; None where they contradict what the run asks for."""
    if said in ("", _AUTO, asked):
        return asked
    return said if asked == _AUTO or (asked, said) == (OFFLINE, SEEDED) else None


def _against_policies(facts: t.Sequence[HostFacts], wanted: Wanted, options: PlanOptions) -> list[Blocked]:
    """The running domains that are to move in a way which the policies' method excludes."""
    found = []
    for one in facts:
        for domain in one.domains if one.name in options.sources else ():
            terms = options.terms_of(domain)
            if domain.uuid not in wanted.uuids or not domain.active or terms.skip:
                continue
            asks = f"{terms.by} of the policies asks for {terms.method}"
            if _method(options.method, terms.method) is None:
                why = f"This run moves by {options.method}, and {asks}: move it by that method, or change the rule."
            elif terms.method in STOPPED_METHODS and domain.uuid not in options.may_stop:
                why = f"{asks[:1].upper()}{asks[1:]}, which stops it, and this run may not stop it."
            else:
                continue
            found.append(Blocked(domain.name, domain.uuid, one.name, {ANY_HOST: (why,)}, domain.kind))
    return found


def _mapped(move: PlannedMove, mapping: t.Mapping[str, t.Any], domain: Domain) -> PlannedMove:
    """A move refuses a mapping that names what its domain does not have; for several domains each gets its own part."""
    own, foreign = _names(domain), _OF_DOMAINS if domain.kind == PROCESS else _OF_PROCESSES
    part = {
        key: {name: new for name, new in value.items() if name in own[key]} if key in own else value
        for key, value in mapping.items()
        if key not in foreign
    }
    return dataclasses.replace(move, mapping={key: value for key, value in part.items() if value})


def _names(domain: Domain) -> dict[str, set[str]]:
    if domain.kind == PROCESS:
        return {"disks": {disk.target for disk in domain.disks}}
    return {
        "disks": {disk.target for disk in domain.disks},
        "networks": {nic.source for nic in domain.nics if nic.type == "network" and nic.source},
        "bridges": {nic.source for nic in domain.nics if nic.type == "bridge" and nic.source},
    }


def _check_mapping(mapping: t.Mapping[str, t.Any], domains: t.Sequence[Domain]) -> None:
    """Raises InputError for what would be in vain, or would give one path to two domains."""
    for key in _OF_PROCESSES:
        if mapping.get(key) and domains and not any(domain.kind == PROCESS for domain in domains):
            raise InputError("mapping", f"The mapping's '{key}' concerns none of the domains that move.", key=key)
    for key in _NAMING:
        for name in mapping.get(key) or {}:
            if key == "bridges" and any(domain.kind == PROCESS for domain in domains):
                continue
            having = [domain.name for domain in domains if name in _names(domain).get(key, ())]
            if domains and not having:
                raise InputError(
                    "mapping", f"The mapping of '{name}' in '{key}' concerns none of the domains that move.", key=key
                )
            if key == "disks" and len(having) > 1:
                raise InputError(
                    "mapping",
                    f"The mapping gives one path to disk {name} of {' and '.join(having)}; map path prefixes (paths), or move "
                    "them one at a time.",
                    key=key,
                )
