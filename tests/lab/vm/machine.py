# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A vm host's QEMU: its command line, its monitor, and the memory of a booted host from which others start at once."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..rootfs import rootfs
from ..shell import LabError, run
from .tree import Base

MEMORY_MIB = 1024
CPUS = 2
TRANSLATED_MIB = 512  # of translated code that QEMU keeps
DISKS = ("root", "images", "data")  # vda, vdb, vdc
QEMU_SUITE = "trixie"  # the emulator comes from a host's root file system: known, and the same on every machine
FIRST_SLOT = 3
# Whatever else runs on the machine goes first, but not alone: a host without any time for half a minute loses its connections.
POLITE = ("nice", "-n", "5")
KERNEL_WORDS = (
    "console=ttyS0", "quiet", "mitigations=off", "net.ifnames=0", "audit=0", "apparmor=0", "nowatchdog",
    "random.trust_cpu=on", "cryptomgr.notests", "systemd.show_status=0", "systemd.default_timeout_start_sec=900",
    "systemd.default_device_timeout_sec=900",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """Files and names that one QEMU needs."""

    name: str
    base: Base
    disks: dict[str, Path]
    nic: str
    monitor: Path
    console: Path
    kvm: bool = False

    def command(self, memory: Path | None = None) -> list[str]:
        """The command line; with `memory` it goes on where that was saved."""
        words = [*POLITE, *emulator(), "-name", self.name, *board(self.kvm)]
        words += ["-kernel", str(self.base.kernel), "-initrd", str(self.base.initrd), "-append", " ".join(KERNEL_WORDS)]
        words += ["-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console"]
        words += ["-qmp", f"unix:{self.monitor},server=on,wait=off"]
        for slot, name in enumerate(DISKS, FIRST_SLOT):
            words += ["-blockdev", json.dumps(disk_node(name, self.disks[name]))]
            words += ["-device", f"virtio-blk-pci,id={name},drive={name},addr={slot:#x}"]
        for slot, (net, tap, mac) in enumerate(
            (("lan", "lan0", self.nic), ("way", "way0", "52:54:00:00:00:07")), FIRST_SLOT + len(DISKS)
        ):
            words += ["-netdev", f"tap,id={net},ifname={tap},script=no,downscript=no"]
            words += ["-device", f"virtio-net-pci,id={net},netdev={net},mac={mac},romfile=,addr={slot:#x}"]
        words += ["-device", f"virtio-rng-pci,addr={FIRST_SLOT + len(DISKS) + 2:#x}"]
        return words + (["-incoming", f"file:{memory}"] if memory else [])


def emulator() -> list[str]:
    """QEMU out of the cached root file system, with that system's own loader and libraries."""
    root = rootfs(QEMU_SUITE)
    libraries = root / "usr/lib/x86_64-linux-gnu"
    return [
        str(root / "lib64/ld-linux-x86-64.so.2"), "--library-path", f"{libraries}:{libraries.parent}",
        str(root / "usr/bin/qemu-system-x86_64"), "-L", str(root / "usr/share/seabios"), "-L", str(root / "usr/share/qemu"),
    ]  # fmt: skip


def board(kvm: bool) -> list[str]:
    accelerator = ["kvm"] if kvm else ["tcg,thread=multi,tb-size=" + str(TRANSLATED_MIB)]
    return [
        "-machine", "pc-i440fx-10.0,hpet=off,vmport=off,usb=off", "-accel", *accelerator,
        "-cpu", "host" if kvm else "max", "-smp", str(CPUS), "-m", str(MEMORY_MIB),
        "-nodefaults", "-no-user-config", "-display", "none", "-rtc", "base=utc",
    ]  # fmt: skip


def disk_node(name: str, path: Path) -> dict[str, Any]:
    """A power cut ends QEMU, not this machine, so nothing has to be on its disk: what QEMU has handed over is safe."""
    cache = {"no-flush": True}
    file = {"driver": "file", "filename": str(path), "discard": "unmap", "cache": cache}
    return {"driver": "qcow2", "node-name": name, "discard": "unmap", "cache": cache, "file": file}


def shape_digest(base: Base, kvm: bool) -> str:
    """Two machines of the same digest can go on from the same memory."""
    release = json.dumps([str(rootfs(QEMU_SUITE)), base.path.name, KERNEL_WORDS, board(kvm), DISKS])
    return hashlib.sha256((release + inspect.getsource(Machine) + inspect.getsource(disk_node)).encode()).hexdigest()[
        :12
    ]


def make_overlay(path: Path, backing: Path, format: str) -> None:
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(backing), "-F", format, str(path)])


def make_disk(path: Path, size_mib: int, filesystem: str | None = None) -> None:
    """An empty disk, with a file system if asked (made in a raw file first: nothing has to be mounted)."""
    if filesystem is None:
        run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), f"{size_mib}M"])
        return
    raw = path.with_name(path.name + ".raw")
    with raw.open("wb") as file:
        file.truncate(size_mib << 20)
    run(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal,^metadata_csum", "-L", filesystem, str(raw)])
    run(["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", str(raw), str(path)])
    raw.unlink()


class Monitor:
    """QMP, as far as the lab needs it: one connection per use."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(120)
        self.sock.connect(str(path))
        self.file = self.sock.makefile("r", encoding="utf-8")
        self._read()
        self.ask("qmp_capabilities")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_error: object) -> None:
        self.sock.close()

    def _read(self) -> dict[str, Any]:
        line = self.file.readline()
        if not line:
            raise LabError("the monitor of a vm host was closed")
        return dict(json.loads(line))

    def ask(self, command: str, **arguments: Any) -> Any:
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = self._read()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise LabError(f"QMP {command}: {answer['error']['desc']}")

    def resume(self, timeout: float = 600) -> None:
        """Let a machine run that has taken its memory in; it was stopped when that was saved, and stays so."""
        deadline = time.monotonic() + timeout
        while self.ask("query-status")["status"] == "inmigrate":
            if time.monotonic() > deadline:
                raise LabError("a vm host did not take its memory in")
            time.sleep(0.1)
        self.ask("cont")

    def save_memory(self, path: Path, timeout: float = 600) -> None:
        """Stop the machine and write its memory and devices to a file."""
        self.ask("stop")
        self.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.ask("migrate", uri=f"file:{path}")
        deadline = time.monotonic() + timeout
        while True:
            seen = self.ask("query-migrate")
            if seen.get("status") == "completed":
                return
            if seen.get("status") in ("failed", "cancelled") or time.monotonic() > deadline:
                raise LabError(f"the memory of a vm host was not saved: {json.dumps(seen)[:500]}")
            time.sleep(0.1)


def client(words: list[str]) -> list[str]:
    """The command line that runs `words` on the host whose network namespace it is started in."""
    return [sys.executable, str(Path(__file__).with_name("client.py")), *words]


def safe_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)
