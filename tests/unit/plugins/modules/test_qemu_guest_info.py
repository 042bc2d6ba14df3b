# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module around the survey: what it hands on, chooses, and refuses."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import Guest, GuestProcess
from ansible_collections.virtops.kvm.plugins.modules import qemu_guest_info


class Two:
    """A host with two guests."""

    asked: list[float]

    def __init__(self) -> None:
        self.asked = []

    def read(self, timeout: float) -> list[Guest]:
        self.asked.append(timeout)
        words = ("kvm", "-spice", "password=x")
        return [
            Guest(GuestProcess(7, "kvm", words), name="web", memory=5),
            Guest(GuestProcess(8, "kvm", ("kvm",)), name="db"),
        ]

    def off(self, running: t.Sequence[Guest]) -> list[Guest]:
        assert len(running) == 2
        return [Guest(GuestProcess(0, "kvm", ("kvm", "-spice", "password=y")), name="still", status="stopped")]


def run(gateway: Two, **options: t.Any) -> t.Any:
    params = {"guests": [], "select": None, "timeout": 2.5, **options}
    result = qemu_guest_info.run(params, False, t.cast("qemu_guest_info.Gateway", gateway))
    assert result.changes == ()
    return result.values["guests"]


def test_all_or_some() -> None:
    gateway = Two()
    assert [guest.name for guest in run(gateway)] == ["web", "db"]
    assert run(gateway)[0].process.words == ("kvm", "-spice", "password=***")
    assert [guest.name for guest in run(gateway, guests=["8"])] == ["db"]
    assert gateway.asked == [2.5] * 3
    with pytest.raises(KvmError) as caught:
        run(gateway, guests=["mail"])
    assert caught.value.error_code == "GUEST_UNKNOWN"


def test_those_that_are_off_are_told_apart() -> None:
    def names(**options: t.Any) -> tuple[list[str], list[str]]:
        params = {"guests": [], "select": None, "timeout": 1.0, **options}
        found = qemu_guest_info.run(params, False, t.cast("qemu_guest_info.Gateway", Two())).values
        assert "password=y" not in str(found)
        return [one.name for one in found["guests"]], [one.name for one in found["stopped"]]

    assert names() == (["web", "db"], ["still"])
    assert names(guests=["still"]) == ([], ["still"])
    assert names(guests=["db"]) == (["db"], [])


@pytest.mark.parametrize(
    ("select", "answer"),
    [("[?memory > `3`].name", ["web"]), ("[1].process.pid", [8]), ("[9]", []), ("[].process.words[0]", ["kvm", "kvm"])],
)
def test_an_expression(select: str, answer: list[t.Any]) -> None:
    assert run(Two(), select=select) == answer


@pytest.mark.parametrize("options", [{"select": "[?"}, {"timeout": 0.0}, {"timeout": -1.0}])
def test_bad_input_is_refused_before_anything_is_read(options: dict[str, t.Any]) -> None:
    gateway = Two()
    with pytest.raises(InputError):
        run(gateway, **options)
    assert gateway.asked == []
