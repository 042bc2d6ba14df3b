# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qemu_migration moves guests that a script started, by two real QEMUs, and refuses what would not be the same machine."""

from __future__ import annotations

import json
import typing as t

from tests.integration.ansible_runs import module_play, run_playbook
from tests.integration.qemu.trips import clean, exists, move, options, ready, runs_on
from tests.lab.guest.images import outside
from tests.lab.guest.iso import seed
from tests.lab.guest.shapes import Disk, base_path, iso_path

if t.TYPE_CHECKING:
    from tests.lab import Lab

MIXED = (Disk("qcow2"), Disk("raw"), Disk("qcow2"))


def test_a_guest_with_three_disks_and_a_medium_goes_and_comes_back(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(here, disks=MIXED, iso=True, fill_mib=16)
    ready(lab, guest)
    lab.host(there).run(["mkdir", "-p", "/srv/moved"])
    asked = {
        **options(lab, guest, here, there), "mapping": {"disks": {"virtio1": "/srv/moved/second.raw"}}, "progress_interval": 0.2,
    }  # fmt: skip

    refused = move(lab, guest, here, there, mapping=asked["mapping"])
    assert refused["error_code"] == "MEDIA_MISSING", refused
    with lab.watch([guest]) as watcher:
        play = module_play(here, "qemu_migration", {**asked, "media": "copy"})
        checked = run_playbook(lab.inventory, play, "--check", "--diff").result("qemu_migration")
        assert checked["changed"]
        assert guest.where() == {here: "running"}
        run = run_playbook(lab.inventory, play)
        moved = run.result("qemu_migration")
        assert not moved["failed"], moved
        assert moved["changes"] == checked["changes"]
        assert f"{guest.name}  live_block" in run.output
        again = run_playbook(lab.inventory, play).result("qemu_migration")
        assert (again["changed"], again["outcome"]) == (False, "already_there"), again
        runs_on(guest, there)
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    assert lab.host(there).fetch(iso_path(guest.name)) == seed(guest.name)
    path = (guest.disks[0], "/srv/moved/second.raw", guest.disks[2])
    assert lab.verify(guest.moved(*path), there, seen["acknowledged"]).clean
    info = json.loads(lab.host(there).run(["qemu-img", "info", "-U", "--output=json", path[1]]).stdout)
    assert (info["format"], info["virtual-size"]) == ("raw", 128 << 20)

    # What the guest left here makes way for it by itself, but not once somebody wrote to it.
    lab.host(here).run(["sh", "-c", 'printf x >> "$1"', "sh", guest.disks[1]])
    way = move(lab, guest, there, here, mapping={"disks": {"virtio1": guest.disks[1]}})
    assert way["error_code"] == "IMAGE_EXISTS", way
    assert [one["object"] for one in way["details"]["findings"]] == [f"image {guest.disks[1]}"], way
    back = move(
        lab, guest, there, here, mapping={"disks": {"virtio1": guest.disks[1]}}, accept=["IMAGE_EXISTS"], source_disks="delete"
    )  # fmt: skip
    assert back.get("outcome") == "moved", back
    runs_on(guest, here)
    assert lab.verify(guest, here).clean
    assert not [one for one in path if exists(lab.host(there), one)]


def test_other_styles_a_plugged_disk_and_shared_storage(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(
        here,
        style="blockdev",
        machine="q35",
        disks=(Disk("qcow2"), Disk("raw")),
        unit="lab-styles",
        extra=("-device", "pcie-root-port,id=slot1,slot=1"),
    )
    ready(lab, guest)
    for host in lab.hosts[:2]:
        host.run(["mkdir", "-p", guest.folder])
    plug = "/var/lib/libvirt/images/plugged.qcow2"
    lab.host(here).run(["qemu-img", "create", "-q", "-f", "qcow2", plug, "16M"])
    guest.qmp("blockdev-add", driver="qcow2", node_name="later", file={"driver": "file", "filename": plug})
    guest.qmp("device_add", driver="virtio-blk-pci", drive="later", id="plugged", serial="later-1", bus="slot1")
    moved = move(lab, guest, here, there)
    assert moved.get("outcome") == "moved", moved
    runs_on(guest, there)
    assert lab.verify(guest, there).clean
    assert any("plugged" in word for word in moved["destination_argv"])
    assert lab.host(here).run(["systemctl", "is-active", "lab-styles"], check=False).stdout.strip() != "active"
    guest.remove()

    shared = lab.create_bare_guest(here, style="drive", machine="pc", disks=(Disk("qcow2", shared=True),))
    ready(lab, shared)
    # The image in the way is the guest's own: whatever is accepted, it is not taken for an old one.
    refused = move(lab, shared, here, there, accept=["IMAGE_EXISTS"])
    assert refused["error_code"] == "IMAGE_SHARED", refused
    runs_on(shared, here)
    assert exists(lab.host(here), shared.disks[0])
    with lab.watch([shared]) as watcher:
        moved = move(lab, shared, here, there, method="live_shared")
        assert moved.get("outcome") == "moved", moved
        assert moved["move"]["disk_bytes"] is None, moved
        runs_on(shared, there)
        seen = watcher.fresh()["guests"][shared.name]
    assert not seen["two_copies"]
    assert lab.verify(shared, there, seen["acknowledged"]).clean
    shared.remove()

    local = lab.create_bare_guest(here, style="hda", machine="pc")
    ready(lab, local)
    lab.host(there).run(["touch", local.disks[0]])
    assert move(lab, local, here, there, method="live_shared")["error_code"] == "STORAGE_NOT_SHARED"
    lab.host(there).run(["rm", local.disks[0]])
    moved = move(lab, local, here, there)
    assert moved.get("outcome") == "moved", moved
    runs_on(local, there)
    assert lab.verify(local, there).clean


def test_what_the_guest_would_notice_or_cannot_work_is_refused(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(here)
    ready(lab, guest)
    plan = move(lab, guest, here, there, check_mode=True)
    same = plan["destination_argv"][1:]
    for more, word in (
        ((*same, "-device", "virtio-rng-pci"), "virtio-rng"),
        ((*same, "-cpu", "Nehalem"), "processor"),
        ((*same, "-m", "128"), "bytes"),
    ):
        refused = move(lab, guest, here, there, destination_arguments=list(more))
        assert refused["error_code"] == "HARDWARE_DIFFERS", refused
        assert word in refused["msg"], refused
        clean(lab, guest, there)

    busy = lab.host(there).start(["nc", "-l", "-k", "-p", "5999"])
    try:
        taken = move(lab, guest, here, there, destination_arguments=[*same, "-vnc", "127.0.0.1:99"])
    finally:
        lab.host(there).run(["sh", "-c", "kill $(pgrep -f '^nc -l -k -p 5999')"])
        busy.wait()
    assert taken["error_code"] == "PORT_TAKEN", taken
    clean(lab, guest, there)

    for name, wanted, code in (
        ("nobody", {}, "GUEST_NOT_FOUND"),
        (guest.name, {"mapping": {"taps": {guest.tap: "none0"}}}, "TAP_MISSING"),
        (guest.name, {"mapping": {"emulator": "/nowhere/qemu"}}, "QEMU_MISSING"),
        (guest.name, {"user": "nobody-here"}, "USER_MISSING"),
        (guest.name, {"mapping": {"disks": {"virtio9": "/srv/x"}}}, "INVALID_OPTION"),
        (guest.name, {"mapping": {"nothing": {}}}, "INVALID_OPTION"),
        (guest.name, {"destination": "-oProxyCommand=x"}, "INVALID_OPTION"),
        (guest.name, {"destination": "root@10.77.0.1"}, "HOST_UNREACHABLE"),
        (guest.name, {"monitor": "unix:/nowhere"}, "MONITOR_UNUSABLE"),
    ):
        refused = move(lab, guest, here, there, **{"name": name, **wanted})
        assert refused["failed"]
        assert refused["error_code"] == code, (wanted, refused)
    runs_on(guest, here)
    clean(lab, guest, there)


def test_only_the_top_layer_travels_where_the_base_is_proven_to_be_there(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(here, disks=(Disk("qcow2", chain=True),), fill_mib=64)
    ready(lab, guest)
    base = base_path(guest.disks[0])
    assert move(lab, guest, here, there, base="shared")["error_code"] == "FILE_MISSING"
    lab.host(there).put(outside(lab.host(here), base), base)
    lab.host(there).run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 7 40M 64k", base])
    assert move(lab, guest, here, there, base="shared")["error_code"] == "BASE_DIFFERS"
    lab.host(there).put(outside(lab.host(here), base), base)
    moved = move(lab, guest, here, there, base="shared")
    assert moved.get("outcome") == "moved", moved
    assert moved["move"]["disk_bytes"] < 32 << 20, moved
    runs_on(guest, there)
    info = json.loads(lab.host(there).run(["qemu-img", "info", "-U", "--output=json", guest.disks[0]]).stdout)
    assert info["backing-filename"] == base
    assert info["actual-size"] < 32 << 20
    assert lab.verify(guest, there).clean
