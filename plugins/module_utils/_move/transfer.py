# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The time while libvirt moves the guest: its call runs in a thread, and this drives it by progress, ramp, limits and wishes."""

from __future__ import annotations

import dataclasses
import threading
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._move import progress as progress_room
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import Context
from ansible_collections.virtops.kvm.plugins.module_utils._move.flags import Call
from ansible_collections.virtops.kvm.plugins.module_utils._move.places import beating
from ansible_collections.virtops.kvm.plugins.module_utils._move.timeouts import Ramp, poll_interval

#: How long libvirt may take to end an aborted move; its mirror waits for the network, which may be gone for a quarter of an hour.
ABORT_GRACE = 60.0
_TELL_SECONDS = 0.5
#: What the next move needs to get under way (ssh, the start of QEMU there): it may do so while this one still copies.
_START_SECONDS = 2.0


@dataclasses.dataclass
class Ended:
    """How the call ended: ``error`` is libvirt's, ``cause`` ours (abort, timeout) when we ended it; ``returned`` tells whether
    the call came back at all."""

    error: t.Optional[KvmError] = None
    cause: str = ""
    returned: bool = True


class Driver:
    """Drives one call to its end."""

    def __init__(self, context: Context, uuid: str, limit: float, ramp: Ramp, beat: t.Callable[[], None]) -> None:
        self._context = context
        self._uuid = uuid
        self._limit = limit
        self._ramp = ramp
        self._beat = beat
        self._meter = progress_room.Meter()
        self._allowed = 0
        self._memory_since: float | None = None
        self._aborted_at: float | None = None
        self._told = -_TELL_SECONDS
        self._escalated = False
        self.ended = Ended()

    def run(self, call: Call) -> Ended:
        """Start the call and stay with it until it returns, or until an abort has waited for it long enough."""
        context = self._context
        done = threading.Event()

        def work() -> None:
            try:
                context.gateway.migrate(self._uuid, call.flags, call.params)
            except KvmError as error:
                self.ended.error = error
            finally:
                done.set()

        self._raise_downtime(0.0)
        start = context.clock.monotonic()
        with beating(self._beat):
            threading.Thread(target=work, name="migrate", daemon=True).start()
            while not done.wait(poll_interval(context.clock.monotonic() - start)):
                if not self._look(context.clock.monotonic() - start):
                    self.ended.returned = False
                    break
        return self.ended

    def _look(self, elapsed: float) -> bool:
        """One look at the job. False when the call did not come back although it was aborted long ago."""
        context = self._context
        stats = context.gateway.job_stats(self._uuid)
        if stats and progress_room.memory_phase(stats) and self._memory_since is None:
            self._memory_since = elapsed
            # From now on the destination may be started at any moment; whoever reads the journal must know.
            context.record(stage="switch")
        if stats and elapsed - self._told >= _TELL_SECONDS:
            self._told = elapsed
            stage = "switch" if self._memory_since is not None else "transfer"
            shown = progress_room.from_stats(context.name, context.method, stage, stats, elapsed, self._meter)
            if self._aborted_at is not None:
                shown = dataclasses.replace(shown, note="aborting", eta=None)
            context.tell(shown)
            if progress_room.nearly_through(stats, self._meter, _START_SECONDS):
                context.give_way()
        if self._aborted_at is not None:
            return elapsed - self._aborted_at < ABORT_GRACE
        if self._memory_since is not None:
            self._raise_downtime(elapsed - self._memory_since)
        if context.check_stop():
            self._abort("abort", elapsed)
        elif elapsed >= self._limit:
            self._time_is_up(elapsed)
        return True

    def _time_is_up(self, elapsed: float) -> None:
        context, action = self._context, self._context.options.timeout_action
        if action == "abort" or self._escalated or self._memory_since is None:
            self._abort("timeout", elapsed)
            return
        self._escalated = True
        self._limit = elapsed + self._limit
        try:
            if action == "postcopy":
                context.gateway.start_postcopy(self._uuid)
            else:
                context.record(suspended=True)
                context.gateway.suspend(self._uuid)
        except KvmError as error:
            context.warnings.append(error.message)
            self._abort("timeout", elapsed)
            return
        context.warnings.append(f"The time limit was reached; the action '{action}' was taken.")

    def _abort(self, cause: str, elapsed: float) -> None:
        self.ended.cause = cause
        self._aborted_at = elapsed
        # libvirt may be waiting for the very network that is gone, so nobody waits for this call.
        threading.Thread(target=self._context.gateway.abort, args=(self._uuid,), name="abort", daemon=True).start()

    def _raise_downtime(self, seconds: float) -> None:
        allowed = self._ramp.at(seconds)
        if allowed != self._allowed and self._context.gateway.set_max_downtime(self._uuid, allowed):
            self._allowed = allowed
