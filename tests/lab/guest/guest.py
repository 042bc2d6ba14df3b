# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab guest: its life on whichever host it is, and its own voice on the network."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..network import guest_address, mac, netns_of
from ..shell import LabError, wait_for
from ..verify import disk_sources
from ..wire import ask
from .images import FILL_AT, make_images, remove_file
from .shapes import Identity, Shape, device_name, disk_path, domain_xml

if TYPE_CHECKING:
    from ..host import Host
    from ..lab import Lab

SNAPSHOT_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class Guest:
    """A guest by its record in the lab's state; where it runs is always asked, never remembered."""

    lab: Lab
    name: str
    number: int
    disks: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def address(self) -> str:
        return guest_address(self.lab.name, self.number)

    @property
    def mac(self) -> str:
        return mac(self.lab.name, self.number)

    @property
    def uuid(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.number}.{self.name}.{self.lab.name}.test"))

    # ---- voice ----

    def ask(self, command: str, timeout: float = 5.0) -> dict[str, Any] | None:
        """Send `status`, `dirty N` (pages/s), `records N` (per s), `fill DISK MIB`, `poweroff` or `reboot` to the guest."""
        return ask(netns_of(self.lab.name), self.address, command, timeout)

    def status(self, timeout: float = 5.0) -> dict[str, Any] | None:
        return self.ask("status", timeout)

    def beats(self) -> bool:
        return self.ask("status", 1.0) is not None

    def wait_beating(self, timeout: float = 300) -> None:
        try:
            wait_for(f"guest {self.name} to beat", self.beats, timeout)
        except LabError as error:
            raise LabError(f"{error}: {self._last_words()}") from None

    def _last_words(self) -> str:
        """What tells why a guest is silent: where it is, and the end of its console there."""
        words = []
        for name, state in self.where().items():
            log = f"/var/log/libvirt/qemu/{self.name}-console.log"
            console = self.lab.host(name).run(["tail", "-n", "12", "--", log], check=False).stdout
            words.append(f"{state} on {name}, its console: {console.strip() or 'empty'}")
        return "; ".join(words) or "it is on no host"

    def set_dirty_rate(self, pages: int) -> None:
        self._command(f"dirty {pages}")

    def set_record_rate(self, records: int) -> None:
        self._command(f"records {records}")

    def fill(self, disk: int, mib: int, wait: bool = True) -> None:
        """Let the guest write random data to one of its disks."""
        self._command(f"fill {disk} {mib}")
        if wait:
            wait_for(f"guest {self.name} to fill disk {disk}", lambda: self._filled(disk), 1800)

    def _filled(self, disk: int) -> bool:
        status = self.status()
        return status is not None and status["filled"][disk][0] >= status["filled"][disk][1]

    def _command(self, text: str) -> None:
        if self.ask(text, 30) is None:
            raise LabError(f"guest {self.name} does not answer to: {text}")

    # ---- place ----

    def where(self) -> dict[str, str]:
        """Host name -> state (`running`, `paused`, `shut off`) for every host that knows the domain."""
        found = {}
        for host in self.lab.hosts:
            if host.leader() is None:
                continue
            state = host.virsh("domstate", self.uuid, check=False, timeout=60).strip()
            if state:
                found[host.name] = state
        return found

    def running_on(self) -> list[str]:
        return [host for host, state in self.where().items() if state == "running"]

    def host(self) -> Host:
        """The host that has it: where it runs, else where it is defined."""
        places = self.where()
        for wanted in ("running", "paused", "shut off"):
            for name, state in places.items():
                if state == wanted:
                    return self.lab.host(name)
        if places:
            return self.lab.host(next(iter(places)))
        raise LabError(f"guest {self.name} is on no host of lab {self.lab.name}")

    def qemu_pid(self, host: Host) -> int | None:
        """Pid of its QEMU on a host, as the host sees it."""
        found = host.run(["cat", f"/run/libvirt/qemu/{self.name}.pid"], check=False).stdout.strip()
        return int(found) if found.isdigit() else None

    # ---- reading it back ----

    def disk_sources(self, host: Host) -> list[tuple[str, str]]:
        """(path, format) of its disks on a host, in its own order."""
        xml = host.virsh("dumpxml", self.uuid, check=False)
        return disk_sources(xml) if xml.strip() else [(path, path.rpartition(".")[2]) for path in self.disks]

    @contextlib.contextmanager
    def still(self, host: Host) -> Iterator[None]:
        """It writes nothing meanwhile, where it runs on this host."""
        running = host.virsh("domstate", self.uuid, check=False).strip() == "running"
        if running:
            host.virsh("suspend", self.uuid)
        try:
            yield
        finally:
            if running:
                host.virsh("resume", self.uuid)

    # ---- life ----

    def start(self, wait: bool = True) -> None:
        self.host().virsh("start", self.uuid)
        if wait:
            self.wait_beating()

    def stop(self, timeout: float = 120) -> None:
        """Ask it to power off by ACPI, as an operator would."""
        host = self.host()
        host.virsh("shutdown", self.uuid)
        wait_for(
            f"guest {self.name} to shut off",
            lambda: host.virsh("domstate", self.uuid, check=False).strip() in ("", "shut off"),
            timeout,
        )

    def destroy(self) -> None:
        for name, state in self.where().items():
            if state != "shut off":
                self.lab.host(name).virsh("destroy", self.uuid, check=False)

    def remove(self) -> None:
        """Destroy and undefine it wherever it is, and delete its images and devices on every host."""
        self.destroy()
        own = {device_name(self.name, index) for index in range(len(self.disks))}
        for host in self.lab.hosts:
            if host.leader() is None:
                continue
            flags = ["--nvram", "--tpm", "--managed-save", "--snapshots-metadata", "--checkpoints-metadata"]
            host.virsh("undefine", self.uuid, *flags, check=False)
            for file in self.files:
                remove_file(host, file)
            host.virsh("pool-refresh", "default", check=False)
            for device in self.lab.block_devices(host):
                if device.name in own:
                    self.lab.remove_block_device(device)
        self.lab.forget_guest(self.name)


def create(guest: Guest, host: Host, shape: Shape, kvm: bool) -> Guest:
    """Make images and definition on the host and bring it into the state that the shape asks for."""
    made = make_images(guest.lab, host, guest.name, shape, list(guest.disks))
    host.virsh("pool-refresh", "default")
    identity = Identity(guest.name, guest.uuid, guest.mac, guest.address)
    xml = domain_xml(identity, shape, list(zip(guest.disks, shape.disks, strict=True)), kvm)
    host.run(["virsh", "-q", "define", "/dev/stdin"], input=xml)
    for number in range(1, shape.snapshots + 1):
        block = f"write -q -P {number} {FILL_AT} {SNAPSHOT_BLOCK}"
        host.run(["qemu-io", "-f", "qcow2", "-c", block, guest.disks[0]])
        host.virsh("snapshot-create-as", guest.uuid, f"snapshot {number}")
    if shape.autostart:
        host.virsh("autostart", guest.uuid)
    if shape.start != "shutoff":
        host.virsh("start", guest.uuid)
        if not shape.idle:
            guest.wait_beating()
    if shape.start == "paused":
        host.virsh("suspend", guest.uuid)
    return Guest(guest.lab, guest.name, guest.number, guest.disks, tuple(made))


def disks_of(name: str, shape: Shape) -> tuple[str, ...]:
    return tuple(disk_path(name, index, disk) for index, disk in enumerate(shape.disks))
