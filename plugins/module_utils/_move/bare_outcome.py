# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How a run of a guest process's move ended, as its user is told it: the error of one that was taken back, and the figures of all."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import SHUT_DOWN
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_switch import figures_of
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_undo import look_here


def note(context: BareContext, code: str, message: str) -> None:
    """Say in the record why it stands as it does; the destination may be away."""
    with contextlib.suppress(KvmError):
        context.record(far=False, error_code=code, message=message)


def failure(context: BareContext, error: KvmError, stage: str, left: list[str]) -> KvmError:
    """The error for a move that was taken back: where the guest is, and what was ``left`` on the destination. The record says so, too."""
    now = look_here(context)
    where = f"The guest is {now.state} on {context.source_host}"
    if not now.found and _was_off(context):
        where = f"The guest is off on {context.source_host} as it was"
    elif not now.found:
        where = f"The guest ended on {context.source_host}; its disks there are what it has"
    if context.trouble:
        where = f"The guest is off on {context.source_host}, its disks there are whole, and it could not be started: {context.trouble}"
    rest = (
        f", and left on {context.far.host}: {', '.join(left)}"
        if left
        else f", and nothing of it is left on {context.far.host}"
    )
    code = error.error_code if now.found or context.trouble or _was_off(context) else "GUEST_DIED"
    if code in ("MONITOR_GONE", "MONITOR_SILENT", "MONITOR_REFUSED", "TIMEOUT", "REMOTE_FAILED"):
        code = "MOVE_FAILED"
    note(context, code, error.message)
    return KvmError(
        code,
        f"The move of the guest '{context.name}' to {context.far.host} failed in the stage {stage}: "
        f"{error.message.rstrip('.')}. {where}{rest}.",
        stage=stage,
        cause=error.error_code,
        left=left,
        **{key: value for key, value in error.details.items() if key not in ("stage", "cause", "left")},
    )


def _was_off(context: BareContext) -> bool:
    return context.journal is not None and context.journal.state == SHUT_DOWN


def values_of(context: BareContext, kept: tuple[str, ...]) -> dict[str, t.Any]:
    """What a result tells of the move; ``kept`` are images that are still on the source."""
    journal = context.journal
    runs = journal if journal is not None and not journal.domain and journal.state != SHUT_DOWN else None
    move = {
        "guest": context.name,
        "method": journal.method if journal is not None and journal.open else context.options.method,
        "source_host": context.source_host,
        "destination_host": context.far.host,
        "started": journal.started if journal is not None and context.stages else None,
        "seconds": round(context.elapsed(), 3),
        **figures_of(context),
        "stages": dict(context.stages),
        "source_disks_kept": list(kept),
        "monitor": runs.socket if runs else "",
        "unit": runs.unit if runs else "",
    }
    return {"move": move}
