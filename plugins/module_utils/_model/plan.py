# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The plan: ordered moves with reasons, as data that can be read, approved, then applied."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import DOMAIN, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import Guest
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host
from ansible_collections.virtops.kvm.plugins.module_utils._model.process import as_domains

PLAN_VERSION = 1
METHODS = ("live_shared", "live_block", "seeded", "suspended", "offline")


@dataclasses.dataclass(frozen=True)
class HostFacts:
    """All that one survey learns of one host: ``name`` is its inventory name. Planning takes its ``guests`` among its domains."""

    name: str
    host: Host
    domains: tuple[Domain, ...] = ()
    guests: tuple[Guest, ...] = ()

    def together(self) -> HostFacts:
        """With the guest processes among the domains, as VMs of another kind."""
        if not self.guests:
            return self
        return dataclasses.replace(self, domains=(*self.domains, *as_domains(self.guests, self.host)), guests=())


@dataclasses.dataclass(frozen=True)
class PlannedMove:
    """One VM going from ``source`` to ``destination`` (inventory names) by ``method``. Bytes and seconds are estimates.

    ``id`` names the move's inventory host: the domain's name, made unique where two would clash. ``runs`` tells whether it runs
    before the move, and so after it; ``may_stop`` that the user permits to stop it on the way, and ``stop_seconds`` for how long
    (None for a live method, and for what does not run anyway). ``mapping`` is what of the user's mapping concerns it, and
    ``max_downtime`` the longest pause in milliseconds that the policies permit; None where they say nothing. ``kind`` is that of Domain.
    """

    id: str
    order: int
    domain: str
    uuid: str
    source: str
    destination: str
    method: str
    reason: str
    disk_bytes: int = 0
    memory_bytes: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    runs: bool = True
    may_stop: bool = False
    stop_seconds: t.Optional[float] = None
    mapping: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    max_downtime: t.Optional[int] = None
    kind: str = DOMAIN


@dataclasses.dataclass(frozen=True)
class Blocked:
    """A domain that has to move and cannot: why, per candidate host (inventory name -> sentences)."""

    domain: str
    uuid: str
    source: str
    reasons: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    kind: str = DOMAIN


@dataclasses.dataclass(frozen=True)
class Staying:
    """A domain that does not have to move, and why (shut off, excluded ...)."""

    domain: str
    uuid: str
    source: str
    code: str
    reason: str
    kind: str = DOMAIN


@dataclasses.dataclass(frozen=True)
class Placement:
    """The load of one host: names of its running domains, memory and vCPUs they hold (bytes, count)."""

    host: str
    domains: tuple[str, ...] = ()
    memory_bytes: int = 0
    memory_total: int = 0
    vcpus: int = 0
    cpus: int = 0


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will happen and why. ``fingerprint`` is of the facts that matter for it: when it no longer fits, plan again."""

    version: int
    fingerprint: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    moves: tuple[PlannedMove, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    staying: tuple[Staying, ...] = ()
    before: tuple[Placement, ...] = ()
    after: tuple[Placement, ...] = ()
    options: dict[str, t.Any] = dataclasses.field(default_factory=dict)
