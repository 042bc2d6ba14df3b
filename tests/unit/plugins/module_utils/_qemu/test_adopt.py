# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command lines as definitions of domains: all of it is there, or it is said what is not."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.adopt import Adopted, Known, adopt

MIB = 1 << 20
KNOWN = Known(
    "web & db",
    "11111111-2222-3333-4444-555555555555",
    512 * MIB,
    macs={"net1": "52:54:00:12:34:57"},
    bridges={"net0": "br7"},
)
NODE = {"driver": "qcow2", "node-name": "disk1", "file": {"driver": "file", "filename": "/img/two, 2.qcow2"}}
#: As the command line of a destination is: the machine's version is in it, and -hda is a -drive.
PLAIN = [
    "/usr/bin/qemu-system-x86_64", "-machine", "pc-i440fx-10.0", "-name", "web & db", "-accel", "kvm", "-accel", "tcg", "-m", "512",
    "-smp", "4,sockets=1,cores=2,threads=2", "-cpu", "Haswell,+vmx,-avx2,x2apic=on", "-display", "none",
    "-drive", "file=/img/one.qcow2,index=0,media=disk,format=qcow2", "-drive", "file=/img/cd.iso,index=2,media=cdrom,format=raw",
    "-drive", "file=/dev/vg/three,format=raw,if=virtio,cache=none", "-blockdev", json.dumps(NODE),
    "-device", "virtio-blk-pci,drive=disk1,id=vd1,serial=S1,bus=pci.0,addr=0x5",
    "-netdev", "tap,id=net0,ifname=tap3,script=no,downscript=no", "-device", "virtio-net-pci,netdev=net0,mac=52:54:00:aa:bb:cc,romfile=",
    "-netdev", "user,id=net1", "-device", "e1000,netdev=net1", "-device", "virtio-rng-pci", "-serial", "file:/log/console",
    "-vnc", "127.0.0.1:3", "-boot", "order=dc", "-rtc", "base=localtime", "-monitor", "unix:/run/m,server=on,wait=off",
    "-pidfile", "/run/p",
]  # fmt: skip


def domain(*more: str, base: list[str] | None = None) -> ET.Element:
    found = adopt([*(base or PLAIN), *more], KNOWN)
    assert not found.problems, found.problems
    return ET.fromstring(found.xml)


def test_all_of_it() -> None:
    root = domain()
    assert root.get("type") == "kvm"
    assert [root.findtext(tag) for tag in ("name", "uuid", "memory", "vcpu")] == [
        "web & db", KNOWN.uuid, str(512 * MIB), "4",
    ]  # fmt: skip
    kind = root.find("os/type")
    assert kind is not None
    assert kind.get("machine") == "pc-i440fx-10.0"
    assert [one.get("dev") for one in root.findall("os/boot")] == ["cdrom", "hd"]
    assert root.findtext("cpu/model") == "Haswell"
    assert {one.get("name"): one.get("policy") for one in root.findall("cpu/feature")} == {
        "vmx": "require", "avx2": "disable", "x2apic": "require",
    }  # fmt: skip
    clock = root.find("clock")
    assert clock is not None
    assert clock.get("offset") == "localtime"
    assert root.findtext("devices/emulator") == PLAIN[0]


def test_disks() -> None:
    rows = [
        (
            disk.get("type"), disk.get("device"), disk.find("driver").attrib, disk.find("source").attrib, disk.find("target").attrib,
            disk.findtext("serial"), disk.find("readonly") is not None,
        )
        for disk in domain().findall("devices/disk")
    ]  # type: ignore[union-attr]  # fmt: skip
    qcow2, raw = {"name": "qemu", "type": "qcow2"}, {"name": "qemu", "type": "raw"}
    assert rows == [
        ("file", "disk", qcow2, {"file": "/img/one.qcow2"}, {"dev": "hda", "bus": "ide"}, None, False),
        ("file", "cdrom", raw, {"file": "/img/cd.iso"}, {"dev": "hdc", "bus": "ide"}, None, True),
        ("block", "disk", {**raw, "cache": "none"}, {"dev": "/dev/vg/three"}, {"dev": "vda", "bus": "virtio"}, None, False),
        ("file", "disk", qcow2, {"file": "/img/two, 2.qcow2"}, {"dev": "vdb", "bus": "virtio"}, "S1", False),
    ]  # fmt: skip


def test_devices() -> None:
    root = domain()
    cards = [(card.get("type"), {one.tag: one.attrib for one in card}) for card in root.findall("devices/interface")]
    assert cards == [
        ("bridge", {"source": {"bridge": "br7"}, "mac": {"address": "52:54:00:aa:bb:cc"}, "model": {"type": "virtio"}}),
        ("user", {"mac": {"address": "52:54:00:12:34:57"}, "model": {"type": "e1000"}}),
    ]
    found = {(one.tag, one.get("type") or one.get("model")) for one in root.findall("devices/*")}
    assert {("serial", "file"), ("graphics", "vnc"), ("rng", "virtio"), ("memballoon", "none")} <= found
    assert ("controller", "usb") in found
    graphics = root.find("devices/graphics")
    assert graphics is not None
    assert graphics.get("port") == "5903"
    assert [one.attrib for one in root.findall("devices/video/model")] == [{"type": "vga"}]


def test_sata_empty_drives_and_taps_without_a_bridge() -> None:
    base = [
        "qemu-system-x86_64", "-machine", "pc-q35-10.0", "-nodefaults", "-kernel", "/boot/k", "-append", "a=b c", "-drive",
        "file=/img/a,format=raw,index=0,media=disk", "-device", "ide-cd,bus=ide.1", "-device", "usb-tablet", "-device", "qemu-xhci",
        "-netdev", "tap,id=net9,ifname=tap9", "-device", "virtio-net-pci,netdev=net9,mac=52:54:00:00:00:01",
    ]  # fmt: skip
    root = domain(base=base)
    assert root.get("type") == "qemu"
    assert [one.attrib for one in root.findall("devices/disk/target")] == [
        {"dev": "sda", "bus": "sata"}, {"dev": "sdb", "bus": "sata"},
    ]  # fmt: skip
    assert root.findtext("os/cmdline") == "a=b c"
    assert [one.attrib for one in root.findall("devices/video/model")] == [{"type": "none"}]
    assert root.find("devices/serial") is None
    assert root.find("devices/emulator") is None
    assert root.find("devices/input") is not None
    card = root.find("devices/interface")
    assert card is not None
    assert card.get("type") == "ethernet"
    assert card.find("target").attrib == {"dev": "tap9", "managed": "no"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("-virtfs", "local,path=/x"), "no -virtfs"),
        (("-device", "ivshmem-plain,memdev=m"), "device ivshmem-plain"),
        (("-object", "iothread,id=t"), "no -object"),
        (("-machine", "nvdimm=on"), "property nvdimm"),
        (("-cpu", "host,hv_time"), "property hv_time"),
        (("-drive", "file=/x,if=scsi"), "on the bus lsi"),
        (("-drive", "file=/x,if=virtio,index=26,format=raw"), "number 27"),
        (("-drive", "file=rbd:a/b,if=virtio,format=raw"), "no file"),
        (("-drive", "file=/x,if=virtio,throttling.bps-total=5"), "throttling.bps-total"),
        (("-drive", "file=/x,if=none,id=n", "-device", "nvme,drive=n,serial=1"), "nvme"),
        (("-netdev", "user,id=u,hostfwd=tcp::1-:2", "-device", "e1000,netdev=u,mac=52:54:00:00:00:02"), "network u"),
        (("-netdev", "user,id=u", "-device", "e1000,netdev=u"), "card e1000"),
        (("-nic", "user"), "-nic user"),
        (("-net", "user"), "-net"),
        (("-serial", "tcp:0:1"), "serial port tcp:0:1"),
        (("-vnc", "unix:/run/v"), "screen"),
        (("-vnc", ":1,password=on"), "password"),
        (("-smp", "2,maxcpus=8"), "plugged"),
        (("-vga", "tcx"), "graphics card tcx"),
        (("-boot", "splash=/x"), "splash"),
    ],
)
def test_what_no_definition_says_is_a_problem(words: tuple[str, ...], problem: str) -> None:
    found = adopt([*PLAIN, *words], KNOWN)
    assert isinstance(found, Adopted)
    assert any(problem in one for one in found.problems), found.problems
    assert not found.xml
