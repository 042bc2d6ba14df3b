# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Whether two domain definitions mean the same: order, white space and what libvirt adds by itself do not count."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element, parse, render
from ansible_collections.virtops.kvm.plugins.module_utils._xml.order import arrange, keyed
from ansible_collections.virtops.kvm.plugins.module_utils._xml.secrets import MASK, hide, secrets
from ansible_collections.virtops.kvm.plugins.module_utils._xml.units import factor_of

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
_LIVE_ATTRIBUTES: dict[str, tuple[str, ...]] = {
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
#: Sizes that are KiB where they give no unit.
_SIZES = ("memory", "currentMemory", "maxMemory")


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


def strict_differences(before_xml: str, after_xml: str, *, addresses: bool = True) -> list[str]:
    """What differs between two documents that libvirt itself wrote, of a domain that does not run.

    Nothing is taken for generated: libvirt has filled in both. Order and white space still mean nothing. Without
    ``addresses`` the places of devices on their buses do not count. A secret that differs is told, but never shown.
    """
    before, after = _exact_pair(before_xml, after_xml)
    if not addresses:
        for root in (before, after):
            _drop_places(root)
            arrange(root, by_content=True)
    return sorted(line for unused, line in _compare(before, after, "", strict=True))


def exact_texts(before_xml: str, after_xml: str) -> tuple[str, str]:
    """Both documents as text in one fixed order, so that their lines differ where their meaning does. Secrets are hidden."""
    before, after = _exact_pair(before_xml, after_xml)
    return t.cast(str, render(before)), t.cast(str, render(after))


def _exact_pair(before_xml: str, after_xml: str) -> tuple[Element, Element]:
    before, after = parse(before_xml, "definition before"), parse(after_xml, "definition after")
    known = [*sorted(secrets(before)), *sorted(secrets(after) - secrets(before))]
    # Each secret has a mask of its own, or one that changes would not be seen.
    masks = {secret: MASK if not number else f"{MASK} ({number + 1})" for number, secret in enumerate(known)}
    for root in (before, after):
        hide(root, lambda secret: masks[secret])
        for target in root.iterfind("devices/console/target[@type='virtio']"):
            # libvirt counts them anew each time, and differently after its own document.
            target.attrib.pop("port", None)
        for element in root.iter():
            _strip(element)
        arrange(root, by_content=True)
    return before, after


def _drop_places(root: Element) -> None:
    for device in root.iterfind("devices/*"):
        for address in device.findall("address"):
            device.remove(address)
        if device.tag == "controller" and device.get("type") == "pci":
            for target in device.findall("target"):
                device.remove(target)


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
        _strip(element)
        _in_kib(element)
        if element.tag == "target" and element.get("dev", "").startswith(("vnet", "macvtap")):
            element.attrib.pop("dev")
        if element.tag == "backingStore" and not len(element):
            element.getparent().remove(element)
    hide(root)
    _drop_live_network_parts(root)
    arrange(root)
    return root


def _strip(element: Element) -> None:
    if element.text is not None:
        element.text = element.text.strip() or None
    element.tail = None


def _in_kib(element: Element) -> None:
    unit = element.get("unit") or ("KiB" if element.tag in _SIZES else "")
    factor, number = factor_of(unit), element.text or ""
    if factor and number.isdigit():
        element.text = str(int(number) * factor // 1024)
        element.set("unit", "KiB")


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


def _compare(before: Element, after: Element, place: str, *, strict: bool = False) -> t.Iterator[tuple[str, str]]:
    generated = () if strict else _GENERATED_ATTRIBUTES.get(before.tag, ())
    for name in sorted(set(before.attrib) | set(after.attrib)):
        one, two = before.get(name), after.get(name)
        if one == two or (name in generated and (one is None or two is None)):
            continue
        spot = f"{place}/@{name}".lstrip("/")
        yield spot, f"{spot}: {_quote(one)} -> {_quote(two)}"
    if (before.text or "") != (after.text or ""):
        yield place, f"{place}: {_quote(before.text)} -> {_quote(after.text)}"
    yield from _compare_boot(before, after, place)
    left, right = keyed(before), keyed(after)
    for key in sorted(set(left) | set(right)):
        one, two = left.get(key), right.get(key)
        spot = f"{place}/{key}".lstrip("/")
        if one is not None and two is not None:
            yield from _compare(one, two, spot, strict=strict)
            continue
        present = one if one is not None else two
        if not strict and _may_be_generated(present, place):
            continue
        yield spot, f"{spot}: {'removed' if two is None else 'added'}"


def _compare_boot(before: Element, after: Element, place: str) -> t.Iterator[tuple[str, str]]:
    """What is booted first is a list, and every element of it means something by its place."""
    one, two = ([str(boot.get("dev")) for boot in element.findall("boot")] for element in (before, after))
    if place == "os" and one != two:
        yield "os/boot", f"os/boot: {_quote(', '.join(one) or None)} -> {_quote(', '.join(two) or None)}"
    if place == "os":
        for element in (before, after):
            for boot in element.findall("boot"):
                element.remove(boot)


def _may_be_generated(element: Element, place: str) -> bool:
    return element.tag in _GENERATED or (place == "devices" and element.tag in _GENERATED_DEVICES)


def _quote(value: str | None) -> str:
    return "nothing" if value is None else f"'{value}'"
