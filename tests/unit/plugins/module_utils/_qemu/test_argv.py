# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QEMU's command line: read as QEMU reads it, written back as it was, and what it says about a guest."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import argv, argvread
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import Keys, Option, parse_keys, render_keys

#: Every style at once, as nobody would write it.
WORDS = [
    "/usr/bin/qemu-system-x86_64", "-name", "guest=a,, b,debug-threads=on", "--machine", "q35,accel=kvm:tcg", "-M", "smm=off",
    "-m", "size=1G,slots=2,maxmem=2G", "-smp", "sockets=2,cores=3", "-S", "-uuid", "2fdb2c4b-f5af-5a34-a48e-11b76a92cfbc",
    "-hda", "/img/one, two=3", "-drive", "file=/img/c,,d=e.raw,format=raw,if=none,id=d1,readonly",
    "-device", "virtio-blk-pci,drive=d1,id=disk1", "-blockdev", "driver=file,node-name=f0,filename=/img/g.qcow2",
    "-blockdev", '{"driver": "qcow2", "node-name": "n0", "file": "f0", "read-only": true}',
    "-device", '{"driver": "scsi-hd", "drive": "n0", "id": "disk2"}',
    "-blockdev", "driver=raw,node-name=n1,file.driver=file,file.filename=/iso", "-device", "ide-cd,drive=n1,id=cd",
    "-cdrom", "", "-drive", "if=pflash,file=/fw", "-netdev", "tap,id=net0,ifname=tap7,script=no",
    "-device", "virtio-net-pci,netdev=net0,mac=52:54:00:AA:00:00", "-nic", "user,model=e1000,hostfwd=tcp::1-:2,hostfwd=tcp::3-:4",
    "-nic", "none", "-net", "nic,model=rtl8139,macaddr=52:54:00:00:00:09", "-net", "user",
    "-append", "a=b,c", "-daemonize", "-incoming", "defer", "/img/last",
]  # fmt: skip


def test_words_come_back_as_they_were() -> None:
    line = argv.parse(WORDS)
    assert line.words() == WORDS
    assert line.program == "/usr/bin/qemu-system-x86_64"
    assert [option.name for option in line.options if option.value is None] == ["S", "daemonize"]
    assert [option.value for option in line.options if option.name == ""] == ["/img/last"]
    assert (line.last("append"), line.last("nothing"), line.has("S")) == ("a=b,c", "", True)
    assert argv.parse([]).words() == [""]
    assert argv.parse(["kvm", "-drive"]).words() == ["kvm", "-drive"]


def test_a_line_is_changed_without_touching_the_rest() -> None:
    line = argv.parse(["kvm", "-S", "-hda", "/a", "-m", "96"])

    def moved(option: Option) -> Option | None:
        return Option(option.word, "/b") if option.name == "hda" else option

    changed = line.without("S").mapped(moved).plus(Option("-incoming", "defer"))
    assert changed.words() == ["kvm", "-hda", "/b", "-m", "96", "-incoming", "defer"]
    assert line.mapped(lambda option: None).words() == ["kvm"]


@pytest.mark.parametrize(
    ("text", "implied", "pairs", "again"),
    [
        ("pc", "type", [("type", "pc")], "pc"),
        ("a,,b=c,d=e", "guest", [("guest", "a,b=c"), ("d", "e")], "guest=a,,b=c,d=e"),
        ("file=/x,,y,readonly,nowait", "", [("file", "/x,y"), ("readonly", "on"), ("wait", "off")], None),
        ("tcp::1-:2", "", [("tcp::1-:2", "on")], None),
        ("a=1,a=2", "", [("a", "1"), ("a", "2")], "a=1,a=2"),
        ('{"a": {"b": [true, 2]}, "c": null}', "", [("a.b.0", "on"), ("a.b.1", "2"), ("c", "")], None),
        ("{no json", "x", [("x", "{no json")], "{no json"),
    ],
)
def test_lists_of_keys(text: str, implied: str, pairs: list[tuple[str, str]], again: str | None) -> None:
    keys = parse_keys(text, implied)
    assert list(keys.pairs) == pairs
    written = render_keys(keys, implied)
    assert again is None or written == again
    assert parse_keys(written, implied) == keys


def test_keys() -> None:
    keys = Keys((("a", "1"), ("b", "on"), ("a", "2")))
    assert (keys.get("a"), keys.all("a"), keys.get("c", "x"), "b" in keys, "c" in keys) == (
        "2",
        ("1", "2"),
        "x",
        True,
        False,
    )
    assert keys.having("b", "off").is_on("b") is False
    assert keys.having("c", "3").pairs[-1] == ("c", "3")
    assert keys.without("a").pairs == (("b", "on"),)
    assert keys.is_on("nothing", default=True)


def test_options_change_in_either_form() -> None:
    assert Option("-drive", "file=/a,if=virtio").having("file", "/b,c").value == "file=/b,,c,if=virtio"
    assert Option("-netdev", "tap,id=n").having("ifname", "t").value == "tap,id=n,ifname=t"
    changed = Option("-blockdev", '{"driver": "raw", "file": {"filename": "/a"}, "x": [1]}')
    assert changed.having("file.filename", "/b").keys.get("file.filename") == "/b"
    assert changed.having("x.0", "2").keys.get("x.0") == "2"


def test_what_it_says_about_the_guest() -> None:
    line = argv.parse(WORDS)
    assert argvread.name_of(line) == "a, b"
    assert argvread.machine_of(line) == "q35"
    assert argvread.accelerator_of(line) == "kvm"
    assert argvread.memory_of(line) == 1 << 30
    assert argvread.vcpus_of(line) == 6
    found = [
        (disk.style, disk.device, disk.drive, disk.node, disk.source, disk.format, disk.readonly, disk.removable)
        for disk in argvread.disks_of(line)
    ]
    assert found == [
        ("hda", "", "", "", "/img/one, two=3", None, False, False),
        ("drive", "disk1", "d1", "", "/img/c,d=e.raw", "raw", True, False),
        ("blockdev", "disk2", "", "n0", "/img/g.qcow2", "qcow2", True, False),
        ("blockdev", "cd", "", "n1", "/iso", "raw", True, True),
        ("cdrom", "", "", "", None, None, True, True),
        ("hda", "", "", "", "/img/last", None, False, False),
    ]
    nics = [(nic.model, nic.mac, nic.backend, nic.interface) for nic in argvread.nics_of(line)]
    assert nics == [
        ("virtio-net-pci", "52:54:00:aa:00:00", "tap", "tap7"),
        ("e1000", "", "user", ""),
        ("rtl8139", "52:54:00:00:00:09", "hub", ""),
    ]


@pytest.mark.parametrize(
    ("words", "memory", "vcpus", "accelerator"),
    [
        ([], 128 << 20, 1, "tcg"),
        (["-m", "4G", "-smp", "4,maxcpus=8", "-enable-kvm"], 4 << 30, 4, "kvm"),
        (["-m", "1024", "-smp", "maxcpus=3", "-accel", "kvm", "-accel", "tcg"], 1 << 30, 3, "kvm"),
        (["-m", "0.5g", "-smp", "cpus=2,sockets=1", "-machine", "pc,accel=tcg"], 1 << 29, 2, "tcg"),
        (["-m", "??"], 0, 1, "tcg"),
    ],
)
def test_resources(words: list[str], memory: int, vcpus: int, accelerator: str) -> None:
    line = argv.parse(["kvm", *words])
    assert (argvread.memory_of(line), argvread.vcpus_of(line), argvread.accelerator_of(line)) == (
        memory, vcpus, accelerator,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "kind", "address"),
    [
        (["-monitor", "unix:/run/a,, b,server,nowait"], "hmp", "unix:/run/a, b"),
        (["-qmp", "unix:rel.sock,server=on,wait=off"], "qmp", "unix:rel.sock"),
        (["-qmp-pretty", "tcp::4444,server=on"], "qmp", "tcp:127.0.0.1:4444"),
        (["-monitor", "tcp:[::1]:4444,server"], "hmp", "tcp:[::1]:4444"),
        (["-chardev", "socket,id=m,path=/m,server=on", "-mon", "m"], "hmp", "unix:/m"),
        (["-chardev", "socket,id=m,host=::1,port=5,server=on", "-mon", "chardev=m,mode=control"], "qmp", "tcp:[::1]:5"),
        (["-chardev", "socket,id=m,path=x,abstract=on,server=on", "-qmp", "chardev:m"], "qmp", "unix:@x"),
        (["-monitor", "stdio"], "hmp", "it is not on a socket"),
        (["-monitor", "telnet::5,server"], "hmp", "it speaks the telnet protocol"),
        (["-monitor", "unix:/x"], "hmp", "QEMU connects to somebody there, nobody can connect to it"),
        (["-mon", "chardev=gone"], "hmp", "it is not on a socket"),
        (["-serial", "mon:stdio"], "hmp", "it shares its device with the guest's serial port"),
        (["-chardev", "socket,id=m,fd=7,server=on", "-mon", "chardev=m,mode=control"], "qmp", "QEMU was given it open"),
        (["-qmp", "tcp:x:y,server"], "qmp", "its address cannot be understood"),
    ],
)
def test_monitors(words: list[str], kind: str, address: str) -> None:
    [place] = argvread.monitors_of(argv.parse(["kvm", *words]))
    assert (place.kind, str(place.address) if place.address else place.why) == (kind, address)


def test_no_monitor() -> None:
    assert argvread.monitors_of(argv.parse(["kvm", "-monitor", "none", "-serial", "stdio"])) == ()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["-object", "secret,id=s,data=a,,b,format=raw"], ["-object", "secret,id=s,data=***,format=raw"]),
        (["-object", '{"qom-type": "secret", "data": "x\\"y"}'], ["-object", '{"qom-type": "secret", "data": "***"}']),
        (["-drive", "file=https://me:pass@host/x"], ["-drive", "file=https://me:***@host/x"]),
        (["-spice", "port=1,password=geheim"], ["-spice", "port=1,password=***"]),
        (["-vnc", ":1,password=on"], ["-vnc", ":1,password=on"]),
        (["-drive", "file=/data=1"], ["-drive", "file=/data=1"]),
    ],
)
def test_secrets_are_not_shown(words: list[str], shown: t.Any) -> None:
    assert argvread.redacted(words) == shown
