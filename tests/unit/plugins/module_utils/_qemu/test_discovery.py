# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes in a /proc of our own making; what makes one libvirt's, and what does not."""

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import GuestProcess
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import argv, discovery
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import Address

STAT = "{pid} (qemu (x) 1) {state} {parent} 251 251 0 -1 138412416 14125 0 1 0 281 52 0 0 20 0 4 0 {ticks} 0 0"
CGROUP = "9:name=systemd:/\n8:pids:/\n0::/system.slice/guest-one.service\n"


def make(
    proc: pathlib.Path, pid: int, words: list[str], *, exe: str = "/usr/bin/qemu-system-x86_64", state: str = "S"
) -> None:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "fdinfo").mkdir()
    (folder / "ns").mkdir()
    (folder / "net").mkdir()
    (folder / "task").mkdir()
    for thread in (pid, pid + 1, pid + 2):
        (folder / "task" / str(thread)).mkdir()
    (folder / "exe").symlink_to(exe)
    (folder / "cwd").symlink_to("/srv/vm")
    (folder / "cmdline").write_text("".join(f"{word}\0" for word in words))
    (folder / "stat").write_text(STAT.format(pid=pid, state=state, parent=1, ticks=200))
    (folder / "status").write_text("Name:\tqemu\nUid:\t0\t0\t0\t0\nGid:\t0\t4000001\t0\t0\n")
    (folder / "cgroup").write_text(CGROUP)
    (folder / "ns" / "net").symlink_to("net:[2]")
    (folder / "ns" / "mnt").symlink_to("mnt:[1]")
    for number, target in enumerate(("/dev/null", "/img/a b.raw", "/dev/net/tun", "socket:[70]", "/img/a b.raw")):
        (folder / "fd" / str(number)).symlink_to(target)
    (folder / "fdinfo" / "2").write_text("pos:\t0\niff:\ttap7\n")
    (folder / "net" / "unix").write_text("Num\n0: 00000002 00000000 00010000 0001 01 70 q.sock\n")


@pytest.fixture
def proc(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "self" / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns" / "net").symlink_to("net:[1]")
    (tmp_path / "self" / "ns" / "mnt").symlink_to("mnt:[1]")
    (tmp_path / "stat").write_text("cpu 1\nbtime 1000\n")
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "comm").write_text("systemd\n")
    make(tmp_path, 20, ["qemu-system-x86_64", "-name", "one"])
    return tmp_path


def test_only_system_emulators_are_found(proc: pathlib.Path) -> None:
    make(proc, 30, ["/usr/libexec/qemu-kvm", ""], exe="/usr/libexec/qemu-kvm (deleted)")
    make(proc, 40, ["qemu-img", "info"], exe="/usr/bin/qemu-img")
    make(proc, 50, ["vim", "qemu-system-x86_64"], exe="/usr/bin/vim")
    make(proc, 60, [], exe="/usr/bin/qemu-system-x86_64")
    assert discovery.pids(str(proc)) == [20, 30]
    assert discovery.words_of(30, str(proc)) == ("/usr/libexec/qemu-kvm", "")


def test_what_the_kernel_tells(proc: pathlib.Path) -> None:
    found = discovery.read_process(20, str(proc))
    assert found == GuestProcess(
        20,
        "/usr/bin/qemu-system-x86_64",
        ("qemu-system-x86_64", "-name", "one"),
        state="S",
        started=1000 + 200 / os.sysconf("SC_CLK_TCK"),
        user="root",
        group="4000001",
        directory="/srv/vm",
        cgroup="/system.slice/guest-one.service",
        unit="guest-one.service",
        parent_pid=1,
        parent="systemd",
        namespaces=("net",),
        files=("/img/a b.raw",),
        taps=("tap7",),
    )
    assert discovery.sockets_of(20, str(proc)) == {3: Address("unix", path="q.sock")}
    assert not discovery.not_started(20, str(proc))


@pytest.mark.parametrize("state", ["Z", "X"])
def test_a_dead_process_is_none(proc: pathlib.Path, state: str) -> None:
    make(proc, 70, ["qemu-kvm"], state=state)
    assert discovery.read_process(70, str(proc)) is None
    assert discovery.read_process(71, str(proc)) is None


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("/system.slice/guest-one.service", "guest-one.service"),
        ("/user.slice/user-0.slice/session-2.scope", "session-2.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/vm.service", "vm.service"),
        ("/", ""),
    ],
)
def test_units(cgroup: str, unit: str) -> None:
    assert discovery.parse_cgroup(f"1:cpu:/x\n0::{cgroup}\n") == cgroup
    assert discovery.unit_of(cgroup) == unit


def test_the_group_of_systemd_where_there_is_no_unified_one() -> None:
    assert discovery.parse_cgroup("2:cpu:/a\n1:name=systemd:/b/c.service\n") == "/b/c.service"
    assert discovery.parse_cgroup("") == ""


LIBVIRTS = ["kvm", "-name", "guest=web,debug-threads=on", "-chardev", "socket,id=charmonitor,fd=22,server=on,wait=off"]


@pytest.mark.parametrize(
    ("pid", "cgroup", "words", "bound", "evidence"),
    [
        (9, "/", ["kvm"], [], "libvirt has a pid file for it"),
        (8, "/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/emulator", ["kvm"], [], "control group"),
        (8, "/machine/qemu-1-web.libvirt-qemu", ["kvm"], [], "control group"),
        (8, "/", LIBVIRTS, ["/var/lib/libvirt/qemu/domain-1-web/monitor.sock"], "its monitor is libvirt's"),
        (8, "/", LIBVIRTS, ["/home/u/.config/libvirt/qemu/lib/domain-1-web/monitor.sock"], "its monitor is libvirt's"),
        (
            8,
            "/",
            ["kvm", "-qmp", "unix:/var/lib/libvirt/qemu/qmp-A1/qmp.monitor,server"],
            [],
            "its monitor is libvirt's",
        ),
        (8, "/system.slice/libvirt-guest.service", LIBVIRTS, ["/run/web/monitor.sock"], ""),
        (8, "/", ["kvm", "-hda", "/var/lib/libvirt/images/x"], ["/var/lib/libvirt/qemu-mine.sock"], ""),
    ],
)
def test_what_is_libvirts(pid: int, cgroup: str, words: list[str], bound: list[str], evidence: str) -> None:
    process = GuestProcess(pid, "kvm", tuple(words), cgroup=cgroup)
    found = discovery.libvirt_evidence(process, argv.parse(words), bound, {9})
    assert (evidence in found) if evidence else found == ""


def test_pids_that_libvirt_wrote_down(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web.pid").write_text("12\n")
    (tmp_path / "broken.pid").write_text("x")
    assert discovery.recorded_pids([f"{tmp_path}/*.pid", "/nowhere/*.pid"]) == {12}


def test_bytes_of_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 5000)
    assert (discovery.allocated(str(tmp_path / "a")) or 0) >= 5000
    assert discovery.allocated(str(tmp_path)) is None
    assert discovery.allocated(str(tmp_path / "none")) is None
