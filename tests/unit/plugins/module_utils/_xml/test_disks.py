# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks of every source type, as libvirt writes them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Layer
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse
from ansible_collections.virtops.kvm.plugins.module_utils._xml.disks import parse_disk

RBD = """<disk type='network' device='disk'><driver name='qemu' type='raw'/>
<source protocol='rbd' name='pool/image'><host name='mon1' port='6789'/></source><target dev='vda' bus='virtio'/></disk>"""


def disk(xml: str) -> Disk:
    """The Disk of one element."""
    return parse_disk(parse(xml))


CASES: list[tuple[str, dict[str, t.Any]]] = [
    (
        "<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/><source dev='/dev/vg/lv'/>"
        "<target dev='vdb' bus='virtio'/></disk>",
        {"type": "block", "source": "/dev/vg/lv", "format": "raw", "cache": "none", "copyable": True, "shared": None},
    ),
    (
        "<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='fast' volume='web 1.qcow2'/>"
        "<target dev='vdc' bus='virtio'/></disk>",
        {"type": "volume", "pool": "fast", "volume": "web 1.qcow2", "source": None, "empty": False, "format": "qcow2"},
    ),
    (RBD, {"source": "pool/image", "protocol": "rbd", "shared": True, "filesystem": "rbd:pool/image"}),
    (
        "<disk type='network'><driver type='raw'/><source protocol='iscsi' name='iqn.2013-07.com.example:x/1'>"
        "<host name='192.0.2.9'/></source><target dev='vda'/></disk>",
        {"protocol": "iscsi", "shared": True},
    ),
    (
        "<disk type='network'><driver type='raw'/><source protocol='nbd' name='x'>"
        "<host transport='unix' socket='/run/nbd.sock'/></source><target dev='vda'/></disk>",
        {"protocol": "nbd", "shared": None, "filesystem": None},
    ),
    (
        "<disk type='network'><driver type='raw'/><source protocol='nbd' name='x'>"
        "<host name='127.0.0.1' port='10809'/></source><target dev='vda'/></disk>",
        {"protocol": "nbd", "shared": None},
    ),
    (
        "<disk type='network' device='cdrom'><driver type='raw'/><source protocol='https' name='/boot.iso'>"
        "<host name='mirror.example' port='443'/></source><target dev='sda' bus='sata'/><readonly/></disk>",
        {"protocol": "https", "readonly": True, "shared": True, "copyable": False},
    ),
    (
        "<disk type='nvme' device='disk'><driver type='raw'/><source type='pci' managed='yes' namespace='2'>"
        "<address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source><target dev='vdd'/></disk>",
        {"type": "nvme", "source": "0000:01:00.0/2"},
    ),
    (
        "<disk type='vhostuser' device='disk'><driver type='raw'/><source type='unix' path='/run/vhost.sock'/>"
        "<target dev='vde'/></disk>",
        {"type": "vhostuser", "source": "/run/vhost.sock"},
    ),
    (
        "<disk type='vhostvdpa'><driver type='raw'/><source dev='/dev/vhost-vdpa-0'/><target dev='vdf'/></disk>",
        {"type": "vhostvdpa", "source": "/dev/vhost-vdpa-0"},
    ),
    (
        "<disk type='dir' device='floppy'><driver type='fat'/><source dir='/srv/floppy'/><target dev='fda'/><readonly/></disk>",
        {"type": "dir", "device": "floppy", "source": "/srv/floppy", "format": "fat", "readonly": True},
    ),
    (
        "<disk type='file' device='cdrom'><driver type='raw'/><source file='/iso/a.iso' startupPolicy='optional'/>"
        "<target dev='hdc' bus='ide'/></disk>",
        {"startup_policy": "optional", "readonly": True, "copyable": False},
    ),
    (
        "<disk type='file' device='lun'><source dev='/dev/sdx'/><target dev='sda' bus='scsi'/></disk>",
        {"device": "lun", "source": None},
    ),
    (
        "<disk type='file'><driver type='qcow2'/><source file='/a'/><target dev='vda'/><shareable/></disk>",
        {"shareable": True, "copyable": False},
    ),
    (
        "<disk type='file' snapshot='no'><driver type='qcow2'/><source file='/a'/><target dev='vda'/><transient/></disk>",
        {"transient": True},
    ),
    (
        "<disk type='file'><driver type='qcow2'/><source file='/a'><encryption format='luks'>"
        "<secret type='passphrase' uuid='x'/></encryption></source><target dev='vda'/></disk>",
        {"encrypted": True},
    ),
    (
        "<disk type='file'><source file='/a'/><target dev='vda'/><encryption format='luks'/></disk>",
        {"encrypted": True, "format": "raw"},
    ),
    ("<disk type='file'><source file=''/><target dev='vda'/></disk>", {"empty": True, "source": None}),
    ("<disk type='file' device='disk'><target dev='vda'/></disk>", {"empty": True, "format": None}),
]


@pytest.mark.parametrize(("xml", "expected"), CASES)
def test_disk(xml: str, expected: dict[str, t.Any]) -> None:
    found = disk(xml)
    assert {key: getattr(found, key) for key in expected} == expected


def test_network_layer_in_a_chain() -> None:
    xml = """<disk type='file'><driver type='qcow2'/><source file='/a'/><target dev='vda'/>
    <backingStore type='network'><format type='raw'/><source protocol='nbd' name='base'><host name='s'/></source>
    <backingStore/></backingStore></disk>"""
    assert disk(xml).backing_chain == (Layer("base", "raw", "network"),)


def test_volume_layer_in_a_chain() -> None:
    xml = """<disk type='file'><driver type='qcow2'/><source file='/a'/><target dev='vda'/>
    <backingStore type='volume'><format type='qcow2'/><source pool='p' volume='v'/><backingStore/></backingStore></disk>"""
    assert disk(xml).backing_chain == (Layer("p/v", "qcow2", "volume"),)


def test_an_ended_chain_is_empty() -> None:
    assert disk("<disk><source file='/a'/><target dev='vda'/><backingStore/></disk>").backing_chain == ()


def test_deep_chain() -> None:
    depth = 30
    opening = "".join(
        f"<backingStore type='file'><format type='qcow2'/><source file='/layer{number}'/>" for number in range(depth)
    )
    xml = f"<disk><source file='/top'/><target dev='vda'/>{opening}<backingStore/>{'</backingStore>' * depth}</disk>"
    assert [layer.path for layer in disk(xml).backing_chain] == [f"/layer{number}" for number in range(depth)]


SIZES: list[tuple[int | None, int | None, tuple[int | None, ...], int | None]] = [
    (100, 10, (), 10),
    (100, 10, (20, 30), 60),
    (100, 80, (90,), 100),
    (100, None, (), 100),
    (100, 10, (None,), 100),
    (None, 10, (), 10),
    (None, None, (), None),
    (None, 10, (None,), None),
]


@pytest.mark.parametrize(("virtual", "allocated", "layers", "expected"), SIZES)
def test_copy_size(
    virtual: int | None, allocated: int | None, layers: tuple[int | None, ...], expected: int | None
) -> None:
    chain = tuple(Layer("/x", "qcow2", allocated=size) for size in layers)
    found = Disk(target="vda", type="file", virtual_size=virtual, allocated=allocated, backing_chain=chain)
    assert found.copy_size == expected
