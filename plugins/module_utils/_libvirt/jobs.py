# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The job that libvirt runs for a domain: its figures while it runs, and those of the finished one."""

from __future__ import annotations

import contextlib
import threading
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import constant, library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.states import job_operation_name

_RUNNING_TYPES = (1, 2)


def job_stats(domain: t.Any) -> dict[str, t.Any]:
    """The figures of the job that runs for ``domain`` (a virDomain), with ``operation_name``; empty when there is none.

    Answers that libvirt refuses in the middle of a migration ("active, but no RAM info was set"; the domain just left) count as
    none: whoever asks looks again.
    """
    try:
        stats = dict(domain.jobStats(0))
    except library().libvirtError:
        return {}
    if stats.get("type") not in _RUNNING_TYPES:
        return {}
    stats["operation_name"] = job_operation_name(int(stats.get("operation") or 0))
    return stats


def completed_stats(domain: t.Any) -> dict[str, t.Any]:
    """The figures of the job that ended last, kept for whoever asks next; empty when libvirt has none any more."""
    flags = (constant("VIR_DOMAIN_JOB_STATS_COMPLETED") or 1) | (constant("VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED") or 0)
    try:
        return dict(domain.jobStats(flags))
    except library().libvirtError:
        return {}


class CompletedJob:
    """Catches the event that ends a job on this connection: after a move it is the source's only word on the pause."""

    def __init__(self, handle: t.Any, domain: t.Any) -> None:
        self._handle = handle
        self._stats: dict[str, t.Any] = {}
        self._arrived = threading.Event()
        self._id: int | None = None
        lib = library()
        with contextlib.suppress(lib.libvirtError):
            self._id = handle.domainEventRegisterAny(domain, lib.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, self._note, None)

    def _note(
        self, unused_connection: t.Any, unused_domain: t.Any, stats: dict[str, t.Any], unused_data: t.Any
    ) -> None:
        self._stats = dict(stats)
        self._arrived.set()

    def wait(self, seconds: float) -> dict[str, t.Any]:
        """The figures, once they are there; empty after ``seconds``."""
        if self._id is not None:
            self._arrived.wait(seconds)
        return self._stats

    def close(self) -> None:
        """Stop listening."""
        if self._id is not None:
            with contextlib.suppress(library().libvirtError):
                self._handle.domainEventDeregisterAny(self._id)
            self._id = None
