# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Post-copy of a guest process: it runs on the destination, and its memory follows. Each side holds a part, and neither may be ended."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_transfer import STALL_SECONDS

RUNNING = "postcopy-active"
_FOLLOWING = (RUNNING, "postcopy-device", "device")
_POLL = 0.2


def wait_for_memory(context: BareContext) -> None:
    """The source is needed until the last page has gone. Raises POSTCOPY_FAILED where nothing goes any more."""
    if context.monitor is None:
        return
    seen, since = -1, context.clock.monotonic()
    while True:
        try:
            status = context.source().execute("query-migrate")
        except KvmError as exc:
            if exc.error_code != "MONITOR_GONE":
                raise
            return
        state = status.get("status", "completed")
        if state == "completed":
            return
        if state not in _FOLLOWING:
            raise _failed(context, f"is {state}", state)
        moved, now = status.get("ram", {}).get("transferred", 0), context.clock.monotonic()
        if moved != seen:
            seen, since = moved, now
        if now - since > STALL_SECONDS:
            raise _failed(context, f"has stood still for {STALL_SECONDS:g} s", state)
        context.tell("release", "its memory follows")
        context.clock.sleep(_POLL)


def _failed(context: BareContext, what: str, state: str) -> KvmError:
    return KvmError(
        "POSTCOPY_FAILED",
        f"The post-copy migration of the guest '{context.name}' to {context.far.host} {what}; each side holds a part of its memory. Do "
        "not end either side: restore the network and run again.",
        state=state,
    )
