# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A definition for another host: what is mapped changes, everything else stays, and a wrong mapping is refused."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse
from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import differences
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping, rewrite, without_secrets
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._xml.sample import RUNNING, SAVED


def one(xml: str, path: str) -> t.Any:
    found = parse(xml).xpath(path)
    assert len(found) == 1, found
    return found[0]


def test_no_mapping_changes_nothing() -> None:
    assert differences(SAVED, rewrite(SAVED, Mapping())) == []
    assert differences(RUNNING, rewrite(RUNNING, Mapping())) == []


def test_there_and_back_again() -> None:
    there = Mapping.from_user(
        {
            "disks": {"vdb": "/dev/vg1/web01"},
            "paths": {"/var/lib/libvirt/images": "/srv/fast", "/srv/iso": "/mnt/iso"},
            "networks": {"default": "lan"},
            "bridges": {"br0": "br7"},
            "graphics_listen": "192.0.2.2",
        }
    )
    back = Mapping.from_user(
        {
            "disks": {"vdb": "/dev/vg0/web01"},
            "paths": {"/srv/fast": "/var/lib/libvirt/images", "/mnt/iso": "/srv/iso"},
            "networks": {"lan": "default"},
            "bridges": {"br7": "br0"},
            "graphics_listen": "192.0.2.1",
        }
    )
    changed = rewrite(SAVED, there)
    assert len(differences(SAVED, changed)) == 7
    assert differences(SAVED, rewrite(changed, back)) == []


def test_an_exact_disk_wins_over_a_prefix_and_the_longest_prefix_wins() -> None:
    mapping = Mapping.from_user(
        {"disks": {"vda": "/x/one.qcow2"}, "paths": {"/srv": "/a", "/srv/iso": "/b", "/sr": "/c"}}
    )
    xml = rewrite(SAVED, mapping)
    assert one(xml, "//disk[target/@dev='vda']/source/@file") == "/x/one.qcow2"
    assert one(xml, "//disk[target/@dev='sda']/source/@file") == "/b/seed.iso"


def test_prefixes_reach_nvram_and_logs_but_no_half_names() -> None:
    mapping = Mapping.from_user(
        {"paths": {"/var/lib/libvirt/qemu/nvram": "/n", "/var/log/guests": "/l", "/usr/share/OVM": "/no"}}
    )
    xml = rewrite(SAVED, mapping)
    assert one(xml, "//nvram/text()") == "/n/web 01_VARS.fd"
    assert one(xml, "//serial/source/@path") == "/l/web01.log"
    assert one(xml, "//loader/text()") == "/usr/share/OVMF/OVMF_CODE_4M.fd"


def test_a_copied_disk_claims_no_chain_and_another_keeps_its_own() -> None:
    assert not parse(rewrite(RUNNING, Mapping(), copied=["vda"])).xpath("//disk[target/@dev='vda']/backingStore")
    moved = rewrite(RUNNING, Mapping.from_user({"paths": {"/var/lib/libvirt/images": "/i"}}))
    assert one(moved, "//disk[target/@dev='vda']/backingStore/source/@file") == "/i/base.qcow2"


def test_a_mapped_network_does_not_drag_the_old_bridge_along() -> None:
    source = one(
        rewrite(RUNNING, Mapping.from_user({"networks": {"default": "lan"}})),
        "//interface[mac/@address='52:54:00:00:00:01']/source",
    )
    assert dict(source.attrib) == {"network": "lan"}


WRONG: list[tuple[t.Any, str]] = [
    ({"disk": {"vda": "/x"}}, "no key 'disk'"),
    ({"disks": {"vda": "x.qcow2"}}, "absolute"),
    ({"disks": {"vda": "/a/../b"}}, "'..'"),
    ({"disks": {"vda": "/a\nb"}}, "line ends"),
    ({"disks": {"vda": "/"}}, "no file"),
    ({"disks": ["vda"]}, "dictionary"),
    ({"paths": {"images": "/x"}}, "absolute"),
    ({"paths": {"/a": "../x"}}, "absolute"),
    ({"paths": {"/": "/x"}}, "no file"),
    ({"networks": {"default": ""}}, "no name"),
    ({"bridges": {"br0": "a/b"}}, "no name"),
    ({"graphics_listen": "a b"}, "one address"),
]


@pytest.mark.parametrize(("data", "words"), WRONG)
def test_a_mapping_that_cannot_be_meant(data: t.Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Mapping.from_user(data)
    assert words in caught.value.message


@pytest.mark.parametrize("data", [{"disks": {"vdz": "/x"}}, {"networks": {"lan": "x"}}, {"bridges": {"br9": "x"}}])
def test_a_mapping_that_names_what_the_domain_does_not_have(data: dict[str, t.Any]) -> None:
    with pytest.raises(InputError):
        rewrite(SAVED, Mapping.from_user(data))


def test_secrets_do_not_show() -> None:
    assert "geheim" not in without_secrets(SAVED)
    assert "geheim" in rewrite(SAVED, Mapping())


def test_pools_emulator_and_nvram() -> None:
    volume = SAVED.replace("<source file='/srv/iso/seed.iso'/>", "<source pool='iso' volume='seed.iso'/>")
    mapping = Mapping.from_user({"pools": {"iso": "media"}, "emulator": "/opt/qemu", "nvram": "/n/vars.fd"})
    xml = rewrite(volume, mapping)
    assert one(xml, "//disk/source/@pool") == "media"
    assert one(xml, "//emulator/text()") == "/opt/qemu"
    assert one(xml, "//nvram/text()") == "/n/vars.fd"
    assert one(xml, "//nvram/@template") == "/usr/share/OVMF/OVMF_VARS_4M.fd"


@pytest.mark.parametrize(
    ("data", "xml"),
    [
        ({"pools": {"none": "x"}}, SAVED),
        ({"pools": {"a": "x/y"}}, SAVED),
        ({"emulator": "qemu"}, SAVED),
        ({"nvram": "/a/../b"}, SAVED),
        ({"nvram": "/n"}, "<domain><name>a</name><os><type>hvm</type></os></domain>"),
    ],
)
def test_wrong_pools_emulators_and_nvrams_are_refused(data: dict[str, t.Any], xml: str) -> None:
    with pytest.raises(InputError):
        rewrite(xml, Mapping.from_user(data))
