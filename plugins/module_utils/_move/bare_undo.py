# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Taking a guest process's move back: the source goes on, the destination's half ends, and only what the move made is removed."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError, TimeoutExpired
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import (
    HANDED_OVER,
    OFFLINE,
    SHUT_DOWN,
    SWITCHING,
    BareSighting,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_decide import BEFORE_SWITCH
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import mirror, processes, tls, words
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.monitor import connect

_HUNG_SECONDS = 5.0
_SETTLE_SECONDS = 60.0
_CANCELLABLE = ("setup", "active", "pre-switchover", "device", "cancelling", "wait-unplug")


def look_here(context: BareContext) -> BareSighting:
    """What this host shows of the guest."""
    pids = [pid for pid in _candidates(context) if pid]
    if not pids:
        return BareSighting(context.source_host, described=_described(context))
    pid = pids[0]
    argv = processes.argv_of(pid)
    seen = BareSighting(
        context.source_host, found=True, pid=pid, start=processes.start_time(pid), name=words.name_of(argv), uuid=words.uuid_of(argv),
    )  # fmt: skip
    try:
        monitor = reachable_monitor(context)
        state = monitor.execute("query-status", timeout=_HUNG_SECONDS)["status"]
        migration = monitor.execute("query-migrate", timeout=_HUNG_SECONDS).get("status", "")
    except KvmError as exc:
        if _is_gone(context, seen, exc):
            return BareSighting(context.source_host)
        return dataclasses.replace(seen, error=exc.message)
    return dataclasses.replace(seen, state=state, migration=migration)


def _is_gone(context: BareContext, seen: BareSighting, error: KvmError) -> bool:
    """Whether the process has ended. One that is killed lets go of its monitor a moment before it is gone."""
    if error.error_code == "MONITOR_GONE":
        with contextlib.suppress(TimeoutExpired):
            wait_until(
                context.clock,
                lambda: processes.is_alive(seen.pid, seen.start),
                lambda alive: not alive,
                what=f"the process {seen.pid} to end",
                timeout=_HUNG_SECONDS,
                interval=0.05,
            )
    return not processes.is_alive(seen.pid, seen.start)


def _described(context: BareContext) -> bool:
    """Whether a unit of qemu_guest describes the guest; only an offline move asks."""
    if context.options.method != OFFLINE:
        return False
    from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_still import unit_here

    return unit_here(context.name) is not None


def _candidates(context: BareContext) -> t.Iterator[int]:
    journal = context.journal
    if journal is not None and journal.open and journal.source:
        pid, start = int(journal.source[0]), journal.source[1]
        if processes.is_alive(pid, start):
            yield pid
            return
    yield from processes.guests(context.name)
    if context.uuid and context.uuid != context.name:
        yield from processes.guests(context.uuid)


def reachable_monitor(context: BareContext) -> t.Any:
    """The source's monitor, opened anew where it was lost."""
    if context.monitor is not None:
        try:
            context.monitor.execute("query-name", timeout=_HUNG_SECONDS)
            return context.monitor
        except KvmError as exc:
            if exc.error_code != "MONITOR_GONE":
                raise
            context.monitor.close()
            context.monitor = None
    context.monitor = connect(context.monitor_address).commanded()
    return context.monitor


def unblock(context: BareContext) -> bool:
    """Where the source's monitor is held by a destination that hangs: end that one first, else cut the connections.

    Gives whether the source answers.
    """
    if context.monitor is None or _answers(context, _HUNG_SECONDS):
        return True
    if context.far.again():
        with contextlib.suppress(KvmError):
            context.far.call("kill", key=context.key)
    else:
        mirror.yank(context.source())
    return _answers(context, _SETTLE_SECONDS)


def _answers(context: BareContext, seconds: float) -> bool:
    try:
        context.source().execute("query-status", timeout=seconds)
    except KvmError as exc:
        return exc.error_code == "MONITOR_GONE"
    return True


def calm(context: BareContext) -> None:
    """End the outgoing migration where it has not handed over, so that the source is one thing or the other.

    A cancelled migration lets the guest go on by itself.
    """
    monitor = context.monitor
    if monitor is None:
        return
    try:
        status = monitor.execute("query-migrate").get("status", "")
        if status in _CANCELLABLE:
            with contextlib.suppress(KvmError):
                monitor.execute("migrate_cancel")
            wait_until(
                context.clock,
                lambda: monitor.execute("query-migrate").get("status", ""),
                lambda state: state not in _CANCELLABLE,
                what=f"the migration on {context.source_host} to end",
                timeout=_SETTLE_SECONDS,
                interval=0.05,
            )
    except TimeoutExpired:
        raise
    except KvmError as exc:
        if exc.error_code != "MONITOR_GONE":
            raise


def take_back(context: BareContext, source: BareSighting) -> list[str]:
    """End the destination's half, let the source go on, and clean up on both; gives what could not be removed.

    Raises OWNERSHIP_UNPROVEN where the source was handed over and the destination's end cannot be proven.
    """
    dead = _kill_there(context)
    if source.found:
        _source_goes_on(context, dead)
    elif context.journal is not None and (dead or context.journal.stage in BEFORE_SWITCH):
        from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_offline import bring_home

        context.trouble = bring_home(context)
        with contextlib.suppress(TimeoutExpired):
            wait_until(
                context.clock,
                lambda: context.trouble or look_here(context).state,
                bool,
                what="the guest to answer",
                timeout=_SETTLE_SECONDS,
            )
    left = []
    if dead:
        with contextlib.suppress(KvmError):
            left = context.far.call("undo", key=context.key)
    else:
        left = [f"what is on {context.far.host}, which cannot be reached"]
    if context.journal is not None:
        images = context.journal.images if left else ()
        stage = "undone" if dead else context.journal.stage
        context.record(far=False, stage=stage, images=images, suspended=False)
    return left


def _kill_there(context: BareContext) -> bool:
    if not context.far.again():
        return False
    try:
        return bool(context.far.call("kill", key=context.key))
    except KvmError:
        return False


def _source_goes_on(context: BareContext, dead: bool) -> None:
    monitor = reachable_monitor(context)
    mirror.cancel(monitor)
    try:
        _mirrors_ended(context, monitor, _HUNG_SECONDS)
    except TimeoutExpired:
        # They wait for an answer that the link does not bring any more.
        mirror.yank(monitor)
        _mirrors_ended(context, monitor, _SETTLE_SECONDS)
    mirror.clear(monitor)
    tls.drop(monitor.execute)
    state = monitor.execute("query-status")["status"]
    journal = context.journal
    wanted = journal.state if journal is not None else "running"
    if state == HANDED_OVER and not dead:
        raise KvmError(
            "OWNERSHIP_UNPROVEN",
            f"The guest '{context.name}' was handed over to {context.far.host}, which cannot be reached; so it stays paused on "
            f"{context.source_host}. Make {context.far.host} answer, or prove that it is off and let the source go on by hand ('cont').",
        )
    ours = journal is not None and journal.paused_by_us and state == "paused"
    if (state in (HANDED_OVER, SWITCHING) or ours) and wanted == "running":
        # One that somebody paused stays paused.
        monitor.execute("cont")
    if journal is not None and journal.method == OFFLINE:
        _boots_again(context, state)
    if journal is not None:
        _insert_again(context, monitor)


def _mirrors_ended(context: BareContext, monitor: t.Any, seconds: float) -> None:
    wait_until(
        context.clock, lambda: mirror.running(monitor), lambda left: not left, what="the mirrors to end", timeout=seconds,
    )  # fmt: skip


def _boots_again(context: BareContext, state: str) -> None:
    """A guest that an offline move asked to shut down: where it has done so, its process is still there, and it boots in that."""
    journal, monitor = context.record_now(), context.source()
    if not journal.stopped or not processes.is_alive(int(journal.source[0]), journal.source[1]):
        # Nobody asked it, or somebody has started it by hand since.
        return
    from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_offline import stay_after_shutdown

    stay_after_shutdown(context, stay=False)
    if state == SHUT_DOWN and journal.state != SHUT_DOWN:
        monitor.execute("system_reset")
        wait_until(
            context.clock,
            lambda: monitor.execute("query-status")["status"],
            lambda seen: seen != SHUT_DOWN,
            what=f"the guest to reset on {context.source_host}",
            timeout=_SETTLE_SECONDS,
            interval=0.05,
        )
        monitor.execute("cont")


def _insert_again(context: BareContext, monitor: t.Any) -> None:
    """Media that this move ejected."""
    for qdev, (path, image_format) in (
        (key, (value[0], value[1])) for key, value in context.record_now().ejected.items()
    ):
        with contextlib.suppress(KvmError):
            key = "id" if qdev.startswith("/") or not qdev.startswith("device:") else "device"
            name = qdev[len("device:") :] if key == "device" else qdev
            monitor.execute(
                "blockdev-change-medium",
                {key: name, "filename": path, "format": image_format, "read-only-mode": "read-only"},
            )
