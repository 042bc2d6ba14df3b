# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a guest process shall be made of, as a user describes it: checked here, and turned into arguments elsewhere. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import typing as t
import uuid as uuid_module

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError

DISK, CDROM = "disk", "cdrom"
#: How each cache mode is said to QEMU: bypassing the host's cache, ignoring flushes, and a write cache in the device.
CACHES: dict[str, tuple[bool, bool, bool]] = {
    "none": (True, False, True),
    "writeback": (False, False, True),
    "writethrough": (False, False, False),
    "directsync": (True, False, False),
    "unsafe": (False, True, True),
}
USER, TAP, BRIDGE = "user", "tap", "bridge"
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
#: What the kernel permits as the name of a network interface, and QEMU as that of a device or CPU.
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,14}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_CPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=,:-]*")
_VNC = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*):[0-9]{1,4}")
_MIB = 1024**2


@dataclasses.dataclass(frozen=True)
class Disk:
    """One disk or CD drive. ``size`` (bytes) is that of an image which is made where there is none."""

    path: str
    format: str = "qcow2"
    size: t.Optional[int] = None
    device: str = DISK
    bus: str = "virtio"
    cache: str = "none"
    readonly: bool = False

    @property
    def writable(self) -> bool:
        """Whether the guest may write to it."""
        return not self.readonly and self.device != CDROM


@dataclasses.dataclass(frozen=True)
class Nic:
    """One network card. ``host_side`` is the bridge or the tap device."""

    type: str
    mac: str
    model: str = "virtio-net-pci"
    host_side: t.Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Firmware:
    """UEFI: its code, and the guest's own variables, which are copied from ``template`` where there are none."""

    code: str
    vars: t.Optional[str] = None
    template: t.Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Serial:
    """Where the first serial port goes: into a file, or to whoever connects to a socket."""

    type: str
    path: str


@dataclasses.dataclass(frozen=True)
class Description:
    """A guest. ``machine`` may be an alias such as q35; ``memory`` is bytes."""

    name: str
    uuid: str
    memory: int
    machine: str = "q35"
    accelerator: str = "auto"
    cpu: t.Optional[str] = None
    vcpus: int = 1
    firmware: t.Optional[Firmware] = None
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    serial: t.Optional[Serial] = None
    vnc: t.Optional[str] = None
    extra: tuple[str, ...] = ()


def checked_name(name: str) -> str:
    """``name``, if a guest may be called so. Raises InputError."""
    if not name.strip() or "/" in name or _controls(name) or len(name.encode("utf-8")) > 64:
        raise InputError(
            "name",
            f"'{name}' cannot be the name of a guest process; it must not be empty, has no slash and no control characters, and at most "
            "64 bytes.",
        )
    return name


def checked_uuid(text: str) -> str:
    """``text`` in the usual form. Raises InputError."""
    try:
        return str(uuid_module.UUID(text))
    except ValueError as exc:
        raise InputError("uuid", f"'{text}' is no UUID.") from exc


def own_uuid(machine_id: str, name: str) -> str:
    """The UUID of the guest ``name`` of this host, where none is given: always the same, and that of no other host's guest."""
    return str(uuid_module.uuid5(uuid_module.NAMESPACE_DNS, f"{name}.{machine_id}.guest"))


def own_mac(uuid: str, index: int) -> str:
    """The MAC address of a card for which none is given: always the same."""
    digest = hashlib.sha256(f"{uuid}/{index}".encode()).digest()
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])


def own_tap(uuid: str, index: int) -> str:
    """The name of the tap device behind a card on a bridge."""
    return "vq" + hashlib.sha256(f"{uuid}/{index}".encode()).hexdigest()[:11]


def describe(options: t.Mapping[str, t.Any], name: str, uuid: str) -> Description:
    """The description that the module's options give; sizes are bytes already. Raises InputError."""
    if options["memory"] < _MIB or options["memory"] % _MIB:
        raise InputError("memory", "The memory must be a whole number of MiB, and at least one.")
    if options["vcpus"] < 1:
        raise InputError("vcpus", f"A guest needs at least one virtual CPU, and vcpus is {options['vcpus']}.")
    if not _WORD.fullmatch(options["machine"]):
        raise InputError("machine", f"'{options['machine']}' is no machine type; see: qemu-system-x86_64 -machine help")
    if options["cpu"] is not None and not _CPU.fullmatch(options["cpu"]):
        raise InputError("cpu", f"'{options['cpu']}' is no CPU as QEMU writes it, such as Haswell-v4 or host,+vmx.")
    if options["vnc"] is not None and not _VNC.fullmatch(options["vnc"]):
        raise InputError(
            "vnc", f"'{options['vnc']}' is no display; write an address and a number, such as 127.0.0.1:5."
        )
    disks = tuple(_disk(disk) for disk in options["disks"])
    paths = [disk.path for disk in disks]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise InputError("disks", f"The path {twice[0]} is given to two disks.")
    return Description(
        name=name,
        uuid=uuid,
        memory=options["memory"],
        machine=options["machine"],
        accelerator=options["accelerator"],
        cpu=options["cpu"],
        vcpus=options["vcpus"],
        firmware=_firmware(options["firmware"]),
        disks=disks,
        nics=tuple(_nic(nic, uuid, index) for index, nic in enumerate(options["nics"])),
        serial=_serial(options["serial"]),
        vnc=options["vnc"],
        extra=tuple(options["extra_arguments"]),
    )


def _disk(options: t.Mapping[str, t.Any]) -> Disk:
    path = checked_path("disks", options["path"])
    cdrom = options["device"] == CDROM
    if options["size"] is not None:
        if cdrom or options["readonly"]:
            raise InputError("disks", f"{path} is only read, so it has to be there; leave its size out.")
        if options["size"] < 512 or options["size"] % 512:
            raise InputError("disks", f"The size of {path} must be a multiple of 512 bytes, and more than none.")
        if path.startswith("/dev/"):
            raise InputError("disks", f"{path} is a device, which is not made here; leave its size out.")
    return Disk(
        path=path,
        format="raw" if cdrom else options["format"],
        size=options["size"],
        device=options["device"],
        bus="ide" if cdrom else options["bus"],
        cache=options["cache"],
        readonly=options["readonly"] or cdrom,
    )


def _nic(options: t.Mapping[str, t.Any], uuid: str, index: int) -> Nic:
    mac = (options["mac"] or own_mac(uuid, index)).lower()
    if not _MAC.fullmatch(mac):
        raise InputError("nics", f"'{options['mac']}' is no MAC address of a card, such as 52:54:00:12:34:56.")
    if not _WORD.fullmatch(options["model"]):
        raise InputError("nics", f"'{options['model']}' is no model of a card; see: qemu-system-x86_64 -device help")
    kind = options["type"]
    for option in (TAP, BRIDGE):
        given = options[option]
        if (given is not None) != (kind == option):
            verb = "needs" if kind == option else "has no"
            raise InputError("nics", f"A network card of type={kind} {verb} '{option}'.")
        if given is not None and not _INTERFACE.fullmatch(given):
            raise InputError("nics", f"'{given}' is no name of a network interface.")
    return Nic(kind, mac, options["model"], None if kind == USER else options[kind])


def _firmware(options: t.Mapping[str, t.Any] | None) -> Firmware | None:
    if options is None:
        return None
    paths = {key: checked_path("firmware", value) if value else None for key, value in options.items()}
    if paths["template"] and not paths["vars"]:
        raise InputError("firmware", "A template of variables needs the path where the guest's own go, 'vars'.")
    return Firmware(str(paths["code"]), paths["vars"], paths["template"])


def _serial(options: t.Mapping[str, t.Any] | None) -> Serial | None:
    return None if options is None else Serial(options["type"], checked_path("serial", options["path"]))


def checked_path(option: str, path: str) -> str:
    """``path``, if it is absolute and printable. Raises InputError."""
    if not path.startswith("/") or ".." in path.split("/") or _controls(path):
        raise InputError(option, f"The path '{path}' must be absolute, without '..' and without control characters.")
    return path


def _controls(text: str) -> bool:
    return any(ord(character) < 32 or ord(character) == 127 for character in text)
