# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How long a move may take, and how its permitted pause grows: pure arithmetic."""

from __future__ import annotations

import dataclasses

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB

SECONDS_PER_GIB = 800.0
LEAST_GIB = 2.0


def time_limit(asked: float, memory: int, copied: int) -> float:
    """Seconds until a move counts as stuck: ``asked`` if it is not 0, else 800 s for each GiB of memory and copied disk,
    of at least 2 GiB."""
    if asked > 0:
        return float(asked)
    return SECONDS_PER_GIB * max(LEAST_GIB, (memory + copied) / GIB)


@dataclasses.dataclass(frozen=True)
class Ramp:
    """The permitted pause in milliseconds over time: ``steps`` equal rises from ``start`` to ``limit``, ``delay`` seconds apart."""

    start: int
    limit: int
    steps: int
    delay: float

    @classmethod
    def for_move(cls, limit: int, start: int, steps: int, delay: float, memory: int) -> Ramp:
        """Start at ``start`` (0: a third of the limit); wait ``delay`` seconds between steps (0: 2 s for each GiB of memory)."""
        first = min(limit, start if start > 0 else max(1, limit // 3))
        wait = delay if delay > 0 else max(1.0, 2.0 * memory / GIB)
        return cls(first, limit, max(1, steps), wait)

    def at(self, seconds: float) -> int:
        """What is permitted ``seconds`` after the memory phase began."""
        step = min(self.steps, int(max(0.0, seconds) / self.delay)) if self.delay > 0 else self.steps
        return self.start + (self.limit - self.start) * step // self.steps


def poll_interval(elapsed: float) -> float:
    """Seconds between two looks at the job. The end of the call is not waited for by looking, and each look makes libvirt ask QEMU,
    which is busy enough: so no oftener than what a look is for needs it (the permitted pause, progress, a wish to end)."""
    return 0.25 if elapsed < 5 else 0.5
