# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The guest is stopped: asked to shut down, or saved to disk. What its files look like then is noted."""

from __future__ import annotations

import contextlib
import threading

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import SEEDED, SUSPENDED
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal
from ansible_collections.virtops.kvm.plugins.module_utils._move import cold_files, cold_track
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_plan import (
    PAUSED_THERE,
    RUNNING,
    owned_image,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_shared import Cold, ended
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import SOURCE
from ansible_collections.virtops.kvm.plugins.module_utils._move.record import new_journal

_POLL = 0.25
#: Guests overlook the button while they boot, so it is pressed again.
_PRESS_AGAIN = 20.0


def open_journal(cold: Cold, move_id: str, before: Journal | None) -> None:
    """Begin the record of this move; of an interrupted one that stopped the guest it keeps that it did."""
    context, plan = cold.context, cold.plan
    stopped = before if before is not None and before.stopped and not plan.active else None
    context.journal = new_journal(
        context,
        plan,
        move_id,
        source_disks=(piece.source for piece in plan.pieces if owned_image(piece)),
        state="paused" if plan.arrival == PAUSED_THERE else "running" if plan.arrival == RUNNING else "shutoff",
        arrival=plan.arrival,
        stopped=stopped is not None,
        stopped_at=stopped.stopped_at if stopped is not None else 0.0,
        source_autostart=plan.source_autostart,
        pieces=plan.pieces,
        transfer_host=context.options.transfer_host or "",
    )
    context.record()


def stop(cold: Cold) -> None:
    """The guest does not run any more, its files are sealed, and its host does not start it by itself."""
    context, plan = cold.context, cold.plan
    with context.stage("stop"):
        if plan.source_autostart:
            cold.gateway.set_autostart(SOURCE, cold.uuid, False)
        if plan.active:
            context.record(stopped=True)
            if plan.method == SUSPENDED:
                context.record(stopped_at=context.clock.now())
                _save(cold)
            else:
                _shut_down(cold)
                context.record(stopped_at=context.clock.now())
            if plan.method == SEEDED:
                cold_track.settle(cold)
        context.record(seals=cold_files.seal(piece.source for piece in plan.pieces if piece.kind != "tpm"))


def _shut_down(cold: Cold) -> None:
    context, options = cold.context, cold.context.options
    began = pressed = context.clock.monotonic()
    try:
        cold.gateway.shut_down(cold.uuid)
    except KvmError:
        # It may have ended in this very moment: an earlier run that was killed asked it, too.
        if cold.gateway.look(SOURCE, cold.uuid).active:
            raise
    while True:
        seen = cold.gateway.look(SOURCE, cold.uuid)
        if seen.reachable and not seen.active:
            return
        now = context.clock.monotonic()
        context.note("stop", f"shutting down for {now - began:.0f} s")
        if context.check_stop():
            raise ended(context, "the shutdown")
        if now - began >= options.shutdown_timeout:
            if options.shutdown_action == "destroy":
                context.warnings.append(
                    f"Domain '{context.name}' did not shut down within {options.shutdown_timeout:g} s, and was ended, as asked."
                )
                cold.gateway.power_off(cold.uuid)
                return
            raise KvmError(
                "SHUTDOWN_TIMEOUT",
                f"Domain '{context.name}' did not shut down within {options.shutdown_timeout:g} s. Look at its console; give it "
                "more time by shutdown_timeout, move it by method suspended, or permit to end it hard by shutdown_action=destroy.",
                seconds=options.shutdown_timeout,
            )
        if now - pressed >= _PRESS_AGAIN:
            pressed = now
            with contextlib.suppress(KvmError):
                cold.gateway.shut_down(cold.uuid)
        context.clock.sleep(_POLL)


def _save(cold: Cold) -> None:
    """Save the memory; the call blocks, so it has a thread, and a wish to end aborts its job."""
    context = cold.context
    failure: list[KvmError] = []
    done = threading.Event()

    def work() -> None:
        try:
            cold.gateway.save(cold.uuid)
        except KvmError as error:
            failure.append(error)
        finally:
            done.set()

    threading.Thread(target=work, name="save", daemon=True).start()
    asked = False
    while not done.wait(_POLL):
        context.note("stop", "saving its memory")
        if not asked and context.check_stop():
            asked = True
            cold.gateway.abort_job(cold.uuid)
    if failure:
        raise ended(context, "the saving of its memory") if asked else failure[0]
