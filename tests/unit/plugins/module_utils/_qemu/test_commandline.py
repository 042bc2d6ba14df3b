# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import commandline
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import parse
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.description import (
    Description,
    Disk,
    Firmware,
    Nic,
    Serial,
    own_mac,
    own_tap,
    own_uuid,
)

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
MAC = "52:54:00:12:34:56"


def words_of(**parts: object) -> list[str]:
    values = {"name": "web, 1", "uuid": UUID, "memory": 64 * 1024**2, **parts}
    machine = "pc-i440fx-7.2" if values.get("machine") == "pc" else "pc-q35-10.0"
    return commandline.from_description(Description(**values), "/usr/bin/qemu", machine)  # type: ignore[arg-type]


def values(words: list[str], option: str) -> list[str]:
    return [found.value or "" for found in parse(words).all(option)]


def test_a_whole_description() -> None:
    words = words_of(
        cpu="Haswell-v4,+vmx",
        vcpus=2,
        accelerator="tcg",
        firmware=Firmware("/srv/code.fd", "/srv/vars.fd"),
        disks=(
            Disk("/srv/a, b.qcow2"),
            Disk("/dev/vg/lv", "raw", cache="writethrough"),
            Disk("/srv/x.iso", "raw", device="cdrom", bus="ide", readonly=True),
        ),
        nics=(Nic("user", MAC), Nic("tap", MAC, host_side="tap0"), Nic("bridge", MAC, host_side="br0")),
        serial=Serial("socket", "/srv/serial,1"),
        vnc="127.0.0.1:1",
        extra=("-kernel", "/boot/vmlinuz"),
    )
    assert values(words, "name") == ["guest=web,, 1"]
    assert values(words, "machine") == ["pc-q35-10.0,pflash0=firmware-code,pflash1=firmware-vars"]
    assert (values(words, "m"), values(words, "smp"), values(words, "accel")) == (["64M"], ["2"], ["tcg"])
    nodes = [json.loads(value) for value in values(words, "blockdev")]
    assert [node["node-name"] for node in nodes] == ["firmware-code", "firmware-vars", "disk0", "disk1", "disk2"]
    assert [node.get("read-only", False) for node in nodes] == [True, False, False, False, True]
    assert [node["file"]["filename"] for node in nodes[2:]] == ["/srv/a, b.qcow2", "/dev/vg/lv", "/srv/x.iso"]
    assert [node["file"]["driver"] for node in nodes[2:]] == ["file", "host_device", "file"]
    assert nodes[2]["cache"] == nodes[2]["file"]["cache"] == {"direct": True, "no-flush": False}
    devices = values(words, "device")
    assert devices[0] == "virtio-blk-pci,id=device-disk0,drive=disk0"
    assert devices[1].endswith(",write-cache=off")
    assert devices[2] == "ide-cd,id=device-disk2,drive=disk2,bus=ide.0"
    assert devices[3:] == [f"virtio-net-pci,id=device-net{n},netdev=net{n},mac={MAC}" for n in range(3)]
    netdevs = values(words, "netdev")
    assert netdevs[:2] == ["user,id=net0", "tap,id=net1,ifname=tap0,script=no,downscript=no"]
    assert f"ifname={own_tap(UUID, 2)}," in netdevs[2]
    assert "socket,id=serial0,path=/srv/serial,,1,server=on,wait=off" in values(words, "chardev")
    assert values(words, "kernel") == ["/boot/vmlinuz"]
    assert [value.split(",")[0] for value in values(words, "qmp")] == [
        f"unix:{path}" for path in commandline.monitors(UUID)
    ]


def test_places_of_drives_on_both_machines() -> None:
    drives = tuple(Disk(f"/srv/{n}.raw", "raw", bus="ide") for n in range(4))
    assert [word.rpartition("bus=")[2] for word in values(words_of(disks=drives), "device")] == [
        "ide.0",
        "ide.1",
        "ide.2",
        "ide.3",
    ]
    old = values(words_of(disks=drives, machine="pc"), "device")
    assert [word.rpartition("bus=")[2] for word in old] == [
        "ide.0,unit=0",
        "ide.0,unit=1",
        "ide.1,unit=0",
        "ide.1,unit=1",
    ]


def test_kvm_is_tried_first() -> None:
    assert values(words_of(), "accel") == ["kvm", "tcg"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["-name", "web"], "web"),
        (["--name", "guest=a,,b,debug-threads=on"], "a,b"),
        (["-name", "debug-threads=on,guest=web"], "web"),
        (["-S", "-name", "web,process=x"], "web"),
        (["-m", "64"], None),
    ],
)
def test_names(words: list[str], name: str | None) -> None:
    assert commandline.name_in(words) == name


@pytest.mark.parametrize(
    ("words", "machine"),
    [
        (["-M", "pc"], "pc"),
        (["-machine", "type=q35,accel=kvm"], "q35"),
        (["-machine", "pc-q35-7.2"], "pc-q35-7.2"),
        ([], None),
    ],
)
def test_machines(words: list[str], machine: str | None) -> None:
    assert commandline.machine_in(words) == machine


def test_images_of_a_description_and_of_a_list() -> None:
    disks = (Disk("/srv/a, b.qcow2"), Disk("/srv/x.iso", "raw", device="cdrom", bus="ide", readonly=True))
    assert commandline.images_in(words_of(disks=disks)) == {"/srv/a, b.qcow2": True, "/srv/x.iso": False}
    assert commandline.images_in(["/q", "-hda", "/a", "-drive", "file=/b,,c,readonly=on", "-cdrom", "/d"]) == {
        "/a": True,
        "/b,c": False,
        "/d": False,
    }


def test_versions_behind_aliases() -> None:
    listing = "Supported machines are:\npc                   Standard PC (i440FX) (alias of pc-i440fx-10.0)\npc-q35-9.0 Standard\n"
    assert commandline.versions(listing) == {"pc": "pc-i440fx-10.0"}
    assert commandline.same_family("q35", "pc-q35-7.2")
    assert not commandline.same_family("q35", "pc-i440fx-7.2")
    assert not commandline.same_family("pc-q35-7.2", "pc-q35-7.2")


def test_how_it_was_started_is_no_difference() -> None:
    words = ["/q", "-m", "1"]
    for start in (commandline.STANDING, commandline.WAITING):
        assert commandline.differences(commandline.without_start([*words, *start]), words) == ()


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (["/q", "-m", "1"], ("/q", "-m", "1"), ()),
        (("/q", "-m", "1"), ["/q", "-m", "2"], ("-m: '1' -> '2'",)),
        (["/a"], ["/b"], ("program: '/a' -> '/b'",)),
        (["/q", "-d", "a", "-d", "b"], ["/q", "-d", "b", "-d", "a"], ("the order of the arguments",)),
        (["/q", "-d", "a"], ["/q", "-d", "a", "-d", "b", "-x"], ("-d: 'b' is new", "-x: '' is new")),
        (["/q", "-d", "a", "-d", "b"], ["/q"], ("-d: 'a' is no longer there", "-d: 'b' is no longer there")),
    ],
)
def test_differences(before: list[str], after: list[str], lines: tuple[str, ...]) -> None:
    assert commandline.differences(before, after) == lines


def test_what_follows_from_a_uuid_and_a_name() -> None:
    assert own_uuid("m1", "web") == own_uuid("m1", "web") != own_uuid("m2", "web")
    assert own_mac(UUID, 0) != own_mac(UUID, 1)
    assert own_mac(UUID, 0).startswith("52:54:00:")
    assert len(own_tap(UUID, 0)) <= 15
