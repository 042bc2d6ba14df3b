# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a guest process's move wants to know of the destination before it begins. Changes nothing.

Shipped to the destination with the agent: the standard library and what is shipped before it only.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command, hugepages
from ansible_collections.virtops.kvm.plugins.module_utils._disk import device, inuse
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_domain, bare_host
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import departed, domainfiles, processes

MEMINFO = f"{processes.PROC}/meminfo"
_PROGRAM_SECONDS = 60.0

Value = dict[str, t.Any]


def facts(
    state: str,
    needs: t.Sequence[str] = (),
    places: t.Sequence[str] = (),
    images: t.Sequence[str] = (),
    devices: t.Sequence[str] = (),
    interfaces: t.Sequence[str] = (),
    user: str = "",
    domain: t.Sequence[str] = (),
    name: str = "",
    uuid: str = "",
    owners: t.Sequence[str] = (),
    backings: t.Sequence[str] = (),
) -> Value:
    """What this host has of what is named. ``state`` is the folder of the records; ``name`` and ``uuid`` are the guest's;
    ``backings`` are the paths of files that its memory would be in."""
    there = [name for _number, name in socket.if_nameindex()]
    return {
        "missing": [path for path in needs if not os.path.exists(path)],
        "folders": [path for path in places if not os.path.isdir(path)],
        "existing": [path for path in images if os.path.lexists(path)],
        "stamps": {path: bare_host.stamp(path) for path in images},
        "leftover": departed.leftovers(name, uuid, state) if images and name else [],
        "devices": {path: block_device(path) for path in devices},
        "interfaces": [name for name in interfaces if name not in there],
        "user": not user or bare_host.has_user(user),
        "owners": bare_host.owners(owners),
        "domain": bare_domain.facts(*domain) if domain else {},
        "domains": [[one.name, one.uuid] for one in domainfiles.defined() if name and one.is_of(name, uuid)],
        "free": {folder: bare_host.free(folder) for folder in {os.path.dirname(path) for path in images}},
        "memory": memory(),
        "hugepages": {
            "free": hugepages.free_hugepages(),
            "folders": {path: hugepages.page_kib(path) for path in backings},
        },
        "place": bare_host.place(),
    }


def emulator(program: str) -> Value:
    """Where this host has a program of QEMU's, empty where it does not, and which machines that knows."""
    found = shutil.which(program, path=command.environment()["PATH"])
    told = command.run([found, "-machine", "help"], timeout=_PROGRAM_SECONDS).stdout if found else ""
    return {"program": found or "", "machines": [line.split()[0] for line in told.splitlines()[1:] if line.strip()]}


def block_device(path: str) -> Value:
    """What is at the path of a block device: ``size`` in bytes, -1 where it is none, and who uses it."""
    try:
        if not stat.S_ISBLK(os.stat(path).st_mode):
            return {"size": -1, "used": ""}
    except FileNotFoundError:
        return {"size": -1, "used": ""}
    place = device.look(path)
    uses = inuse.find_uses(place.node, inuse.read_facts(place.node), writing=True) if place.node else []
    return {"size": place.size, "used": "; ".join(f"{use.device}: {use.words}" for use in uses)}


def memory(path: str = MEMINFO) -> dict[str, int]:
    """Bytes of memory in all, those that programs may still get without swapping, and those of a huge page of the default size, where it
    has them; empty where the kernel does not tell."""
    try:
        with open(path, encoding="ascii") as stream:
            lines = [line.split() for line in stream]
    except OSError:
        return {}
    told = {words[0]: int(words[1]) * 1024 for words in lines if len(words) > 1}
    if "MemTotal:" not in told or "MemAvailable:" not in told:
        return {}
    found = {"total": told["MemTotal:"], "available": told["MemAvailable:"]}
    return {**found, "hugepage": told["Hugepagesize:"]} if "Hugepagesize:" in told else found
