# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One vm host: a Debian system booted by QEMU, with a kernel of its own and the same face as a container host."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .. import network
from ..config import configure, write
from ..host import BECOME, Host
from ..shell import RUN, LabError, run, start_time, wait_for
from ..state import State, alive
from .machine import DISKS, Machine, Monitor, client, make_overlay
from .tree import Base, tree

VOLUME_GROUP = "lab"
# Where the scheduler gives all sessions the same share, a host is one of many, and with all that runs on it gets no more than a shell.
SHARE = "-5"
TUN = "[Service]\nExecStartPre=/sbin/modprobe tun\n"
PRISTINE = ("libvirtd.conf", "virtqemud.conf", "qemu.conf")
# What a host that went on from another's memory must not share with it: name, time, randomness, boot id, addresses.
IDENTITY = """set -eu
tar -x -C / --no-same-owner -f -
date -s "@$1" >/dev/null
hostname "$(cat /etc/hostname)"
python3 -c 'import fcntl; fcntl.ioctl(open("/dev/urandom", "wb"), 0x5207)'
cat /proc/sys/kernel/random/uuid > /run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
sh /opt/lab/network.sh
if [ "$2" = storage ]; then
    systemctl -q mask --now libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket virtlogd.socket
    systemctl start ssh.service
else
    modprobe tun
    # libvirt starts what is to start with the host once per boot, and the boot was another's.
    rm -f /run/libvirt/*/autostarted
    systemctl start ssh.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd.service
fi
"""


@dataclass(frozen=True)
class VmHost(Host):
    """A vm host of a lab; `role` is `hypervisor` or `storage` (no libvirt on it)."""

    role: str = "hypervisor"
    own_kernel: ClassVar[bool] = True

    @property
    def root(self) -> Path:
        """What of its root file system is written by the lab, before it goes there; not the root itself."""
        return self.directory / "stage"

    @property
    def images(self) -> Path:
        raise LabError(
            f"host {self.name} has a kernel of its own: its images cannot be seen from here; use run and put"
        )

    @property
    def identified(self) -> Path:
        """Exists when the host knows who it is: its disks are worth keeping."""
        return self.directory / "identified"

    def machine(self, base: Base, kvm: bool) -> Machine:
        return Machine(
            self.name,
            base,
            {name: self.directory / f"{name}.qcow2" for name in DISKS},
            network.mac(self.lab, 0xFE00 + self.number),
            self.monitor,
            RUN / self.lab / f"{self.name}.log",
            kvm,
        )

    @property
    def monitor(self) -> Path:
        return RUN / self.lab / f"{self.name}.qmp"

    # ---- running things on it ----

    def leader(self) -> int | None:
        """Pid of its QEMU; None when the host is off."""
        return alive(self.pid_file)

    def command(self, words: Sequence[str]) -> list[str]:
        if self.leader() is None:
            raise LabError(f"host {self.name} of lab {self.lab} is off")
        return ["nsenter", f"--net=/run/netns/{self.netns}", "--", *client(list(words))]

    # ---- life ----

    def answers(self) -> bool:
        return self.leader() is not None and self.run(["true"], check=False, timeout=120).returncode == 0

    def healthy(self) -> bool:
        """sshd listens; on a hypervisor, libvirtd answers, the image pool is there and the network is active."""
        if self.leader() is None or not self.identified.exists():
            return False
        test = "nc -z -w 5 127.0.0.1 22"
        if self.role == "hypervisor":
            test += " && virsh -q pool-info default >/dev/null && virsh -q net-list --name | grep -qx lab"
        try:
            return self.run(["sh", "-c", test], check=False, timeout=180).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def boot(self, state: State, kvm: bool, memory: Path | None = None) -> None:
        """Start QEMU; returns at once."""
        if alive(self.pid_file):
            return
        base = Base(Path(state.facts["base"]))
        self.launch(state, self.machine(base, kvm), memory)
        if memory is not None:
            self.resume()

    def resume(self) -> None:
        """Let it run once it has taken in the memory it was started with."""

        def listening() -> bool:
            self.fail_if_ended()
            return self.monitor.is_socket()

        wait_for(f"the monitor of {self.name}", listening, 120, 0.05)
        with Monitor(self.monitor) as monitor:
            monitor.resume()

    def launch(self, state: State, machine: Machine, memory: Path | None = None) -> None:
        self.monitor.unlink(missing_ok=True)
        words = ["nsenter", f"--net=/run/netns/{self.netns}", "--", *machine.command(memory)]
        state.record("process", str(self.pid_file))
        errors = RUN / self.lab / f"{self.name}.err"
        with errors.open("wb") as log:
            started = subprocess.Popen(
                ["sh", "-c", BECOME, str(self.pid_file), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        born = start_time(started.pid)

        def settled() -> bool:
            return alive(self.pid_file) == started.pid or start_time(started.pid) != born

        wait_for(f"{self.name} to be recorded", settled, pause=0.02)
        with contextlib.suppress(OSError):  # the kernel does not share like that
            Path(f"/proc/{started.pid}/autogroup").write_text(SHARE, encoding="ascii")

    def fail_if_ended(self) -> None:
        if alive(self.pid_file) is None:
            said = (RUN / self.lab / f"{self.name}.err").read_text(encoding="utf-8", errors="replace")
            console = RUN / self.lab / f"{self.name}.log"
            last = console.read_text(encoding="utf-8", errors="replace")[-1500:] if console.exists() else ""
            raise LabError(f"host {self.name} ended while it booted: {said[-1500:]} {last}")

    def wait_answers(self, timeout: float = 900) -> None:
        def ready() -> bool:
            self.fail_if_ended()
            return self.answers()

        wait_for(f"host {self.name} to answer", ready, timeout, 0.5)

    def wait_healthy(self, timeout: float = 900) -> None:
        def ready() -> bool:
            self.fail_if_ended()
            return self.healthy()

        wait_for(f"host {self.name} to be healthy", ready, timeout, 0.5)

    def make_disks(self, template: Path) -> None:
        """New disks of its own on top of those that the saved memory belongs to."""
        for name in DISKS:
            path = self.directory / f"{name}.qcow2"
            path.unlink(missing_ok=True)
            make_overlay(path, template / f"{name}.qcow2", "qcow2")

    def stage(self, hosts: list[Host], keys: Path) -> None:
        """Write the host's own configuration into a directory, which `identify` brings to it."""
        shutil.rmtree(self.root, ignore_errors=True)
        libvirt = self.root / "etc/libvirt"
        libvirt.mkdir(parents=True)
        for name in PRISTINE:
            source = tree(self.suite) / "etc/libvirt" / name
            if source.exists():
                shutil.copy2(source, libvirt / name)
        configure(self, hosts, keys)
        settings = {
            "ADDRESS": self.address,
            "NIC": network.mac(self.lab, 0xFE00 + self.number),
            "BRIDGE": network.mac(self.lab, 0xFF00 + self.number),
        }
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self.root / "etc/lab-host").write_text(lines, encoding="ascii")
        # The units that would make the device of the module are masked.
        write(self.root / "etc/systemd/system/libvirtd.service.d/lab-tun.conf", TUN)

    def identify(self) -> None:
        """Tell a host that was just started who it is, and start what waits for that."""
        with subprocess.Popen(["tar", "-c", "-C", str(self.root), "."], stdout=subprocess.PIPE) as packed:
            now = run(["date", "+%s"]).stdout.strip()
            words = self.command(["sh", "-c", IDENTITY, "identity", now, self.role])
            done = subprocess.run(words, stdin=packed.stdout, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"host {self.name} did not take its identity: {(done.stderr or done.stdout)[-2000:]}")
        self.identified.touch()

    def carrier(self, up: bool) -> None:
        """What the host sees of its cable."""
        if self.leader() is not None:
            with Monitor(self.monitor) as monitor:
                monitor.ask("set_link", name="lan", up=up)
