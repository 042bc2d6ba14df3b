# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documents of stopped domains for another host."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping
from ansible_collections.virtops.kvm.plugins.module_utils._xml.travel import travel, travel_record

DOMAIN = """<domain type='kvm'><name>web</name><devices>
<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/web'/><target dev='vda'/></disk>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/images/b.qcow2'/><target dev='vdb'/></disk>
<disk type='file' device='cdrom'><target dev='sda'/></disk>
</devices></domain>"""
SNAPSHOT = f"""<domainsnapshot><name>s</name><memory snapshot='external' file='/images/s.mem'/><disks>
<disk name='vdb' snapshot='external'><source file='/images/b.s'/></disk></disks>{DOMAIN}
<inactiveDomain type='kvm'><name>web</name><devices>
<disk type='file' device='disk'><source file='/images/b.qcow2'/><target dev='vdb'/></disk></devices></inactiveDomain></domainsnapshot>"""


def test_a_device_becomes_a_file_and_a_file_a_device() -> None:
    mapping = Mapping(disks={"vda": "/images/a.qcow2", "vdb": "/dev/vg/b"})
    root = parse(travel(DOMAIN, mapping, formats={"vda": "qcow2"}))
    first, second, third = root.findall("devices/disk")
    assert (first.get("type"), dict(first.find("source").attrib)) == ("file", {"file": "/images/a.qcow2"})
    assert first.find("driver").get("type") == "qcow2"
    assert (second.get("type"), dict(second.find("source").attrib)) == ("block", {"dev": "/dev/vg/b"})
    assert second.find("driver").get("type") == "qcow2"
    assert third.get("type") == "file"


def test_what_nobody_maps_stays() -> None:
    root = parse(travel(DOMAIN, Mapping()))
    assert [disk.get("type") for disk in root.findall("devices/disk")] == ["block", "file", "file"]


def test_a_record_is_rewritten_inside_and_out_though_it_lacks_a_disk() -> None:
    mapping = Mapping(disks={"vda": "/images/a.raw"}, paths={"/images": "/srv"}, networks={"lan": "wan"})
    root = parse(travel_record(SNAPSHOT, mapping))
    assert root.find("memory").get("file") == "/srv/s.mem"
    assert root.find("disks/disk/source").get("file") == "/srv/b.s"
    assert [source.get("file") for source in root.iterfind("domain/devices/disk/source")] == [
        "/images/a.raw",
        "/srv/b.qcow2",
    ]
    assert root.find("inactiveDomain/devices/disk/source").get("file") == "/srv/b.qcow2"
