# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lab guests that are plain QEMU processes, started by a script of their own, as people write them; libvirt knows nothing of them."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host import Host
from ..shell import LabError, wait_for
from .assets import ON_HOST, ide_assets
from .guest import Guest
from .images import make_images, remove_file
from .shapes import Disk, Shape, disk_path, iso_path, kernel_options
from .talk import Talk, sockets

if TYPE_CHECKING:
    from ..lab import Lab

STYLES = ("drive", "hda", "blockdev")
MONITORS = ("qmp", "hmp", "both", "none")
IDE_ON_HOST = "/opt/lab-guest-ide"
FOLDER = "/run/lab"  # sockets, pid file, script and console of each guest


@dataclass(frozen=True)
class Bare(Shape):
    """What a script starts; the fields of a shape that only libvirt knows (uefi, tpm, start ...) have no effect."""

    style: str = "drive"
    monitor: str = "qmp"
    nic: str = "tap"  # tap (in br0, so that it beats), or user
    named: bool = True
    with_uuid: bool = True
    pidfile: bool = True
    unit: str | None = None  # started as this transient unit of systemd, else by a shell that ends
    extra: tuple[str, ...] = field(default=(), repr=False)  # more words for the command line


def bare_shape(**options: Any) -> Bare:
    """The shape with these fields; unknown ones are refused."""
    known = {one.name for one in fields(Bare)}
    unknown = sorted(set(options) - known)
    if unknown:
        raise LabError(f"a bare guest has no {', '.join(unknown)}")
    shape = replace(Bare(machine="pc"), **options)
    if shape.style not in STYLES or shape.monitor not in MONITORS:
        raise LabError(f"styles of bare guests: {', '.join(STYLES)}; monitors: {', '.join(MONITORS)}")
    return shape


def quoted(value: str) -> str:
    """A value in a list of QEMU's, where a comma is written twice."""
    return value.replace(",", ",,")


def has_ide_disks(shape: Bare) -> bool:
    """Whether the guest needs drivers for its disks. Debian's cloud kernel has those of `pc`, none for the SATA disks of `q35`."""
    return shape.style == "hda" and not shape.machine.startswith(("q35", "pc-q35"))


def bring_ide_kernel(lab: Lab) -> None:
    """Put kernel and initramfs of guests with IDE disks on every host, since a guest may move anywhere."""
    source = ide_assets()
    for host in lab.hosts:
        folder = host.root / IDE_ON_HOST.lstrip("/")
        if not (folder / source.name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("vmlinuz", "initrd"):
                shutil.copy(source / name, folder / name)
            (folder / source.name).touch()


def disk_words(style: str, index: int, path: str, format: str) -> list[str]:
    """One disk in the words of a style; every other -blockdev is written as JSON."""
    if style == "drive":
        return ["-drive", f"file={quoted(path)},format={format},if=virtio"]
    if style == "hda":
        return [f"-hd{'abcd'[index]}", path]
    node, file = f"disk{index}", f"file{index}"
    if index % 2:
        nodes = [
            json.dumps({"driver": "file", "node-name": file, "filename": path}),
            json.dumps({"driver": format, "node-name": node, "file": file, "discard": "unmap"}),
        ]
    else:
        nodes = [
            f"driver=file,node-name={file},filename={quoted(path)}",
            f"driver={format},node-name={node},file={file}",
        ]
    return ["-blockdev", nodes[0], "-blockdev", nodes[1], "-device", f"virtio-blk-pci,drive={node},id=vd{index}"]


def monitor_words(guest: BareGuest, monitor: str) -> list[str]:
    words = []
    if monitor in ("qmp", "both"):
        words += ["-qmp", f"unix:{quoted(guest.socket('qmp'))},server=on,wait=off"]
    if monitor in ("hmp", "both"):
        words += ["-monitor", f"unix:{quoted(guest.socket('hmp'))},server=on,wait=off"]
    return words


def command_words(guest: BareGuest, shape: Bare, kvm: bool) -> list[str]:
    """The command line that the script runs."""
    words = ["qemu-system-x86_64"]
    if shape.named:
        words += ["-name", quoted(guest.name)]
    if shape.with_uuid:
        words += ["-uuid", guest.uuid]
    words += ["-machine", shape.machine, "-accel", "kvm" if kvm else "tcg", "-m", str(shape.memory_mib)]
    words += ["-smp", str(shape.vcpus), "-display", "none"]
    if shape.style == "blockdev":
        words.append("-nodefaults")
    if shape.cpu:
        words += ["-cpu", shape.cpu]
    for index, (path, disk) in enumerate(zip(guest.disks, shape.disks, strict=True)):
        words += disk_words(shape.style, index, path, disk.format)
    if shape.iso:
        words += ["-cdrom", iso_path(guest.name)]
    netdev = f"tap,id=net0,ifname={guest.tap},script=no,downscript=no" if shape.nic == "tap" else "user,id=net0"
    words += ["-netdev", netdev, "-device", f"virtio-net-pci,netdev=net0,mac={guest.mac},romfile="]
    kernel = IDE_ON_HOST if has_ide_disks(shape) else ON_HOST
    words += [
        "-kernel",
        f"{kernel}/vmlinuz",
        "-initrd",
        f"{kernel}/initrd",
        "-append",
        kernel_options(shape, guest.address),
    ]
    words += ["-serial", f"file:{guest.folder}/console"]
    words += monitor_words(guest, shape.monitor)
    if shape.pidfile:
        words += ["-pidfile", f"{guest.folder}/pid"]
    return [*words, *shape.extra]


def script_text(words: list[str], unit: str | None) -> str:
    """The script that a person wrote to start a guest."""
    line = " ".join(shlex.quote(word) for word in words)
    if unit is not None:
        return f"#!/bin/sh\nexec systemd-run --quiet --collect --unit={shlex.quote(unit)} -- {line}\n"
    return f"#!/bin/sh\n{line} -daemonize\n"


@dataclass(frozen=True)
class BareGuest(Guest):
    """A guest that QEMU runs without libvirt. It is known by its MAC address, which is in every command line of it, on any host."""

    shape: Bare = field(default_factory=bare_shape)
    home: str = ""  # the host that it was made on

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.name}"

    @property
    def tap(self) -> str:
        return f"lab{self.number}"

    def socket(self, kind: str) -> str:
        """Path of the monitor `qmp` or `hmp` of the process that the script starts."""
        return f"{self.folder}/{kind}.sock"

    # ---- processes ----

    def processes(self, host: Host) -> dict[int, list[str]]:
        """Pid on the host -> command line, for every QEMU there with this guest's MAC address."""
        leader = host.leader()
        if leader is None:
            return {}
        found = {}
        space = os.stat(f"/proc/{leader}/ns/pid").st_ino
        for entry in os.scandir("/proc"):
            # A process may end while we look at it.
            with contextlib.suppress(OSError):
                if not entry.name.isdigit() or os.stat(f"/proc/{entry.name}/ns/pid").st_ino != space:
                    continue
                words = Path(f"/proc/{entry.name}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
                if "qemu" in words[0] and any(self.mac in word for word in words):
                    status = Path(f"/proc/{entry.name}/status").read_text(encoding="utf-8", errors="replace")
                    own = next(line for line in status.splitlines() if line.startswith("NSpid:"))
                    found[int(own.split()[-1])] = words[:-1]
        return found

    def qemu_pid(self, host: Host) -> int | None:
        return next(iter(sorted(self.processes(host))), None)

    def where(self) -> dict[str, str]:
        """Host -> run state as its monitor tells it (running, paused, inmigrate ...), `unknown` where no monitor answers."""
        found = {}
        for host in self.lab.hosts:
            if host.leader() is None:
                continue
            for words in self.processes(host).values():
                found[host.name] = self._state(host, words)
        return found

    def host(self) -> Host:
        places = self.where()
        for wanted in ("running", "paused"):
            for name, state in places.items():
                if state == wanted:
                    return self.lab.host(name)
        return self.lab.host(next(iter(places), self.home))

    # ---- monitor ----

    def talk(self, host: Host | None = None, path: str | None = None, patience: float = 60.0) -> Talk:
        """A conversation with its monitor on a host (the one that has it), QMP where there is one."""
        place = host or self.host()
        known = [path] if path else [one for words in self.processes(place).values() for one in sockets(words)]
        for one in sorted(known, key=lambda name: "qmp" not in name):
            return Talk(outside(place, one), patience)
        raise LabError(f"guest {self.name} has no monitor on {place.name}")

    def qmp(self, command: str, **arguments: Any) -> Any:
        with self.talk() as talk:
            return talk.execute(command, **arguments)

    def hmp(self, line: str) -> str:
        with self.talk() as talk:
            return talk.hmp(line)

    def _state(self, host: Host, words: list[str]) -> str:
        for path in sockets(words):
            with contextlib.suppress(LabError), Talk(outside(host, path), 5.0) as talk:
                return talk.state()
        return "unknown"

    # ---- life ----

    def start(self, wait: bool = True) -> None:
        """Run its script on the host that it was made on."""
        host = self.lab.host(self.home)
        if self.shape.nic == "tap":
            self.make_tap(host)
        host.run(["sh", f"{self.folder}/start.sh"])
        if wait:
            self.wait_beating()

    def make_tap(self, host: Host, name: str | None = None) -> str:
        """A tap device in br0 of a host."""
        tap = name or self.tap
        host.run(["sh", "-ec", TAP, "sh", tap])
        return tap

    def beats(self) -> bool:
        """Over the network, or, with user networking, on the console of a host."""
        if self.shape.nic == "tap":
            return super().beats()
        tail = ["tail", "-c", "100", f"{self.folder}/console"]
        return "beat" in self.host().run(tail, check=False).stdout

    def stop(self, timeout: float = 120) -> None:
        if self.shape.nic == "tap":
            self._command("poweroff")
        else:
            self.hmp("system_powerdown")
        wait_for(f"guest {self.name} to end", lambda: not self.where(), timeout)

    def destroy(self) -> None:
        """Kill its QEMU on every host."""
        for host in self.lab.hosts:
            if host.leader() is None:
                continue
            for pid in self.processes(host):
                host.run(["kill", "-KILL", str(pid)], check=False)
            wait_for(f"guest {self.name} to end on {host.name}", lambda at=host: not self.processes(at), 30)  # type: ignore[misc]

    def remove(self) -> None:
        self.destroy()
        for host in self.lab.hosts:
            if host.leader() is None:
                continue
            host.run(["sh", "-c", 'ip link delete "$1" 2>/dev/null; rm -rf -- "$2"', "sh", self.tap, self.folder])
            for file in self.files:
                remove_file(host, file)
        self.lab.forget_guest(self.name)

    # ---- reading it back ----

    def disk_sources(self, host: Host) -> list[tuple[str, str]]:
        """Where its script has them; on another host a test says with `moved` what else they are called there."""
        return [(path, disk.format) for path, disk in zip(self.disks, self.shape.disks, strict=True)]

    @contextlib.contextmanager
    def still(self, host: Host) -> Iterator[None]:
        """Stop the process, not the guest: what was acknowledged is in the images by then, and no monitor is needed."""
        pids = [str(pid) for pid in self.processes(host)]
        if pids:
            host.run(["kill", "-STOP", *pids])
        try:
            yield
        finally:
            if pids:
                host.run(["kill", "-CONT", *pids], check=False)

    def moved(self, *disks: str) -> BareGuest:
        """The same guest, whose disks have these paths where it is now."""
        return replace(self, disks=disks)


TAP = """
ip link show "$1" >/dev/null 2>&1 || ip tuntap add mode tap name "$1"
ip link set "$1" master br0
ip link set "$1" up
"""


def outside(host: Host, path: str) -> Path:
    """A path of a host, as this machine reaches it; a unix socket, too."""
    return Path(f"/proc/{host.leader()}/root{path}")


def create_bare(lab: Lab, name: str, record: dict[str, Any], place: Host, wait: bool) -> BareGuest:
    """Make images and script on the host, and start it."""
    guest = bare_guest(lab, name, record)
    if has_ide_disks(guest.shape):
        bring_ide_kernel(lab)
    made = make_images(lab, place, name, guest.shape, list(guest.disks))
    words = command_words(guest, guest.shape, bool(lab.state.facts.get("kvm")))
    write = 'mkdir -p "$1" && cat > "$1/start.sh"'
    place.run(["sh", "-c", write, "sh", guest.folder], input=script_text(words, guest.shape.unit))
    guest.start(wait)
    return replace(guest, files=tuple(made))


def bare_guest(lab: Lab, name: str, record: dict[str, Any]) -> BareGuest:
    """The guest of a record in the lab's book."""
    given = dict(record["bare"])
    shape = bare_shape(
        **{**given, "disks": tuple(Disk(**one) for one in given["disks"]), "extra": tuple(given["extra"])}
    )
    return BareGuest(lab, name, record["number"], tuple(record["disks"]), tuple(record["files"]), shape, record["home"])


def bare_record(number: int, name: str, shape: Bare, home: str) -> dict[str, Any]:
    """What the lab's book says about a bare guest."""
    disks = [disk_path(name, index, disk) for index, disk in enumerate(shape.disks)]
    return {"number": number, "disks": disks, "files": disks, "shape": "bare", "home": home, "bare": asdict(shape)}
