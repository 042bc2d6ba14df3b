# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a report is: what became of each move, what the hosts say, and the sums. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import DOMAIN, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import Guest
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import Blocked, Placement, Staying
from ansible_collections.virtops.kvm.plugins.module_utils._model.process import as_domains
from ansible_collections.virtops.kvm.plugins.module_utils._model.service import ServiceSeen

REPORT_VERSION = 1

#: What a run is for: to empty hosts, to bring domains home, to move those that were listed.
EVACUATE, RESTORE, MIGRATE = KINDS = ("evacuate", "restore", "migrate")

#: States of an outcome. ARRIVED are those in which the domain is on its destination.
MOVED, ALREADY_THERE, FAILED, NOT_STARTED, PLANNED = "moved", "already_there", "failed", "not_started", "planned"
ARRIVED = (MOVED, ALREADY_THERE)

#: Status of a whole run.
COMPLETE, INCOMPLETE, NOTHING_TO_DO, ONLY_PLANNED = "complete", "incomplete", "nothing_to_do", "planned"


@dataclasses.dataclass(frozen=True)
class HostAfter:
    """What runs on one host when all is over: ``name`` is its inventory name."""

    name: str
    domains: tuple[Domain, ...] = ()
    guests: tuple[Guest, ...] = ()

    def together(self) -> HostAfter:
        """With the guest processes among the domains, as VMs of another kind."""
        return dataclasses.replace(self, domains=(*self.domains, *as_domains(self.guests)), guests=())


@dataclasses.dataclass(frozen=True)
class MovedFile:
    """One file or device that a move copies: bytes of its length and of its data, and what is free where it goes (None: unknown)."""

    what: str
    source: str
    path: str
    size: t.Optional[int] = None
    allocated: t.Optional[int] = None
    free: t.Optional[int] = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one planned move. Seconds and bytes are measured, None or 0 where nothing was.

    ``stopped_seconds`` is for how long a guest that ran did not run; ``runs`` tells whether it ran at all. ``service`` is what the
    controller saw of the guest's service.
    """

    id: str
    order: int
    domain: str
    uuid: str
    source: str
    destination: str
    method: str
    reason: str
    state: str
    message: str = ""
    error_code: t.Optional[str] = None
    started: t.Optional[float] = None
    seconds: t.Optional[float] = None
    downtime_ms: t.Optional[int] = None
    disk_bytes: int = 0
    memory_bytes: int = 0
    stages: dict[str, float] = dataclasses.field(default_factory=dict)
    source_disks_kept: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    runs: bool = True
    stopped_seconds: t.Optional[float] = None
    proven: int = 0
    files: tuple[MovedFile, ...] = ()
    service: t.Optional[ServiceSeen] = None
    kind: str = DOMAIN

    @property
    def arrived(self) -> bool:
        """Whether the domain is on its destination."""
        return self.state in ARRIVED


@dataclasses.dataclass(frozen=True)
class Summary:
    """The sums of a run. ``seconds`` is from the first move's beginning to the last one's end."""

    planned: int = 0
    moved: int = 0
    already_there: int = 0
    failed: int = 0
    not_started: int = 0
    blocked: int = 0
    staying: int = 0
    longest_pause_ms: t.Optional[int] = None
    longest_stop_seconds: t.Optional[float] = None
    disk_bytes: int = 0
    memory_bytes: int = 0
    started: t.Optional[float] = None
    seconds: t.Optional[float] = None


@dataclasses.dataclass(frozen=True)
class Report:
    """All that a report tells; every rendering is made from this alone."""

    version: int
    name: str
    kind: str
    status: str
    fingerprint: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    summary: Summary
    outcomes: tuple[Outcome, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    staying: tuple[Staying, ...] = ()
    problems: tuple[str, ...] = ()
    before: tuple[Placement, ...] = ()
    after: tuple[Placement, ...] = ()
    after_measured: bool = False

    @property
    def unfinished(self) -> tuple[Outcome, ...]:
        """The moves that were to happen and did not."""
        return tuple(outcome for outcome in self.outcomes if outcome.state in (FAILED, NOT_STARTED))

    @property
    def checked(self) -> tuple[Outcome, ...]:
        """The moves that check mode found possible."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == PLANNED)

    @property
    def sound(self) -> bool:
        """Whether every planned move did what it was to do, and the hosts agree. What the plan left out does not count here."""
        return not self.unfinished and not self.problems
