# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the guest sees of its machine, by ``info qtree``: read, freed of what only the host knows, and compared. Pure.

QEMU checks the machine's version and the sizes of memory in a migration, but neither processors nor devices that only one side has.
"""

from __future__ import annotations

import re
import typing as t

Device = dict[str, str]
#: Names of backends and places of the host, and what is set anew by each process.
_HOST_SIDE = frozenset(
    (
        "drive", "netdev", "chardev", "audiodev", "memdev", "backend", "rng", "vlan", "host_mtu", "share-rw", "account-invalid",
        "account-failed", "rerror", "werror", "romfile", "romsize", "iothread", "throttle", "write-cache", "cryptodev", "tpmdev",
    )
)  # fmt: skip
#: Registers that firmware or the guest writes to.
_PROGRAMMED = frozenset(("MCFG", "busnr", "smb_io_base"))
_SET_BY_USERS = frozenset(
    (
        "type", "id", "place", "addr", "pci", "mac", "serial", "wwn", "num-queues", "logical_block_size", "physical_block_size",
        "unit", "bootindex", "port", "iobase", "irq", "index", "multifunction", "mq", "scsi-id", "lun", "channel", "nr", "name",
    )
)  # fmt: skip
_DEV = re.compile(r'^( *)dev: ([^,]+), id "([^"]*)"')
_BUS = re.compile(r"^( *)bus: (\S+)")
_PROPERTY = re.compile(r"^ *([A-Za-z0-9_.-]+) = (.*)$")
_ID = re.compile(r'id "[^"]*"')
_CLASS = re.compile(r"^ *class (.*), addr ([0-9a-f:.]+), pci id ([0-9a-f:]+) \(sub ([0-9a-f:]+)\)")


def read(text: str, *, host_side: bool = False) -> list[Device]:
    """Every device with its type, id, place and properties that belong to the guest; with ``host_side`` the others, too."""
    found: list[Device] = []
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        bus, device = _BUS.match(line), _DEV.match(line)
        if bus or device:
            indent = len((bus or t.cast("re.Match[str]", device)).group(1))
            path = [one for one in path if one[0] < indent]
        if bus:
            path.append((indent, bus.group(2)))
        elif device:
            path.append((indent, device.group(2)))
            place = "/".join(name for _indent, name in path[:-1])
            found.append({"type": device.group(2), "id": device.group(3), "place": place})
        elif found:
            _note(found[-1], line, host_side)
    return found


def unnamed(text: str) -> str:
    """The tree without the names that a command line gives, which no guest sees: ids go, and a bus is called by its number and by where
    its device stands. The port of a USB device goes, too: it need not be said, and the stream of memory names the one that it is in; and
    so does whether PIIX3 brought its USB controller itself, for that is a device of its own here as there."""
    lines: list[str] = []
    usb = False
    #: Indent, address and number of buses so far, of each device above.
    above: list[tuple[int, str, int]] = []
    for line in text.splitlines():
        bus, device, pair = _BUS.match(line), _DEV.match(line), _PROPERTY.match(line)
        if bus or device:
            indent = len((bus or t.cast("re.Match[str]", device)).group(1))
            above = [one for one in above if one[0] < indent]
        if device:
            usb = device.group(2).startswith("usb-")
            above.append((len(device.group(1)), "", 0))
            line = _ID.sub('id ""', line, count=1)
        elif bus and above:
            depth, place, number = above.pop()
            above.append((depth, place, number + 1))
            line = f"{bus.group(1)}bus: {number}@{place}"
        elif pair and pair.group(1) == "addr" and above:
            above[-1] = (above[-1][0], pair.group(2), above[-1][2])
        if not (pair and (pair.group(1) == "has-usb" or (usb and pair.group(1) == "port"))):
            lines.append(line)
    return "\n".join(lines)


def _note(device: Device, line: str, host_side: bool) -> None:
    pci, pair = _CLASS.match(line), _PROPERTY.match(line)
    if pci:
        device["pci"] = f"{pci.group(1)} {pci.group(3)} {pci.group(4)}"
    elif pair and (host_side or pair.group(1) not in _HOST_SIDE | _PROGRAMMED):
        device[pair.group(1)] = pair.group(2)


def differences(source: str, there: str, *, one_version: bool = True, limit: int = 12) -> list[str]:
    """What differs between two machines, one line each; nothing where the guest cannot tell them apart.

    Another version of QEMU has other properties, and writes the same ones in other ways: then those count that a user sets.
    """
    here, other = _judged(read(source), one_version), _judged(read(there), one_version)
    mine, theirs = _without_twins(here, other)
    found = []
    for device in mine:
        twin = next((one for one in theirs if _same_place(device, one)), None)
        if twin is None:
            found.append(f"only the source has {_name(device)}")
            continue
        theirs.remove(twin)
        found += [
            f"{_name(device)}: {key} is {device.get(key, 'not there')} on the source and {twin.get(key, 'not there')} on the destination"
            for key in sorted({*device, *twin})
            if device.get(key) != twin.get(key)
        ]
    found += [f"only the destination has {_name(device)}" for device in theirs]
    return found[:limit]


def _judged(devices: list[Device], every: bool) -> list[Device]:
    if every:
        return devices
    return [{key: text for key, text in device.items() if key in _SET_BY_USERS} for device in devices]


def _without_twins(here: list[Device], other: list[Device]) -> tuple[list[Device], list[Device]]:
    rest, alone = list(other), []
    for device in here:
        if device in rest:
            rest.remove(device)
        else:
            alone.append(device)
    return alone, rest


def _same_place(one: Device, other: Device) -> bool:
    keys = ("type", "id", "place", "addr")
    return all(one.get(key) == other.get(key) for key in keys)


def _name(device: Device) -> str:
    named = f" '{device['id']}'" if device["id"] else ""
    at = f" at {device['addr'].split(' ')[0]}" if device.get("addr") else ""
    return f"{device['type']}{named}{at}"
