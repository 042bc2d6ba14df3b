# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single changes of a domain document that mean something. Each must be seen, where libvirt takes the document at all."""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

if t.TYPE_CHECKING:
    from collections.abc import Iterator

#: place, attribute (or None for the text), and what it becomes. Every match of the place is one mutation.
_VALUES: tuple[tuple[str, str | None, str], ...] = (
    ("memory", None, "{+4096}"),
    ("currentMemory", None, "{-1024}"),
    ("vcpu", None, "{+1}"),
    ("os/type", "machine", "pc-q35-7.1"),
    ("os/boot", "dev", "fd"),
    ("os/bootmenu", "enable", "no"),
    ("os/cmdline", None, "console=ttyS1 panic=1"),
    ("os/kernel", None, "/boot/other"),
    ("os/initrd", None, "/boot/other.img"),
    ("os/nvram", None, "/var/lib/libvirt/qemu/nvram/other_VARS.fd"),
    ("cpu/model", None, "SandyBridge"),
    ("cpu/feature", "policy", "optional"),
    ("cpu/topology", "sockets", "2"),
    ("clock", "offset", "variable"),
    ("clock", "adjustment", "7200"),
    ("clock", "timezone", "Asia/Tokyo"),
    ("clock/timer[@name='hpet']", "present", "yes"),
    ("clock/timer[@name='rtc']", "tickpolicy", "delay"),
    ("on_reboot", None, "restart"),
    ("on_crash", None, "restart"),
    ("features/vmport", "state", "on"),
    ("features/hyperv/spinlocks", "retries", "4096"),
    ("cputune/shares", None, "1024"),
    ("cputune/vcpupin", "cpuset", "1"),
    ("blkiotune/weight", None, "700"),
    ("memtune/hard_limit", None, "3"),
    ("iothreads", None, "3"),
    ("resource/partition", None, "/other"),
    ("title", None, "Another title"),
    ("description", None, "Another text"),
    ("metadata/*/*", None, "other"),
    ("metadata/*/*[@n]", "n", "3"),
    ("metadata/*/*[@id]", "id", "http://debian.org/debian/11"),
    ("sysinfo/system/entry", None, "other"),
    ("sysinfo/oemStrings/entry", None, "other"),
    ("numatune/memory", "mode", "preferred"),
    ("maxMemory", "slots", "8"),
    ("devices/emulator", None, "/usr/local/bin/qemu"),
    ("devices/disk/source", "file", "/srv/other.img"),
    ("devices/disk/source", "dev", "/dev/vg0/other"),
    ("devices/disk/source", "volume", "other"),
    ("devices/disk/source", "pool", "other"),
    ("devices/disk/source", "name", "other"),
    ("devices/disk/source/host", "name", "other.example.com"),
    ("devices/disk/source/host", "port", "1234"),
    ("devices/disk/source/cookies/cookie", None, "anders12"),
    ("devices/disk/auth", "username", "other"),
    ("devices/disk/driver", "cache", "directsync"),
    ("devices/disk/driver", "discard", "ignore"),
    ("devices/disk/driver", "type", "vmdk"),
    ("devices/disk/serial", None, "OTHER"),
    ("devices/disk/iotune/total_iops_sec", None, "501"),
    ("devices/disk/target", "dev", "vdz"),
    ("devices/disk/boot", "order", "7"),
    ("devices/disk/backingStore/source", "file", "/srv/other-middle.qcow2"),
    ("devices/interface/source", "network", "other"),
    ("devices/interface/source", "bridge", "br9"),
    ("devices/interface/mac", "address", "52:54:00:ff:ff:01"),
    ("devices/interface/model", "type", "e1000e"),
    ("devices/interface/mtu", "size", "1500"),
    ("devices/interface/link", "state", "up"),
    ("devices/interface/bandwidth/inbound", "average", "2000"),
    ("devices/serial/source", "path", "/tmp/other"),
    ("devices/serial/source", "service", "4556"),
    ("devices/channel/target", "name", "org.example.other"),
    ("devices/graphics", "passwd", "anders12"),
    ("devices/graphics", "port", "5978"),
    ("devices/graphics", "keymap", "fr"),
    ("devices/graphics", "listen", "127.0.0.2"),
    ("devices/graphics/listen", "address", "127.0.0.2"),
    ("devices/graphics/image", "compression", "auto_glz"),
    ("devices/video/model", "type", "bochs"),
    ("devices/video/model", "vram", "8192"),
    ("devices/sound", "model", "ich6"),
    ("devices/memballoon", "model", "virtio-non-transitional"),
    ("devices/memballoon/stats", "period", "20"),
    ("devices/rng/backend", None, "/dev/hwrng"),
    ("devices/rng/rate", "bytes", "99"),
    ("devices/watchdog", "action", "reset"),
    ("devices/controller[@type='scsi']", "model", "lsilogic"),
    ("devices/controller[@type='usb']", "model", "ich9-ehci1"),
    ("devices/controller/driver", "queues", "2"),
    ("devices/controller", "ports", "7"),
    ("devices/filesystem/source", "dir", "/srv/other"),
    ("devices/filesystem", "accessmode", "passthrough"),
    ("devices/hostdev/source/vendor", "id", "0x4321"),
    ("devices/hostdev/source/address", "slot", "5"),
    ("devices/redirdev/source", "service", "4001"),
    ("devices/shmem/size", None, "8"),
    ("devices/tpm", "model", "tpm-tis"),
    ("devices/input", "type", "mouse"),
    ("{http://libvirt.org/schemas/domain/qemu/1.0}commandline/*[@value='parameter']", "value", "other"),
    ("{http://libvirt.org/schemas/domain/qemu/1.0}commandline/*[@name='API_TOKEN']", "value", "anders12"),
)
#: Elements whose absence means something.
_REMOVED = (
    "title", "description", "metadata", "metadata/*/*", "cputune", "cputune/shares", "blkiotune", "memtune", "memoryBacking",
    "memoryBacking/*", "iothreads", "features/acpi", "features/pae", "features/hyperv/relaxed", "clock/timer", "cpu/feature",
    "cpu/topology", "genid", "sysinfo", "os/cmdline", "os/bootmenu", "devices/disk", "devices/disk/serial",
    "devices/disk/readonly", "devices/disk/shareable", "devices/disk/iotune", "devices/disk/boot", "devices/disk/auth",
    "devices/interface", "devices/interface/mtu", "devices/interface/link", "devices/interface/bandwidth",
    "devices/interface/boot", "devices/rng", "devices/rng/rate", "devices/watchdog", "devices/sound", "devices/channel",
    "devices/filesystem", "devices/hostdev", "devices/redirdev", "devices/tpm", "devices/vsock", "devices/shmem",
    "devices/panic", "devices/parallel", "devices/iommu", "devices/memballoon/stats", "devices/graphics", "devices/smartcard",
    "seclabel", "pm", "{http://libvirt.org/schemas/domain/qemu/1.0}commandline/*",
)  # fmt: skip
#: What is added to devices, or beside them.
_ADDED = (
    ("devices", "<disk type='file' device='disk'><source file='/srv/new.img'/><target dev='vdy' bus='virtio'/></disk>"),
    ("devices", "<interface type='bridge'><source bridge='br7'/><model type='virtio'/></interface>"),
    ("devices", "<channel type='unix'><target type='virtio' name='org.example.new'/></channel>"),
    ("devices", "<input type='mouse' bus='usb'/>"),
    (".", "<cputune><emulatorpin cpuset='0'/></cputune>"),
    (".", "<on_poweroff>restart</on_poweroff>"),
)


def mutations(text: str) -> Iterator[tuple[str, str]]:
    """Every single mutation that the document offers: a label, and the text."""
    whole = ET.fromstring(text)
    for place, attribute, value in _VALUES:
        for number, element in enumerate(whole.findall(place)):
            if attribute is not None and element.get(attribute) is None:
                continue
            root = ET.fromstring(text)
            _set(root.findall(place)[number], attribute, value)
            changed = ET.tostring(root, encoding="unicode")
            if changed != ET.tostring(whole, encoding="unicode"):
                yield f"{place}[{number}]/{'@' + attribute if attribute else 'text'}", changed
    for place in _REMOVED:
        for number in range(len(whole.findall(place))):
            root = ET.fromstring(text)
            _remove(root, root.findall(place)[number])
            yield f"{place}[{number}] removed", ET.tostring(root, encoding="unicode")
    for place, addition in _ADDED:
        root = ET.fromstring(text)
        new = ET.fromstring(addition)
        parent = root.find(place)
        if parent is not None and root.find(new.tag) is None:
            parent.append(new)
            yield f"{new.tag} added", ET.tostring(root, encoding="unicode")
    boots = whole.findall("os/boot")
    if len(boots) > 1:
        root = ET.fromstring(text)
        first, second = root.findall("os/boot")[:2]
        first.attrib, second.attrib = dict(second.attrib), dict(first.attrib)
        yield "boot order turned round", ET.tostring(root, encoding="unicode")


def _set(element: ET.Element, attribute: str | None, value: str) -> None:
    old = (element.text or "").strip() if attribute is None else element.get(attribute, "")
    if value.startswith(("{+", "{-")):
        value = str(int(old) + int(value[1:-1]))
    if attribute is None:
        element.text = value
    else:
        element.set(attribute, value)


def _remove(root: ET.Element, element: ET.Element) -> None:
    for parent in root.iter():
        if element in list(parent):
            parent.remove(element)
            return
