# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Time and waiting. Everything that waits takes a Clock, so that tests need no real time."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import TimeoutExpired

T = t.TypeVar("T")


class Clock:
    """The real clock: monotonic seconds for waiting, epoch seconds for records."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        return time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch (UTC)."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait ``seconds``."""
        time.sleep(seconds)


def wait_until(
    clock: Clock,
    probe: t.Callable[[], T],
    done: t.Callable[[T], bool],
    *,
    what: str,
    timeout: float,
    interval: float = 0.2,
) -> T:
    """Call ``probe`` every ``interval`` seconds until ``done`` holds for its answer, and return that answer.

    Raises TimeoutExpired with the last answer after ``timeout`` seconds. Probes at least once.
    """
    end = clock.monotonic() + timeout
    while True:
        state = probe()
        if done(state):
            return state
        if clock.monotonic() >= end:
            raise TimeoutExpired(what, timeout, last=state)
        clock.sleep(interval)
