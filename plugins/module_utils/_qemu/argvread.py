# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a command line of QEMU says about its guest: identity, machine, disks, NICs, monitors. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import GuestDisk, GuestNic
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import Address, parse_address
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import CommandLine, Keys, Option, parse_keys

MIB = 1 << 20
_UNITS = {"B": 1, "K": 1 << 10, "M": MIB, "G": 1 << 30, "T": 1 << 40}
_SECRET_KEYS = ("password", "data", "key-secret-data")
_URL_PASSWORD = re.compile(r"(://[^/:@,]*:)[^@/,]*@")
_NOT_DISKS = ("pflash", "mtd", "floppy")


@dataclasses.dataclass(frozen=True)
class Place:
    """A monitor as the command line has it. ``address`` is None where it is no socket that one can connect to; ``why`` tells.

    The path of a unix socket is as it was written: relative to the working directory of the process, perhaps. ``descriptor`` is the
    number of a socket that QEMU was given open, -1 for none. With ``waits`` QEMU does not start the guest before the first client.
    """

    kind: str
    text: str
    address: t.Optional[Address] = None
    why: str = ""
    descriptor: int = -1
    waits: bool = False


def name_of(line: CommandLine) -> str:
    """The guest's name; empty where it was given none."""
    return line.merged("name").get("guest")


def machine_of(line: CommandLine) -> str:
    """The machine type as it was written; empty for QEMU's own choice."""
    return line.merged("machine").get("type")


def accelerators_of(line: CommandLine) -> list[str]:
    """kvm, tcg ... in the order in which QEMU tries them."""
    if line.has("enable-kvm"):
        return ["kvm"]
    asked = line.merged("accel").all("accel") or line.merged("machine").get("accel").split(":")
    return [one for one in asked if one] or ["tcg"]


def accelerator_of(line: CommandLine) -> str:
    """The first that was asked for."""
    return accelerators_of(line)[0]


def memory_of(line: CommandLine) -> int:
    """Bytes; 128 MiB is QEMU's own choice."""
    return bytes_of(line.merged("m").get("size") or "128", "M")


def bytes_of(text: str, unit: str) -> int:
    """A size as QEMU reads it, where a number alone counts in ``unit``; 0 for what is none."""
    match = re.fullmatch(r"([0-9.]+)([BKMGT]?)I?B?", text.strip().upper())
    return int(float(match.group(1)) * _UNITS[match.group(2) or unit]) if match else 0


def vcpus_of(line: CommandLine) -> int:
    """The vCPUs that it starts with."""
    keys = line.merged("smp")
    if keys.get("cpus").isdigit():
        return int(keys.get("cpus"))
    parts = ("drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads")
    known = [int(keys.get(part)) for part in parts if keys.get(part).isdigit()]
    if not known:
        return int(keys.get("maxcpus")) if keys.get("maxcpus").isdigit() else 1
    count = 1
    for one in known:
        count *= one
    return count


# ---- disks ----


def disks_of(line: CommandLine) -> tuple[GuestDisk, ...]:
    """Disks and CD-ROM drives in the order of their options. Sizes and nodes of images are not in a command line."""
    users = _users(line)
    nodes = _nodes(line)
    found = []
    for option in line.options:
        if option.name == "drive":
            found += _drive(option, users)
        elif option.name in ("hda", "hdb", "hdc", "hdd", "cdrom", ""):
            optical = option.name == "cdrom"
            found.append(
                GuestDisk(
                    "", source=option.value or None, readonly=optical, removable=optical, style=option.name or "hda"
                )
            )
        elif option.name == "device" and option.keys.get("drive") in nodes:
            found.append(_device_disk(option.keys, nodes))
        elif (
            option.name == "device"
            and option.keys.get("driver") in ("ide-cd", "scsi-cd")
            and "drive" not in option.keys
        ):
            found.append(GuestDisk(option.keys.get("id"), readonly=True, removable=True, style="device"))
    return tuple(found)


def _users(line: CommandLine) -> dict[str, Keys]:
    """Drive or node -> the device that has it."""
    devices = [option.keys for option in line.all("device")]
    return {keys.get("drive"): keys for keys in devices if "drive" in keys}


def _nodes(line: CommandLine) -> dict[str, Keys]:
    found = [option.keys for option in line.all("blockdev")]
    return {keys.get("node-name"): keys for keys in found}


def _drive(option: Option, users: t.Mapping[str, Keys]) -> list[GuestDisk]:
    keys = option.keys
    if keys.get("if") in _NOT_DISKS:
        return []
    user = users.get(keys.get("id"), Keys())
    optical = keys.get("media") == "cdrom" or user.get("driver") in ("ide-cd", "scsi-cd")
    node = keys.get("node-name")
    return [
        GuestDisk(
            user.get("id"),
            drive=keys.get("id"),
            node=node,
            source=keys.get("file") or keys.get("file.filename") or None,
            format=keys.get("format") or keys.get("driver") or None,
            readonly=optical or keys.is_on("readonly") or keys.is_on("read-only"),
            removable=optical,
            style="drive",
        )
    ]


def _device_disk(device: Keys, nodes: t.Mapping[str, Keys]) -> GuestDisk:
    node = device.get("drive")
    keys = nodes[node]
    source = _source_of(keys, nodes)
    optical = device.get("driver") in ("ide-cd", "scsi-cd")
    return GuestDisk(
        device.get("id"),
        node=node,
        source=source,
        format=keys.get("driver") or None,
        readonly=optical or keys.is_on("read-only"),
        removable=optical,
        style="blockdev",
    )


def _source_of(keys: Keys, nodes: t.Mapping[str, Keys], depth: int = 0) -> str | None:
    direct = keys.get("filename") or keys.get("file.filename") or keys.get("file.file.filename")
    if direct:
        return direct
    below = keys.get("file")
    return _source_of(nodes[below], nodes, depth + 1) if below in nodes and depth < 10 else None


# ---- NICs ----


def nics_of(line: CommandLine) -> tuple[GuestNic, ...]:
    """The network interfaces; a MAC address that QEMU chose is not in a command line."""
    backends = {option.keys.get("id"): option.keys for option in line.all("netdev")}
    found = []
    for option in line.options:
        keys = option.keys if option.name in ("device", "nic", "net") else Keys()
        if option.name == "device" and "netdev" in keys:
            backend = backends.get(keys.get("netdev"), Keys())
            found.append(
                GuestNic(
                    keys.get("id"),
                    keys.get("driver"),
                    keys.get("mac").lower(),
                    keys.get("netdev"),
                    backend.get("type"),
                    _interface(backend),
                )
            )
        elif option.name == "nic" and keys.get("type") != "none":
            found.append(
                GuestNic(
                    "", keys.get("model"), keys.get("mac").lower(), keys.get("id"), keys.get("type"), _interface(keys)
                )
            )
        elif option.name == "net" and keys.get("type") == "nic":
            found.append(GuestNic("", keys.get("model"), keys.get("macaddr").lower(), keys.get("netdev"), "hub"))
    return tuple(found)


def _interface(backend: Keys) -> str:
    if backend.get("type") == "tap":
        return backend.get("ifname")
    return backend.get("br", "br0") if backend.get("type") == "bridge" else ""


# ---- monitors ----


def monitors_of(line: CommandLine) -> tuple[Place, ...]:
    """Every monitor that the command line asks for, in its order."""
    chardevs = {option.keys.get("id"): option.keys for option in line.all("chardev")}
    found = []
    for option in line.options:
        value = option.value or ""
        if option.name in ("qmp", "qmp-pretty"):
            found.append(_compat("qmp", value, chardevs))
        elif option.name == "monitor" and value != "none":
            found.append(_compat("hmp", value, chardevs))
        elif option.name == "mon":
            kind = "qmp" if option.keys.get("mode") == "control" else "hmp"
            found.append(_chardev(kind, option.keys.get("chardev"), chardevs))
        elif option.name == "serial" and value.startswith("mon:"):
            found.append(Place("hmp", value, why="it shares its device with the guest's serial port"))
    return tuple(found)


def _compat(kind: str, text: str, chardevs: t.Mapping[str, Keys]) -> Place:
    """A device in the old short form: ``unix:PATH,server=on``, ``tcp:HOST:PORT,server``, ``stdio`` ..."""
    scheme, _colon, rest = text.partition(":")
    if scheme == "chardev":
        return _chardev(kind, rest, chardevs)
    if scheme == "unix":
        keys = parse_keys(rest, "path")
        return _socket(kind, text, Address("unix", path=keys.get("path"), abstract=keys.is_on("abstract")), keys)
    if scheme == "tcp":
        where, _comma, more = rest.partition(",")
        return _socket(kind, text, _tcp(where), parse_keys(more))
    why = "it speaks the telnet protocol" if scheme == "telnet" else "it is not on a socket"
    return Place(kind, text, why=why)


def _chardev(kind: str, name: str, chardevs: t.Mapping[str, Keys]) -> Place:
    keys = chardevs.get(name)
    text = f"chardev:{name}"
    if keys is None or keys.get("backend") != "socket":
        return Place(kind, text, why="it is not on a socket")
    if keys.is_on("telnet") or keys.is_on("websocket") or keys.get("tls-creds"):
        return Place(kind, text, why="it speaks telnet, a web socket's protocol, or TLS")
    if keys.is_on("mux"):
        return Place(kind, text, why="it shares its device with something else")
    if "fd" in keys:
        number = keys.get("fd")
        return Place(kind, text, descriptor=int(number) if number.isdigit() else -1, why="QEMU was given it open")
    if "path" in keys:
        return _socket(kind, text, Address("unix", path=keys.get("path"), abstract=keys.is_on("abstract")), keys)
    host = keys.get("host")
    return _socket(kind, text, _tcp(f"{f'[{host}]' if ':' in host else host}:{keys.get('port')}"), keys)


def _tcp(where: str) -> Address | None:
    try:
        found = parse_address(f"tcp:{where}")
    except KvmError:
        return None
    return Address("tcp", host="127.0.0.1", port=found.port) if found.host in ("localhost", "0.0.0.0") else found


def _socket(kind: str, text: str, address: Address | None, keys: Keys) -> Place:
    if not keys.is_on("server"):
        return Place(kind, text, why="QEMU connects to somebody there, nobody can connect to it")
    why = "" if address else "its address cannot be understood"
    return Place(kind, text, address, why, waits=keys.is_on("wait", default=True))


# ---- secrets ----


def redacted(words: t.Sequence[str]) -> list[str]:
    """The words of a command line for people to read: passwords and secrets' data are stars."""
    found, after = [], ""
    for word in words:
        text = _URL_PASSWORD.sub(r"\1***@", word)
        if after in ("-object", "--object") and "secret" in word:
            for key in _SECRET_KEYS:
                text = re.sub(rf"((?:^|,){key}=)(?:[^,]|,,)*", r"\1***", text)
                text = re.sub(rf'("{key}"\s*:\s*")(?:[^"\\]|\\.)*', r"\1***", text)
        else:
            text = re.sub(r"((?:^|,)password=)(?!on\b|off\b|yes\b|no\b)(?:[^,]|,,)*", r"\1***", text)
        found.append(text)
        after = word
    return found
