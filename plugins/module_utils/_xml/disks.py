# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A <disk> of a domain document -> Disk, with its backing chain as far as the document tells it."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Layer
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element
from ansible_collections.virtops.kvm.plugins.module_utils._xml.units import pci_address

#: The attribute of <source> that holds what is opened, per source type.
_SOURCE_ATTRIBUTES = {
    "file": "file",
    "block": "dev",
    "dir": "dir",
    "network": "name",
    "vhostuser": "path",
    "vhostvdpa": "dev",
}
_LOCAL_NAMES = ("localhost", "127.", "::1")


def parse_disk(element: Element) -> Disk:
    """The Disk of one <disk>; sizes are not in the document."""
    kind, device = element.get("type", "file"), element.get("device", "disk")
    source, driver, target = element.find("source"), element.find("driver"), element.find("target")
    where = _source_text(kind, source)
    protocol = source.get("protocol") if source is not None and kind == "network" else None
    remote = kind == "network" and _is_remote(source)
    return Disk(
        target=target.get("dev", "") if target is not None else "",
        type=kind,
        device=device,
        bus=target.get("bus") if target is not None else None,
        source=where,
        pool=source.get("pool") if source is not None else None,
        volume=source.get("volume") if source is not None else None,
        # Without a driver libvirt takes the image for raw, whatever it holds.
        format=_format(driver, where is not None),
        # A cdrom is read-only by nature, libvirt adds the element; documents written by hand may lack it.
        readonly=element.find("readonly") is not None or device == "cdrom",
        shareable=element.find("shareable") is not None,
        transient=element.find("transient") is not None,
        startup_policy=source.get("startupPolicy") if source is not None else None,
        cache=driver.get("cache") if driver is not None else None,
        serial=(element.findtext("serial") or "").strip() or None,
        backing_chain=_chain(element),
        shared=True if remote else None,
        filesystem=f"{protocol}:{where}" if remote else None,
        encrypted=element.find("encryption") is not None
        or (source is not None and source.find("encryption") is not None),
        protocol=protocol,
    )


def _format(driver: Element | None, filled: bool) -> str | None:
    if driver is not None and driver.get("type"):
        return str(driver.get("type"))
    return "raw" if filled else None


def _source_text(kind: str, source: Element | None) -> str | None:
    if source is None:
        return None
    if kind == "nvme":
        address = source.find("address")
        return f"{pci_address(address)}/{source.get('namespace', '1')}" if address is not None else None
    text = source.get(_SOURCE_ATTRIBUTES.get(kind, "file"))
    return text or None


def _is_remote(source: Element | None) -> bool:
    """Whether a network disk is served from elsewhere, so that every host reaches it under the same name."""
    if source is None:
        return False
    hosts = source.findall("host")
    if any(host.get("transport") == "unix" for host in hosts):
        return False
    return not any((host.get("name") or "").startswith(_LOCAL_NAMES) for host in hosts)


def _chain(disk: Element) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    store = disk.find("backingStore")
    while store is not None and store.get("type"):
        kind, source, form = store.get("type"), store.find("source"), store.find("format")
        where = _source_text(kind, source)
        if where is None and source is not None and source.get("volume"):
            where = f"{source.get('pool')}/{source.get('volume')}"
        if where is not None:
            layers.append(Layer(path=where, format=form.get("type") if form is not None else None, type=kind))
        store = store.find("backingStore")
    return tuple(layers)
