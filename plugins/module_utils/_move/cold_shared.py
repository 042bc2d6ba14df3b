# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the stages of a move with a stopped guest share: its parts, its ways to end early, and how far it is."""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.job import Known
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Piece, Progress
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_plan import (
    ColdPlan,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_ports import Carrier, ColdGateway
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import SOURCE, Context
from ansible_collections.virtops.kvm.plugins.module_utils._move.progress import Meter

_TELL_SECONDS = 0.5
_WATCH_SECONDS = 3.0


@dataclasses.dataclass(frozen=True)
class Seed:
    """What is known of a copy that was made while the guest ran, and how the source's file looked before (cold_track.stamp)."""

    known: Known
    stamp: tuple[int, ...]


@dataclasses.dataclass
class Cold:
    """What the stages of one move share. ``seeds`` are by the path of the source."""

    context: Context
    gateway: ColdGateway
    carrier: Carrier
    plan: ColdPlan
    seeds: dict[str, Seed] = dataclasses.field(default_factory=dict)

    @property
    def uuid(self) -> str:
        """The domain's UUID."""
        return self.plan.uuid


def ended(context: Context, during: str) -> KvmError:
    """The error of a move that was ended on request; what became of it is told by whoever takes it back."""
    return KvmError(
        "MOVE_ABORTED",
        f"The move of domain '{context.name}' was aborted ({context.stop.reason}) during {during}.",
        reason=context.stop.reason,
    )


def started_meanwhile(cold: Cold) -> KvmError:
    """The error when somebody started the domain on the source in the middle of its move."""
    context = cold.context
    return KvmError(
        "DOMAIN_STARTED",
        f"Domain '{context.name}' was started on {context.gateway.source_host} while it was being moved, so its copy is out of date; "
        "it goes on there. Find out who started it, and run again.",
    )


class Watch:
    """Looks now and then whether the copy is to end: on request, or because somebody started the domain."""

    def __init__(self, cold: Cold) -> None:
        self._cold = cold
        self._next = 0.0
        self._started = False

    def __call__(self) -> bool:
        """Whether the copy is to end."""
        context = self._cold.context
        now = context.clock.monotonic()
        if not self._started and now >= self._next:
            self._next = now + _WATCH_SECONDS
            seen = self._cold.gateway.look(SOURCE, self._cold.uuid)
            self._started = seen.active
        return self._started or context.check_stop()

    def explain(self) -> None:
        """Raises DOMAIN_STARTED where that was the reason."""
        if self._started:
            raise started_meanwhile(self._cold)


class Shown:
    """Tells how far all pieces together are."""

    def __init__(self, cold: Cold, stage: str = "transfer", note: str = "") -> None:
        self._cold = cold
        self._stage = stage
        self._note = note
        self._meter = Meter()
        self._total = max(1, sum(piece.allocated for piece in cold.plan.pieces))
        self._done = 0
        self._told = -_TELL_SECONDS

    def tell(self, piece: Piece) -> t.Callable[[int, int], None]:
        """The listener for one piece."""
        context = self._cold.context

        def told(done: int, total: int) -> None:
            elapsed = context.elapsed()
            if elapsed - self._told < _TELL_SECONDS:
                return
            self._told = elapsed
            now = self._done + piece.allocated * min(done, total) // max(1, total)
            self._meter.add(elapsed, now)
            context.tell(
                Progress(
                    context.name,
                    context.method,
                    self._stage,
                    round(elapsed, 2),
                    disk_total=self._total,
                    disk_done=min(now, self._total),
                    rate=self._meter.rate,
                    eta=self._meter.eta(max(0, self._total - now)),
                    note=self._note or f"copies {posixpath.basename(piece.path)}",
                )
            )

        return told

    def finished(self, piece: Piece) -> None:
        """A piece is done."""
        self._done += piece.allocated
