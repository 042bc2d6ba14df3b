# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module storage_pool against a host in memory: what is announced is done, and no running domain loses its storage."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.pool import Ground, PoolDefinition, PoolFacts
from ansible_collections.virtops.kvm.plugins.module_utils._xml.pools import pool_document
from ansible_collections.virtops.kvm.plugins.modules import storage_pool
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._libvirt.fake_pools import UUID, FakePools

NETFS = PoolDefinition(
    "shared", "netfs", "/srv/shared", hosts=("nas",), directory="/export", source_format="nfs", protocol_version="4.2"
)
ASKED: dict[str, t.Any] = {
    "name": "shared",
    "type": "netfs",
    "path": "/srv/shared/",
    "source_host": "nas",
    "source_path": "/export",
    "protocol_version": "4.2",
}
FOLDER = PoolDefinition("images", "dir", "/srv/images")
ASKED_FOLDER: dict[str, t.Any] = {"name": "images", "type": "dir", "path": "/srv/images"}


def host(definition: PoolDefinition = NETFS, **values: t.Any) -> FakePools:
    """A host with one pool; a netfs pool that is active is mounted as it should be if nothing else is said."""
    if values.get("active"):
        values.setdefault("mounted", definition.mount_source)
    pools = FakePools((PoolFacts(definition.name, UUID, definition, **values), pool_document(definition)))
    pools.grounds[definition.path or ""] = Ground(True, (), values.get("mounted"))
    return pools


def run(gateway: FakePools, *, check: bool = False, **options: t.Any) -> t.Any:
    defaults = {name: rule.get("default") for name, rule in storage_pool.argument_spec().items()}
    return storage_pool.run({**defaults, **options}, check, t.cast("t.Any", lambda uri: gateway))


def actions(result: t.Any) -> list[str]:
    return [change.action for change in result.changes]


def error(gateway: FakePools, **options: t.Any) -> KvmError:
    with pytest.raises(KvmError) as caught:
        run(gateway, **options)
    assert [call for call in gateway.calls if call != "close"] == []
    return caught.value


@pytest.mark.parametrize(
    ("asked", "steps"),
    [
        (ASKED, ["define", "create folder", "start", "set"]),
        (ASKED_FOLDER, ["define", "create folder", "start", "set"]),
        ({"name": "vg0", "type": "logical"}, ["define", "start", "set"]),
        ({**ASKED, "state": "present"}, ["define", "set"]),
        ({**ASKED, "state": "inactive"}, ["define", "set"]),
    ],
)
def test_a_new_pool_is_announced_as_it_is_made(asked: dict[str, t.Any], steps: list[str]) -> None:
    gateway = FakePools()
    announced = run(gateway, check=True, autostart=True, **asked)
    assert gateway.calls == ["close"]
    done = run(gateway, autostart=True, **asked)
    assert announced.changes == done.changes
    assert announced.diff == done.diff
    assert actions(done) == steps
    assert (announced.values["uuid"], done.values["uuid"]) == (None, UUID)
    assert announced.values["state"] == done.values["state"]
    assert not run(gateway, autostart=True, **asked).changes


def test_a_pool_is_brought_to_its_state_by_name_alone() -> None:
    gateway = host(active=True)
    assert actions(run(gateway, name="shared")) == []
    assert actions(run(gateway, name="shared", state="inactive")) == ["stop"]
    assert actions(run(gateway, name="shared")) == ["start"]
    assert actions(run(gateway, name="shared", state="absent")) == ["stop", "undefine"]
    assert actions(run(gateway, name="shared", state="absent")) == []
    assert error(FakePools(), name="shared").error_code == "POOL_NOT_FOUND"


def test_a_definition_that_differs_is_applied() -> None:
    gateway = host(active=True)
    done = run(gateway, **{**ASKED, "protocol_version": "4.1"})
    assert actions(done) == ["redefine", "stop", "start"]
    assert done.changes[0].after == ["source/protocol/@ver: '4.2' -> '4.1'"]
    assert not run(gateway, **{**ASKED, "protocol_version": "4.1"}).changes


def test_a_pool_in_use_keeps_its_storage() -> None:
    gateway = host(active=True, users=("web01", "db01"))
    for asked in (
        {**ASKED, "protocol_version": "4.1"},
        {"name": "shared", "state": "inactive"},
        {"name": "shared", "state": "absent"},
    ):
        caught = error(gateway, **asked)
        assert caught.error_code == "POOL_IN_USE"
        assert "web01, db01" in caught.message
    assert not run(gateway, **ASKED).changes


def test_a_volume_group_must_be_there_and_is_not_taken_from_under_its_users() -> None:
    group = PoolDefinition("fast", "logical", "/dev/vg", source_name="vg")
    missing = FakePools()
    missing.groups = set()
    caught = error(missing, name="fast", type="logical", source_name="vg")
    assert (caught.error_code, caught.details["group"]) == ("VOLUME_GROUP_MISSING", "vg")
    gateway = host(group, active=True)
    gateway.open = ("data",)
    for state in ("inactive", "absent"):
        caught = error(gateway, name="fast", state=state)
        assert (caught.error_code, caught.details["volumes"]) == ("POOL_IN_USE", ["data"])
    gateway.open = ()
    assert actions(run(gateway, name="fast", state="absent")) == ["stop", "undefine"]


def test_a_definition_waits_for_the_next_start_where_only_that_is_asked() -> None:
    gateway = host(active=True, users=("web01",))
    done = run(gateway, **{**ASKED, "protocol_version": "4.1", "state": "present"})
    assert actions(done) == ["redefine"]
    assert done.values["restart_needed"]
    assert "started anew" in done.msg
    again = run(gateway, **{**ASKED, "protocol_version": "4.1", "state": "present"})
    assert not again.changes
    assert again.values["restart_needed"]


@pytest.mark.parametrize(("mounted", "said"), [(None, "is not mounted"), ("other:/export", "other:/export is mounted")])
def test_an_active_pool_whose_mount_is_amiss_is_a_change(mounted: str | None, said: str) -> None:
    users = host(active=True, mounted=mounted, users=("web01",))
    assert said in error(users, **ASKED).message
    gateway = host(active=True, mounted=mounted)
    if mounted is not None:
        caught = error(gateway, **ASKED)
        assert (caught.error_code, caught.details["mounted"]) == ("PATH_MOUNTED", mounted)
        gateway.grounds["/srv/shared"] = Ground(True)
    assert actions(run(gateway, **ASKED)) == ["stop", "start"]
    assert not run(gateway, **ASKED).changes


def test_a_mount_never_hides_files_or_another_mount() -> None:
    gateway = FakePools()
    gateway.grounds["/srv/shared"] = Ground(True, ("web01.qcow2",))
    assert error(gateway, **ASKED).error_code == "PATH_NOT_EMPTY"
    gateway.grounds["/srv/shared"] = Ground(True, (), "other:/export")
    assert error(gateway, **ASKED).error_code == "PATH_MOUNTED"
    # What is mounted already, as by fstab, is as it should be.
    gateway.grounds["/srv/shared"] = Ground(True, (), "NAS:/export/")
    gateway.answer = "timeout"
    assert actions(run(gateway, **ASKED)) == ["define", "start"]


def test_a_server_that_is_down_is_told_before_anything_changes() -> None:
    gateway = FakePools()
    gateway.answer = "timeout"
    caught = error(gateway, **ASKED)
    assert caught.error_code == "STORAGE_SERVER_UNREACHABLE"
    assert "nas" in caught.message


@pytest.mark.parametrize("asked", [{"state": "inactive"}, {"state": "absent"}, {**ASKED, "protocol_version": "4.1"}])
def test_an_export_is_not_unmounted_while_its_server_is_down(asked: dict[str, t.Any]) -> None:
    gateway = host(active=True)
    gateway.answer = "timeout"
    caught = error(gateway, **{"name": "shared", **asked})
    assert caught.error_code == "STORAGE_SERVER_UNREACHABLE"
    assert "umount -f -l /srv/shared" in caught.message
    assert not run(gateway, **ASKED).changes


def test_two_pools_do_not_share_what_they_are_made_of() -> None:
    assert error(host(FOLDER), name="b", type="dir", path="/srv/images/").error_code == "POOL_CONFLICT"
    assert error(host(), **{**ASKED, "name": "b", "path": "/srv/b"}).error_code == "POOL_CONFLICT"
    logical = PoolDefinition("vg", "logical", "/dev/vg0", source_name="vg0")
    assert error(host(logical), name="b", type="logical", source_name="vg0").error_code == "POOL_CONFLICT"


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"name": " "}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "a", "path": "/srv/a"}, "path"),
        ({"name": "a", "type": "dir"}, "path"),
        ({"name": "a", "type": "dir", "path": "a"}, "path"),
        ({"name": "a", "type": "dir", "path": "/srv/../a"}, "path"),
        ({"name": "a", "type": "dir", "path": "//"}, "path"),
        ({"name": "a", "type": "dir", "path": "/a", "source_host": "nas"}, "source_host"),
        ({**ASKED, "source_path": None}, "source_path"),
        ({**ASKED, "source_host": "nas:/export"}, "source_host"),
        ({**ASKED, "mount_options": ["a,b"]}, "mount_options"),
        ({**ASKED, "mount_options": ["vers=3"]}, "mount_options"),
        ({**ASKED, "mode": "0755"}, "owner"),
        ({**ASKED_FOLDER, "mode": "rwx"}, "mode"),
        ({**ASKED_FOLDER, "owner": "nobody knows him"}, "owner"),
        ({**ASKED_FOLDER, "mode": "0755", "uri": "qemu+ssh://kvm2/system"}, "owner"),
        ({"name": "a", "xml": "<pool type='dir'><name>b</name></pool>"}, "name"),
        ({"name": "a", "xml": "<network/>"}, "xml"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, t.Any], option: str) -> None:
    caught = error(FakePools(), **options)
    assert (caught.error_code, caught.details["option"]) == ("INVALID_OPTION", option)


def test_a_document_keeps_the_identity_of_the_pool() -> None:
    document = pool_document(FOLDER).replace("</name>", "</name><uuid>99999999-1d52-d8f3-2516-782e98ab3fa0</uuid>")
    assert error(host(FOLDER), name="images", xml=document).error_code == "UUID_CONFLICT"
    assert not run(host(FOLDER, active=True), name="images", xml=pool_document(FOLDER)).changes


def test_a_type_without_a_driver_is_told() -> None:
    gateway = FakePools()
    gateway.types = {"dir"}
    assert error(gateway, name="vg0", type="logical").error_code == "POOL_TYPE_UNSUPPORTED"
