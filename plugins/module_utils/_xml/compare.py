# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Whether two domain definitions mean the same: order, white space and what libvirt adds by itself do not count."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element, parse, render

#: Per-host parts that ``ignore`` may name, and the elements and attributes that each stands for.
GROUPS: dict[str, tuple[str, ...]] = {
    "disk_sources": ("devices/disk/source", "devices/disk/backingStore"),
    "network_sources": ("devices/interface/source",),
    "graphics_listen": ("devices/graphics/@listen", "devices/graphics/listen"),
    "paths": ("os/loader", "os/nvram", "os/kernel", "os/initrd", "devices/emulator"),
    "seclabels": ("seclabel",),
    "uuid": ("uuid",),
}
#: What a running domain has and its saved definition has not.
_LIVE_ONLY = ("alias", "resource", "mirror")
_LIVE_ATTRIBUTES = {
    "domain": ("id",),
    "source": ("index", "portid"),
    "disk": ("index",),
    "graphics": ("port", "websocket", "tlsPort"),
    "cpu": ("check",),
}
#: What libvirt fills in by itself: missing on one side is no difference, another value is.
_GENERATED = (
    "address",
    "alias",
    "seclabel",
    "backingStore",
    "resource",
    "currentMemory",
    "on_poweroff",
    "on_reboot",
    "on_crash",
)
_GENERATED_DEVICES = ("controller", "input", "memballoon", "audio", "watchdog")
_GENERATED_ATTRIBUTES = {
    "cpu": ("migratable",),
    "loader": ("format", "secure", "stateless"),
    "nvram": ("format", "templateFormat", "template"),
    "driver": ("discard_no_unref",),
    "vcpu": ("placement",),
    "source": ("index",),
    "mac": ("type", "check"),
    "listen": ("address",),
}
_UNITS = {
    "b": 1, "bytes": 1, "kb": 1000, "k": 1024, "kib": 1024, "mb": 10**6, "m": 1024**2, "mib": 1024**2,
    "gb": 10**9, "g": 1024**3, "gib": 1024**3,
}  # fmt: skip


def normalize(xml: str) -> str:
    """``xml`` as stable text: live-only parts dropped, sizes in KiB, children in a fixed order, passwords hidden."""
    return t.cast(str, render(_canonical(parse(xml, "domain definition"))))


def differences(before_xml: str, after_xml: str, *, ignore: t.Sequence[str] = ()) -> list[str]:
    """What differs, one line each (``devices/disk[vda]/source/@file: '/a' -> '/b'``); empty when both mean the same.

    ``ignore`` names keys of GROUPS, or places such as ``devices/disk[vda]/source`` with all below them.
    """
    before, after = _canonical(parse(before_xml, "definition before")), _canonical(parse(after_xml, "definition after"))
    skip = [place for name in ignore for place in GROUPS.get(name, (name,))]
    found = list(_compare(before, after, ""))
    return sorted(line for place, line in found if not any(_covers(rule, place) for rule in skip))


def _covers(rule: str, place: str) -> bool:
    plain = _without_keys(place)
    return any(text == rule or text.startswith(rule + "/") for text in (place, plain))


def _without_keys(place: str) -> str:
    out, depth = [], 0
    for character in place:
        depth += character == "["
        if not depth:
            out.append(character)
        depth -= character == "]"
    return "".join(out)


def _canonical(root: Element) -> Element:
    root = copy.deepcopy(root)
    for element in list(root.iter()):
        if element.getparent() is not None and element.tag in _LIVE_ONLY:
            element.getparent().remove(element)
            continue
        for attribute in _LIVE_ATTRIBUTES.get(element.tag, ()):
            element.attrib.pop(attribute, None)
        for attribute in ("passwd", "password"):
            if element.get(attribute) is not None:
                element.set(attribute, "********")
        if element.text is not None:
            element.text = element.text.strip() or None
        element.tail = None
        number = element.text or ""
        if element.get("unit") and number.isdigit():
            factor = _UNITS.get(element.get("unit", "").lower())
            if factor:
                element.text = str(int(number) * factor // 1024)
                element.set("unit", "KiB")
        if element.tag == "target" and element.get("dev", "").startswith(("vnet", "macvtap")):
            element.attrib.pop("dev")
        if element.tag == "backingStore" and not len(element):
            element.getparent().remove(element)
    _drop_live_network_parts(root)
    _sort(root)
    return root


def _drop_live_network_parts(root: Element) -> None:
    for source in root.iterfind("devices/interface/source"):
        if source.get("network"):
            source.attrib.pop("bridge", None)
    for interface in root.iterfind("devices/interface"):
        for target in interface.findall("target"):
            if not target.attrib:
                interface.remove(target)
    for kind in ("serial", "console", "channel", "parallel"):
        for device in root.iterfind(f"devices/{kind}"):
            if device.get("type") in ("pty", "unix"):
                device.attrib.pop("tty", None)
                for source in device.findall("source"):
                    if "/dev/pts" in source.get("path", "") or "/libvirt/qemu/" in source.get("path", ""):
                        device.remove(source)
            if kind == "channel":
                for target in device.findall("target"):
                    target.attrib.pop("state", None)
    for label in [label for label in root.iterfind("seclabel") if label.get("type") == "dynamic"]:
        root.remove(label)


def _sort(element: Element) -> None:
    for child in element:
        _sort(child)
    # The order of devices of one class means something (boot order, names in the guest): identity decides, then the order.
    order = sorted(enumerate(element), key=lambda item: (str(item[1].tag), _identity(item[1]), item[0]))
    element[:] = [child for unused, child in order]


def _identity(element: Element) -> str:
    """What tells ``element`` from its siblings of the same tag."""
    tag = element.tag
    child = {"disk": ("target", "dev"), "interface": ("mac", "address"), "filesystem": ("target", "dir")}.get(tag)
    if child:
        found = element.find(child[0])
        if found is not None and found.get(child[1]):
            return t.cast(str, found.get(child[1]))
    if tag == "controller":
        return f"{element.get('type')} {element.get('index', '0')}"
    if tag in ("serial", "console", "parallel", "channel"):
        target = element.find("target")
        return "" if target is None else str(target.get("name") or target.get("port") or "")
    for attribute in ("name", "dev", "bus", "type", "namespace"):
        if tag in ("feature", "timer", "boot", "input", "graphics", "memory", "redirdev", "listen") and element.get(
            attribute
        ):
            return t.cast(str, element.get(attribute))
    return ""


def _compare(before: Element, after: Element, place: str) -> t.Iterator[tuple[str, str]]:
    generated = _GENERATED_ATTRIBUTES.get(before.tag, ())
    for name in sorted(set(before.attrib) | set(after.attrib)):
        one, two = before.get(name), after.get(name)
        if one == two or (name in generated and (one is None or two is None)):
            continue
        spot = f"{place}/@{name}".lstrip("/")
        yield spot, f"{spot}: {_quote(one)} -> {_quote(two)}"
    if (before.text or "") != (after.text or ""):
        yield place, f"{place}: {_quote(before.text)} -> {_quote(after.text)}"
    left, right = _keyed(before), _keyed(after)
    for key in sorted(set(left) | set(right)):
        one, two = left.get(key), right.get(key)
        spot = f"{place}/{key}".lstrip("/")
        if one is not None and two is not None:
            yield from _compare(one, two, spot)
            continue
        present = one if one is not None else two
        if _may_be_generated(present, place):
            continue
        yield spot, f"{spot}: {'removed' if two is None else 'added'}"


def _may_be_generated(element: Element, place: str) -> bool:
    return element.tag in _GENERATED or (place == "devices" and element.tag in _GENERATED_DEVICES)


def _keyed(element: Element) -> dict[str, Element]:
    keyed: dict[str, Element] = {}
    for child in element:
        identity = _identity(child)
        key = f"{child.tag}[{identity}]" if identity else str(child.tag)
        count, unique = 1, key
        while unique in keyed:
            count += 1
            unique = f"{key}#{count}"
        keyed[unique] = child
    return keyed


def _quote(value: str | None) -> str:
    return "nothing" if value is None else f"'{value}'"
