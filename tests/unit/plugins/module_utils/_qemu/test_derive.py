# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The destination's command line: what the guest sees stays word by word, what the host has is mapped."""

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import words
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import Option
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.derive import Seen, derive
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping

QEMU = "qemu-system-x86_64"
IMAGES = {"/srv/a.qcow2": ("/data/a.qcow2", "qcow2"), "/home/x/b,c.img": ("/data/b,c.img", "raw")}


def derived(*argv: str, mapping: dict[str, object] | None = None, **seen: object) -> tuple[str, ...]:
    told = Seen("pc-q35-7.2", IMAGES, **seen)  # type: ignore[arg-type]
    return derive(
        [QEMU, "-machine", "q35,accel=tcg", *argv], "/home/x", GuestMapping.from_user(mapping or {}), told
    ).argv[3:]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("-drive", "file=/srv/a.qcow2,if=virtio,id=d"), ("-drive", "file=/data/a.qcow2,format=qcow2,if=virtio,id=d")),
        (("-drive", "file=/srv/a.qcow2,format=qcow2"), ("-drive", "file=/data/a.qcow2,format=qcow2")),
        (("-hda", "b,c.img"), ("-drive", "file=/data/b,,c.img,format=raw,index=0,media=disk")),
        (("b,c.img",), ("-drive", "file=/data/b,,c.img,format=raw,index=0,media=disk")),
        (
            ("-blockdev", '{"driver":"qcow2","file":{"driver":"file","filename":"/srv/a.qcow2"}}'),
            ("-blockdev", '{"driver":"qcow2","file":{"driver":"file","filename":"/data/a.qcow2"}}'),
        ),
        (("-blockdev", "driver=file,filename=/srv/a.qcow2"), ("-blockdev", "file,filename=/data/a.qcow2")),
        (("-incoming", "defer", "-S", "-daemonize", "-enable-kvm"), ("-enable-kvm",)),
        (("-netdev", "tap,id=n,ifname=tap1,script=no"), ("-netdev", "tap,id=n,ifname=tap9,script=no")),
        (("-nic", "bridge,br=br0"), ("-nic", "bridge,br=br7")),
        (("-netdev", "user,id=n,hostfwd=tcp::2222-:22"), ("-netdev", "user,id=n,hostfwd=tcp::2223-:22")),
        (("-vnc", ":1"), ("-vnc", ":8")),
        (("-vnc", "10.0.0.1:1,password=on"), ("-vnc", "10.0.0.2:8,password=on")),
        (("-monitor", "unix:/run/vm/hmp,server=on"), ("-monitor", "unix:/run/other/hmp,server=on")),
        (("-serial", "telnet:10.0.0.1:2222,server=on"), ("-serial", "telnet:10.0.0.2:2223,server=on")),
        (("-chardev", "socket,id=c,path=/run/vm/c,server=on"), ("-chardev", "socket,id=c,path=/run/other/c,server=on")),
        (("-pidfile", "vm.pid"), ("-pidfile", "/home/x/vm.pid")),
        (("-append", "root=/srv/a.qcow2 a,b"), ("-append", "root=/srv/a.qcow2 a,b")),
        (
            ("-name", "/run/vm", "-smbios", "type=1,serial=/run/vm"),
            ("-name", "/run/vm", "-smbios", "type=1,serial=/run/vm"),
        ),
        (("-device", "virtio-net-pci,mac=52:54:00:00:00:01"), ("-device", "virtio-net-pci,mac=52:54:00:00:00:01")),
        (("-qmp", "unix:/run/virtops-kvm/guests/ab/qmp.sock,server=on"), ()),
    ],
)
def test_word_by_word(given: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    mapping = {
        "paths": {"/run/vm": "/run/other"}, "taps": {"tap1": "tap9"}, "bridges": {"br0": "br7"}, "ports": {"2222": 2223, 5901: 5908},
        "addresses": {"10.0.0.1": "10.0.0.2"},
    }  # fmt: skip
    assert derived(*given, mapping=mapping) == wanted


def test_the_machine_gets_its_version_and_the_emulator_its_path() -> None:
    found = derive(
        [QEMU, "-M", "pc,usb=off", "-m", "1G"],
        "/",
        GuestMapping.from_user({"emulator": "/opt/q"}),
        Seen("pc-i440fx-10.0"),
    )
    assert found.argv == ("/opt/q", "-M", "pc-i440fx-10.0,usb=off", "-m", "1G")
    bare = derive([QEMU, "-m", "1G"], "/", GuestMapping(), Seen("pc-i440fx-10.0"))
    assert bare.argv[1:3] == ("-machine", "pc-i440fx-10.0")


def test_media_go_and_devices_come_and_go() -> None:
    found = derived(
        "-cdrom", "/iso/a.iso", "-device", "virtio-rng-pci,id=gone",
        ejected=frozenset({"/iso/a.iso"}), added=[Option("-device", "usb-tablet,id=t")], removed=frozenset({"gone"}),
    )  # fmt: skip
    assert found == ("-drive", "index=2,media=cdrom", "-device", "usb-tablet,id=t")


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("-drive", "file=/a,snapshot=on"), "snapshot"),
        (("-snapshot",), "snapshot"),
        (("-netdev", "tap,id=n,fd=3"), "opened before"),
        (("-add-fd", "fd=3,set=1"), "opened before"),
        (("-virtfs", "local,path=/srv"), "folder"),
        (("-device", "vfio-pci,host=01:00.0"), "hands a device"),
    ],
)
def test_what_cannot_follow_is_said(argv: tuple[str, ...], why: str) -> None:
    found = derive([QEMU, *argv], "/", GuestMapping(), Seen("pc"))
    assert [problem for problem in found.problems if why in problem]


def test_needs_and_places() -> None:
    found = derive(
        [QEMU, "-kernel", "/boot/k", "-serial", "file:/var/log/vm/c", "-netdev", "tap,ifname=t0,script=/etc/up", "-pidfile", "/run/v/p"],
        "/", GuestMapping(), Seen("pc"),
    )  # fmt: skip
    assert found.needs == ("/boot/k", "/etc/up")
    assert found.places == ("/run/v", "/var/log/vm")
    assert found.taps == ("t0",)


@pytest.mark.parametrize(
    "mapping",
    [
        {"pools": {}},
        {"ports": {"a": 1}},
        {"ports": {1: 70000}},
        {"taps": {"a": "b,c=d"}},
        {"addresses": {"a": "b,c"}},
        {"taps": []},
    ],
)
def test_a_useless_mapping_is_refused(mapping: dict[str, object]) -> None:
    with pytest.raises(InputError):
        GuestMapping.from_user(mapping)


def test_who_it_is_and_where_it_listens() -> None:
    argv = [
        QEMU, "-name", "guest=web,debug-threads=on", "-uuid", "ABC", "-monitor", "unix:/h,server,nowait", "-chardev",
        "socket,id=q,path=/q,server=on,wait=off", "-mon", "chardev=q,mode=control", "-qmp", "tcp:localhost:4444,server=on,wait=off",
        "-qmp", "unix:/client",
    ]  # fmt: skip
    assert (words.name_of(argv), words.uuid_of(argv)) == ("web", "abc")
    assert words.name_of([QEMU, "-name", "db,process=x"]) == "db"
    assert words.monitors_of(argv) == [("qmp", "unix:/q"), ("qmp", "tcp:localhost:4444"), ("hmp", "unix:/h")]
