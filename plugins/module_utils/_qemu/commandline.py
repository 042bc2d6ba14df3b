# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The argument list that starts a guest process, from a description or from a user's own list; and how two lists differ. Pure."""

from __future__ import annotations

import collections
import json
import re
import typing as t
import uuid as uuid_module

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import CommandLine, escape, parse
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argvread import disks_of, machine_of, name_of
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.description import (
    BRIDGE,
    CACHES,
    CDROM,
    USER,
    Description,
    Disk,
    Nic,
    own_tap,
)

#: Options that say how the process starts and who runs it; both are the unit's business.
RESERVED = ("S", "chroot", "daemonize", "incoming", "pidfile", "preconfig", "run-with", "runas")
#: Started so, a guest stands still until somebody continues it; and so it waits for a migration, too.
STANDING = ("-S",)
WAITING = ("-S", "-incoming", "defer")
#: An alias of machine types, and how the versioned names behind it begin.
_FAMILIES = {"q35": "pc-q35-", "pc": "pc-i440fx-"}
_MIB = 1024**2


def folder_of(uuid: str) -> str:
    """Where the sockets and the pidfile of a guest are while it runs."""
    return f"/run/virtops-kvm/qemu/{uuid}"


def monitors(uuid: str) -> tuple[str, str]:
    """The sockets of its two QMP monitors: for the modules here, and for others."""
    return f"{folder_of(uuid)}/qmp.sock", f"{folder_of(uuid)}/qmp-others.sock"


def control(uuid: str) -> list[str]:
    """The arguments by which a guest is controlled."""
    words = []
    for socket in monitors(uuid):
        words += ["-qmp", f"unix:{socket},server=on,wait=off"]
    return [*words, "-pidfile", f"{folder_of(uuid)}/qemu.pid"]


def from_description(wanted: Description, emulator: str, machine: str) -> list[str]:
    """The whole list, the program first. ``machine`` is the versioned name of the machine type."""
    refuse_reserved("extra_arguments", wanted.extra)
    words = [emulator, "-name", f"guest={escape(wanted.name)}", "-uuid", wanted.uuid]
    words += ["-nodefaults", "-no-user-config", "-display", "none"]
    firmware = wanted.firmware
    flash = ""
    if firmware is not None:
        words += ["-blockdev", _node("firmware-code", firmware.code, "raw", (False, False, True), readonly=True)]
        flash = ",pflash0=firmware-code"
        if firmware.vars is not None:
            words += ["-blockdev", _node("firmware-vars", firmware.vars, "raw", (False, False, True), readonly=False)]
            flash += ",pflash1=firmware-vars"
    words += ["-machine", f"{machine}{flash}"]
    for accelerator in ("kvm", "tcg") if wanted.accelerator == "auto" else (wanted.accelerator,):
        words += ["-accel", accelerator]
    if wanted.cpu is not None:
        words += ["-cpu", wanted.cpu]
    words += ["-m", f"{wanted.memory // _MIB}M", "-smp", str(wanted.vcpus)]
    places = iter(_ide_places(machine))
    for index, disk in enumerate(wanted.disks):
        words += _disk(index, disk, places)
    for index, nic in enumerate(wanted.nics):
        words += _nic(index, nic, wanted.uuid)
    if wanted.serial is not None:
        how = "append=on" if wanted.serial.type == "file" else "server=on,wait=off"
        words += ["-chardev", f"{wanted.serial.type},id=serial0,path={escape(wanted.serial.path)},{how}"]
        words += ["-serial", "chardev:serial0"]
    if wanted.vnc is not None:
        words += ["-vga", "std", "-vnc", wanted.vnc]
    return [*words, *wanted.extra, *control(wanted.uuid)]


def from_arguments(arguments: t.Sequence[str], name: str, uuid: str, emulator: str) -> list[str]:
    """The user's own list with what this collection needs: a name, a UUID, monitors. Raises InputError for a contradiction."""
    refuse_reserved("arguments", arguments)
    said = name_in(arguments)
    if said not in (None, name):
        raise InputError("arguments", f"The arguments call the guest '{said}', and the option name calls it '{name}'.")
    words = [emulator]
    if said is None:
        words += ["-name", f"guest={escape(name)}"]
    if uuid_in(arguments) is None:
        words += ["-uuid", uuid]
    return [*words, *arguments, *control(uuid)]


def refuse_reserved(option: str, words: t.Sequence[str]) -> None:
    """Raises InputError for an argument that is not the user's to say, and for one that no command line can hold."""
    for word in words:
        if any(ord(character) < 32 for character in word):
            raise InputError(option, f"The argument {word!r} has control characters.")
    for found in _line(words).options:
        if found.name in RESERVED:
            raise InputError(
                option,
                f"The argument {found.word} says how the process is started, which is this module's business; leave it out, "
                "and say the state and the user by the options of those names.",
            )


def _node(name: str, path: str, form: str, cache: tuple[bool, bool, bool], *, readonly: bool) -> str:
    """The block node of an image. As JSON, in which no character of a path means anything."""
    direct, no_flush, _write_cache = cache
    common: dict[str, t.Any] = {"cache": {"direct": direct, "no-flush": no_flush}}
    if readonly:
        common["read-only"] = True
    driver = "host_device" if path.startswith("/dev/") else "file"
    file = {"driver": driver, "node-name": f"{name}-file", "filename": path, **common}
    return json.dumps({"driver": form, "node-name": name, **common, "file": file}, separators=(",", ":"))


def _ide_places(machine: str) -> list[str]:
    """Where disks can be plugged in: six ports of SATA, or two channels of IDE for two disks each. QEMU finds no free one itself."""
    if "q35" in machine:
        return [f"bus=ide.{port}" for port in range(6)]
    return [f"bus=ide.{channel},unit={unit}" for channel in range(2) for unit in range(2)]


def _disk(index: int, disk: Disk, places: t.Iterator[str]) -> list[str]:
    node = f"disk{index}"
    cache = CACHES[disk.cache]
    device = f"virtio-blk-pci,id=device-{node},drive={node}"
    if disk.bus == "ide":
        place = next(places, None)
        if place is None:
            raise InputError(
                "disks", f"{disk.path} has no place on the bus 'ide' of this machine type; use bus=virtio."
            )
        device = f"{'ide-cd' if disk.device == CDROM else 'ide-hd'},id=device-{node},drive={node},{place}"
    if disk.writable and not cache[2]:
        device += ",write-cache=off"
    return ["-blockdev", _node(node, disk.path, disk.format, cache, readonly=disk.readonly), "-device", device]


def _nic(index: int, nic: Nic, uuid: str) -> list[str]:
    net = f"net{index}"
    if nic.type == USER:
        netdev = f"user,id={net}"
    else:
        tap = own_tap(uuid, index) if nic.type == BRIDGE else nic.host_side
        netdev = f"tap,id={net},ifname={tap},script=no,downscript=no"
    return ["-netdev", netdev, "-device", f"{nic.model},id=device-{net},netdev={net},mac={nic.mac}"]


# ---- reading lists ----


def name_in(words: t.Sequence[str]) -> str | None:
    """The guest's name that a list says."""
    return name_of(_line(words)) or None


def uuid_in(words: t.Sequence[str]) -> str | None:
    """The guest's UUID that a list says, in the usual form if it is one."""
    said = _line(words).last("uuid").lower()
    try:
        return str(uuid_module.UUID(said)) if said else None
    except ValueError:
        return said


def machine_in(words: t.Sequence[str]) -> str | None:
    """The machine type that a list says."""
    return machine_of(_line(words)) or None


def images_in(words: t.Sequence[str]) -> dict[str, bool]:
    """The images that a whole list names -> whether the guest writes to them. Those of firmware are not among them."""
    return {disk.source: not disk.readonly for disk in disks_of(parse(words)) if disk.source}


def _line(words: t.Sequence[str]) -> CommandLine:
    """A list, with its program or without it."""
    return parse(["", *words])


def shown(words: t.Sequence[str]) -> list[str]:
    """A whole list for people: the program, and one option a line."""
    line = parse(words)
    return [line.program, *(f"{option.word} {option.value or ''}".strip() for option in line.options)]


def same_family(alias: str, machine: str | None) -> bool:
    """Whether ``machine`` is a version of what ``alias`` names."""
    family = _FAMILIES.get(alias)
    return machine is not None and family is not None and machine.startswith(family)


def versions(listing: str) -> dict[str, str]:
    """Alias -> versioned name, from what ``-machine help`` prints."""
    return {
        match.group(1): match.group(2)
        for match in re.finditer(r"^(\S+)\s.*\(alias of ([^)]+)\)\s*$", listing, re.MULTILINE)
    }


def without_start(words: t.Sequence[str]) -> list[str]:
    """A running process's list without what says how it was started."""
    return parse(words).without("S", "incoming").words()


def differences(before: t.Sequence[str], after: t.Sequence[str]) -> tuple[str, ...]:
    """How two lists differ, one line each; empty where they are the same."""
    if list(before) == list(after):
        return ()
    lines: list[str] = []
    one, other = parse(before), parse(after)
    if one.program != other.program:
        lines.append(f"program: '{one.program}' -> '{other.program}'")
    old, new = (
        collections.Counter((option.name, option.value or "") for option in line.options) for line in (one, other)
    )
    gone, come = old - new, new - old
    for name in sorted({option for option, _value in (*gone, *come)}):
        lost = [value for option, value in gone.elements() if option == name]
        found = [value for option, value in come.elements() if option == name]
        if len(lost) == 1 and len(found) == 1:
            lines.append(f"-{name}: '{lost[0]}' -> '{found[0]}'")
            continue
        lines += [f"-{name}: '{value}' is no longer there" for value in lost]
        lines += [f"-{name}: '{value}' is new" for value in found]
    return tuple(lines) or ("the order of the arguments",)
