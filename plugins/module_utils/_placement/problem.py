# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The placement problem: items (domains that have to move) and bins (hosts that may take them).

Which item fits where is said in ``matcher``; capacity that items compete for is left to ``solve``.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import format_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PROCESS, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import Choice
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import HostFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import memory_available, memory_needed, store_of
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions

#: A resource that items compete for: its kind, and what of that kind (a huge page size, the storage behind a pool).
Resource = tuple[str, str]
MEMORY: Resource = ("memory", "")
VCPUS: Resource = ("vcpus", "")
#: Marks the groups that come from domains of one name.
NAME_GROUP = "name "


@dataclasses.dataclass(frozen=True)
class Item:
    """One domain that has to move. ``groups`` are its anti-affinity groups: no two of a group share a host. ``may_stop`` tells
    that it may be stopped where no live method works; ``tied`` is what keeps it from leaving live for any host at all. The members
    of a group in ``together`` share a host."""

    domain: Domain
    source: HostFacts
    groups: tuple[str, ...] = ()
    may_stop: bool = False
    tied: tuple[str, ...] = ()
    together: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What it is ordered by where nothing else decides."""
        return (self.domain.name, self.source.name)


@dataclasses.dataclass(frozen=True)
class Bin:
    """One host that may take items: ``free`` is the hard limit now; ``used`` and ``size`` (memory, vCPUs) are what a second
    survey finds again, so that preferences rest on them alone. ``taken`` are anti-affinity groups with a member there, ``homes``
    affinity groups with one."""

    facts: HostFacts
    free: dict[Resource, float]
    used: dict[Resource, float]
    size: dict[Resource, float]
    taken: frozenset[str] = frozenset()
    homes: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Its inventory name."""
        return self.facts.name


@dataclasses.dataclass(frozen=True)
class Fitting:
    """One item on one bin, as far as the bin is otherwise left as it is: what it takes there, or why it cannot go. ``dormant``
    is what a domain that is shut off takes only once it is started: it decides nothing but which of the hosts is best. ``stops``
    tells that a running guest is stopped on its way there."""

    choice: Choice
    demand: dict[Resource, float] = dataclasses.field(default_factory=dict)
    dormant: dict[Resource, float] = dataclasses.field(default_factory=dict)
    copy_bytes: int = 0
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    stops: bool = False


@dataclasses.dataclass
class Problem:
    """Items, bins, and the fitting of every item on every bin (by index)."""

    items: list[Item]
    bins: list[Bin]
    fittings: list[list[Fitting]]

    def candidates(self, item: int) -> list[int]:
        """The bins that could take ``item`` if nothing else went there."""
        return [index for index, fitting in enumerate(self.fittings[item]) if not fitting.reasons]


def groups_of(domain: Domain, options: PlanOptions) -> tuple[str, ...]:
    """The anti-affinity groups of a domain. One host cannot hold two domains of one name, so that is a group too."""
    named = (", ".join(group) for group in options.anti_affinity if domain.name in group)
    return (f"{NAME_GROUP}{domain.name}", *dict.fromkeys((*named, *options.terms_of(domain).anti_affinity)))


def make_bin(facts: HostFacts, options: PlanOptions) -> Bin:
    """What ``facts`` can take."""
    host = facts.host
    active = [domain for domain in facts.domains if domain.active]
    processes = [domain for domain in active if domain.kind == PROCESS]
    domains = [domain for domain in active if domain.kind != PROCESS]
    # The host's own sums are libvirt's, which knows nothing of guest processes.
    held = max(host.memory_domains, sum(memory_needed(domain) for domain in domains if not domain.hugepages))
    held += sum(memory_needed(domain) for domain in processes if not domain.hugepages)
    vcpus = max(host.vcpus_domains, sum(domain.vcpus for domain in domains)) + sum(one.vcpus for one in processes)
    reserve = options.memory_reserve.of(host)
    host = dataclasses.replace(host, memory_domains=held)
    slots = host.cpus * options.cpu_overcommit if host.cpus else float("inf")
    free: dict[Resource, float] = {MEMORY: memory_available(host, reserve), VCPUS: slots - vcpus}
    for pool in host.pools:
        if pool.active and pool.path:
            store = ("disk", store_of(pool))
            free[store] = min(pool.available, free.get(store, pool.available))
    taken = frozenset(group for domain in active for group in groups_of(domain, options)[1:])
    homes = frozenset(group for domain in active for group in options.terms_of(domain).affinity)
    size: dict[Resource, float] = {MEMORY: max(1, host.memory_total - reserve), VCPUS: max(1.0, slots)}
    return Bin(facts, free, {MEMORY: held, VCPUS: vcpus}, size, taken, homes)


def shortage(resource: Resource, amount: float, free: float) -> str:
    """One sentence about a resource that does not suffice."""
    kind, which = resource
    if kind == "vcpus":
        return f"It has {max(0, int(free))} virtual CPUs left within its overcommit, and {int(amount)} are needed."
    of = {"memory": "memory", "hugepages": f"huge pages of {which} KiB", "disk": f"disk space ({which})"}[kind]
    return f"It has {format_bytes(max(0, free))} of {of} left, and {format_bytes(amount)} are needed."
