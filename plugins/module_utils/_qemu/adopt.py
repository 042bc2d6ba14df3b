# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A guest process as a domain of libvirt: the definition from its command line, and what of it no definition can say. Pure.

What is not understood whole is a problem and never left out: the guest would miss it.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtops.kvm.plugins.module_utils._qemu import adoptdisks, argvread
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import CommandLine, Keys, Option, parse

#: Of the process alone, or libvirt's own business.
_OURS_ALONE = frozenset(
    (
        "name", "uuid", "machine", "accel", "enable-kvm", "cpu", "m", "smp", "nodefaults", "no-user-config", "display", "nographic",
        "monitor", "qmp", "qmp-pretty", "mon", "pidfile", "no-shutdown", "action", "runas", "run-with", "D", "d", "msg", "sandbox",
        "kernel", "initrd", "append", "boot", "rtc", "drive", "blockdev", "netdev", "nic", "net", "device", "serial", "chardev", "vnc",
        "vga", "usb", "parallel", "k",
    )
)  # fmt: skip
_MACHINE_KEYS = frozenset(("type", "accel", "usb", "graphics", "dump-guest-core"))
_NICS = {"virtio-net-pci": "virtio", "virtio-net": "virtio", "virtio": "virtio"}
_SAME_NICS = ("e1000", "e1000e", "rtl8139", "vmxnet3")
_VIDEOS = {
    "none": "none", "std": "vga", "VGA": "vga", "virtio": "virtio", "virtio-vga": "virtio", "qxl": "qxl", "qxl-vga": "qxl",
    "cirrus": "cirrus", "cirrus-vga": "cirrus",
}  # fmt: skip
_BOOT = {"c": "hd", "d": "cdrom", "n": "network", "a": "fd"}
#: libvirt makes these by itself, or what is behind them makes them.
_MADE = ("pcie-root-port", "virtio-scsi-pci", "virtio-scsi", "qemu-xhci", "nec-usb-xhci")
_FEATURE = re.compile(r"[a-z0-9._-]+")


@dataclasses.dataclass(frozen=True)
class Adopted:
    """``problems`` say why it cannot be a domain; ``xml`` is its definition where there are none."""

    xml: str
    problems: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Known:
    """What the hosts add to a command line: the MAC of each network card by its backend, the bridge of each tap by its backend, bytes of
    memory, and who the guest is."""

    name: str
    uuid: str
    memory: int
    macs: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    bridges: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


def adopt(argv: t.Sequence[str], known: Known) -> Adopted:
    """The definition of the domain that ``argv``, the command line of the destination, would be."""
    work = _Work(parse(argv), known)
    root = work.domain()
    ET.indent(root)
    return Adopted("" if work.problems else ET.tostring(root, encoding="unicode"), tuple(work.problems))


def files_of(xml: str) -> list[str]:
    """The files that libvirt lets belong to its user when it starts a domain of this definition."""
    root = ET.fromstring(xml)
    found = [root.findtext(f"os/{tag}") for tag in ("kernel", "initrd", "nvram")]
    for source in root.findall("devices/*/source"):
        found += [source.get(key) for key in ("file", "dev", "path")]
    return sorted({path for path in found if path and path.startswith("/")})


class _Work:
    """One command line."""

    def __init__(self, line: CommandLine, known: Known) -> None:
        self._line = line
        self._known = known
        self._machine = argvread.machine_of(line)
        self.problems: list[str] = []

    def domain(self) -> ET.Element:
        line, known = self._line, self._known
        for option in line.options:
            if option.name not in _OURS_ALONE:
                self.problems.append(f"libvirt has no {option.word} {option.value or ''}".rstrip())
        root = ET.Element("domain", type="kvm" if argvread.accelerator_of(line) == "kvm" else "qemu")
        _text(root, "name", known.name)
        if known.uuid:
            _text(root, "uuid", known.uuid)
        _text(root, "memory", str(known.memory), unit="bytes")
        _text(root, "vcpu", str(argvread.vcpus_of(line)))
        self._system(root)
        features = ET.SubElement(root, "features")
        ET.SubElement(features, "acpi")
        ET.SubElement(features, "apic")
        self._processor(root)
        ET.SubElement(root, "clock", offset="localtime" if line.merged("rtc").get("base") == "localtime" else "utc")
        devices = ET.SubElement(root, "devices")
        if line.program.startswith("/"):
            _text(devices, "emulator", line.program)
        disks = adoptdisks.disks(line, self._machine)
        self.problems += disks.problems
        devices.extend(disks.elements)
        self._network(devices)
        self._ports(devices)
        self._screen(devices)
        self._others(devices, disks.devices)
        return root

    # ---- the machine ----

    def _system(self, root: ET.Element) -> None:
        line = self._line
        for key, _value in line.merged("machine").pairs:
            if key not in _MACHINE_KEYS:
                self.problems.append(f"its machine has the property {key}")
        system = ET.SubElement(root, "os")
        _text(system, "type", "hvm", arch="x86_64", machine=self._machine)
        for drive in (option.keys for option in line.all("drive") if option.keys.get("if") == "pflash"):
            if drive.is_on("readonly") or drive.is_on("read-only"):
                _text(system, "loader", drive.get("file"), readonly="yes", type="pflash")
            else:
                _text(system, "nvram", drive.get("file"))
        for option, tag in (("kernel", "kernel"), ("initrd", "initrd"), ("append", "cmdline")):
            if line.has(option):
                _text(system, tag, line.last(option))
        boot = line.merged("boot")
        for letter in boot.get("order"):
            if letter in _BOOT:
                ET.SubElement(system, "boot", dev=_BOOT[letter])
        self._only(boot, "-boot", ("order", "menu", "strict"))
        self._only(line.merged("rtc"), "-rtc", ("base", "clock"))

    def _processor(self, root: ET.Element) -> None:
        smp, model = self._line.merged("smp"), self._line.last("cpu")
        self._only(smp, "-smp", ("cpus", "maxcpus", "sockets", "cores", "threads"))
        if smp.get("maxcpus") not in ("", str(argvread.vcpus_of(self._line))):
            self.problems.append("processors can be plugged into it")
        parts = {key: smp.get(key) for key in ("sockets", "cores", "threads")}
        if not model and not any(parts.values()):
            return
        name, _comma, rest = model.partition(",")
        cpu = ET.SubElement(root, "cpu")
        if name in ("host", "max"):
            cpu.set("mode", "host-passthrough" if name == "host" else "maximum")
        elif name:
            cpu.attrib.update(mode="custom", match="exact", check="none")
            _text(cpu, "model", name, fallback="forbid")
        if any(parts.values()):
            ET.SubElement(cpu, "topology", {key: value or "1" for key, value in parts.items()})
        for word in filter(None, rest.split(",")):
            feature = re.fullmatch(r"([+-])(.+)|(.+?)=(on|off)", word)
            found = (feature.group(2) or feature.group(3)) if feature else ""
            if not feature or not _FEATURE.fullmatch(found):
                self.problems.append(f"its processor has the property {word}")
                continue
            on = feature.group(1) == "+" or feature.group(4) == "on"
            ET.SubElement(cpu, "feature", policy="require" if on else "disable", name=found)

    # ---- devices ----

    def _network(self, devices: ET.Element) -> None:
        line = self._line
        backends = {option.keys.get("id"): option.keys for option in line.all("netdev")}
        for option in line.all("device"):
            if "netdev" in option.keys:
                self._only(
                    option.keys,
                    "-device",
                    ("driver", "id", "netdev", "mac", "romfile", "bus", "addr", "disable-legacy"),
                )
                self._card(
                    devices, option.keys.get("driver"), option.keys.get("netdev"), backends, option.keys.get("mac")
                )
        for option in line.all("nic"):
            if option.keys.get("type") != "none":
                self.problems.append(f"its network card is given as -nic {option.value}, which is not understood")
        if line.has("net"):
            self.problems.append("its network is given by -net, which is not understood")

    def _card(self, devices: ET.Element, driver: str, netdev: str, backends: t.Mapping[str, Keys], mac: str) -> None:
        backend, model = backends.get(netdev, Keys()), _NICS.get(driver, driver if driver in _SAME_NICS else "")
        mac = mac or self._known.macs.get(netdev, "")
        bridge = backend.get("br", "br0") if backend.get("type") == "bridge" else self._known.bridges.get(netdev, "")
        if not model or not mac:
            self.problems.append(f"its network card {driver} is not understood")
            return
        if bridge:
            card = ET.SubElement(devices, "interface", type="bridge")
            ET.SubElement(card, "source", bridge=bridge)
        elif backend.get("type") == "user" and set(dict(backend.pairs)) <= {"type", "id"}:
            card = ET.SubElement(devices, "interface", type="user")
        elif backend.get("type") == "tap" and backend.get("ifname"):
            card = ET.SubElement(devices, "interface", type="ethernet")
            ET.SubElement(card, "target", dev=backend.get("ifname"), managed="no")
        else:
            self.problems.append(f"its network {netdev} ({backend.get('type')}) is not understood")
            return
        ET.SubElement(card, "mac", address=mac)
        ET.SubElement(card, "model", type=model)

    def _ports(self, devices: ET.Element) -> None:
        """Serial ports; where none is said the machine has one all the same."""
        words = [option.value or "" for option in self._line.all("serial") if option.value != "none"]
        bare = self._line.has("nodefaults") or self._line.has("serial")
        for word in words if bare else ["pty"]:
            kind, _colon, rest = word.partition(":")
            path = rest.partition(",")[0]
            if kind == "file":
                port = ET.SubElement(devices, "serial", type="file")
                ET.SubElement(port, "source", path=path, append="on")
            elif kind == "unix":
                port = ET.SubElement(devices, "serial", type="unix")
                ET.SubElement(port, "source", mode="bind" if "server" in rest else "connect", path=path)
            elif word in ("pty", "stdio", "mon:stdio", "vc", "null"):
                ET.SubElement(devices, "serial", type="pty")
            else:
                self.problems.append(f"its serial port {word} is not understood")

    def _screen(self, devices: ET.Element) -> None:
        line = self._line
        vnc = re.fullmatch(r"([^:,]*):([0-9]+)(?:,.*)?", line.last("vnc"))
        if vnc:
            ET.SubElement(
                devices, "graphics", type="vnc", port=str(5900 + int(vnc.group(2))), listen=vnc.group(1) or "0.0.0.0"
            )
        elif line.has("vnc") and line.last("vnc") != "none":
            self.problems.append(f"its screen -vnc {line.last('vnc')} is not understood")
        if "password" in line.last("vnc") or "tls" in line.last("vnc"):
            self.problems.append("its screen has a password or certificates")
        if any(one.keys.get("driver") in _VIDEOS for one in line.all("device")):
            return
        self._video(devices, line.last("vga") or ("none" if line.has("nodefaults") else "std"))

    def _video(self, devices: ET.Element, kind: str) -> None:
        """A graphics card; that there is none has to be said, too, for libvirt gives one to every screen."""
        if kind not in _VIDEOS:
            self.problems.append(f"its graphics card {kind} is not understood")
            return
        ET.SubElement(ET.SubElement(devices, "video"), "model", type=_VIDEOS[kind])

    def _others(self, devices: ET.Element, handled: t.Container[Option]) -> None:
        """The rest of -device; a balloon and USB are there only where the guest has them."""
        drivers = []
        for option in self._line.all("device"):
            driver = option.keys.get("driver")
            drivers.append(driver)
            if option in handled or "netdev" in option.keys or driver in _MADE:
                continue
            if driver in ("virtio-rng-pci", "virtio-rng") and "rng" not in option.keys:
                _text(ET.SubElement(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
            elif driver == "usb-tablet":
                ET.SubElement(devices, "input", type="tablet", bus="usb")
            elif driver in _VIDEOS:
                self._video(devices, driver)
            elif not driver.startswith("virtio-balloon"):
                self.problems.append(f"its device {option.value} is not understood")
        if any(driver.startswith("virtio-scsi") for driver in drivers):
            ET.SubElement(devices, "controller", type="scsi", model="virtio-scsi")
        balloon = any(driver.startswith("virtio-balloon") for driver in drivers)
        ET.SubElement(devices, "memballoon", model="virtio" if balloon else "none")
        if not self._line.has("usb") and not any("usb" in driver or "xhci" in driver for driver in drivers):
            ET.SubElement(devices, "controller", type="usb", model="none")

    def _only(self, keys: Keys, what: str, known: t.Container[str]) -> None:
        self.problems += [f"it has {what} {key}={value}" for key, value in keys.pairs if key not in known]


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element
