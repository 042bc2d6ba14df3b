# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pool in which another move creates an image right now is refreshed as soon as that is done; and whose an image is."""

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
    fake: t.Any = types.SimpleNamespace(libvirtError=Refused, VIR_ERR_SYSTEM_ERROR=38)
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


CAPABILITIES = (
    "<capabilities><host><secmodel><model>dac</model><baselabel type='qemu'>+64055:+107</baselabel></secmodel></host>"
    "</capabilities>"
)


class Export:
    """Takes a file for root only where ``squashes`` is off, and none at all where ``closed`` is on."""

    def __init__(self, *, squashes: bool, closed: bool = False, code: int = 38) -> None:
        self.squashes, self.closed, self.code = squashes, closed, code
        self.made: list[str] = []

    def createXML(self, xml: str, flags: int) -> None:
        if self.closed or (self.squashes and "<owner>" not in xml):
            raise Refused(self.code, "first" if "<owner>" not in xml else "second")
        self.made.append(xml)


def images(capabilities: str = CAPABILITIES) -> volumes.RemoteImages:
    handle = types.SimpleNamespace(getCapabilities=lambda: capabilities)
    connection: t.Any = types.SimpleNamespace(handle=handle)
    return volumes.RemoteImages(connection, "kvm2")


def test_an_image_is_roots_as_libvirt_has_it() -> None:
    export = Export(squashes=False)
    images()._make(export, "a.raw", "raw", 0)
    assert "<owner>" not in export.made[0]


def test_where_all_are_qemus_user_the_image_is_his() -> None:
    export = Export(squashes=True)
    images()._make(export, "a.raw", "raw", 0)
    assert "<owner>64055</owner>" in export.made[0]
    assert "<group>107</group>" in export.made[0]


@pytest.mark.parametrize(
    ("export", "capabilities"),
    [
        (Export(squashes=True, closed=True), CAPABILITIES),
        (Export(squashes=True, code=1), CAPABILITIES),
        (Export(squashes=True), "<capabilities><host/></capabilities>"),
    ],
)
def test_what_cannot_be_made_is_told_as_libvirt_said_first(export: Export, capabilities: str) -> None:
    with pytest.raises(Refused, match="first"):
        images(capabilities)._make(export, "a.raw", "raw", 0)
    assert export.made == []
