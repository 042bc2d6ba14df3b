# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Which item fits on which bin, and by which method: what can be said without knowing where the other items go."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import ACCEPT
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PROCESS, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, WARNING, Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.fit import (
    KIND,
    THERE,
    fit_identity,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import (
    OFFLINE,
    STOPPED_METHODS,
    Choice,
    choose_method,
    folder_of,
    may_not_stop,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.namesake import (
    Namesake,
    same_name_findings,
    same_uuid_findings,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.pair import (
    Fit,
    Pair,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.reach import (
    TO_DESTINATION,
    TO_SOURCE,
    probes_of,
    reach_findings,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import (
    Need,
    hugepages_free,
    memory_needed,
    needs_of,
    store_of,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.stopping import as_stopped, resumes
from ansible_collections.virtops.kvm.plugins.module_utils._model.ties import ANYWHERE
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions
from ansible_collections.virtops.kvm.plugins.module_utils._placement.policy import MAY_STOP_HINT, how_to_stop
from ansible_collections.virtops.kvm.plugins.module_utils._placement.problem import (
    MEMORY,
    VCPUS,
    Bin,
    Fitting,
    Item,
    Resource,
    shortage,
)

#: Predicates whose answer is the same for hosts that are equal in all of KIND.
_BY_KIND: tuple[Fit, ...] = tuple(fit for fit in THERE if fit is not fit_identity)
Sentences = tuple[list[str], list[str]]
#: Where the image of a disk lies on the destination: from its target and its path on the source.
Place = t.Callable[[str, str], str]


class Matcher:
    """Answers how items fit on bins; keeps what it would otherwise work out again for every pair."""

    def __init__(self, options: PlanOptions, place: Place = lambda target, path: path) -> None:
        self._options = options
        self._place = place
        self._namesakes: dict[str, tuple[dict[str, Domain], dict[str, Domain]]] = {}
        self._kinds: dict[str, str] = {}
        self._storage: dict[str, dict[str, str | None]] = {}
        self._folders: dict[tuple[str, str], tuple[str, ...]] = {}
        self._choices: dict[tuple[tuple[str, str], str, tuple[str | None, ...]], Choice] = {}
        self._tied: dict[tuple[tuple[str, str], str], Sentences] = {}
        self._by_kind: dict[tuple[tuple[str, str], str, str], Sentences] = {}
        self._needs: dict[tuple[tuple[str, str], tuple[str, ...]], tuple[Need, ...]] = {}

    def released(self, item: Item) -> tuple[Item, list[str]]:
        """The item with what ties it to its host live, and the sentences that keep it from leaving at all."""
        if not item.domain.active:
            return item, self._anywhere(item, OFFLINE)[0]
        asked = self._options.method_of(item.domain)
        if asked in STOPPED_METHODS:
            return item, self._anywhere(item, asked)[0]
        live = self._anywhere(item, "auto")[0]
        left = self._anywhere(item, OFFLINE)[0] if live else []
        if item.may_stop:
            return dataclasses.replace(item, tied=tuple(live)), left
        return item, [*live, MAY_STOP_HINT] if live and not left else live

    def fitting(self, item: Item, bin_: Bin) -> Fitting:
        """How ``item`` fits on ``bin_``: live where that can be, else stopped where that helps and is permitted."""
        if not item.domain.active:
            return self._tried(item, bin_, OFFLINE)
        asked = self._options.method_of(item.domain)
        if asked in STOPPED_METHODS:
            return self._stopped_as_asked(item, bin_, asked)
        live = self._tried(item, bin_, asked)
        obstacles = (*item.tied, *live.reasons)
        if not obstacles:
            return live
        offline = self._tried(item, bin_, OFFLINE)
        if offline.reasons:
            # What stopping does not cure is the better answer for one that may be stopped.
            return offline if item.may_stop else live
        if not item.may_stop:
            return dataclasses.replace(live, reasons=(*live.reasons, MAY_STOP_HINT))
        stop = how_to_stop(item.domain, obstacles[0], offline.copy_bytes, self._options)
        fitting = offline if stop.method == OFFLINE else self._tried(item, bin_, stop.method)
        choice = dataclasses.replace(fitting.choice, reason=stop.reason)
        return dataclasses.replace(fitting, choice=choice, warnings=(*stop.warnings, *fitting.warnings), stops=True)

    def _stopped_as_asked(self, item: Item, bin_: Bin, asked: str) -> Fitting:
        """The user asks for a stopped method, and still has to permit the stop."""
        fitting = dataclasses.replace(self._tried(item, bin_, asked), stops=True)
        if item.may_stop:
            return fitting
        pair = self._pair(item, bin_)
        refusal = may_not_stop(pair.move, item.domain, asked)
        reasons = (*fitting.reasons, f"{_short(pair, refusal.message)} {refusal.remedy}")
        return dataclasses.replace(fitting, reasons=reasons)

    def _tried(self, item: Item, bin_: Bin, asked: str) -> Fitting:
        """How ``item`` fits on ``bin_`` by the method ``asked``."""
        pair = self._pair(item, bin_)
        choice = self._choice(item, bin_, asked)
        found = [*fit_identity(pair), *self._namesake_findings(pair, bin_), *_reach(pair)]
        if choice.finding is not None:
            found.append(choice.finding)
        fitting = self._demand(item, bin_, choice)
        alike_reasons, alike_warnings = self._alike(item, bin_, pair, choice.method)
        reasons = [*self._sentences(pair, found, BLOCKER, choice.method), *alike_reasons, *fitting.reasons]
        reasons += [
            f"A member of its anti-affinity group ({group}) runs there." for group in item.groups if group in bin_.taken
        ]
        warnings = [
            *self._sentences(pair, found, WARNING, choice.method),
            *alike_warnings,
            *_devices(item.domain, choice),
            *fitting.warnings,
            *self._anywhere(item, choice.method)[1],
        ]
        return dataclasses.replace(fitting, reasons=tuple(reasons), warnings=tuple(warnings))

    def _pair(self, item: Item, bin_: Bin) -> Pair:
        options = self._options
        ends = (item.source.host, bin_.facts.host, item.source.name, bin_.name)
        return Pair(item.domain, *ends, options.networks, options.bridges)

    def _anywhere(self, item: Item, method: str) -> Sentences:
        """What keeps the domain from leaving for any host at all, and what to know of it wherever it goes."""
        key = (item.key, method if method in STOPPED_METHODS else "")
        if key not in self._tied:
            source = item.source
            pair = Pair(item.domain, source.host, source.host, source.name, source.name)
            self._tied[key] = self._judge(pair, ANYWHERE, method)
        return self._tied[key]

    def _choice(self, item: Item, bin_: Bin, asked: str) -> Choice:
        """The method, worked out once for all hosts that have the same storage where the item's disks are."""
        if bin_.name not in self._storage:
            self._storage[bin_.name] = {
                (pool.path or "").rstrip("/"): pool.filesystem
                for pool in reversed(bin_.facts.host.pools)
                if pool.active
            }
        if item.key not in self._folders:
            sources = {disk.source for disk in item.domain.disks if disk.source}
            self._folders[item.key] = tuple(sorted({folder_of(source).rstrip("/") for source in sources}))
        storage = self._storage[bin_.name]
        key = (item.key, asked, tuple(storage.get(folder) for folder in self._folders[item.key]))
        if key not in self._choices:
            self._choices[key] = choose_method(item.domain, bin_.facts.host, asked)
        return self._choices[key]

    def _alike(self, item: Item, bin_: Bin, pair: Pair, method: str) -> Sentences:
        """What hosts with the same hardware, software and networks have in common: worked out once for all of them."""
        if bin_.name not in self._kinds:
            self._kinds[bin_.name] = repr([getattr(bin_.facts.host, name) for name in KIND])
        key = (item.key, self._kinds[bin_.name], method if method in STOPPED_METHODS else "")
        if key not in self._by_kind:
            self._by_kind[key] = self._judge(pair, _BY_KIND, method)
        return self._by_kind[key]

    def _judge(self, pair: Pair, fits: t.Sequence[Fit], method: str) -> Sentences:
        found = [finding for fit in fits for finding in fit(pair)]
        return self._sentences(pair, found, BLOCKER, method), self._sentences(pair, found, WARNING, method)

    def _sentences(self, pair: Pair, findings: t.Iterable[Finding], severity: str, method: str) -> list[str]:
        """The messages of one severity, without the beginning that names domain and hosts."""
        sentences = []
        for finding in findings:
            left = as_stopped(pair, method, finding) if method in STOPPED_METHODS else finding
            if left is None:
                continue
            accepted = left.override == ACCEPT and left.code in self._options.accept
            if (WARNING if accepted else left.severity) == severity:
                sentences.append(_short(pair, left.message))
        return sentences

    def _namesake_findings(self, pair: Pair, bin_: Bin) -> list[Finding]:
        if bin_.name not in self._namesakes:
            domains = bin_.facts.domains
            self._namesakes[bin_.name] = ({one.uuid: one for one in domains}, {one.name: one for one in domains})
        by_uuid, by_name = self._namesakes[bin_.name]
        found: list[Finding] = []
        for other, judge in (
            (by_uuid.get(pair.domain.uuid), same_uuid_findings),
            (by_name.get(pair.domain.name), same_name_findings),
        ):
            if other is not None:
                found += judge(pair, Namesake(other.name, other.uuid, other.state))
        return found

    def _demand(self, item: Item, bin_: Bin, choice: Choice) -> Fitting:
        """What the item takes on this bin, and which of it the bin does not even have when nothing else goes there."""
        running = _running_demand(item.domain, bin_)
        demand: dict[Resource, float] = {}
        reasons, warnings = [], []
        copy_bytes = 0
        key = (item.key, choice.copied)
        if key not in self._needs:
            paths = {disk.target: self._place(disk.target, disk.source) for disk in item.domain.disks if disk.source}
            self._needs[key] = needs_of(item.domain, choice.copied, paths)
        for need in self._needs[key]:
            pool = bin_.facts.host.pool_at(need.folder)
            copy_bytes += need.allocated
            if pool is not None:
                store = ("disk", store_of(pool))
                demand[store] = demand.get(store, 0) + need.allocated
            elif choice.method in STOPPED_METHODS or item.domain.kind == PROCESS:
                warnings.append(f"How much space {need.folder} has there is not known: it is no active storage pool.")
            elif "POOL_MISSING" not in self._options.accept:
                reasons.append(f"It has no active storage pool at {need.folder} for disk {need.target}.")
        dormant = not item.domain.active and not resumes(item.domain, choice.method)
        demand.update({} if dormant else running)
        reasons += [
            shortage(resource, amount, bin_.free[resource])
            for resource, amount in demand.items()
            if amount > bin_.free[resource]
        ]
        return Fitting(
            choice, demand, running if dormant else {}, copy_bytes, tuple(reasons), tuple(dict.fromkeys(warnings))
        )


def _running_demand(domain: Domain, bin_: Bin) -> dict[Resource, float]:
    """What the domain takes of the host while it runs."""
    demand: dict[Resource, float] = {VCPUS: domain.vcpus}
    if domain.hugepages:
        size = domain.hugepage_kib or bin_.facts.host.hugepage_default_kib
        demand[("hugepages", str(size))] = memory_needed(domain)
        bin_.free.setdefault(("hugepages", str(size)), hugepages_free(bin_.facts.host, domain.hugepage_kib))
    else:
        demand[MEMORY] = memory_needed(domain)
    return demand


def _devices(domain: Domain, choice: Choice) -> list[str]:
    """Block devices are not made by a move, and what a host has of them is not in its facts."""
    size = "at least its size" if choice.method in STOPPED_METHODS else "exactly its size"
    return [
        f"Disk {disk.target} needs a block device {disk.source} of {size} there."
        for disk in domain.disks
        if disk.target in choice.copied and disk.type == "block"
    ]


def _short(pair: Pair, message: str) -> str:
    for prefix in (f"{pair.move}: ", f"{pair.about}: "):
        if message.startswith(prefix):
            rest = message[len(prefix) :]
            return rest[:1].upper() + rest[1:]
    return message


def _reach(pair: Pair) -> t.Iterator[Finding]:
    """What the surveys of both hosts say about the ways between them."""
    source, destination = pair.source, pair.destination
    if source.reachability or destination.reachability:
        there = probes_of(source.reachability, _known_as(pair.destination_name, destination), TO_DESTINATION)
        back = probes_of(destination.reachability, _known_as(pair.source_name, source), TO_SOURCE)
        yield from reach_findings(pair, (*there, *back))


def _known_as(name: str, host: Host) -> tuple[str, ...]:
    return (name, host.endpoint.address) if host.endpoint.address else (name,)
