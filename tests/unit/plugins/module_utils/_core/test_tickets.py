# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turns on a destination that has no master."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.module_utils._core.tickets import (
    Watch,
    label,
    next_ticket,
    overtaken,
    ticket_of,
)


def test_labels_go_both_ways_and_sort() -> None:
    assert ticket_of(label(7)) == 7
    assert label(9) < label(10)
    assert ticket_of("somebody's secret") is None
    assert ticket_of("virtops-kvm claim x") is None


def test_next_is_behind_all() -> None:
    assert next_ticket([]) == 1
    assert next_ticket([3, 9]) == 10


def test_a_number_that_was_passed_over_is_given_back() -> None:
    assert overtaken(1, [1, 2])
    assert not overtaken(2, [1, 2])


def test_a_heart_that_stopped_is_noticed_by_the_watchers_clock() -> None:
    watch = Watch(15.0)
    assert not watch.stale("a", "1", 100.0)
    assert not watch.stale("a", "1", 114.0)
    assert not watch.stale("a", "2", 116.0)
    assert not watch.stale("a", "2", 130.0)
    assert watch.stale("a", "2", 131.0)
    assert not watch.stale("b", "2", 131.0)
