# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Documents of storage pools: written from a definition, read back, and compared by what they mean. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.pool import PoolDefinition
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import (
    Element,
    local_name,
    new_element,
    parse,
    render,
)

FS_NAMESPACE = "http://libvirt.org/schemas/storagepool/fs/1.0"
#: What libvirt measures, and the permissions of the folder, which it replaces by those that it finds.
_MEASURED = ("capacity", "allocation", "available", "target/permissions")


def pool_document(wanted: PoolDefinition) -> str:
    """The document that makes a pool of ``wanted``."""
    root = new_element("pool", {"type": wanted.type})
    root.append(new_element("name", text=wanted.name))
    source = new_element("source")
    for host in wanted.hosts:
        source.append(new_element("host", {"name": host}))
    for device in wanted.devices:
        source.append(new_element("device", {"path": device}))
    if wanted.directory is not None:
        source.append(new_element("dir", {"path": wanted.directory}))
    if wanted.source_name is not None:
        source.append(new_element("name", text=wanted.source_name))
    if wanted.source_format is not None:
        source.append(new_element("format", {"type": wanted.source_format}))
    if wanted.protocol_version is not None:
        source.append(new_element("protocol", {"ver": wanted.protocol_version}))
    root.append(source)
    if wanted.path is not None:
        target = new_element("target")
        target.append(new_element("path", text=wanted.path))
        root.append(target)
    if wanted.mount_options:
        options = new_element(f"{{{FS_NAMESPACE}}}mount_opts")
        for option in wanted.mount_options:
            options.append(new_element(f"{{{FS_NAMESPACE}}}option", {"name": option}))
        root.append(options)
    return t.cast(str, render(root))


def pool_definition(xml: str) -> PoolDefinition:
    """What the document ``xml`` says."""
    root = parse(xml, "storage pool definition")

    def first(path: str, attribute: str) -> str | None:
        found = root.find(path)
        return found.get(attribute) if found is not None else None

    options = root.iterfind(f"{{{FS_NAMESPACE}}}mount_opts/{{{FS_NAMESPACE}}}option")
    return PoolDefinition(
        name=(root.findtext("name") or "").strip(),
        type=root.get("type", ""),
        path=(root.findtext("target/path") or "").strip() or None,
        hosts=tuple(host.get("name", "") for host in root.iterfind("source/host")),
        directory=first("source/dir", "path"),
        source_name=(root.findtext("source/name") or "").strip() or None,
        devices=tuple(device.get("path", "") for device in root.iterfind("source/device")),
        source_format=first("source/format", "type"),
        protocol_version=first("source/protocol", "ver"),
        mount_options=tuple(option.get("name", "") for option in options),
    )


def named(xml: str, name: str) -> str:
    """``xml`` with ``name`` as the pool's name. Raises InputError where it says another."""
    root = parse(xml, "storage pool definition")
    if local_name(root) != "pool":
        raise InputError("xml", f"The document is a <{local_name(root)}>, and not a <pool>.")
    element = root.find("name")
    said = (element.text or "").strip() if element is not None else ""
    if said and said != name:
        raise InputError(
            "name", f"The name asked for is '{name}', and the document says '{said}'; give the same, or leave one out."
        )
    if element is None:
        element = new_element("name")
        root.insert(0, element)
    element.text = name
    return t.cast(str, render(root))


def identified(xml: str, uuid: str) -> str:
    """``xml`` with ``uuid``: libvirt changes a definition only under its own UUID. Raises UUID_CONFLICT where it says another."""
    root = parse(xml, "storage pool definition")
    element = root.find("uuid")
    said = (element.text or "").strip() if element is not None else ""
    if said and said.replace("-", "").lower() != uuid.replace("-", "").lower():
        name = root.findtext("name")
        raise KvmError(
            "UUID_CONFLICT",
            f"There is a storage pool '{name}' with the UUID {uuid}, and the document says {said}: leave the UUID out of the "
            "document, or remove that pool.",
            pool=name,
            uuid=uuid,
        )
    if element is None:
        element = new_element("uuid")
        root.insert(1, element)
    element.text = uuid
    return t.cast(str, render(root))


def plain(xml: str) -> tuple[str, list[Element]]:
    """``xml`` without what has a namespace of its own, and that. Only the daemon's own drivers read such parts."""
    root = parse(xml, "storage pool definition")
    extras = [child for child in root if str(child.tag).startswith("{")]
    for extra in extras:
        root.remove(extra)
    return t.cast(str, render(root)), extras


def joined(xml: str, extras: t.Sequence[Element]) -> str:
    """``xml`` with ``extras`` at its end again."""
    root = parse(xml, "storage pool definition")
    for extra in extras:
        root.append(extra)
    return t.cast(str, render(root))


def pool_differences(before: str, after: str) -> list[str]:
    """What differs between two documents that libvirt wrote, one line each; what it measures does not count."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return [
        f"{place}: {_shown(old.get(place))} -> {_shown(new.get(place))}"
        for place in sorted({*old, *new})
        if old.get(place) != new.get(place)
    ]


def pool_text(xml: str) -> str:
    """The document in one fixed order, one line for each thing it says."""
    return "".join(f"{place}: {value}\n" for place, value in _flat(xml))


def _shown(value: str | None) -> str:
    return "-" if value is None else f"'{value}'"


def _flat(xml: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    _walk(parse(xml, "storage pool definition"), "", found)
    return sorted(found)


def _walk(element: Element, place: str, found: list[tuple[str, str]]) -> None:
    here = f"{place}/" if place else ""
    found += [(f"{here}@{name}", str(value)) for name, value in element.attrib.items()]
    text = (element.text or "").strip()
    if text:
        found.append((place or local_name(element), text))
    counted: dict[str, int] = {}
    for child in sorted(element, key=_key):
        tag = local_name(child)
        number = counted[tag] = counted.get(tag, 0) + 1
        if f"{here}{tag}" in _MEASURED:
            continue
        _walk(child, f"{here}{tag}" + (f"[{number}]" if number > 1 else ""), found)


def _key(element: Element) -> tuple[str, ...]:
    return (
        local_name(element),
        *(f"{name}={value}" for name, value in sorted(element.attrib.items())),
        element.text or "",
    )
