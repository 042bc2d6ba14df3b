# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits and ramps."""

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB
from ansible_collections.virtops.kvm.plugins.module_utils._move.timeouts import Ramp, time_limit


@pytest.mark.parametrize(
    ("asked", "memory", "copied", "seconds"),
    [(0, GIB // 8, 0, 1600), (0, 2 * GIB, 2 * GIB, 3200), (30, 100 * GIB, GIB, 30), (0, 0, 10 * GIB, 8000)],
)
def test_time_limit(asked: float, memory: int, copied: int, seconds: float) -> None:
    assert time_limit(asked, memory, copied) == seconds


def test_ramp_rises_in_equal_steps_and_stays_at_the_limit() -> None:
    ramp = Ramp.for_move(300, 0, 5, 0, GIB)
    assert [ramp.at(second) for second in (0, 1.9, 2, 4, 6, 8, 10, 1000)] == [100, 100, 140, 180, 220, 260, 300, 300]


@pytest.mark.parametrize(("limit", "start", "first"), [(300, 0, 100), (300, 50, 50), (40, 100, 40), (1, 0, 1)])
def test_ramp_never_starts_above_the_limit(limit: int, start: int, first: int) -> None:
    ramp = Ramp.for_move(limit, start, 4, 1.0, GIB)
    assert ramp.at(0) == first
    assert ramp.at(10) == limit
