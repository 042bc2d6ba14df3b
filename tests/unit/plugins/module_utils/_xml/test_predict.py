# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What defining would change, with a libvirt that is made up: it numbers the buses, and adds a balloon."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.definition import Normalized
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse, render
from ansible_collections.virtops.kvm.plugins.module_utils._xml.predict import predict

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
NIC = "<interface type='network'><source network='lab'/></interface>"


class Libvirt:
    """Fills in what is missing; refuses two devices in one place, and machines it does not have."""

    def __init__(self, newest: str = "pc-q35-9.0", made: int = 16) -> None:
        self.newest, self.made = newest, made

    def __call__(self, xml: str, validate: bool = False) -> Normalized:
        root = parse(xml)
        kind, devices = root.find("os/type"), root.find("devices")
        if kind.get("machine") in (None, "q35"):
            kind.set("machine", self.newest)
        if not kind.get("machine", "").startswith("pc-q35"):
            return Normalized(error="no such machine", code=67)
        if root.find("uuid") is None:
            root.insert(1, parse(f"<uuid>{UUID}</uuid>"))
        if devices.find("memballoon") is None:
            devices.append(parse("<memballoon model='virtio'/>"))
        for interface in devices.findall("interface"):
            if interface.find("mac") is None:
                self.made += 1
                interface.insert(0, parse(f"<mac address='52:54:00:00:00:{self.made:02x}'/>"))
        taken = [address.get("slot") for address in devices.iterfind("*/address")]
        if len(set(taken)) != len(taken):
            return Normalized(error="place taken", code=27)
        for device in devices:
            if device.find("address") is None:
                slot = next(str(number) for number in range(1, 99) if str(number) not in taken)
                taken.append(slot)
                device.append(parse(f"<address type='pci' slot='{slot}'/>"))
        return Normalized(xml=render(root), ignored="schema" if validate and root.find("odd") is not None else None)


def document(*devices: str, machine: str = " machine='q35'", extra: str = "") -> str:
    return f"<domain><name>web</name><os><type{machine}>hvm</type></os>{extra}<devices>{''.join(devices)}</devices></domain>"


def defined(libvirt: Libvirt, *devices: str, **options: str) -> str:
    return t.cast(str, libvirt(document(*devices, **options)).xml)


DISKS = [f"<disk><source file='/{dev}'/><target dev='{dev}'/></disk>" for dev in ("vda", "vdb")]


@pytest.mark.parametrize(
    "wanted",
    [
        document(*DISKS, NIC),
        document(NIC, *reversed(DISKS)),
        document("<!-- x -->", *DISKS, NIC, machine=""),
        document(*DISKS, NIC, "<memballoon model='virtio'/>"),
        document(*DISKS, NIC, machine=" machine='pc-q35-7.2'"),
    ],
)
def test_no_change(wanted: str) -> None:
    existing = defined(Libvirt("pc-q35-7.2", 0), *DISKS, NIC)
    found = predict(wanted, existing, Libvirt())
    assert not found.changes
    assert found.after == existing


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (document(*DISKS), "devices/interface[52:54:00:00:00:01]: removed"),
        (document(*DISKS, NIC, NIC), "devices/interface[(generated)]: added"),
        (document(*DISKS, NIC, extra="<title>x</title>"), "title: added"),
        (document(*DISKS, NIC, "<memballoon model='none'/>"), "devices/memballoon/@model: 'virtio' -> 'none'"),
        (document(*DISKS, NIC, machine=" machine='pc-q35-8.0'"), "os/type/@machine: 'pc-q35-7.2' -> 'pc-q35-8.0'"),
        (
            document(*DISKS, NIC.replace("lab", "other")),
            "devices/interface[52:54:00:00:00:01]/source/@network: 'lab' -> 'other'",
        ),
    ],
)
def test_a_change_keeps_everything_else_in_its_place(wanted: str, line: str) -> None:
    existing = defined(Libvirt("pc-q35-7.2", 0), *DISKS, NIC)
    assert predict(wanted, existing, Libvirt()).differences == (line,)


def test_what_libvirt_adds_stays_in_its_place_and_what_the_document_names_is_never_doubled() -> None:
    wanted = document(DISKS[0], "<sound model='ich6'/>", "<rng/>", "<rng/>")
    existing = t.cast(str, Libvirt()(wanted).xml)
    more = wanted.replace("<rng/>", DISKS[1] + "<rng/>", 1)
    found = predict(more, existing, Libvirt())
    assert found.differences == ("devices/disk[vdb]: added",)
    assert not predict(more, t.cast(str, Libvirt()(found.xml).xml), Libvirt()).changes


def test_a_place_that_is_taken_is_given_up() -> None:
    existing = defined(Libvirt(), *DISKS)
    new = "<disk><source file='/new'/><target dev='vdc'/><address type='pci' slot='1'/></disk>"
    found = predict(document(*DISKS, new), existing, Libvirt())
    assert "devices/disk[vdc]: added" in found.differences


def test_a_machine_that_is_gone_is_given_up() -> None:
    existing = defined(Libvirt(), *DISKS).replace("pc-q35-9.0", "pc-q35-2.0")

    class Newer(Libvirt):
        def __call__(self, xml: str, validate: bool = False) -> Normalized:
            return Normalized(error="gone") if "pc-q35-2.0" in xml else super().__call__(xml, validate)

    assert predict(document(*DISKS), existing, Newer()).differences == (
        "os/type/@machine: 'pc-q35-2.0' -> 'pc-q35-9.0'",
    )


def test_what_a_newer_libvirt_adds_is_no_change() -> None:
    existing = parse(defined(Libvirt(), *DISKS))
    existing.find("devices").remove(existing.find("devices/memballoon"))
    assert not predict(document(*DISKS), render(existing), Libvirt()).changes


def test_a_new_one_a_refused_one_and_an_odd_one() -> None:
    found = predict(document(*DISKS), None, Libvirt())
    assert found.new
    assert UUID not in found.after
    for existing in (None, defined(Libvirt())):
        with pytest.raises(KvmError) as caught:
            predict(document(machine=" machine='none'"), existing, Libvirt())
        assert (caught.value.error_code, "no such machine" in caught.value.message) == ("DEFINITION_REFUSED", True)
    assert predict(document(extra="<odd/>"), defined(Libvirt()), Libvirt()).ignored == "schema"


def test_without_libvirt_the_rules_decide() -> None:
    existing = defined(Libvirt(), *DISKS, NIC)
    assert not predict(document(*DISKS, NIC), existing, None).changes
    assert predict(document(*DISKS, NIC, extra="<title>x</title>"), existing, None).differences == ("title: added",)
    assert predict(document(), None, None).new
