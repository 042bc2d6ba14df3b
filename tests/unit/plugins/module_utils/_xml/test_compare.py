# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two definitions that mean the same are equal; every difference that means something is found."""

from __future__ import annotations

import re

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import differences, normalize
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._xml.sample import RUNNING, SAVED


def test_running_and_saved_mean_the_same() -> None:
    assert differences(SAVED, RUNNING, ignore=["devices/disk[vda]/backingStore"]) == []


EQUAL: list[tuple[str, str]] = [
    ("<memory unit='KiB'>1048576</memory>", "<memory unit='GiB'>1</memory>"),
    ("<acpi/><apic/>", "<apic/>\n\n<acpi/>"),
    (
        "<timer name='rtc' tickpolicy='catchup'/><timer name='hpet' present='no'/>",
        "<timer name='hpet' present='no'/><timer name='rtc' tickpolicy='catchup'/>",
    ),
    ("passwd='geheim'", "passwd='anders'"),
    ("<controller type='pci' index='0' model='pcie-root'/>", ""),
    ("check='partial'", "check='full'"),
    ("<target dev='sda' bus='sata'/>", "<target dev='sda' bus='sata'/><address type='drive' controller='0' bus='0' target='0' unit='0'/>"),
    ("<vcpu placement='static'>", "<vcpu>"),
    ("listen='192.0.2.1' ", "port='5901' listen='192.0.2.1' "),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), EQUAL)
def test_equal(old: str, new: str) -> None:
    assert old in SAVED
    changed = SAVED.replace("port='-1' autoport='yes' ", "") if "5901" in new else SAVED
    assert differences(changed, changed.replace(old, new)) == []


DIFFERENT: list[tuple[str, str, str]] = [
    ("<memory unit='KiB'>1048576", "<memory unit='KiB'>2097152", r"^memory: "),
    ("placement='static'>2", "placement='static'>3", r"^vcpu: '2' -> '3'"),
    ("pc-q35-10.0", "pc-q35-9.2", r"^os/type/@machine: "),
    ("52:54:00:00:00:01", "52:54:00:00:00:09", r"interface\[52:54:00:00:00:01\]: removed"),
    (
        "type='qcow2' cache='none'",
        "type='qcow2' cache='writeback'",
        r"disk\[vda\]/driver/@cache: 'none' -> 'writeback'",
    ),
    ("web 01.qcow2", "other.qcow2", r"disk\[vda\]/source/@file"),
    ("Nehalem", "Westmere", r"^cpu/model: 'Nehalem' -> 'Westmere'"),
    ("<readonly/>", "", r"disk\[sda\]/readonly: removed"),
    ("present='no'", "present='yes'", r"timer\[hpet\]/@present"),
    ("network='default'", "network='lan'", r"source/@network"),
    ("<boot dev='hd'/>", "<boot dev='network'/><boot dev='hd'/>", r"^os/boot: 'hd' -> 'network, hd'"),
    ("3fa0</uuid>", "3fa1</uuid>", r"^uuid"),
    ("<name>web 01", "<name>web 02", r"^name: "),
]


@pytest.mark.parametrize(("old", "new", "line"), DIFFERENT)
def test_different(old: str, new: str, line: str) -> None:
    assert old in SAVED
    found = differences(SAVED, SAVED.replace(old, new))
    assert found
    assert any(re.search(line, one) for one in found), found


def test_another_address_is_a_difference() -> None:
    one = "<target dev='vda' bus='virtio'/><address type='pci' slot='0x01'/>"
    left, right = (
        SAVED.replace("<target dev='vda' bus='virtio'/>", one),
        SAVED.replace("<target dev='vda' bus='virtio'/>", one.replace("1", "2")),
    )
    assert differences(left, right)


@pytest.mark.parametrize(
    ("old", "new", "ignore"),
    [
        ("web 01.qcow2", "x.qcow2", "disk_sources"),
        ("web 01.qcow2", "x.qcow2", "devices/disk[vda]/source"),
        ("network='default'", "network='lan'", "network_sources"),
        ("192.0.2.1", "0.0.0.0", "graphics_listen"),
        ("/nvram/", "/n/", "paths"),
    ],
)
def test_ignore(old: str, new: str, ignore: str) -> None:
    changed = SAVED.replace(old, new)
    assert differences(SAVED, changed)
    assert differences(SAVED, changed, ignore=[ignore]) == []


def test_normal_form_is_stable_and_hides_passwords() -> None:
    text = normalize(SAVED)
    assert normalize(text) == text
    assert "geheim" not in text
    assert normalize(SAVED.replace("<acpi/><apic/>", "<apic/><acpi/>")) == text
