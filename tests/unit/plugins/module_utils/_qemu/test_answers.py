# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What answers of real monitors (QEMU 10.0 and 7.2, recorded) are taken to say."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Layer
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import GuestDevice, GuestDisk, GuestJob, GuestNic
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import answers, argv

HAND = argv.parse(
    [
        "kvm", "-hda", "/img/one.qcow2", "-cdrom", "/img/seed.iso", "-netdev", "user,id=net0",
        "-device", "virtio-net-pci,netdev=net0,id=nic1", "-device", "virtio-rng", "-drive", "file=/img/v.raw,if=virtio",
        "-device", "virtio-balloon-pci,id=gone",
    ]
)  # fmt: skip
INFO_BLOCK = """\
ide0-hd0 (#block187): /img/one.qcow2 (qcow2)
    Attached to:      /machine/unattached/device[4]
    Cache mode:       writeback
    Backing file:     /img/base: one.qcow2 (chain depth: 1)

Images:
image: /img/one.qcow2
file format: qcow2
virtual size: 128 MiB (134217728 bytes)
disk size: 196 KiB
cluster_size: 65536
backing file: /img/base: one.qcow2
backing file format: qcow2
Format specific information:
    compat: 1.1
    compression type: zlib
image: /img/base: one.qcow2
file format: qcow2
virtual size: 128 MiB (134217728 bytes)
disk size: 196 KiB

ide1-cd0 (#block343): /img/seed.iso (raw, read-only)
    Attached to:      /machine/unattached/device[5]
    Removable device: not locked, tray closed
    Cache mode:       writeback

Images:
image: /img/seed.iso
file format: raw
virtual size: 46 KiB (47104 bytes)
disk size: 48 KiB

floppy0: [not inserted]
    Attached to:      /machine/unattached/device[15]
    Removable device: not locked, tray closed

disk0: /img/node.raw (raw)
    Attached to:      /machine/peripheral/vd0/virtio-backend
    Cache mode:       writeback

Images:
image: /img/node.raw
file format: raw
virtual size: 40 MiB (41943040 bytes)
disk size: 0 B

/machine/peripheral/cd/x: [not inserted]
    Attached to:      /machine/peripheral/cd
    Removable device: not locked, tray open
"""
BY_HMP = (
    GuestDisk(
        "/machine/unattached/device[4]", "ide0-hd0", "#block187", "/img/one.qcow2", "qcow2", 134217728,
        backing_chain=(Layer("/img/base: one.qcow2", "qcow2"),),
    ),
    GuestDisk(
        "/machine/unattached/device[5]", "ide1-cd0", "#block343", "/img/seed.iso", "raw", 47104, readonly=True, removable=True
    ),
    GuestDisk("/machine/unattached/device[15]", "floppy0", removable=True),
    GuestDisk("vd0", "", "disk0", "/img/node.raw", "raw", 41943040),
    GuestDisk("cd", removable=True),
)  # fmt: skip
QUERY_BLOCK: list[dict[str, t.Any]] = [
    {
        "device": "ide0-hd0", "qdev": "/machine/unattached/device[4]", "removable": False, "type": "unknown",
        "inserted": {
            "node-name": "#block187", "file": "/img/one.qcow2", "drv": "qcow2", "ro": False,
            "image": {
                "virtual-size": 134217728, "actual-size": 200704, "filename": "/img/one.qcow2", "format": "qcow2",
                "backing-image": {"filename": "/img/b", "format": "raw", "actual-size": 7, "backing-image": {"filename": "/img/c"}},
            },
        },
    },
    {"device": "floppy0", "qdev": "/machine/unattached/device[15]", "removable": True, "type": "unknown"},
    {
        "device": "", "qdev": "/machine/peripheral/vd0/virtio-backend", "removable": False,
        "inserted": {"node-name": "#block9", "file": "/img/n", "drv": "copy-before-write", "ro": True, "image": {"virtual-size": 5}},
    },
]  # fmt: skip
NODES: list[dict[str, t.Any]] = [
    {
        "node-name": "disk0",
        "file": "/img/n",
        "drv": "qcow2",
        "ro": False,
        "image": {"virtual-size": 5, "actual-size": 3},
    },
    {"node-name": "file0", "file": "/img/n", "drv": "file", "ro": False, "image": {"virtual-size": 9}},
    {"node-name": "#block9", "file": "/img/n", "drv": "copy-before-write", "ro": False, "image": {}},
]


def test_disks_by_the_human_monitor() -> None:
    assert answers.disks_by_hmp(INFO_BLOCK) == BY_HMP
    assert answers.disks_by_hmp("") == ()


def test_disks_by_qmp() -> None:
    first, floppy, last = answers.disks_by_qmp(QUERY_BLOCK)
    assert (first.node, first.source, first.allocated) == ("#block187", "/img/one.qcow2", 200704)
    assert first.backing_chain == (Layer("/img/b", "raw", allocated=7), Layer("/img/c"))
    assert floppy == GuestDisk("/machine/unattached/device[15]", "floppy0", removable=True)
    assert (last.device, last.format) == ("vd0", "copy-before-write")


def test_a_filter_is_looked_through() -> None:
    assert answers.has_filter(QUERY_BLOCK)
    assert not answers.has_filter(QUERY_BLOCK[:2])
    rows = answers.below_filters(QUERY_BLOCK, NODES)
    last = answers.disks_by_qmp(rows)[-1]
    assert (last.device, last.node, last.format, last.allocated, last.readonly) == ("vd0", "disk0", "qcow2", 3, True)
    assert rows[0] == QUERY_BLOCK[0]
    doubtful = [*NODES, {"node-name": "other", "file": "/img/n", "drv": "raw", "image": {}}]
    assert answers.below_filters(QUERY_BLOCK, doubtful)[-1] == QUERY_BLOCK[-1]


def test_the_command_line_says_where_disks_are_from() -> None:
    told = [
        *BY_HMP,
        GuestDisk("/machine/peripheral-anon/device[1]", "virtio0", "#b1", "/img/v.raw", "raw"),
        GuestDisk("/machine/unattached/device[9]", "ide1-cd1"),
        GuestDisk("new", "late", "#b2", "/img/v.raw"),
    ]
    found = answers.joined_disks(HAND, told)
    assert [(disk.style, disk.hot_plugged) for disk in found] == [
        ("hda", False), ("cdrom", False), ("default", False), ("", True), ("", True), ("drive", False),
        ("default", False), ("", True),
    ]  # fmt: skip


def test_an_ejected_cdrom_is_still_that_of_the_option() -> None:
    [disk] = answers.joined_disks(HAND, [GuestDisk("/machine/unattached/device[5]", "ide1-cd0", removable=True)])
    assert (disk.style, disk.hot_plugged) == ("cdrom", False)


def test_nics() -> None:
    text = (
        "nic1: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:FA:00:00\n"
        " \\ net0: index=0,type=user,net=10.0.2.0,restrict=off\n"
        "late: index=0,type=nic,model=e1000,macaddr=52:54:00:fa:00:01\n"
        " \\ net9: index=0,type=tap,ifname=tap9,script=no,downscript=no\n"
        "alone: index=0,type=nic,model=e1000,macaddr=52:54:00:fa:00:02\n"
    )
    found = answers.joined_nics(HAND, answers.nics_by_text(text), {"late"})
    assert found == (
        GuestNic("nic1", "virtio-net-pci", "52:54:00:fa:00:00", "net0", "user"),
        GuestNic("late", "e1000", "52:54:00:fa:00:01", "net9", "tap", "tap9", hot_plugged=True),
        GuestNic("alone", "e1000", "52:54:00:fa:00:02"),
    )


def test_what_was_plugged_and_unplugged() -> None:
    named = answers.children_by_text("type (string)\nnic1 (child<virtio-net-pci>)\nr1 (child<virtio-rng-pci>)\n")
    nameless = answers.children(
        [
            {"name": "type", "type": "string"},
            {"name": "device[0]", "type": "child<virtio-rng-pci>"},
            {"name": "device[1]", "type": "child<virtio-blk-pci>"},
            {"name": "device[2]", "type": "child<virtio-blk-pci>"},
        ]
    )
    later, gone = answers.plugged(HAND, named, nameless)
    assert later == (
        GuestDevice("r1", "virtio-rng-pci"),
        GuestDevice("/machine/peripheral-anon/device[2]", "virtio-blk-pci"),
    )
    assert gone == ("gone",)
    made_by_others = HAND.plus(argv.Option("-virtfs", "local,path=/x"))
    assert [one.device for one in answers.plugged(made_by_others, named, nameless)[0]] == ["r1"]


def test_jobs() -> None:
    job = {"id": "a", "type": "mirror", "status": "ready", "current-progress": 3, "total-progress": 9}
    assert answers.jobs_by_qmp([job, {"id": "b", "type": "x", "error": "no"}]) == (
        GuestJob("a", "mirror", "ready", 3, 9),
        GuestJob("b", "x", error="no"),
    )
    text = (
        "Streaming device d0: Completed 1 of 2 bytes, speed limit 0 bytes/s\n"
        "Type mirror, device ide0-hd0: Completed 65536 of 134217728 bytes, speed limit 1 bytes/s\n"
    )
    assert answers.jobs_by_hmp(text) == (
        GuestJob("d0", "stream", "running", 1, 2),
        GuestJob("ide0-hd0", "mirror", "running", 65536, 134217728),
    )
    assert answers.jobs_by_hmp("No active jobs\n") == ()


@pytest.mark.parametrize(
    ("text", "state", "reasons"),
    [
        ("globals:\nstore-global-state: on\nonly-migratable: off\n", "", ()),
        ("globals:\nx: on\nMigration status: pre-switchover\ntotal time: 1 ms\n", "pre-switchover", ()),
        (
            "globals:\nx: on\nOutgoing migration blocked:\n  Migration is disabled when using feature 'peer mode'\n  two\n",
            "",
            ("Migration is disabled when using feature 'peer mode'", "two"),
        ),
    ],
)
def test_migration(text: str, state: str, reasons: tuple[str, ...]) -> None:
    assert answers.migration_by_hmp(text) == (state, reasons)


def test_words() -> None:
    assert answers.status_by_hmp("VM status: running\n") == "running"
    assert answers.status_by_hmp("VM status: paused (inmigrate)\n") == "inmigrate"
    assert answers.status_by_hmp("unknown command") == ""
    assert answers.machine_name('"pc-i440fx-10.0-machine"\n') == "pc-i440fx-10.0"
    assert answers.cpu_name("qemu64-x86_64-cpu") == "qemu64"
    assert answers.cpu_name('"Skylake-Client-v1-x86_64-cpu"') == "Skylake-Client-v1"
    assert answers.cpu_name("cortex-a57-arm-cpu") == "cortex-a57"
    assert answers.cpu_name("ICH9-LPC") == ""
