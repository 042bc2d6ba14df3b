# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The domains that libvirt has defined on this host, from its own files: it need not run, and Python need not know it.

Shipped to the destination of a guest process's move, too: the standard library only.
"""

from __future__ import annotations

import dataclasses
import glob
import typing as t
from xml.etree import ElementTree

#: libvirt's definitions of the domains of this host.
DOMAINS = "/etc/libvirt/qemu/*.xml"


@dataclasses.dataclass(frozen=True)
class DefinedDomain:
    """One of them. ``writes`` and ``reads`` are the paths of its disks."""

    name: str
    uuid: str
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()

    def is_of(self, name: str, uuid: str) -> bool:
        """Whether it has the guest's name or its UUID."""
        return name == self.name or (bool(uuid) and uuid.lower() == self.uuid.lower())


def defined(pattern: str = "") -> t.Iterator[DefinedDomain]:
    """All of them; ``pattern`` finds their files."""
    for path in sorted(glob.glob(pattern or DOMAINS)):
        try:
            root = ElementTree.parse(path).getroot()
        except (OSError, ElementTree.ParseError):
            continue
        disks: dict[bool, list[str]] = {True: [], False: []}
        for disk in root.iterfind("devices/disk"):
            source = disk.find("source")
            place = None if source is None else source.get("file") or source.get("dev")
            if place:
                disks[disk.find("readonly") is None].append(place)
        name, uuid = root.findtext("name") or "", root.findtext("uuid") or ""
        yield DefinedDomain(name, uuid, tuple(disks[True]), tuple(disks[False]))
