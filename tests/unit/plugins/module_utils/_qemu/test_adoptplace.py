# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine in which a guest runs as a definition: every device in its place, or it is said which one has none."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.adopt import Known, adopt
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.adoptplace import Placed, place
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.adoptprobe import probe, without_cards
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import parse

ARGV = [
    "/usr/bin/qemu-system-x86_64", "-machine", "pc-q35-10.0", "-m", "96", "-smp", "2",
    "-blockdev", "driver=qcow2,node-name=disk0,file.driver=file,file.filename=/img/a.qcow2",
    "-device", "pcie-root-port,id=rp1,chassis=3,port=7,bus=pcie.0,addr=0x2", "-device", "virtio-blk-pci,drive=disk0,bus=rp1",
    "-drive", "file=/img/b.raw,format=raw,if=none,id=sata", "-device", "ide-hd,drive=sata,bus=ide.3",
    "-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01,romfile=",
    "-netdev", "user,id=n1", "-device", "e1000,netdev=n1,mac=52:54:00:00:00:02", "-device", "qemu-xhci", "-device", "virtio-rng-pci",
    "-device", "virtio-balloon-pci", "-vga", "std",
]  # fmt: skip


def pci(kind: str, addr: str, more: str = "", inner: str = "", ident: str = "") -> str:
    lines = [f'      dev: {kind}, id "{ident}"', f"        addr = {addr}", "        multifunction = false"]
    lines += [f"        {line}" for line in filter(None, more.split(";"))]
    lines.append(f"        class X, addr 00:{addr}, pci id 1af4:1000 (sub 1af4:0001)")
    if inner:
        lines += [
            "        bus: virtio-bus",
            "          type B",
            f'          dev: {kind[:-4]}-device, id ""',
            f"            {inner}",
        ]
    return "\n".join(lines)


BOARD = pci("mch", "00.0") + "\n" + pci("ICH9-LPC", "1f.0") + '\n        bus: isa.0\n          dev: isa-parallel, id ""'
PORT = pci("pcie-root-port", "02.0", "chassis = 3 (0x3);port = 7 (0x7)", ident="rp1")
BEHIND = "\n".join("    " + line for line in pci("virtio-blk-pci", "00.0", inner='drive = "disk0"').splitlines())
AHCI = pci("ich9-ahci", "1f.2") + (
    '\n        bus: ide.3\n          dev: ide-hd, id ""\n            drive = "sata"\n            unit = 0 (0x0)'
    '\n        bus: ide.2\n          dev: ide-cd, id ""\n            drive = "ide2-cd0"\n            unit = 0 (0x0)'
)
REST = [
    pci("virtio-net-pci", "03.0", 'romfile = "";rombar = -1 (0xffffffffffffffff)', 'mac = "52:54:00:00:00:01"'),
    pci("e1000", "04.0", 'romfile = "efi-e1000.rom";mac = "52:54:00:00:00:02"'),
    pci("qemu-xhci", "05.0"), pci("virtio-rng-pci", "06.0"), pci("virtio-balloon-pci", "07.0"), pci("VGA", "01.0"),
]  # fmt: skip
HEAD = 'bus: main-system-bus\n  dev: q35-pcihost, id ""\n    bus: pcie.0\n      type PCIE\n'
TREE = HEAD + "\n".join([BOARD, PORT, "        bus: rp1", "          type PCIE", BEHIND, AHCI, *REST])
CPUS = [json.dumps({"place": {"socket-id": 0, "die-id": 0, "core-id": core, "thread-id": 0}}) for core in range(2)]
IMAGES = {"disk0": "/img/a.qcow2", "sata": "/img/b.raw"}


def placed(tree: str = TREE, *more: str, cpus: list[str] | None = None) -> Placed:
    known = Known("web", "11111111-2222-3333-4444-555555555555", 96 << 20)
    found = adopt([*ARGV, *more], known)
    assert not found.problems, found.problems
    return place(found.xml, [*ARGV, *more], tree, IMAGES, CPUS if cpus is None else cpus)


def at(element: ET.Element | None) -> tuple[str | None, ...]:
    assert element is not None
    address = element.find("address")
    assert address is not None
    names = ("bus", "slot", "function") if address.get("type") == "pci" else ("controller", "bus", "target", "unit")
    return tuple(address.get(name) for name in names)


def test_every_device_stands_where_it_did() -> None:
    found = placed()
    assert not found.problems, found.problems
    root = ET.fromstring(found.xml)
    disks = {disk.find("target").get("dev"): disk for disk in root.findall("devices/disk")}  # type: ignore[union-attr]
    assert at(disks["vda"]) == ("0x01", "0x00", "0x0"), "behind the first root port"
    assert at(disks["sda"]) == ("0", "0", "0", "3")
    assert disks["sdb"].get("device") == "cdrom"
    assert at(disks["sdb"]) == ("0", "0", "0", "2"), "the empty drive that QEMU gives to everybody"
    port = root.find("devices/controller[@model='pcie-root-port']")
    assert at(port) == ("0x00", "0x02", "0x0")
    assert port.find("target").attrib == {"chassis": "3", "port": "7"}  # type: ignore[union-attr]
    first, second = root.findall("devices/interface")
    assert (at(first), at(second)) == (("0x00", "0x03", "0x0"), ("0x00", "0x04", "0x0"))
    assert first.find("rom").attrib == {"enabled": "no"}  # type: ignore[union-attr]
    assert second.find("rom") is None, "its own one, which libvirt gives it, too"
    assert [one.get("model") for one in root.findall("devices/controller[@type='usb']")] == ["qemu-xhci"]
    places = {tag: at(root.find(f"devices/{tag}"))[1] for tag in ("rng", "memballoon", "video")}
    assert places == {"rng": "0x06", "memballoon": "0x07", "video": "0x01"}
    assert root.find("devices/parallel") is not None
    topology = root.find("cpu/topology")
    assert topology is not None
    assert topology.attrib == {"sockets": "1", "cores": "2", "threads": "1"}


@pytest.mark.parametrize(
    ("tree", "cpus", "problem"),
    [
        (TREE + "\n" + pci("edu", "09.0", ident="strange"), None, "its device edu 'strange' at 09.0 of pcie.0"),
        (TREE.replace("52:54:00:00:00:02", "52:54:00:00:00:03"), None, "its network card 52:54:00:00:00:02"),
        (TREE.replace('"disk0"', '"disk9"'), None, "its disk /img/a.qcow2"),
        (TREE.replace("pcie-root-port", "x3130-upstream"), None, "at 00.0 of rp1"),
        (TREE, [CPUS[0].replace('"die-id": 0', '"die-id": 1')], "its processors"),
    ],
)
def test_what_has_no_place_is_told(tree: str, cpus: list[str] | None, problem: str) -> None:
    found = placed(tree, cpus=cpus)
    assert any(problem in one for one in found.problems), found.problems
    assert not found.xml


def test_a_parallel_port_with_something_behind_it_is_told() -> None:
    assert "parallel port file:/x" in placed(TREE, "-parallel", "file:/x").problems[0]


NATIVE = (
    "LC_ALL=C HOME=/var/lib/x /usr/bin/qemu-system-x86_64 -name guest=web -S -machine pc-q35-10.0 "
    """-object '{"qom-type":"secret","id":"masterKey0","file":"/k"}' -object '{"qom-type":"memory-backend-ram","id":"pc.ram","size":9}' """
    "-chardev socket,id=charmonitor,path=/m,server=on -mon chardev=charmonitor,id=monitor,mode=control -append 'a b' "
    """-blockdev '{"driver":"file","filename":"/a","node-name":"libvirt-1-storage"}' """
    """-chardev pty,id=charserial0 -device '{"driver":"isa-serial","chardev":"charserial0"}' -vnc 127.0.0.1:3 -sandbox on"""
)


def test_libvirt_s_command_line_without_what_is_the_host_s() -> None:
    xml = placed().xml
    assert "interface" not in without_cards(xml)
    assert "balloon" in without_cards(xml)
    words = probe(NATIVE, xml)
    assert words[0] == "/usr/bin/qemu-system-x86_64"
    line = parse(words)
    assert not [name for name in ("S", "mon", "vnc", "sandbox") if line.has(name)]
    assert [one.value for one in line.all("chardev")] == ["null,id=charserial0"]
    assert [one.keys.get("id") for one in line.all("object")] == ["pc.ram"]
    assert line.last("append") == "a b"
    # It may have to write the images: holes stay holes.
    assert [one.keys.get("discard") for one in line.all("blockdev")] == ["unmap"]
    assert line.last("display") == "none"
    assert [one.value for one in line.all("netdev")] == ["hubport,id=card1,hubid=1", "hubport,id=card2,hubid=2"]
    assert [one.value for one in line.all("device")[1:]] == [
        "virtio-net-pci,netdev=card1,mac=52:54:00:00:00:01,bus=pcie.0,addr=0x03.0x0,romfile=",
        "e1000,netdev=card2,mac=52:54:00:00:00:02,bus=pcie.0,addr=0x04.0x0",
    ]
    assert probe("", "") == ()
    assert without_cards("") == ""
