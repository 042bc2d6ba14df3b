# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Documents of volumes, written and read. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.volume import (
    FULL,
    Room,
    VolumeFacts,
    VolumeWanted,
    allocation_of,
    form_of,
)
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element, new_element, parse, render
from ansible_collections.virtops.kvm.plugins.module_utils._xml.units import bytes_of


def volume_document(wanted: VolumeWanted, room: Room) -> str:
    """The document that makes the volume."""
    full = allocation_of(wanted, room) == FULL
    root = new_element("volume")
    root.append(new_element("name", text=wanted.name))
    root.append(new_element("capacity", {"unit": "bytes"}, str(wanted.capacity)))
    root.append(new_element("allocation", {"unit": "bytes"}, str(wanted.capacity if full else 0)))
    target, form = new_element("target"), form_of(wanted, room)
    if room.pool_type != "logical":
        target.append(new_element("format", {"type": form}))
    permissions = new_element("permissions")
    for tag, value in wanted.ownership.shown().items():
        permissions.append(new_element(tag, text=str(value)))
    if len(permissions):
        target.append(permissions)
    if form == "qcow2":
        # Version 3: it takes persistent bitmaps, and zero clusters cost nothing.
        target.append(new_element("compat", text="1.1"))
    root.append(target)
    if wanted.backing:
        backing = new_element("backingStore")
        backing.append(new_element("path", text=wanted.backing))
        backing.append(new_element("format", {"type": wanted.backing_format or "raw"}))
        root.append(backing)
    return t.cast(str, render(root))


def volume_facts(xml: str, pool: str) -> VolumeFacts:
    """What the document says; who uses the volume is not in it."""
    root = parse(xml, "volume")
    permissions = root.find("target/permissions")

    def number(tag: str) -> int | None:
        text = (permissions.findtext(tag) or "").strip() if permissions is not None else ""
        return int(text) if text.isdigit() else None

    return VolumeFacts(
        name=root.findtext("name", ""),
        pool=pool,
        path=(root.findtext("target/path") or "").strip(),
        type=root.get("type", "file"),
        format=_format(root.find("target/format")) or "raw",
        capacity=bytes_of(root.find("capacity"), default_unit="bytes"),
        allocation=bytes_of(root.find("allocation"), default_unit="bytes"),
        backing=(root.findtext("backingStore/path") or "").strip() or None,
        backing_format=_format(root.find("backingStore/format")),
        owner=number("owner"),
        group=number("group"),
        mode=(permissions.findtext("mode") if permissions is not None else None) or None,
    )


def _format(element: Element | None) -> str | None:
    found = element.get("type") if element is not None else None
    return None if found in (None, "none", "unknown") else t.cast(str, found)


def disk_target(domain_xml: str, path: str, pool: str, volume: str) -> str | None:
    """The target of the disk whose topmost image is the volume, None where no disk has it on top."""
    for disk in parse(domain_xml, "domain definition").iterfind("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        if source is None or target is None:
            continue
        named = source.get("pool") == pool and source.get("volume") == volume
        if named or path in (source.get("file"), source.get("dev")):
            return t.cast("str | None", target.get("dev"))
    return None
