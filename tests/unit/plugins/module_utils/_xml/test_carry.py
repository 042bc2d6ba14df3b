# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a document leaves open is taken over from the existing definition, and what it says is never touched."""

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._xml import carry
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
EXISTING = f"""<domain type='kvm'><name>web</name><uuid>{UUID}</uuid><genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
<devices>
<disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='virtio'/><address type='pci' bus='0x04'/></disk>
<disk type='file' device='disk'><source file='/b'/><target dev='sda' bus='sata'/><address type='drive' unit='0'/></disk>
<controller type='pci' index='0' model='pcie-root'/>
<controller type='pci' index='1' model='pcie-root-port'><address type='pci' slot='0x01'/></controller>
<controller type='usb' index='0' model='qemu-xhci'><address type='pci' bus='0x02'/></controller>
<interface type='network'><mac address='52:54:00:00:00:01'/><source network='lab'/><model type='virtio'/>
<address type='pci' bus='0x01'/></interface>
<interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/><model type='virtio'/>
<address type='pci' bus='0x03'/></interface>
</devices></domain>"""
BARE = "<domain type='kvm'><name>web</name><os><type machine='q35'>hvm</type></os><devices>{}</devices></domain>"


def filled(devices: str, **options: bool) -> object:
    return parse(carry.carry(BARE.format(devices), EXISTING, **options))


def one(root: object, path: str) -> str:
    found = root.xpath(path)  # type: ignore[attr-defined]
    assert len(found) == 1, found
    return str(found[0])


def test_identity_and_machine() -> None:
    root = filled("")
    assert one(root, "uuid/text()") == UUID
    assert one(root, "os/type/@machine") == "pc-q35-7.2"
    assert one(filled("", machine=False), "os/type/@machine") == "q35"


@pytest.mark.parametrize(
    ("said", "becomes"),
    [("pc", "pc"), ("pc-q35-9.0", "pc-q35-9.0"), ("q35", "pc-q35-7.2"), ("microvm", "microvm")],
)
def test_only_an_alias_of_the_family_becomes_a_version(said: str, becomes: str) -> None:
    text = carry.carry(BARE.format("").replace("q35", said), EXISTING)
    assert one(parse(text), "os/type/@machine") == becomes


def test_a_generation_id_is_kept_where_one_is_asked_for() -> None:
    text = BARE.format("").replace("<os>", "<genid/><os>")
    assert one(parse(carry.carry(text, EXISTING)), "genid/text()").startswith("43dc")
    assert parse(carry.carry(BARE.format(""), EXISTING)).find("genid") is None


def test_interfaces_get_the_address_of_the_one_they_are_most_like() -> None:
    root = filled(
        "<interface type='bridge'><source bridge='br0'/></interface>"
        "<interface type='network'><source network='lab'/></interface>"
        "<interface type='user'/>"
    )
    assert one(root, "devices/interface[@type='bridge']/mac/@address") == "52:54:00:00:00:02"
    assert one(root, "devices/interface[@type='network']/mac/@address") == "52:54:00:00:00:01"
    assert root.xpath("devices/interface[@type='user']/mac") == []  # type: ignore[attr-defined]


def test_an_address_that_another_interface_wants_is_not_given_away() -> None:
    root = filled(
        "<interface type='network'><source network='lab'/></interface>"
        "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br1'/></interface>"
    )
    assert one(root, "devices/interface[@type='network']/mac/@address") == "52:54:00:00:00:02"


def test_places_are_kept_by_devices_of_the_same_kind() -> None:
    devices = (
        "<disk type='file'><source file='/x'/><target dev='vda'/></disk>"
        "<disk type='file'><source file='/b'/><target dev='sda' bus='scsi'/></disk>"
        "<controller type='usb' model='ich9-ehci1'/>"
    )
    root = filled(devices)
    assert one(root, "devices/disk[target/@dev='vda']/address/@bus") == "0x04"
    assert root.xpath("devices/disk[target/@dev='sda']/address") == []  # type: ignore[attr-defined]
    assert root.xpath("devices/controller[@type='usb']/address") == []  # type: ignore[attr-defined]
    assert len(root.xpath("devices/controller[@type='pci']")) == 2  # type: ignore[attr-defined]
    assert filled(devices, places=False).xpath("//address") == []  # type: ignore[attr-defined]


def test_who_names_pci_controllers_keeps_his_own() -> None:
    root = filled("<controller type='pci' index='0' model='pcie-root'/>")
    assert len(root.xpath("devices/controller[@type='pci']")) == 1  # type: ignore[attr-defined]


def test_what_a_document_says_of_places_must_hold() -> None:
    text = "<disk type='file'><target dev='vda'/><address type='pci' bus='{}'/></disk>"
    assert carry.places_hold(BARE.format(text.format("4")), EXISTING)
    assert not carry.places_hold(BARE.format(text.format("5")), EXISTING)


def test_names_of_documents() -> None:
    assert carry.names_of(carry.document("<domain><name>a</name></domain>", None)) == ("a", "")
    assert carry.names_of(carry.document("<domain/>", "a")) == ("a", "")
    assert carry.names_of(carry.document("<domain/>", UUID.upper())) == ("", UUID)
    assert carry.names_of(carry.document(f"<domain><uuid>{UUID.replace('-', '')}</uuid></domain>", UUID))[1] == UUID
    declared = "\n <?xml version='1.0' encoding='ISO-8859-1'?>\n<domain><name>büro</name></domain>"
    assert carry.names_of(carry.document(declared, None)) == ("büro", "")
    for text, name, error in (
        ("<domain><name>a</name></domain>", "b", InputError),
        (f"<domain><name>a</name><uuid>{UUID}</uuid></domain>", UUID.replace("4", "5"), InputError),
        ("<domain/>", None, KvmError),
        ("<network/>", "a", KvmError),
        ("<domain>", "a", KvmError),
    ):
        with pytest.raises(error):
            carry.document(text, name)


def test_what_cannot_be_foreseen_is_marked() -> None:
    text = carry.announced(EXISTING, BARE.format("<interface><mac address='52:54:00:00:00:01'/></interface>"))
    assert text.count(carry.GENERATED) == 2
    assert "52:54:00:00:00:02" not in text
    assert carry.announced(EXISTING, EXISTING).count(carry.GENERATED) == 0
