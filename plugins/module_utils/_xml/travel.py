# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Documents of a stopped domain for another host: disks that change between file and device, snapshots and checkpoints."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element, parse, render
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping, rewrite

#: The documents of a domain inside the document of a snapshot or checkpoint.
_INNER = ("domain", "inactiveDomain")
_ATTRIBUTES = {"file": "file", "block": "dev"}


def settle_kinds(xml: str, formats: t.Mapping[str, str]) -> str:
    """``xml`` with every disk whose path says otherwise made a file or a block device, and with the ``formats`` by target."""
    root = parse(xml, "domain definition")
    for disk in root.iterfind("devices/disk"):
        target, source, driver = disk.find("target"), disk.find("source"), disk.find("driver")
        if source is None or disk.get("type") not in _ATTRIBUTES:
            continue
        path = source.get(_ATTRIBUTES[disk.get("type")], "")
        kind = "block" if path.startswith("/dev/") else "file"
        if path and kind != disk.get("type"):
            source.attrib.pop(_ATTRIBUTES[disk.get("type")], None)
            source.set(_ATTRIBUTES[kind], path)
            disk.set("type", kind)
        wanted = formats.get(target.get("dev", "")) if target is not None else None
        if wanted and driver is not None:
            driver.set("type", wanted)
    return t.cast(str, render(root))


def travel(
    xml: str, mapping: Mapping, *, flattened: t.Collection[str] = (), formats: t.Mapping[str, str] | None = None
) -> str:
    """A domain's document as the destination must have it."""
    return settle_kinds(rewrite(xml, mapping, copied=flattened), formats or {})


def travel_record(xml: str, mapping: Mapping) -> str:
    """The document of a snapshot or checkpoint for the destination: the domains in it, and the images that it names.

    A record may be older than a disk or a network that the mapping names, so what it lacks is no error.
    """
    root = parse(xml, "snapshot")
    for tag in _INNER:
        for inner in list(root.iterfind(tag)):
            inner.tag = "domain"
            text = render(inner)
            changed = parse(travel(text, _only_known(mapping, inner)), "domain definition")
            changed.tag = tag
            root.replace(inner, changed)
    for source in root.iterfind("disks/disk/source"):
        disk = source.getparent().get("name", "")
        for attribute in ("file", "dev"):
            path = source.get(attribute, "")
            if path.startswith("/"):
                source.set(attribute, mapping.disk(disk, path))
    memory = root.find("memory")
    if memory is not None and memory.get("file", "").startswith("/"):
        memory.set("file", mapping.path(memory.get("file")))
    return t.cast(str, render(root))


def _only_known(mapping: Mapping, domain: Element) -> Mapping:
    """``mapping`` without what the document does not have."""
    targets = {target.get("dev") for target in domain.iterfind("devices/disk/target")}
    names = {
        key: {source.get(key) for source in domain.iterfind("devices/interface/source")}
        for key in ("network", "bridge")
    }
    return dataclasses.replace(
        mapping,
        disks={key: path for key, path in mapping.disks.items() if key in targets},
        networks={key: name for key, name in mapping.networks.items() if key in names["network"]},
        bridges={key: name for key, name in mapping.bridges.items() if key in names["bridge"]},
    )
