# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions, images' names, ISO, initramfs, addresses: the pure parts of the lab guest."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.lab import network
from tests.lab.cli_guest import parse_options
from tests.lab.guest.assets import cpio
from tests.lab.guest.iso import SECTOR, iso
from tests.lab.guest.shapes import SHAPES, Identity, base_path, disk_path, domain_xml, shape_named
from tests.lab.rootfs import mirror
from tests.lab.shell import LabError
from tests.lab.verify import disk_sources

WHO = Identity("wéb <01>", "5f0ad8d0-0000-4000-8000-000000000001", "52:54:00:00:00:01", "10.77.1.101")


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_shape_has_a_definition(name: str) -> None:
    shape = SHAPES[name]
    disks = [(disk_path(WHO.name, index, disk), disk) for index, disk in enumerate(shape.disks)]
    xml = domain_xml(WHO, shape, disks, kvm=False)
    domain = ElementTree.fromstring(xml)
    assert domain.findtext("name") == WHO.name
    assert disk_sources(xml) == [(path, disk.format) for path, disk in disks]
    assert len(domain.findall("./devices/disk[@device='cdrom']")) == (1 if shape.iso else 0)
    assert (domain.find("./os/loader") is not None) == shape.uefi
    assert (domain.find("./devices/tpm") is not None) == shape.tpm
    kinds = [disk.get("type") for disk in domain.findall("./devices/disk[@device='disk']")]
    assert kinds == ["block" if disk.block else "file" for disk in shape.disks]


def test_an_idle_guest_has_nothing_to_boot() -> None:
    shape = shape_named("qcow2", idle=True)
    system = ElementTree.fromstring(domain_xml(WHO, shape, [], kvm=False)).find("./os")
    assert system is not None
    assert [part.tag for part in system] == ["type"]


def test_options_change_a_shape_and_unknown_ones_are_refused() -> None:
    assert shape_named("raw", size_mib=256).size_mib == 256
    with pytest.raises(LabError, match="colour"):
        shape_named("raw", colour="red")
    with pytest.raises(LabError, match="unknown shape"):
        shape_named("cube")


def test_options_of_the_command_line_are_typed() -> None:
    options = parse_options(["size_mib=256", "autostart=true", "cache=none"])
    assert options == {"size_mib": 256, "autostart": True, "cache": "none"}
    with pytest.raises(LabError, match="expected KEY=VALUE"):
        parse_options(["size"])


def test_the_base_of_a_chain_is_beside_it() -> None:
    assert base_path("/x/a.b.qcow2") == "/x/a.b-base.qcow2"


def test_an_iso_begins_as_iso_9660_wants_it() -> None:
    image = iso("cidata", {"meta-data": b"a: b\n"})
    assert image[16 * SECTOR + 1 : 16 * SECTOR + 6] == b"CD001"
    assert image[16 * SECTOR + 40 : 16 * SECTOR + 46] == b"CIDATA"
    assert len(image) % SECTOR == 0
    assert b"META-DATA;1" in image
    assert b"a: b\n" in image


def test_a_cpio_archive_has_its_members_and_an_end() -> None:
    archive = cpio([("init", 0o100755, b"program")])
    assert archive.startswith(b"070701")
    assert b"init\0" in archive
    assert b"program" in archive
    assert b"TRAILER!!!" in archive
    assert len(archive) % 512 == 0


def test_addresses_differ() -> None:
    hosts = {network.host_address("lab", number) for number in range(1, 20)}
    guests = {network.guest_address("lab", number) for number in range(150)}
    assert len(hosts) == 19
    assert len(guests) == 150
    assert not hosts & guests
    assert len({network.mac("lab", number) for number in range(150)}) == 150


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ("", "http://deb.debian.org/debian"),
        ("deb http://mirror.example/debian bookworm main", "http://mirror.example/debian"),
        ("Types: deb\nURIs: http://mirror.example/debian/\nSuites: trixie", "http://mirror.example/debian"),
        ("# deb http://old.example/debian x main", "http://deb.debian.org/debian"),
        ("deb http://archive.ubuntu.com/ubuntu noble main", "http://deb.debian.org/debian"),
        ("deb http://deb.debian.org/debian-security bookworm-security main", "http://deb.debian.org/debian"),
    ],
)
def test_the_mirror_is_the_machines_own(sources: str, expected: str) -> None:
    assert mirror(sources) == expected
