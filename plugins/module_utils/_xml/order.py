# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What tells the elements of a definition from their siblings, and an order that does not depend on who wrote it."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element, render

#: Siblings whose order says something: what is booted first, arguments, servers that are tried one after another.
_ORDERED = frozenset({"boot", "initarg", "host", "usbdev", "arg", "listen"})
#: The child and its attribute by which a device is known.
_CHILDREN = {
    "disk": ("target", "dev"),
    "interface": ("mac", "address"),
    "filesystem": ("target", "dir"),
    "hostdev": ("alias", "name"),
}
_BY_ATTRIBUTE: dict[str, tuple[str, ...]] = {
    "feature": ("name", "policy"),
    "timer": ("name",),
    "input": ("bus", "type"),
    "graphics": ("type",),
    "memory": ("dev", "model"),
    "redirdev": ("bus", "type"),
    "listen": ("type",),
    "vcpu": ("id",),
    "cell": ("id",),
    "vcpupin": ("vcpu",),
    "iothread": ("id",),
    "iothreadpin": ("iothread",),
    "entry": ("name",),
    "env": ("name",),
    "seclabel": ("model", "type"),
}


def identity(element: Element) -> str:
    """What tells ``element`` from its siblings of the same tag; empty where nothing but its place or content does."""
    tag = str(element.tag).rpartition("}")[2]
    child = _CHILDREN.get(tag)
    if child:
        found = element.find(child[0])
        if found is not None and found.get(child[1]):
            return t.cast(str, found.get(child[1])).lower() if tag == "interface" else t.cast(str, found.get(child[1]))
    if tag == "controller":
        return f"{element.get('type')} {element.get('index', '0')}"
    if tag in ("serial", "console", "parallel", "channel"):
        target = element.find("target")
        return "" if target is None else str(target.get("name") or target.get("port") or "")
    for attribute in _BY_ATTRIBUTE.get(tag, ()):
        if element.get(attribute):
            return t.cast(str, element.get(attribute))
    return ""


def arrange(element: Element, *, by_content: bool = False, foreign: bool = False) -> None:
    """Sort the children of ``element`` and all below: by tag, then by what they are known by.

    Devices of one class that nothing tells apart keep their order, or with ``by_content`` get one that only depends on
    what they say. ``foreign`` is what libvirt passes on without knowing it: its order may mean anything, and is kept.
    """
    for child in element:
        if isinstance(child.tag, str):
            arrange(child, by_content=by_content, foreign=foreign or element.tag == "metadata")
    if foreign:
        return

    def key(place: int, child: Element) -> tuple[str, str, str, int]:
        tag = str(child.tag)
        if tag.rpartition("}")[2] in _ORDERED or (tag == "entry" and not child.get("name")):
            return tag, "", "", place
        return tag, identity(child), content(child) if by_content else "", place

    order = sorted((key(place, child), child) for place, child in enumerate(element))
    element[:] = [child for unused, child in order]


def content(element: Element) -> str:
    """What an element says, but for where the device sits."""
    plain = copy.deepcopy(element)
    for child in list(plain):
        if child.tag in ("address", "alias"):
            plain.remove(child)
    return render(plain)


def keyed(element: Element) -> dict[str, Element]:
    """The children by what they are known by: ``disk[vda]``, ``boot#2``."""
    found: dict[str, Element] = {}
    for child in element:
        known_by = identity(child)
        key = f"{child.tag}[{known_by}]" if known_by else str(child.tag)
        count, unique = 1, key
        while unique in found:
            count += 1
            unique = f"{key}#{count}"
        found[unique] = child
    return found
