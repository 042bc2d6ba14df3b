# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""libvirt's own command line of a domain, as one that shows the same machine without anything of the host but its images. Pure.

virsh domxml-to-native gives every network card another place than it will have, so it is asked without them, and they are put back here.
"""

from __future__ import annotations

import re
import shlex
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import Option, parse
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argvread import machine_of

#: How libvirt speaks with its process, keeps it in a sandbox, and shows its screen.
_DROPPED = frozenset(("S", "incoming", "daemonize", "mon", "sandbox", "vnc", "spice", "display", "pidfile", "D"))
_VARIABLE = re.compile(r"[A-Za-z_]\w*=")


def without_cards(xml: str) -> str:
    """The definition without its network cards; empty where there is none."""
    if not xml:
        return ""
    root = ET.fromstring(xml)
    for devices in root.findall("devices"):
        for card in devices.findall("interface"):
            devices.remove(card)
    return ET.tostring(root, encoding="unicode")


def probe(native: str, xml: str) -> tuple[str, ...]:
    """The words of a process, from what ``virsh domxml-to-native`` tells of the definition ``xml`` without its network cards. They lead
    nowhere in it, and nobody listens to its ports."""
    words = shlex.split(native)
    while words and _VARIABLE.match(words[0]):
        words.pop(0)
    if not words:
        return ()

    def change(option: Option) -> Option | None:
        keys = option.keys
        if option.name in _DROPPED or (option.name == "object" and keys.get("qom-type") == "secret"):
            return None
        if option.name == "chardev":
            return None if keys.get("id") == "charmonitor" else Option("-chardev", f"null,id={keys.get('id')}")
        if option.name == "blockdev" and "discard" not in keys:
            # It may have to write the images, and what is empty in the source is to stay a hole there.
            return option.having("discard", "unmap")
        return option

    line = parse(words).mapped(change).plus(Option("-display", "none"))
    root = "pcie.0" if "q35" in machine_of(line) else "pci.0"
    for number, card in enumerate(ET.fromstring(xml).findall("devices/interface"), 1):
        line = line.plus(*_card(card, number, root))
    return tuple(line.words())


def _card(card: ET.Element, number: int, root: str) -> t.Iterator[Option]:
    def said(child: str, key: str) -> str:
        found = card.find(child)
        return "" if found is None else found.get(key, "")

    model, bus = said("model", "type"), int(said("address", "bus") or "0", 0)
    words = ["virtio-net-pci" if model == "virtio" else model, f"netdev=card{number}", f"mac={said('mac', 'address')}"]
    words += [f"bus={f'pci.{bus}' if bus else root}", f"addr={said('address', 'slot')}.{said('address', 'function')}"]
    if said("address", "multifunction"):
        words.append("multifunction=on")
    if said("rom", "enabled") == "no":
        words.append("romfile=")
    yield Option("-netdev", f"hubport,id=card{number},hubid={number}")
    yield Option("-device", ",".join(words))
