# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How long a move takes, and for how long of that a guest does not run. Rough, and on the long side. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.units import MIB

#: Seconds that any move takes besides its transfer: claiming, preparing, verifying.
FIXED_SECONDS = 3.0
#: Seconds for shutting a guest down and booting it, and for saving and restoring it besides its memory.
BOOT_SECONDS = 30.0
RESUME_SECONDS = 5.0
#: Bytes per second at which both hosts read an image for the proof that it arrived whole.
PROOF_RATE = 300.0 * MIB
#: The part of a disk that changes while it is seeded, and has to be sent again while the guest is stopped.
CHANGED_PART = 0.02


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Seconds of the whole move, and those that the guest is stopped: None where it never is (live, or shut off anyway)."""

    seconds: float
    stopped: t.Optional[float] = None


def estimate(method: str, *, runs: bool, disk_bytes: int, memory_bytes: int, link_rate: float) -> Estimate:
    """For a move by ``method`` over a link of ``link_rate`` bytes per second."""
    sent, proven = disk_bytes / link_rate, disk_bytes / PROOF_RATE
    if method == "seeded":
        stopped = BOOT_SECONDS + CHANGED_PART * sent + proven
        return _rounded(FIXED_SECONDS + sent + stopped, stopped)
    if method == "suspended":
        stopped = RESUME_SECONDS + memory_bytes / link_rate + sent + proven
        return _rounded(FIXED_SECONDS + stopped, stopped)
    if method == "offline":
        stopped = BOOT_SECONDS + sent + proven
        return _rounded(FIXED_SECONDS + stopped, stopped) if runs else _rounded(FIXED_SECONDS + sent + proven, None)
    return _rounded(FIXED_SECONDS + (disk_bytes + memory_bytes) / link_rate, None)


def _rounded(seconds: float, stopped: float | None) -> Estimate:
    return Estimate(round(seconds, 1), None if stopped is None else round(stopped, 1))
