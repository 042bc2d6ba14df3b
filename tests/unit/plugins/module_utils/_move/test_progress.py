# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From libvirt's figures to the line that people read."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB, MIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Progress
from ansible_collections.virtops.kvm.plugins.module_utils._move.progress import (
    Meter,
    from_stats,
    line,
    memory_phase,
    nearly_through,
)

MIRROR = {"disk_total": 5 * GIB, "disk_remaining": 3 * GIB, "memory_total": 0, "memory_processed": 0}


def test_mirror_phase() -> None:
    meter = Meter()
    from_stats("web01", "live_block", "transfer", dict(MIRROR, disk_remaining=5 * GIB), 0.0, meter)
    shown = from_stats("web01", "live_block", "transfer", MIRROR, 10.0, meter)
    assert shown.disk_done == 2 * GIB
    assert shown.memory_total is None
    assert shown.rate == pytest.approx(2 * GIB / 10)
    assert shown.eta == pytest.approx(15)
    assert not memory_phase(MIRROR)
    assert line(shown) == "web01  live_block  disk 40% 2.0/5.0 GiB  ram -  205 MiB/s  ETA 15 s"


def test_memory_phase_without_disks() -> None:
    stats = {"memory_total": GIB, "memory_remaining": GIB // 2, "memory_processed": GIB // 3}
    shown = from_stats("web01", "live_shared", "switch", stats, 1.0, Meter())
    assert memory_phase(stats)
    assert line(shown) == "web01  live_shared  ram 50% 512 MiB/1.0 GiB"


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress("a b", "live_block", "claim", note="waits"), "a b  live_block  claim  waits"),
        (Progress("x", "", "claim"), "x  claim"),
        (Progress("x", "live_block", "transfer"), "x  live_block  disk -  ram -"),
        (
            Progress("x", "live_block", "transfer", disk_total=10 * MIB, disk_done=20 * MIB),
            "x  live_block  disk 100% 10.0/10.0 MiB  ram -",
        ),
    ],
)
def test_line(progress: Progress, text: str) -> None:
    assert line(progress) == text


def test_the_rate_bears_pauses_and_restarts() -> None:
    meter = Meter()
    for now, done in ((0.0, 0), (1.0, 100), (1.1, 110), (2.0, 100), (3.0, 100)):
        meter.add(now, done)
    assert meter.rate is not None
    assert 0 < meter.rate <= 100
    assert Meter().eta(10) is None


def test_empty_figures() -> None:
    stats: dict[str, t.Any] = {}
    shown = from_stats("x", "live_block", "transfer", stats, 0.0, Meter())
    assert (shown.disk_total, shown.memory_total, shown.rate, shown.eta) == (None, None, None, None)


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        ({}, False),
        ({"disk_total": 0, "memory_total": 0}, False),
        ({"disk_total": 100 * MIB, "disk_remaining": 21 * MIB}, False),
        ({"disk_total": 100 * MIB, "disk_remaining": 19 * MIB}, True),
        ({"disk_total": 100 * MIB, "disk_remaining": 0, "memory_total": 90 * MIB, "memory_remaining": 90 * MIB}, True),
        ({"memory_total": 90 * MIB, "memory_remaining": 90 * MIB}, False),
        ({"memory_total": 90 * MIB, "memory_remaining": 10 * MIB}, True),
    ],
)
def test_the_next_move_may_begin_when_the_bulk_is_nearly_through(stats: dict[str, int], expected: bool) -> None:
    assert nearly_through(stats, Meter(rate=10 * MIB), 2.0) is expected


def test_without_a_rate_only_the_end_counts() -> None:
    assert not nearly_through({"disk_total": MIB, "disk_remaining": 1}, Meter(), 2.0)
    assert nearly_through({"disk_total": MIB, "disk_remaining": 0}, Meter(), 2.0)
