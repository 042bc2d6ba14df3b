# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A move that runs already: followed where another run drives it, driven to its end where nobody does any more."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import SOURCE, Context
from ansible_collections.virtops.kvm.plugins.module_utils._move.progress import Meter, from_stats
from ansible_collections.virtops.kvm.plugins.module_utils._move.timeouts import time_limit
from ansible_collections.virtops.kvm.plugins.module_utils._move.transfer import Ended
from ansible_collections.virtops.kvm.plugins.module_utils._move.undo import undo

_POLL = 0.25


def follow_driven(context: Context, uuid: str, meter: Meter) -> None:
    """Another run drives the move and has the lock: look on once. Raises MOVE_ABORTED when this run shall end; the move goes on then."""
    _watch(context, uuid, meter)
    if context.check_stop():
        raise KvmError(
            "MOVE_ABORTED",
            f"Following the move of domain '{context.name}' was ended ({context.stop.reason}); that move was started elsewhere "
            "and goes on.",
        )


def drive_orphan(context: Context, source: Sighting, meter: Meter) -> Ended:
    """Follow the job until it ends; its pause may be as long as permitted at once, because its own ramp stands still."""
    gateway, options = context.gateway, context.options
    gateway.set_max_downtime(source.uuid, options.max_downtime)
    ended = Ended()
    while gateway.look(SOURCE, source.uuid).job == "migration_out":
        stats = _watch(context, source.uuid, meter)
        limit = time_limit(options.timeout, int(stats.get("memory_total") or 0), int(stats.get("disk_total") or 0))
        if not ended.cause and (context.check_stop() or context.elapsed() >= limit):
            ended.cause = "abort" if context.stop.asked else "timeout"
            gateway.abort(source.uuid)
    return ended


def in_vain(context: Context, journal: Journal | None, source: Sighting) -> KvmError:
    """The error for a move that was followed and did not get there; what it made there is undone. ``journal`` is of a move to this
    destination, if there is one."""
    if context.journal is not None and journal is not None and context.journal.stage not in ("done", "undone"):
        undo(context, context.journal)
    return KvmError(
        "MOVE_FAILED",
        f"The move of domain '{context.name}' that ran already ended without success; the domain is {source.state} on "
        f"{source.host}. Run again to start a new move.",
    )


def _watch(context: Context, uuid: str, meter: Meter) -> dict[str, t.Any]:
    """One look at a move that this run did not start."""
    stats = context.gateway.job_stats(uuid)
    shown = from_stats(context.name, context.method, "transfer", stats, context.elapsed(), meter)
    context.tell(dataclasses.replace(shown, note="follows the move that runs already"))
    context.clock.sleep(_POLL)
    return stats
