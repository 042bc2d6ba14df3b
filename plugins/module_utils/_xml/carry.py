# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a document leaves open and an existing definition has settled: identity, MAC addresses, machine version, places on buses.

libvirt makes all of these up anew for every definition that lacks them. A guest would see other network cards, a Windows
guest another computer; so they are taken over from the definition that is there.
"""

from __future__ import annotations

import copy
import re
import typing as t
import uuid as uuids

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element, new_element, parse, render
from ansible_collections.virtops.kvm.plugins.module_utils._xml.order import arrange, content, keyed

#: Stands for what libvirt will make up, in what is announced.
GENERATED = "(generated)"
#: What QEMU calls the newest of a family of machines by.
_ALIASES = {"pc": "pc-i440fx", "q35": "pc-q35"}
_VERSION = re.compile(r"-\d+(\.\d+)*$")
_DECLARATION = re.compile(r"^\s*(<\?xml[^>]*\?>)?\s*")
#: Kinds of device that have a place on a bus.
_PLACED = (
    "disk", "controller", "filesystem", "interface", "serial", "console", "channel", "parallel", "smartcard", "input",
    "sound", "video", "hostdev", "redirdev", "hub", "watchdog", "memballoon", "rng", "panic", "shmem", "memory", "vsock",
    "iommu", "crypto", "tpm",
)  # fmt: skip


def same_uuid(one: str, two: str) -> bool:
    """Whether two UUIDs are the same, in whatever form they are written."""
    return canonical_uuid(one) == canonical_uuid(two)


def canonical_uuid(text: str) -> str:
    """``text`` in the form in which libvirt writes UUIDs; unchanged where it is none."""
    try:
        return str(uuids.UUID(text.strip()))
    except ValueError:
        return text.strip()


def document(text: str, name: str | None) -> str:
    """The document of a user, with the ``name`` (or UUID) that he gave beside it. Raises InputError when the two disagree."""
    # The text is characters already, whatever bytes it came as; and a template may have blank lines before it.
    root = parse(_DECLARATION.sub("", text), "domain definition")
    if root.tag != "domain":
        raise KvmError(
            "XML_INVALID", f"The document is no definition of a domain: its root is <{root.tag}>.", root=root.tag
        )
    by_uuid = is_uuid(name or "")
    own_name, own_uuid = (root.findtext("name") or "").strip(), (root.findtext("uuid") or "").strip()
    if name and by_uuid:
        if own_uuid and not same_uuid(own_uuid, name):
            raise InputError("name", f"The document has the UUID {own_uuid}, and the option name says '{name}'.")
        _settle(root, "uuid", canonical_uuid(name))
    elif name:
        if own_name and own_name != name:
            raise InputError("name", f"The document is of the domain '{own_name}', and the option name says '{name}'.")
        _settle(root, "name", name)
    if not by_uuid and not root.findtext("name"):
        raise KvmError("XML_INVALID", "The document has no name; give it a <name>, or say it with the option name.")
    return t.cast(str, render(root))


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a UUID rather than a name."""
    return re.fullmatch(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}", text.strip()) is not None


def names_of(xml: str) -> tuple[str, str]:
    """Name and UUID in a document; empty where it has none."""
    root = parse(xml, "domain definition")
    return (root.findtext("name") or "").strip(), canonical_uuid(root.findtext("uuid") or "")


def carry(wanted_xml: str, existing_xml: str, *, machine: bool = True, places: bool = True) -> str:
    """``wanted_xml`` with what it leaves open filled from ``existing_xml``, which libvirt wrote.

    Always name, UUID, generation id and MAC addresses; with ``machine`` the version behind an alias such as q35; with
    ``places`` the addresses of devices, and where it names no PCI controller, the PCI buses. What the document
    says itself is never touched.
    """
    wanted, existing = parse(wanted_xml, "domain definition"), parse(existing_xml, "existing definition")
    for tag in ("name", "uuid"):
        if not (wanted.findtext(tag) or "").strip():
            _settle(wanted, tag, existing.findtext(tag))
    genid = wanted.find("genid")
    if genid is not None and not (genid.text or "").strip() and existing.findtext("genid"):
        genid.text = existing.findtext("genid")
    _carry_macs(wanted, existing)
    if machine:
        _carry_machine(wanted, existing)
    if places:
        _carry_places(wanted, existing)
    return t.cast(str, render(wanted))


def announced(normalized_xml: str, wanted_xml: str) -> str:
    """``normalized_xml``, which libvirt made of ``wanted_xml`` in a dry run, with a mark where it made up what cannot be foreseen."""
    made, wanted = parse(normalized_xml), parse(wanted_xml)
    if not (wanted.findtext("uuid") or "").strip():
        _settle(made, "uuid", GENERATED)
    genid = wanted.find("genid")
    if genid is not None and not (genid.text or "").strip():
        _settle(made, "genid", GENERATED)
    said = {mac.get("address", "").lower() for mac in wanted.iterfind("devices/interface/mac")}
    for mac in made.iterfind("devices/interface/mac"):
        if mac.get("address", "").lower() not in said:
            mac.set("address", GENERATED)
    return t.cast(str, render(made))


def places_hold(wanted_xml: str, existing_xml: str) -> bool:
    """Whether every place on a bus that ``wanted_xml`` itself gives a device is the one the device has."""
    wanted, existing = parse(wanted_xml), parse(existing_xml)
    for one, other in _pairs(wanted, existing):
        address = one.find("address")
        if address is None:
            continue
        there = other.find("address")
        if there is None or any(_number(there.get(key)) != _number(value) for key, value in address.attrib.items()):
            return False
    return True


def _number(text: str | None) -> int | str | None:
    try:
        return int(text or "", 0)
    except ValueError:
        return text


def _settle(root: Element, tag: str, text: str) -> None:
    element = root.find(tag)
    if element is None:
        element = new_element(tag)
        root.insert(0 if tag == "name" else 1, element)
    element.text = text


# ---- MAC addresses ----


def _carry_macs(wanted: Element, existing: Element) -> None:
    """An interface without a MAC address gets that of the existing one which is most like it, and not wanted by another."""
    said = {_mac(interface) for interface in wanted.iterfind("devices/interface")} - {""}
    free = [interface for interface in existing.iterfind("devices/interface") if _mac(interface) not in said]
    without = [interface for interface in wanted.iterfind("devices/interface") if not _mac(interface)]
    # The most alike of all pairs first, or a first interface would take what belongs to a second.
    scored = sorted(
        ((-_likeness(one, other), left, right) for left, one in enumerate(without) for right, other in enumerate(free)),
    )
    taken_left: set[int] = set()
    taken_right: set[int] = set()
    for pair in scored:
        left, right = pair[1:]
        if left in taken_left or right in taken_right:
            continue
        taken_left.add(left)
        taken_right.add(right)
        mac = without[left].find("mac")
        if mac is None:
            mac = new_element("mac")
            without[left].insert(0, mac)
        mac.set("address", free[right].find("mac").get("address"))


def _mac(interface: Element) -> str:
    mac = interface.find("mac")
    return mac.get("address", "").lower() if mac is not None else ""


def _likeness(one: Element, other: Element) -> int:
    """How much of what ``one`` says also holds in ``other``; what it is plugged into weighs most."""
    score = 4 * (one.get("type") == other.get("type"))
    for child in one:
        there = other.find(child.tag)
        weight = 4 if child.tag == "source" else 1
        if there is not None:
            score += sum(weight for name, value in child.attrib.items() if there.get(name) == value)
    return score


# ---- machine ----


def _carry_machine(wanted: Element, existing: Element) -> None:
    asked, there = wanted.find("os/type"), existing.find("os/type")
    if asked is None or there is None or not there.get("machine"):
        return
    alias = asked.get("machine")
    if alias is None or _VERSION.search(alias):
        return
    if _VERSION.sub("", there.get("machine")) == _ALIASES.get(alias, alias):
        asked.set("machine", there.get("machine"))


def machine_of(xml: str) -> str | None:
    """The machine type that a document names."""
    found = parse(xml).find("os/type")
    return found.get("machine") if found is not None else None


def same_family(one: str | None, two: str | None) -> bool:
    """Whether two versioned machine types differ in their version at most."""
    return one is not None and two is not None and _VERSION.sub("", one) == _VERSION.sub("", two)


def with_machine(xml: str, machine: str) -> str:
    """``xml`` with that machine type."""
    root = parse(xml, "domain definition")
    element = root.find("os/type")
    if element is not None:
        element.set("machine", machine)
    return t.cast(str, render(root))


# ---- places on buses ----


def lays_out(xml: str) -> bool:
    """Whether a document names PCI controllers itself."""
    return parse(xml).find("devices/controller[@type='pci']") is not None


def layout(xml: str) -> list[tuple[str, str]]:
    """The PCI controllers of a definition: index and model."""
    found = parse(xml).iterfind("devices/controller[@type='pci']")
    return sorted((controller.get("index", ""), controller.get("model", "")) for controller in found)


def _carry_places(wanted: Element, existing: Element) -> None:
    if wanted.find("devices/controller[@type='pci']") is None and wanted.find("devices") is not None:
        # Where a device sits means nothing without the bus it sits on.
        for controller in existing.iterfind("devices/controller[@type='pci']"):
            wanted.find("devices").append(copy.deepcopy(controller))
    for one, other in _pairs(wanted, existing):
        address = other.find("address")
        if one.find("address") is not None or address is None or not _same_kind(one, other):
            continue
        one.append(copy.deepcopy(address))


def adopt(document_xml: str, made_xml: str, existing_xml: str) -> str:
    """``document_xml`` with the devices that libvirt adds to it (see ``made_xml``) in the places that they have now.

    Without that, a new disk would push the memory balloon, which no document names, into another slot.
    """
    wanted, made, existing = parse(document_xml), parse(made_xml), parse(existing_xml)
    devices = wanted.find("devices")
    if devices is None:
        return document_xml
    # Of a kind that the document names nobody can tell which ones libvirt added: they stay as they are.
    named = {_kind(device) for device in devices}
    for tag in _PLACED:
        added, there = _of_kind(made, tag), _of_kind(existing, tag)
        for key, device in added.items():
            known = there.get(key)
            if known is None or known.find("address") is None or _kind(known) in named:
                continue
            if content(device) == content(known):
                devices.append(copy.deepcopy(known))
    return t.cast(str, render(wanted))


def _kind(device: Element) -> tuple[str, str | None]:
    return str(device.tag), device.get("type") if device.tag == "controller" else None


def _pairs(wanted: Element, existing: Element) -> t.Iterator[tuple[Element, Element]]:
    """Devices of the document, and what they are in the existing definition."""
    for tag in _PLACED:
        left, right = (_of_kind(root, tag) for root in (wanted, existing))
        for key, device in left.items():
            if key in right:
                yield device, right[key]


def _of_kind(root: Element, tag: str) -> dict[str, Element]:
    shelf = new_element("devices")
    originals = {}
    for number, device in enumerate(root.iterfind(f"devices/{tag}")):
        twin = copy.deepcopy(device)
        twin.set("_number", str(number))
        originals[str(number)] = device
        if tag == "controller" and twin.get("index") is None:
            twin.set("index", str(sum(1 for other in shelf if other.get("type") == twin.get("type"))))
        shelf.append(twin)
    arrange(shelf)
    return {key: originals[twin.get("_number")] for key, twin in keyed(shelf).items()}


def _same_kind(one: Element, other: Element) -> bool:
    """Whether ``one``, as far as it says, is the same kind of device on the same bus as ``other``."""
    for attribute in ("type", "model", "bus", "device"):
        if one.get(attribute) is not None and one.get(attribute) != other.get(attribute):
            return False
    for child, attribute in (("target", "bus"), ("target", "type"), ("model", "type")):
        said, there = one.find(child), other.find(child)
        value = said.get(attribute) if said is not None else None
        if value is not None and (there is None or there.get(attribute) != value):
            return False
    return True
