# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module storage_volume against a pool in memory: what is announced is done, and nothing is lost that was not given away."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.volume import Room, VolumeFacts
from ansible_collections.virtops.kvm.plugins.modules import storage_volume
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._libvirt.fake_pools import FakeVolumes

DISK = VolumeFacts("disk", "default", "/srv/disk", format="qcow2", capacity=8192, owner=0, group=0, mode="0600")


def disk(**values: t.Any) -> VolumeFacts:
    return VolumeFacts(**{**DISK.__dict__, **values})


def run(gateway: FakeVolumes, *, check: bool = False, **options: t.Any) -> t.Any:
    defaults = {name: rule.get("default") for name, rule in storage_volume.argument_spec().items()}
    given = {**defaults, "pool": "default", "name": "disk", **options}
    return storage_volume.run(given, check, t.cast("t.Any", lambda uri: gateway))


def actions(result: t.Any) -> list[str]:
    return [change.action for change in result.changes]


def error(gateway: FakeVolumes, **options: t.Any) -> KvmError:
    with pytest.raises(KvmError) as caught:
        run(gateway, **options)
    assert [call for call in gateway.calls if call != "close"] == []
    return caught.value


@pytest.mark.parametrize(
    "asked",
    [
        {"capacity": "8K"},
        {"capacity": "8KiB", "format": "raw", "allocation": "full", "owner": "0", "mode": "0640"},
        {"backing": "base", "backing_format": "qcow2"},
        {"capacity": "1M", "backing": "/srv/base", "backing_format": "raw", "allocation": "metadata"},
    ],
)
def test_a_new_volume_is_announced_as_it_is_made(asked: dict[str, t.Any]) -> None:
    gateway = FakeVolumes()
    announced = run(gateway, check=True, **asked)
    assert gateway.calls == ["close"]
    done = run(gateway, **asked)
    assert announced.changes == done.changes
    assert announced.diff == done.diff
    assert actions(done) == ["create"]
    assert announced.values["capacity"] == done.values["capacity"] > 0
    assert (announced.values["path"], done.values["path"]) == (None, "/srv/disk")
    assert not run(gateway, **asked).changes


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"capacity": "4K"}, "VOLUME_TOO_LARGE"),
        ({"capacity": "4K", "grow": True}, "VOLUME_TOO_LARGE"),
        ({"capacity": "9K"}, "VOLUME_TOO_SMALL"),
        ({"format": "raw"}, "VOLUME_DIFFERS"),
        ({"backing": "base", "backing_format": "qcow2"}, "VOLUME_DIFFERS"),
        ({"state": "absent"}, "VOLUME_KEPT"),
    ],
)
def test_what_is_there_stays_as_it_is(asked: dict[str, t.Any], code: str) -> None:
    gateway = FakeVolumes(DISK)
    assert error(gateway, **asked).error_code == code
    assert not run(gateway, capacity="8K", format="qcow2", allocation="full", owner="0", mode="600").changes


def test_it_grows_when_asked() -> None:
    gateway = FakeVolumes(DISK)
    assert actions(run(gateway, capacity="1M", grow=True, mode="0640")) == ["grow", "set"]
    assert gateway.there["disk"].capacity == 1 << 20
    assert not run(gateway, capacity="1M", grow=True, mode="0640").changes
    overlaid = FakeVolumes(disk(overlays=("child",)))
    assert error(overlaid, capacity="1M", grow=True).error_code == "VOLUME_IS_BACKING"


def test_what_is_used_is_not_deleted() -> None:
    for values, code in (
        ({"domains": ("web01",)}, "VOLUME_IN_USE"),
        ({"overlays": ("child",)}, "VOLUME_IS_BACKING"),
    ):
        assert error(FakeVolumes(disk(**values)), state="absent", may_delete=True).error_code == code
    busy = FakeVolumes(DISK)
    busy.busy = KvmError("SOURCE_IN_USE", "'/srv/disk' is in use.")
    assert error(busy, state="absent", may_delete=True).error_code == "SOURCE_IN_USE"
    assert error(busy, capacity="1M", grow=True).error_code == "SOURCE_IN_USE"
    free = FakeVolumes(DISK)
    assert actions(run(free, state="absent", may_delete=True)) == ["delete"]
    assert not run(free, state="absent").changes


def test_a_running_domain_has_the_image_for_itself() -> None:
    gateway = FakeVolumes(disk(users=("web01",), domains=("web01",), owner=64055))
    gateway.busy = KvmError("SOURCE_IN_USE", "by that very domain")
    assert not run(gateway, owner="0").changes
    assert actions(run(gateway, capacity="1M", grow=True)) == ["grow"]


def test_a_volume_group_has_its_own_rules() -> None:
    room = Room("logical", 1 << 30, 4 << 20)
    for asked in ({"format": "qcow2"}, {"allocation": "sparse"}, {"backing": "base", "backing_format": "raw"}):
        assert error(FakeVolumes(room=room), capacity="8M", **asked).details["option"] == "format"
    made = run(FakeVolumes(room=room), check=True, capacity="9M")
    assert (actions(made), made.values["capacity"]) == (["create"], 12 << 20)
    rounded = FakeVolumes(disk(format="raw", type="block", capacity=8 << 20), room=room)
    assert not run(rounded, capacity="5M").changes
    assert error(rounded, capacity="4M").error_code == "VOLUME_TOO_LARGE"
    assert error(rounded, capacity="2G", grow=True).error_code == "POOL_FULL"
    grown = run(rounded, check=True, capacity="9M", grow=True)
    assert (grown.changes[0].after, grown.values["capacity"]) == (12 << 20, 12 << 20)


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({}, "capacity"),
        ({"capacity": "0"}, "capacity"),
        ({"capacity": "1000"}, "capacity"),
        ({"capacity": "many"}, "capacity"),
        ({"capacity": "-1G"}, "capacity"),
        ({"name": "a/b", "capacity": "1M"}, "name"),
        ({"name": "..", "capacity": "1M"}, "name"),
        ({"capacity": "1M", "format": "raw", "allocation": "metadata"}, "allocation"),
        ({"capacity": "1M", "format": "raw", "backing": "base", "backing_format": "raw"}, "backing"),
        ({"capacity": "1M", "allocation": "full", "backing": "base", "backing_format": "raw"}, "allocation"),
        ({"capacity": "1K", "backing": "base", "backing_format": "raw"}, "capacity"),
        ({"capacity": "1M", "backing": "a/b", "backing_format": "raw"}, "backing"),
        ({"capacity": "1M", "mode": "0600", "uri": "qemu+ssh://kvm2/system"}, "owner"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, t.Any], option: str) -> None:
    caught = error(FakeVolumes(), **options)
    assert (caught.error_code, caught.details["option"]) == ("INVALID_OPTION", option)


def test_a_pool_that_could_fill_up_is_told() -> None:
    assert error(FakeVolumes(), capacity="2G", allocation="full").error_code == "POOL_FULL"
    assert "may grow" in run(FakeVolumes(), check=True, capacity="2G").warnings[0]
