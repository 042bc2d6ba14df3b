# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pool in which another move creates an image right now is refreshed as soon as that is done."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import TimeoutExpired
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt import volumes

BUSY = "internal error: pool 'default' has asynchronous jobs running."


class Refused(Exception):
    """Stands for libvirtError."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    def get_error_code(self) -> int:
        return self.code


class Pool:
    """Refuses as often as it is told to."""

    def __init__(self, times: int, code: int, message: str) -> None:
        self.times, self.code, self.message, self.asked = times, code, message, 0

    def name(self) -> str:
        return "default"

    def refresh(self, flags: int) -> None:
        self.asked += 1
        if self.asked <= self.times:
            raise Refused(self.code, self.message)


class NoTime(Clock):
    """Waiting takes no time."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    fake: t.Any = types.SimpleNamespace(libvirtError=Refused)
    monkeypatch.setattr(volumes, "library", lambda: fake)


def test_a_busy_pool_is_asked_until_it_answers() -> None:
    pool = Pool(7, 1, BUSY)
    volumes.refresh(pool, NoTime())
    assert pool.asked == 8


@pytest.mark.parametrize(("code", "message"), [(1, "internal error: disk on fire"), (55, BUSY), (49, "gone")])
def test_any_other_refusal_is_told_at_once(code: int, message: str) -> None:
    pool = Pool(1, code, message)
    with pytest.raises(Refused):
        volumes.refresh(pool, NoTime())
    assert pool.asked == 1


def test_a_pool_that_stays_busy_is_given_up() -> None:
    with pytest.raises(TimeoutExpired, match="default"):
        volumes.refresh(Pool(10**9, 1, BUSY), NoTime())
