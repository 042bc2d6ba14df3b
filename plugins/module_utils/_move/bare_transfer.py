# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a guest process's move sends while the guest runs: its disks by mirrors, then its memory, up to where it stands still."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sshtarget import SshTarget
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BarePlan
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_ports import Ports
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_stream import tell_here
from ansible_collections.virtops.kvm.plugins.module_utils._move.timeouts import time_limit
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import mirror, tls

#: No byte went for so long: the other side, or the link, is gone.
STALL_SECONDS = 60.0
#: Between two looks. What one is for is told by an event, but for a human monitor, which is looked at more often.
_POLL, _QUICK = 0.25, 0.02
_EVENTS = ("JOB_STATUS_CHANGE", "MIGRATION")
_TRANSFERRING = ("setup", "active", "wait-unplug", "postcopy-active", "device")


def transfer(context: BareContext, plan: BarePlan, ports: Ports) -> mirror.Mirrors:
    """Disks, then memory, up to where the guest stands still on the source and its devices have not been sent."""
    source, options = context.source(), context.options
    mirrors = mirror.Mirrors(
        source,
        plan.disks,
        top=options.base == "shared",
        bandwidth=options.bandwidth,
        name=_name_in_certificate(context),
    )
    limit = time_limit(options.timeout, plan.memory, sum(disk.size for disk in plan.disks))
    with context.stage("transfer"):
        mirror.clear(source)
        tls.drop(source.execute)
        if options.tls:
            tls.add(source.execute, tls.CLIENT, options.tls_dir, context.source_host)
        if plan.disks and not options.legacy_block:
            for number in range(len(plan.disks)):
                mirrors.begin(number, ports.address, ports.disks)
            _mirrored(context, mirrors, limit)
        _migrate(context, ports)
        _sent(context, plan, mirrors, limit)
    return mirrors


def _name_in_certificate(context: BareContext) -> str:
    """As whom the destination has to prove itself; empty without TLS. The streams go to its address, which no certificate need have."""
    options = context.options
    return (options.migration_address or SshTarget.parse(context.destination).host) if options.tls else ""


def _mirrored(context: BareContext, mirrors: mirror.Mirrors, limit: float) -> None:
    watch = _Watch(context, limit)
    while True:
        jobs = mirrors.look()
        total = sum(job["total-progress"] for job in jobs)
        done = sum(job["current-progress"] for job in jobs)
        context.meter.add(context.elapsed(), done)
        context.tell(
            "transfer",
            disk_total=total,
            disk_done=done,
            rate=context.meter.rate,
            eta=context.meter.eta(total - done) if total > done else None,
        )
        context.figures.update(disk_bytes=done, disk_total=total)
        if all(job["status"] == "ready" for job in jobs):
            return
        watch.turn(done, "the copy of its disks")


def _migrate(context: BareContext, ports: Ports) -> None:
    source, options = context.source(), context.options
    tell_here(context, _name_in_certificate(context))
    arguments: dict[str, t.Any] = {"uri": ports.uri}
    if options.legacy_block:
        if not source.schema().has_argument("migrate", "blk"):
            raise KvmError(
                "OPTION_UNSUPPORTED",
                f"QEMU on {context.source_host} has no 'migrate -b' any more (removed in 9.1); leave legacy_block out.",
                option="legacy_block",
            )
        arguments["inc" if options.base == "shared" else "blk"] = True
    source.execute("migrate", arguments)


def _sent(context: BareContext, plan: BarePlan, mirrors: mirror.Mirrors, limit: float) -> None:
    watch = _Watch(context, limit)
    while True:
        status = context.source().execute("query-migrate")
        state = status["status"]
        _tell_memory(context, status)
        if state == "pre-switchover":
            return
        if state not in _TRANSFERRING:
            reason = status.get("error-desc") or f"its migration is {state}"
            raise KvmError(
                "MIGRATION_FAILED", f"QEMU on {context.source_host} could not send its memory: {reason}.", state=state
            )
        if plan.disks and not context.options.legacy_block:
            mirrors.look()
        moved = status.get("ram", {}).get("transferred", 0) + status.get("disk", {}).get("transferred", 0)
        watch.turn(moved, "the copy of its memory")


def _tell_memory(context: BareContext, status: t.Mapping[str, t.Any]) -> None:
    ram, disk = status.get("ram", {}), status.get("disk", {})
    done = ram.get("transferred", 0) + disk.get("transferred", 0)
    context.meter.add(context.elapsed(), done)
    left = ram.get("remaining", 0) + disk.get("remaining", 0)
    figures: dict[str, t.Any] = {"rate": context.meter.rate, "eta": context.meter.eta(left) if left else None}
    if ram.get("total"):
        figures.update(memory_total=ram["total"], memory_done=ram["total"] - ram.get("remaining", 0))
        context.figures["memory_bytes"] = ram.get("transferred", 0)
    if disk.get("total"):
        figures.update(disk_total=disk["total"], disk_done=disk["total"] - disk.get("remaining", 0))
        context.figures["disk_bytes"] = disk.get("transferred", 0)
    elif context.figures.get("disk_total"):
        figures.update(disk_total=context.figures["disk_total"], disk_done=context.figures["disk_bytes"])
    context.tell("transfer", **figures)


class _Watch:
    """Ends what takes too long, or does not go on; and lets others have their turn between two looks."""

    def __init__(self, context: BareContext, limit: float) -> None:
        self._context = context
        self._limit = limit
        self._begun = self._moved_at = context.clock.monotonic()
        self._moved = -1
        self._escalated = ""

    def turn(self, moved: int, what: str) -> None:
        """Raises MOVE_TIMEOUT, MOVE_STALLED and MOVE_ABORTED."""
        context = self._context
        context.check_stop(what)
        now = context.clock.monotonic()
        if moved != self._moved:
            self._moved, self._moved_at = moved, now
        if now - self._moved_at > STALL_SECONDS:
            raise KvmError("MOVE_STALLED", f"nothing went to {context.far.host} for {STALL_SECONDS:g} s during {what}")
        if now - self._begun > self._limit and self._escalated != "postcopy":
            action = context.options.timeout_action
            if action == "abort" or self._escalated or not what.endswith("memory"):
                raise KvmError("MOVE_TIMEOUT", f"{what} took longer than {self._limit:g} s")
            self._escalated = action
            self._limit *= 2
            if action == "postcopy":
                context.source().execute("migrate-start-postcopy")
            else:
                _suspend(context)
            context.warnings.append(f"The time limit was reached; the action '{action}' was taken.")
        context.pause(_POLL if context.source().kind == "qmp" else _QUICK, *_EVENTS)


def _suspend(context: BareContext) -> None:
    """Pause the guest, so that nothing changes its memory any more; both records know beforehand whose pause that is."""
    if context.record_now().state != "running":
        return
    context.record(suspended=True)
    context.suspended_at = context.clock.monotonic()
    context.source().execute("stop")
