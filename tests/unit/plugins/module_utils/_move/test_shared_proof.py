# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Storage counts as shared when the source sees what the destination made there, whatever it is called."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import Choice
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import Survey
from ansible_collections.virtops.kvm.plugins.module_utils._move.shared_proof import PREFIX, prove_shared
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.fake import FakeGateway, U, context_for

SHARED = Disk("vda", "file", source="/srv/shared/web.qcow2", shared=True, filesystem="nfs:192.0.2.5:/export")


class Hosts(FakeGateway):
    """Notes what is made where."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []
        self.new_folder = False

    def create_image(self, path: str, image_format: str, capacity: int) -> bool:
        super().create_image(path, image_format, capacity)
        self.made.append(path)
        return self.new_folder


def prove(gateway: Hosts, folder: pathlib.Path, *disks: Disk, copied: t.Sequence[str] = ()) -> list[str]:
    """The warnings, with one of a finding that is left for a disk, as the preflight warns of each."""
    context = context_for(gateway, folder)
    survey = Survey(Domain("web", U, "running", disks=disks), (), Choice("live_shared", "because", None, tuple(copied)))
    unproven = [warning("SHARED_UNPROVEN", disk.target, "It is taken to be shared.", "Look.") for disk in disks]
    left = prove_shared(context, survey, [*unproven, warning("CLOCK_SKEW", "kvm2", "It is late.", "Set it.")])
    assert gateway.images == {}
    assert left[-1].code == "CLOCK_SKEW"
    return [*context.warnings, *(one.code for one in left[:-1])]


def test_one_file_per_folder_proves_it_and_goes(tmp_path: pathlib.Path) -> None:
    gateway = Hosts()
    other = dataclasses.replace(SHARED, target="vdb", source="/srv/shared/data.qcow2")
    elsewhere = dataclasses.replace(SHARED, target="vdc", source="/srv/more/data.qcow2")
    assert prove(gateway, tmp_path, SHARED, other, elsewhere) == []
    assert [path.rpartition("/")[0] for path in gateway.made] == ["/srv/shared", "/srv/more"]
    assert all(PREFIX in path for path in gateway.made)


def test_what_is_not_seen_is_not_shared(tmp_path: pathlib.Path) -> None:
    gateway = Hosts()
    gateway.shares = False
    with pytest.raises(KvmError) as caught:
        prove(gateway, tmp_path, SHARED)
    assert caught.value.error_code == "STORAGE_NOT_SHARED"
    assert "/srv/shared" in caught.value.message
    assert gateway.images == {}


def test_a_folder_that_is_missing_there_goes_again(tmp_path: pathlib.Path) -> None:
    gateway = Hosts()
    gateway.new_folder = True
    with pytest.raises(KvmError, match="different storage"):
        prove(gateway, tmp_path, SHARED)
    assert "rmdir /srv/shared" in gateway.log


def test_where_the_destination_may_not_write_a_warning_says_that_nothing_is_proven(tmp_path: pathlib.Path) -> None:
    class Squashed(Hosts):
        def create_image(self, path: str, image_format: str, capacity: int) -> bool:
            raise KvmError("LIBVIRT_SYSTEM_ERROR", "Permission denied.")

    said = prove(Squashed(), tmp_path, SHARED)
    assert "Permission denied" in said[0]
    assert said[1:] == ["SHARED_UNPROVEN"]


@pytest.mark.parametrize(("failures", "left"), [(4, False), (5, True)])
def test_the_file_goes_even_when_another_move_ends_the_pool(tmp_path: pathlib.Path, failures: int, left: bool) -> None:
    class Shaky(Hosts):
        fails = failures

        def remove_image(self, path: str) -> bool:
            self.fails -= 1
            if self.fails >= 0:
                raise KvmError("POOL_NOT_FOUND", "The pool is gone.")
            return super().remove_image(path)

    gateway = Shaky()
    context = context_for(gateway, tmp_path)
    survey = Survey(Domain("web", U, "running", disks=(SHARED,)), (), Choice("live_shared", "because"))
    prove_shared(context, survey, ())
    assert bool(gateway.images) is left
    assert ["is left on b" in warning for warning in context.warnings] == ([True] if left else [])


@pytest.mark.parametrize(
    "disk",
    [
        dataclasses.replace(SHARED, device="cdrom", readonly=True),
        dataclasses.replace(SHARED, shared=False),
        dataclasses.replace(SHARED, type="block", source="/dev/vg/lv"),
        dataclasses.replace(SHARED, type="network", source="pool/image"),
        dataclasses.replace(SHARED, source=None),
    ],
)
def test_other_disks_need_no_proof(tmp_path: pathlib.Path, disk: Disk) -> None:
    gateway = Hosts()
    assert prove(gateway, tmp_path, disk) == ["SHARED_UNPROVEN"]
    assert prove(gateway, tmp_path, SHARED, copied=["vda"]) == ["SHARED_UNPROVEN"]
    assert gateway.made == []
