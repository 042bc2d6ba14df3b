# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The placement problem: items (domains that have to move), bins (hosts that may take them), and which item fits where.

What can be said without knowing where the other items go is said here; capacity that items compete for is left to ``solve``.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import ACCEPT
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, WARNING, Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.fit import ANYWHERE, THERE, Fit, Pair, fit_identity
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import Choice, choose_method, folder_of
from ansible_collections.virtops.kvm.plugins.module_utils._model.namesake import (
    Namesake,
    same_name_findings,
    same_uuid_findings,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import HostFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.reach import (
    TO_DESTINATION,
    TO_SOURCE,
    probes_of,
    reach_findings,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import (
    Need,
    hugepages_free,
    memory_available,
    memory_needed,
    needs_of,
    store_of,
)
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions

#: A resource that items compete for: its kind, and what of that kind (a huge page size, the storage behind a pool).
Resource = tuple[str, str]
MEMORY: Resource = ("memory", "")
VCPUS: Resource = ("vcpus", "")
#: Predicates whose answer is the same for hosts that are equal in all of _KIND.
_BY_KIND: tuple[Fit, ...] = tuple(fit for fit in THERE if fit is not fit_identity)
_KIND = (
    "arch",
    "virt_types",
    "machines",
    "firmwares",
    "cpu_model",
    "cpu_vendor",
    "cpu_models",
    "networks",
    "bridges",
    "qemu_version",
    "libvirt_version",
)
#: Marks the groups that come from domains of one name.
NAME_GROUP = "name "


@dataclasses.dataclass(frozen=True)
class Item:
    """One domain that has to move. ``groups`` are its anti-affinity groups: no two of a group share a host."""

    domain: Domain
    source: HostFacts
    groups: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What it is ordered by where nothing else decides."""
        return (self.domain.name, self.source.name)


@dataclasses.dataclass(frozen=True)
class Bin:
    """One host that may take items: ``free`` is the hard limit now; ``used`` and ``size`` (memory, vCPUs) are what a second
    survey finds again, so that preferences rest on them alone. ``taken`` are anti-affinity groups with a member there."""

    facts: HostFacts
    free: dict[Resource, float]
    used: dict[Resource, float]
    size: dict[Resource, float]
    taken: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Its inventory name."""
        return self.facts.name


@dataclasses.dataclass(frozen=True)
class Fitting:
    """One item on one bin, as far as the bin is otherwise left as it is: what it takes there, or why it cannot go."""

    choice: Choice
    demand: dict[Resource, float] = dataclasses.field(default_factory=dict)
    copy_bytes: int = 0
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass
class Problem:
    """Items, bins, and the fitting of every item on every bin (by index)."""

    items: list[Item]
    bins: list[Bin]
    fittings: list[list[Fitting]]

    def candidates(self, item: int) -> list[int]:
        """The bins that could take ``item`` if nothing else went there."""
        return [index for index, fitting in enumerate(self.fittings[item]) if not fitting.reasons]


def groups_of(name: str, anti_affinity: t.Sequence[t.Sequence[str]]) -> tuple[str, ...]:
    """The anti-affinity groups of a domain name. One host cannot hold two domains of one name, so that is a group too."""
    return (f"{NAME_GROUP}{name}", *(", ".join(group) for group in anti_affinity if name in group))


def make_bin(facts: HostFacts, options: PlanOptions) -> Bin:
    """What ``facts`` can take."""
    host = facts.host
    active = [domain for domain in facts.domains if domain.active]
    held = max(host.memory_domains, sum(memory_needed(domain) for domain in active if not domain.hugepages))
    vcpus = max(host.vcpus_domains, sum(domain.vcpus for domain in active))
    reserve = options.memory_reserve.of(host)
    host = dataclasses.replace(host, memory_domains=held)
    slots = host.cpus * options.cpu_overcommit if host.cpus else float("inf")
    free: dict[Resource, float] = {MEMORY: memory_available(host, reserve), VCPUS: slots - vcpus}
    for pool in host.pools:
        if pool.active and pool.path:
            store = ("disk", store_of(pool))
            free[store] = min(pool.available, free.get(store, pool.available))
    taken = frozenset(group for domain in active for group in groups_of(domain.name, options.anti_affinity)[1:])
    size: dict[Resource, float] = {MEMORY: max(1, host.memory_total - reserve), VCPUS: max(1.0, slots)}
    return Bin(facts, free, {MEMORY: held, VCPUS: vcpus}, size, taken)


class Matcher:
    """Answers how items fit on bins; keeps what it would otherwise work out again for every pair."""

    def __init__(self, options: PlanOptions) -> None:
        self._options = options
        self._namesakes: dict[str, tuple[dict[str, Domain], dict[str, Domain]]] = {}
        self._kinds: dict[str, str] = {}
        self._storage: dict[str, dict[str, str | None]] = {}
        self._folders: dict[tuple[str, str], tuple[str, ...]] = {}
        self._choices: dict[tuple[tuple[str, str], tuple[str | None, ...]], Choice] = {}
        self._by_kind: dict[tuple[tuple[str, str], str], tuple[list[str], list[str]]] = {}
        self._needs: dict[tuple[tuple[str, str], tuple[str, ...]], tuple[Need, ...]] = {}

    def anywhere(self, item: Item) -> tuple[list[str], list[str]]:
        """What keeps the domain from leaving for any host at all, and what to know of it wherever it goes."""
        return self._judge(_pair(item, item.source), ANYWHERE)

    def fitting(self, item: Item, bin_: Bin) -> Fitting:
        """How ``item`` fits on ``bin_``."""
        pair = _pair(item, bin_.facts)
        choice = self._choice(item, bin_)
        found = [*fit_identity(pair), *self._namesake_findings(pair, bin_), *_reach(pair)]
        if choice.finding is not None:
            found.append(choice.finding)
        demand, short, copy_bytes = self._demand(item, bin_, choice)
        alike_reasons, alike_warnings = self._alike(item, bin_, pair)
        reasons = [*self._sentences(pair, found, BLOCKER), *alike_reasons, *short]
        reasons += [
            f"A member of its anti-affinity group ({group}) runs there." for group in item.groups if group in bin_.taken
        ]
        warnings = [*self._sentences(pair, found, WARNING), *alike_warnings, *_devices(item.domain, choice)]
        return Fitting(choice, demand, copy_bytes, tuple(reasons), tuple(warnings))

    def _choice(self, item: Item, bin_: Bin) -> Choice:
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
        key = (item.key, tuple(storage.get(folder) for folder in self._folders[item.key]))
        if key not in self._choices:
            self._choices[key] = choose_method(item.domain, bin_.facts.host, self._options.method)
        return self._choices[key]

    def _alike(self, item: Item, bin_: Bin, pair: Pair) -> tuple[list[str], list[str]]:
        """What hosts with the same hardware, software and networks have in common: worked out once for all of them."""
        if bin_.name not in self._kinds:
            self._kinds[bin_.name] = repr([getattr(bin_.facts.host, name) for name in _KIND])
        key = (item.key, self._kinds[bin_.name])
        if key not in self._by_kind:
            self._by_kind[key] = self._judge(pair, _BY_KIND)
        return self._by_kind[key]

    def _judge(self, pair: Pair, fits: t.Sequence[Fit]) -> tuple[list[str], list[str]]:
        found = [finding for fit in fits for finding in fit(pair)]
        return self._sentences(pair, found, BLOCKER), self._sentences(pair, found, WARNING)

    def _sentences(self, pair: Pair, findings: t.Iterable[Finding], severity: str) -> list[str]:
        """The messages of one severity, without the beginning that names domain and hosts."""
        sentences = []
        for finding in findings:
            accepted = finding.override == ACCEPT and finding.code in self._options.accept
            if (WARNING if accepted else finding.severity) == severity:
                sentences.append(_short(pair, finding.message))
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

    def _demand(self, item: Item, bin_: Bin, choice: Choice) -> tuple[dict[Resource, float], list[str], int]:
        """What the item takes on this bin, and which of it the bin does not even have when nothing else goes there."""
        domain, host = item.domain, bin_.facts.host
        demand: dict[Resource, float] = {VCPUS: domain.vcpus}
        reasons = []
        if domain.hugepages:
            size = domain.hugepage_kib or host.hugepage_default_kib
            demand[("hugepages", str(size))] = memory_needed(domain)
            bin_.free.setdefault(("hugepages", str(size)), hugepages_free(host, domain.hugepage_kib))
        else:
            demand[MEMORY] = memory_needed(domain)
        copy_bytes = 0
        key = (item.key, choice.copied)
        if key not in self._needs:
            self._needs[key] = needs_of(domain, choice.copied)
        for need in self._needs[key]:
            pool = host.pool_at(need.folder)
            copy_bytes += need.allocated
            if pool is None:
                if "POOL_MISSING" not in self._options.accept:
                    reasons.append(f"It has no active storage pool at {need.folder} for disk {need.target}.")
                continue
            store = ("disk", store_of(pool))
            demand[store] = demand.get(store, 0) + need.allocated
        for resource, amount in demand.items():
            if amount > bin_.free[resource]:
                reasons.append(shortage(resource, amount, bin_.free[resource]))
        return demand, reasons, copy_bytes


def _devices(domain: Domain, choice: Choice) -> list[str]:
    """Block devices are not made by a move, and what a host has of them is not in its facts."""
    return [
        f"Disk {disk.target} needs a block device {disk.source} of exactly its size there."
        for disk in domain.disks
        if disk.target in choice.copied and disk.type == "block"
    ]


def shortage(resource: Resource, amount: float, free: float) -> str:
    """One sentence about a resource that does not suffice."""
    kind, which = resource
    if kind == "vcpus":
        return f"It has {max(0, int(free))} virtual CPUs left within its overcommit, and {int(amount)} are needed."
    of = {"memory": "memory", "hugepages": f"huge pages of {which} KiB", "disk": f"disk space ({which})"}[kind]
    return f"It has {format_bytes(max(0, free))} of {of} left, and {format_bytes(amount)} are needed."


def _pair(item: Item, destination: HostFacts) -> Pair:
    return Pair(item.domain, item.source.host, destination.host, item.source.name, destination.name)


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
