# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a definition or a host may hold that makes a move refuse, or that a move must carry: snapshots, media, names, pools."""

from __future__ import annotations

import typing as t

import pytest

from tests.integration.moves import arrived, move, nothing_left, still_here

if t.TYPE_CHECKING:
    from tests.lab import Lab

OTHER = "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>"
FOREIGN_UUID = "3f6f5f0e-6c5a-4a53-9d0f-0d6f3f1c7e11"


def codes(result: dict[str, t.Any]) -> list[str]:
    """The finding codes of a result, failed or not."""
    return [finding["code"] for finding in result.get("findings") or result["details"]["findings"]]


@pytest.mark.parametrize("taken", ["name", "uuid"])
def test_12_name_or_uuid_taken_on_the_destination(lab: Lab, hosts: list[str], taken: str) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "qcow2")
    name, uuid = (guest.name, FOREIGN_UUID) if taken == "name" else ("somebody-else", guest.uuid)
    host = lab.host(destination)
    host.run(["virsh", "-q", "define", "/dev/stdin"], input=OTHER.format(name=name, uuid=uuid))
    before = host.virsh("dumpxml", uuid)
    result = move(lab, guest, source, destination)

    assert result["failed"]
    assert f"{taken.upper()}_CONFLICT" in codes(result)
    assert guest.running_on() == [source]
    assert host.virsh("dumpxml", uuid) == before
    assert guest.name not in host.run(["ls", "/var/lib/libvirt/images"]).stdout


@pytest.mark.parametrize(
    ("policy", "moves"), [(None, False), ("mandatory", False), ("requisite", True), ("optional", True)]
)
def test_14_media_missing_on_the_destination(lab: Lab, hosts: list[str], policy: str | None, moves: bool) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "iso", startup_policy=policy)
    result = move(lab, guest, source, destination)
    if moves:
        assert result["changed"]
        assert "MEDIA_DROPPED" in codes(result)
        arrived(guest, destination)
    else:
        assert result["failed"]
        assert "MEDIA_MISSING" in codes(result)
        still_here(guest, source)
        nothing_left(lab, guest, destination)


def test_15_snapshot_is_refused_with_a_hint(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "qcow2")
    lab.host(source).virsh("snapshot-create-as", guest.uuid, "before-upgrade")
    result = move(lab, guest, source, destination)

    assert result["failed"]
    found = [finding for finding in result["details"]["findings"] if finding["code"] == "SNAPSHOTS_PRESENT"]
    assert len(found) == 1
    assert "before-upgrade" in str(found[0]["evidence"])
    assert found[0]["remedy"]
    still_here(guest, source)
    nothing_left(lab, guest, destination)


def test_15_checkpoint_arrives_with_its_bitmap(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "qcow2")
    lab.host(source).virsh("checkpoint-create-as", guest.uuid, "since-backup")
    result = move(lab, guest, source, destination)

    assert result["changed"], result
    arrived(guest, destination)
    assert lab.host(destination).virsh("checkpoint-list", guest.uuid, "--name").split() == ["since-backup"]


def test_17_paused_guest_stays_paused(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "paused")
    result = move(lab, guest, source, destination)

    assert result["changed"], result
    assert guest.where() == {destination: "paused"}
    lab.host(destination).virsh("resume", guest.uuid)
    guest.wait_beating()


def test_19_same_host(lab: Lab, hosts: list[str]) -> None:
    source = hosts[0]
    guest = lab.create_guest(source, "qcow2")
    result = move(lab, guest, source, source)

    assert result["failed"]
    assert result["error_code"] == "SAME_HOST"
    assert lab.host(source).uuid in result["msg"]
    still_here(guest, source)


def test_20_saved_definition_has_the_new_paths(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "qcow2")
    new = f"/var/lib/libvirt/images/renamed-{guest.number}.qcow2"
    result = move(lab, guest, source, destination, mapping={"disks": {"vda": new}})

    assert result["changed"], result
    arrived(guest, destination)
    host = lab.host(destination)
    assert new in host.virsh("dumpxml", guest.uuid)
    assert new in host.virsh("dumpxml", "--inactive", guest.uuid)
    assert guest.disks[0] not in host.virsh("dumpxml", "--inactive", guest.uuid)
    guest.destroy()
    host.virsh("start", guest.uuid)
    guest.wait_beating()


def test_21_stale_pool_cache(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "qcow2")
    host = lab.host(destination)
    image = guest.disks[0].rpartition("/")[2]
    host.virsh("vol-create-as", "default", image, "128M", "--format", "qcow2")
    host.run(["rm", f"/var/lib/libvirt/images/{image}"])
    assert image in host.virsh("vol-list", "default"), "the pool has forgotten the volume: the trap is not set"
    result = move(lab, guest, source, destination)

    assert result["changed"], result
    arrived(guest, destination)
