# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who uses a device: the judgement on facts, and how the facts are parsed."""

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.mounts import Mount
from ansible_collections.virtops.kvm.plugins.module_utils._disk import inuse
from ansible_collections.virtops.kvm.plugins.module_utils._disk.device import Node, Place

DISK = Node("8:0", "sda", partitions=("8:1", "8:2"))
PART = Node("8:1", "sda1", parent="8:0")
OTHER = Node("8:2", "sda2", parent="8:0")
NODES = {node.numbers: node for node in (DISK, PART, OTHER)}


def facts(**values: object) -> inuse.Facts:
    return inuse.Facts(**{"nodes": NODES, **values})  # type: ignore[arg-type]


def mount(device: str, source: str = "/dev/sda1") -> Mount:
    return Mount("/mnt", "ext4", source, device, "/")


READER = inuse.Opened("8:1", 7, "blkid", writes=False)
WRITER = inuse.Opened("8:1", 8, "qemu-system-x86, guest web", writes=True)


@pytest.mark.parametrize(
    ("node", "found", "writing", "kinds"),
    [
        (PART, facts(), True, []),
        (PART, facts(mounts=(mount("8:1"),)), False, ["mount"]),
        # btrfs shows a device number of its own; what is mounted tells.
        (PART, facts(mounts=(mount("0:42"),), sources={"/dev/sda1": "8:1"}), False, ["mount"]),
        (DISK, facts(mounts=(mount("8:1"),)), False, ["mount"]),
        (OTHER, facts(mounts=(mount("8:1"),)), True, []),
        (PART, facts(mounts=(mount("8:0"),)), True, ["mount"]),
        (PART, facts(swaps={"8:1": "/dev/sda1"}), False, ["swap"]),
        (PART, facts(nodes={**NODES, "8:1": Node("8:1", "sda1", holders=("dm-0 (vg-lv)",))}), False, ["holder"]),
        (DISK, facts(nodes={**NODES, "8:1": Node("8:1", "sda1", holders=("md0",))}), False, ["holder"]),
        (PART, facts(loops={"8:1": "loop3"}), False, ["loop"]),
        (PART, facts(opened=(READER,)), False, []),
        (PART, facts(opened=(READER,)), True, ["process"]),
        (PART, facts(opened=(WRITER, WRITER)), False, ["process"]),
        (DISK, facts(opened=(WRITER,)), False, ["process"]),
        (OTHER, facts(opened=(WRITER,)), True, []),
        (PART, facts(attached=(inuse.Attached("web", "vda", "/dev/x", "8:1"),)), False, ["domain"]),
        (PART, facts(attached=(inuse.Attached("web", "vda", "/x.img", None),)), True, []),
    ],
)
def test_uses(node: Node, found: inuse.Facts, writing: bool, kinds: list[str]) -> None:
    assert [use.kind for use in inuse.find_uses(node, found, writing=writing)] == kinds


def test_the_error_names_device_use_and_cure() -> None:
    uses = inuse.find_uses(PART, facts(mounts=(mount("8:1"),), opened=(WRITER,)), writing=False)
    error = inuse.in_use("/dev/sda1", uses)
    assert error.error_code == "DEVICE_IN_USE"
    assert "mounted on /mnt (ext4)" in error.message
    assert "process 8 (qemu-system-x86, guest web)" in error.message
    assert [use["kind"] for use in error.details["uses"]] == ["mount", "process"]


def test_swap_areas_are_parsed() -> None:
    text = "Filename\t\tType\n/dev/sda2   partition 10 0 -2\n/srv/my\\040swap file 10 0 -3\n"
    assert inuse.parse_swaps(text) == ["/dev/sda2", "/srv/my swap"]
    assert inuse.parse_swaps("") == []


RUNNING = """<domstatus state='running'><domain type='kvm'><name>wéb</name><devices>
<disk type='block' device='disk'><source dev='/dev/vg/lv'/><backingStore/><mirror><source file='/m.img'/></mirror>
<target dev='vda'/></disk><disk type='network'><source protocol='rbd' name='p/i'/><target dev='vdb'/></disk>
</devices></domain></domstatus>"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RUNNING, [("wéb", "vda", "/dev/vg/lv"), ("wéb", "vda", "/m.img")]),
        ("<domain><name>a</name><devices/></domain>", []),
        ("<networkstatus/>", []),
        ("<broken", []),
    ],
)
def test_running_domains_are_parsed(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert inuse.parse_running(text) == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/bin/qemu\0-name\0guest=web,,01,debug-threads=on\0-S\0", "qemu, guest web,01"),
        ("qemu\0-name\0old,process=x\0", "qemu, guest old"),
        ("blkid\0-p\0", "qemu"),
        ("qemu\0-name", "qemu"),
    ],
)
def test_a_guest_is_named_by_its_command_line(command: str, expected: str) -> None:
    assert inuse.program_of(command, "qemu") == expected


def test_nothing_is_read_where_there_is_nothing(tmp_path: pathlib.Path) -> None:
    empty = str(tmp_path)
    found = inuse.read_facts(PART, empty, empty, empty)
    assert inuse.find_uses(PART, found, writing=True) == []


def test_facts_are_read_from_proc_sys_and_libvirt(tmp_path: pathlib.Path) -> None:
    proc, sysfs, domains = tmp_path / "proc", tmp_path / "sys", tmp_path / "run"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "mountinfo").write_text("36 35 8:1 / /mnt rw - ext4 /dev/none rw\n", encoding="ascii")
    (proc / "9" / "fd").mkdir(parents=True)
    os.symlink("/dev/null", proc / "9" / "fd" / "3")
    (sysfs / "7:1" / "loop").mkdir(parents=True)
    (sysfs / "7:1" / "loop" / "backing_file").write_text("/nowhere\n", encoding="ascii")
    domains.mkdir()
    (domains / "web.xml").write_text(RUNNING, encoding="utf-8")
    (domains / "web.pid").write_text("9", encoding="ascii")
    found = inuse.read_facts(PART, str(proc), str(sysfs), str(domains))
    assert [use.kind for use in inuse.find_uses(PART, found, writing=True)] == ["mount"]
    assert [one.path for one in found.attached] == ["/dev/vg/lv", "/m.img"]
    assert (found.opened, found.loops, found.swaps) == ((), {}, {})


class Hurry(Clock):
    """Time that passes by waiting."""

    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def test_a_process_that_only_looks_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, place = Hurry(), Place("/dev/sda1", "/dev/sda1", "block", 512, PART)
    answers = iter([facts(opened=(READER,)), facts()])
    monkeypatch.setattr(inuse, "read_facts", lambda node: next(answers))
    inuse.check_free(place, writing=True, clock=clock)
    monkeypatch.setattr(inuse, "read_facts", lambda node: facts(opened=(READER,)))
    with pytest.raises(KvmError, match="blkid"):
        inuse.check_free(place, writing=True, clock=clock)
    waited = clock.time
    monkeypatch.setattr(inuse, "read_facts", lambda node: facts(mounts=(mount("8:1"),)))
    with pytest.raises(KvmError, match="mounted"):
        inuse.check_free(place, writing=True, clock=clock)
    assert clock.time == waited
