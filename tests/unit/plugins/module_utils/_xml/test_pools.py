# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documents of pools and volumes, and what a domain names of them."""

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.ownership import Ownership
from ansible_collections.virtops.kvm.plugins.module_utils._model.pool import PoolDefinition, same_source
from ansible_collections.virtops.kvm.plugins.module_utils._model.volume import Room, VolumeWanted
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse
from ansible_collections.virtops.kvm.plugins.module_utils._xml.pools import (
    joined,
    plain,
    pool_definition,
    pool_differences,
    pool_document,
)
from ansible_collections.virtops.kvm.plugins.module_utils._xml.references import references
from ansible_collections.virtops.kvm.plugins.module_utils._xml.volumes import (
    disk_target,
    volume_document,
    volume_facts,
)

NETFS = PoolDefinition(
    "a & b",
    "netfs",
    "/srv/ü",
    hosts=("2001:db8::1",),
    directory="/export",
    source_format="nfs",
    protocol_version="4.2",
    mount_options=("nconnect=4", "hard"),
)
LOGICAL = PoolDefinition("fast", "logical", source_name="vg0", devices=("/dev/sdb", "/dev/sdc"))
DOMAIN = """<domain><name>web</name><os><loader>/usr/share/x.fd</loader><nvram>/var/n.fd</nvram></os><devices>
<disk type='file'><source file='/srv/top'/><backingStore type='file'><source file='/srv/base'/><backingStore/></backingStore>
<target dev='vda'/></disk>
<disk type='volume'><source pool='fast' volume='lv'/><target dev='vdb'/></disk>
<disk type='block'><source dev='/dev/vg0/other'/><target dev='vdc'/></disk>
<disk type='file' device='cdrom'><target dev='sda'/></disk>
<interface type='direct'><source dev='eth0'/></interface>
</devices></domain>"""


@pytest.mark.parametrize("definition", [NETFS, LOGICAL, PoolDefinition("d", "dir", "/srv/d")])
def test_a_definition_is_read_as_it_was_written(definition: PoolDefinition) -> None:
    assert pool_definition(pool_document(definition)) == definition


def test_what_is_measured_and_how_it_is_written_is_no_difference() -> None:
    one = "<pool type='dir'><name>d</name><target><path>/srv/d</path></target></pool>"
    other = (
        "<pool type='dir'><target><path> /srv/d </path><permissions><mode>0711</mode></permissions></target>"
        "<name>d</name><capacity unit='bytes'>7</capacity><source/></pool>"
    )
    assert pool_differences(one, other) == []
    assert pool_differences(one, one.replace("/srv/d", "/srv/e")) == ["target/path: '/srv/d' -> '/srv/e'"]


def test_order_of_devices_and_options_means_nothing() -> None:
    swapped = PoolDefinition("fast", "logical", source_name="vg0", devices=("/dev/sdc", "/dev/sdb"))
    assert pool_differences(pool_document(LOGICAL), pool_document(swapped)) == []
    fewer = PoolDefinition("fast", "logical", source_name="vg0", devices=("/dev/sdb",))
    assert pool_differences(pool_document(LOGICAL), pool_document(fewer)) == ["source/device[2]/@path: '/dev/sdc' -> -"]


def test_parts_that_only_the_daemon_reads_come_back() -> None:
    bare, extras = plain(pool_document(NETFS))
    assert "nconnect" not in bare
    assert pool_definition(joined(bare, extras)) == NETFS


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("nas:/export", "nas:/export/", True),
        ("NAS:/export", "nas:/export", True),
        ("[2001:db8::1]:/e", "2001:db8::1:/e", True),
        ("nas:/", "nas:/", True),
        ("nas:/export", "nas2:/export", False),
        ("nas:/export", "nas:/export2", False),
        ("nas:/export", None, False),
        (None, None, False),
    ],
)
def test_sources_of_mounts_are_compared_by_what_they_mean(one: str | None, other: str | None, same: bool) -> None:
    assert same_source(one, other) is same


def test_everything_that_a_domain_names_is_found() -> None:
    found = references(DOMAIN)
    assert set(found.paths) == {"/srv/top", "/srv/base", "/dev/vg0/other", "/var/n.fd", "/usr/share/x.fd"}
    assert found.volumes == (("fast", "lv"),)


@pytest.mark.parametrize(
    ("path", "pool", "volume", "target"),
    [
        ("/srv/top", "default", "top", "vda"),
        ("/srv/base", "default", "base", None),
        ("/dev/vg0/lv", "fast", "lv", "vdb"),
        ("/dev/vg0/other", "fast", "other", "vdc"),
    ],
)
def test_a_disk_is_found_by_its_topmost_image(path: str, pool: str, volume: str, target: str | None) -> None:
    assert disk_target(DOMAIN, path, pool, volume) == target


def test_a_volume_is_read_as_it_was_written() -> None:
    wanted = VolumeWanted(
        "a & b",
        "default",
        capacity=1 << 20,
        allocation="sparse",
        backing="/srv/base",
        backing_format="raw",
        ownership=Ownership(0, 107, 0o640),
    )
    facts = volume_facts(volume_document(wanted, Room("dir")), "default")
    assert (facts.name, facts.capacity, facts.allocation, facts.format) == ("a & b", 1 << 20, 0, "qcow2")
    assert (facts.backing, facts.backing_format, facts.ownership) == ("/srv/base", "raw", Ownership(0, 107, 0o640))


def test_a_logical_volume_is_whole_and_has_no_format() -> None:
    root = parse(volume_document(VolumeWanted("lv", "fast", capacity=4 << 20), Room("logical", 1 << 30, 4 << 20)))
    assert root.findtext("allocation") == root.findtext("capacity") == str(4 << 20)
    assert root.find("target/format") is None
