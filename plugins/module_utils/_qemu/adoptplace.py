# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The definition of a domain that is the very machine in which a guest runs already: each device where its monitor shows it. Pure.

libvirt gives places to what has none, and leaves out what QEMU gives to everybody; a guest that runs would notice both.
"""

from __future__ import annotations

import json
import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtops.kvm.plugins.module_utils._qemu import qtree
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import parse

#: Parts of the board, which libvirt gives to every machine of that type.
_BOARD = frozenset(("i440FX", "PIIX3", "piix3-ide", "PIIX4_PM", "mch", "ICH9-LPC", "ich9-ahci", "ICH9-SMB", "ICH9 SMB"))
_ROOTS = ("pci.0", "pcie.0")
_ROOT_PORT = "pcie-root-port"
_USB = {"piix3-usb-uhci": "piix3-uhci", "qemu-xhci": "qemu-xhci", "nec-usb-xhci": "nec-xhci"}
_VIDEOS = ("VGA", "virtio-vga", "qxl-vga", "cirrus-vga", "virtio-gpu-pci")
_IDE = ("ide-cd", "ide-hd")
_SCSI = ("scsi-cd", "scsi-hd")
_DEFAULT_ROM = re.compile(r"(?:efi|pxe)-[a-z0-9-]+\.rom")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

Device = qtree.Device


class Placed(t.NamedTuple):
    """``problems`` say what cannot be kept as it is; ``xml`` is the definition where there are none."""

    xml: str
    problems: tuple[str, ...]


def place(xml: str, argv: t.Sequence[str], tree: str, images: t.Mapping[str, str], cpus: t.Sequence[str]) -> Placed:
    """The definition ``xml`` of the guest with this command line, with the places that ``tree`` (``info qtree``) shows. ``images`` is the
    image on the destination by the name of its drive or node, ``cpus`` the processors as ``visible.see`` tells them."""
    work = _Work(ET.fromstring(xml), tree, images)
    work.whole(argv, cpus)
    ET.indent(work.root)
    return Placed("" if work.problems else ET.tostring(work.root, encoding="unicode"), tuple(work.problems))


class _Work:
    """One machine, and what of it has been given a place."""

    def __init__(self, root: ET.Element, tree: str, images: t.Mapping[str, str]) -> None:
        self.root = root
        self.problems: list[str] = []
        self._devices = _whole(qtree.read(tree, host_side=True))
        self._images = images
        self._left = [one for one in self._devices if one["type"] not in _BOARD and "pci" in one]
        self._buses = dict.fromkeys(_ROOTS, 0)
        devices = root.find("devices")
        self._home = devices if devices is not None else ET.SubElement(root, "devices")

    def whole(self, argv: t.Sequence[str], cpus: t.Sequence[str]) -> None:
        """Every device gets its place; one that is left is a problem."""
        self._ports()
        for disk in self._home.findall("disk"):
            self._disk(disk)
        for card in self._home.findall("interface"):
            self._card(card)
        for tag, types in (("rng", ("virtio-rng-pci",)), ("memballoon", ("virtio-balloon-pci",)), ("video", _VIDEOS)):
            for element in self._home.findall(tag):
                self._simple(element, types)
        for element in self._home.findall("controller[@type='scsi']"):
            self._simple(element, ("virtio-scsi-pci",))
        self._usb()
        self._given_to_all()
        self._processors(cpus)
        for option in parse(argv).all("parallel"):
            if option.value != "none":
                self.problems.append(f"its parallel port {option.value} cannot be kept while it runs")
        self.problems += [f"its device {_told(one)} cannot be kept in its place" for one in self._left]

    # ---- PCI ----

    def _ports(self) -> None:
        """Root ports come first: what is behind them stands on their buses."""
        ports = [one for one in self._left if one["type"] == _ROOT_PORT]
        for index, port in enumerate(ports, 1):
            self._buses[port["id"]] = index
            controller = ET.SubElement(self._home, "controller", type="pci", index=str(index), model=_ROOT_PORT)
            ET.SubElement(controller, "model", name=_ROOT_PORT)
            ET.SubElement(controller, "target", chassis=_number(port, "chassis"), port=_number(port, "port"))
            self._address(controller, port)

    def _address(self, element: ET.Element, device: Device) -> None:
        bus = device["place"].rpartition("/")[2]
        slot, _dot, function = device["addr"].partition(".")
        if bus not in self._buses:
            # It is told with those that are left.
            return
        self._left.remove(device)
        number = f"{self._buses[bus]:#04x}"
        found = {"type": "pci", "domain": "0x0000", "bus": number, "slot": f"0x{slot}", "function": f"0x{function}"}
        if device.get("multifunction") == "true":
            found["multifunction"] = "on"
        ET.SubElement(element, "address", found)

    def _simple(self, element: ET.Element, types: t.Container[str]) -> None:
        """The first that is left of these types."""
        for device in self._left:
            if device["type"] in types:
                self._address(element, device)
                return

    def _card(self, card: ET.Element) -> None:
        mac = _attribute(card, "mac", "address").lower()
        for device in self._left:
            if _plain(device, "mac").lower() == mac:
                self._address(card, device)
                self._rom(card, device)
                return
        self.problems.append(f"its network card {mac} is not to be found in its machine")

    def _rom(self, card: ET.Element, device: Device) -> None:
        """A part of the memory that is sent. That of every card of its model libvirt gives by itself."""
        path, visible = _plain(device, "romfile"), _number(device, "rombar", "1")
        if not path:
            ET.SubElement(card, "rom", enabled="no")
        elif visible == "0":
            ET.SubElement(card, "rom", bar="off")
        elif not _DEFAULT_ROM.fullmatch(path):
            ET.SubElement(card, "rom", file=path)

    def _usb(self) -> None:
        found = [one for one in self._left if one["type"] in _USB]
        if not found:
            return
        for element in self._home.findall("controller[@type='usb']"):
            self._home.remove(element)
        for index, device in enumerate(found):
            controller = ET.SubElement(
                self._home, "controller", type="usb", index=str(index), model=_USB[device["type"]]
            )
            self._address(controller, device)

    # ---- disks ----

    def _disk(self, disk: ET.Element) -> None:
        source, target = disk.find("source"), _attribute(disk, "target", "bus")
        path = "" if source is None else source.get("file") or source.get("dev") or ""
        optical = disk.get("device") == "cdrom"
        types = {"ide": _IDE, "sata": _IDE, "scsi": _SCSI}.get(
            target, ("virtio-blk-pci", "virtio-blk-pci-non-transitional")
        )
        for device in self._devices:
            found = self._images.get(_plain(device, "drive"), "")
            if device["type"] in types and found == path and (path or device["type"].endswith("-cd") == optical):
                self._devices.remove(device)
                self._put(disk, device, target)
                return
        self.problems.append(f"its disk {path or '(empty)'} is not to be found in its machine")

    def _put(self, disk: ET.Element, device: Device, bus: str) -> None:
        if bus not in ("ide", "sata", "scsi"):
            self._address(disk, device)
            return
        number = re.sub(r".*\.", "", device["place"].rpartition("/")[2])
        place = {"type": "drive", "controller": "0", "bus": number, "target": "0", "unit": _number(device, "unit")}
        if bus == "sata":
            place.update(bus="0", unit=number)
        if bus == "scsi":
            place.update(bus=_number(device, "channel"), target=_number(device, "scsi-id"), unit=_number(device, "lun"))
        ET.SubElement(disk, "address", place)

    def _given_to_all(self) -> None:
        """Empty drives and a parallel port, which QEMU gives to each guest that does not refuse them."""
        for device in [one for one in self._devices if one["type"] == "ide-cd"]:
            if self._images.get(_plain(device, "drive"), ""):
                continue
            sata = "ahci" in device["place"]
            prefix = "sd" if sata else "hd"
            taken = {_attribute(one, "target", "dev") for one in self._home.findall("disk")}
            name = min({f"{prefix}{letter}" for letter in _LETTERS} - taken)
            disk = self._drive("cdrom", name, "sata" if sata else "ide")
            ET.SubElement(disk, "readonly")
            self._put(disk, device, "sata" if sata else "ide")
        for number, _device in enumerate([one for one in self._devices if one["type"] == "floppy"]):
            self._drive("floppy", f"fd{_LETTERS[number]}", "fdc")
        for _device in [one for one in self._devices if one["type"] == "isa-parallel"]:
            ET.SubElement(self._home, "parallel", type="null")

    def _drive(self, kind: str, name: str, bus: str) -> ET.Element:
        disk = ET.SubElement(self._home, "disk", type="file", device=kind)
        ET.SubElement(disk, "driver", name="qemu", type="raw")
        ET.SubElement(disk, "target", dev=name, bus=bus)
        return disk

    # ---- processors ----

    def _processors(self, cpus: t.Sequence[str]) -> None:
        """Sockets, cores and threads as they are: libvirt would make each processor a socket."""
        places = [json.loads(cpu).get("place", {}) for cpu in cpus]
        if not places:
            return
        counts = {
            key: 1 + max(int(one.get(f"{key}-id", 0)) for one in places)
            for key in ("socket", "die", "cluster", "module", "core", "thread")
        }
        product = 1
        for count in counts.values():
            product *= count
        if product != len(places) or counts["die"] * counts["cluster"] * counts["module"] != 1:
            self.problems.append("its processors have an order that is not understood")
            return
        cpu = self.root.find("cpu")
        if cpu is None:
            cpu = ET.SubElement(self.root, "cpu")
        for old in cpu.findall("topology"):
            cpu.remove(old)
        topology = {f"{key}s": str(counts[key]) for key in ("socket", "core", "thread")}
        model = cpu.find("model")
        cpu.insert(0 if model is None else 1, ET.Element("topology", topology))


def _whole(devices: list[Device]) -> list[Device]:
    """What a virtio device has behind its own bus belongs to it."""
    found: list[Device] = []
    for device in devices:
        if found and device["place"].endswith("/virtio-bus"):
            found[-1].update({key: text for key, text in device.items() if key not in ("type", "id", "place")})
        else:
            found.append(dict(device))
    return found


def _plain(device: Device, key: str) -> str:
    return device.get(key, "").strip('"')


def _number(device: Device, key: str, default: str = "0") -> str:
    return device.get(key, default).split(" ")[0]


def _attribute(element: ET.Element, child: str, name: str) -> str:
    found = element.find(child)
    return "" if found is None else found.get(name, "")


def _told(device: Device) -> str:
    named = f" '{device['id']}'" if device["id"] else ""
    return f"{device['type']}{named} at {device.get('addr', '')} of {device['place'].rpartition('/')[2]}"
