# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The end of a guest process's move: switch, verify, release. From the switch on only the destination may run it, or nobody."""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command, statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_postcopy import RUNNING, wait_for_memory
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_stages import STEP_SECONDS, waited
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import departed, mirror, processes

_END_SECONDS = 120.0
_PROGRAM_SECONDS = 90.0
_LOOKS, _BETWEEN = 3, 0.05
_ARRIVED = ["paused", "running"]


def switch(context: BareContext, mirrors: mirror.Mirrors) -> None:
    """The guest stands still: end the mirrors where they are, send its devices, and see that all has arrived.

    Every moment of it is the guest's pause.
    """
    source = context.source()
    # They end while the records are written: that can be taken back like all before it.
    mirrors.finish()
    with context.stage("switch"):
        waited(context, mirrors.finished, bool, "the mirrors to end", "JOB_STATUS_CHANGE")
        journal = context.record_now()
        if journal.domain and journal.disks:
            from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_received import end_ours

            end_ours(context)
        source.execute("migrate-continue", {"state": "pre-switchover"})
        waited(
            context,
            lambda: _outgoing(context),
            lambda state: state in ("completed", RUNNING),
            f"{context.source_host} to hand over",
            "MIGRATION",
        )
        arrived(context)


def _outgoing(context: BareContext) -> str:
    status = context.source().execute("query-migrate")
    state: str = status["status"]
    if state in ("failed", "cancelled"):
        raise KvmError(
            "MIGRATION_FAILED",
            f"QEMU on {context.source_host} could not hand over: {status.get('error-desc') or state}.",
            state=state,
        )
    return state


def arrived(context: BareContext) -> None:
    """The destination has all of it and stands still; its disks are its own from here on."""
    if context.record_now().domain:
        from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_received import domain_arrived

        domain_arrived(context)
        return
    waited(
        context,
        lambda: context.far.call(
            "settled", path=context.socket(), states=_ARRIVED, migrations=["completed", RUNNING, ""]
        ),
        lambda seen: seen["settled"],
        f"the guest to arrive on {context.far.host}",
    )
    with contextlib.suppress(KvmError):
        # Before it runs: an export would take away its right to write. Where there is no server, there is nothing to stop.
        context.there("nbd-server-stop")


def verify(context: BareContext) -> None:
    """Let it run there, where it ran before, and prove that it does."""
    if context.record_now().domain:
        from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_received import verify_domain

        verify_domain(context)
        return
    with context.stage("verify"):
        context.tell("verify")
        if context.record_now().state == "running":
            context.there("cont")
            waited(
                context,
                lambda: context.far.call("settled", path=context.socket(), states=["running"]),
                lambda seen: seen["settled"],
                f"the guest to run on {context.far.host}",
            )
            context.runs_again()
            for _look in range(_LOOKS):
                context.clock.sleep(_BETWEEN)
                state = context.there("query-status")["status"]
                if state != "running":
                    raise KvmError(
                        "VERIFY_FAILED", f"The guest '{context.name}' ran on {context.far.host} and is {state} now."
                    )
        state = context.there("query-status")["status"]
        if state not in ("running", "paused"):
            raise KvmError("VERIFY_FAILED", f"The guest '{context.name}' is {state} on {context.far.host}.")


def release(context: BareContext) -> tuple[str, ...]:
    """End the source's half, which stands still; gives the images that are still there."""
    journal = context.record_now()
    with context.stage("release"):
        context.tell("release")
        _measure(context)
        wait_for_memory(context)
        end_source(context)
        if journal.source_run:
            shutil.rmtree(journal.source_run, ignore_errors=True)
        kept = []
        for path in journal.source_disks:
            if path.startswith("/dev/") or journal.source_disks_policy == "keep" or not os.path.exists(path):
                kept.append(path)
            else:
                new = statefile.put_away(path, delete=journal.source_disks_policy == "delete")
                kept += [new] if new else []
    left = {
        path: departed.stamp(path) for path in kept if path in journal.source_disks and not path.startswith("/dev/")
    }
    context.record(stage="done", error_code="", message="", left=left)
    return tuple(kept)


def _measure(context: BareContext) -> None:
    """What the source's QEMU counted; it may have ended by itself."""
    if context.monitor is None:
        return
    with contextlib.suppress(KvmError):
        figures = context.source().execute("query-migrate")
        if context.suspended_at is None:
            context.figures["downtime_ms"] = figures.get("downtime")
        context.figures["memory_bytes"] = figures.get("ram", {}).get("transferred", 0)


def end_source(context: BareContext, *, for_good: bool = True) -> None:
    """The source's process goes, with its unit, which ``for_good`` does not start with the host any more."""
    journal = context.record_now()
    if not journal.source:
        return
    pid, start = int(journal.source[0]), journal.source[1]
    if not processes.is_alive(pid, start):
        return
    if journal.source_unit:
        # A unit that starts it again when it ends must not notice: the unit ends, and its process with it.
        what = f"Stopping the unit {journal.source_unit}"
        command.check(["systemctl", "stop", journal.source_unit], "RELEASE_FAILED", what, timeout=_PROGRAM_SECONDS)
        if for_good:
            with contextlib.suppress(KvmError):
                command.run(["systemctl", "disable", "--quiet", journal.source_unit], timeout=_PROGRAM_SECONDS)
    else:
        with contextlib.suppress(KvmError):
            context.source().execute("quit", timeout=STEP_SECONDS)
    wait_until(
        context.clock,
        lambda: processes.is_alive(pid, start),
        lambda alive: not alive,
        what=f"the process {pid} on {context.source_host} to end",
        timeout=_END_SECONDS,
        interval=0.02,
    )


def finish(context: BareContext) -> tuple[str, ...]:
    """The destination has all, and may or may not run yet: whatever is left to do."""
    if context.record_now().stage in ("transfer", "switch"):
        arrived(context)
    verify(context)
    return release(context)


def figures_of(context: BareContext) -> dict[str, t.Any]:
    """What was measured."""
    return {key: context.figures.get(key) for key in ("downtime_ms", "stopped_seconds", "disk_bytes", "memory_bytes")}
