# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One hypervisor of the lab: a Debian system in a container, booted by its own systemd."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from . import network
from .shell import DATA, RUN, LabError, run, start_time, wait_for
from .state import State, alive, children, kill_process

IMAGES = "/var/lib/libvirt/images"
SHARED = "/srv/shared"
ENVIRONMENT = [
    "env",
    "-i",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
]
# The process writes down who it is before it becomes nspawn, so that no kill can leave it unrecorded.
BECOME = 'cat /proc/$$/stat > "$0.new" && mv "$0.new" "$0" && exec "$@"'


@dataclass(frozen=True)
class Host:
    """A host of a lab; see `Lab.host`."""

    lab: str
    name: str
    number: int
    suite: str
    own_kernel: ClassVar[bool] = False
    bare: ClassVar[bool] = False
    role = "hypervisor"

    @property
    def address(self) -> str:
        return network.host_address(self.lab, self.number)

    @property
    def fqdn(self) -> str:
        return f"{self.name}.{self.lab}.test"

    @property
    def uri(self) -> str:
        """The libvirt URI by which the other hosts reach it."""
        return f"qemu+ssh://root@{self.address}/system"

    @property
    def uuid(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, self.fqdn))

    @property
    def netns(self) -> str:
        return network.netns_of(self.lab, self.name)

    @property
    def directory(self) -> Path:
        return DATA / self.lab / self.name

    @property
    def root(self) -> Path:
        """The host's root file system, as this machine sees it."""
        return self.directory / "root"

    @property
    def images(self) -> Path:
        """The host's image pool, as this machine sees it."""
        return self.directory / "images"

    @property
    def pid_file(self) -> Path:
        return RUN / self.lab / f"{self.name}.stat"

    # ---- running things on it ----

    def leader(self) -> int | None:
        """Pid, on this machine, of the host's own pid 1; None when the host is off."""
        nspawn = alive(self.pid_file)
        if nspawn is None:
            return None
        for child in children(nspawn):
            try:
                status = Path(f"/proc/{child}/status").read_text(encoding="utf-8")
            except OSError:
                continue
            if any(line.startswith("NSpid:") and line.split()[-1] == "1" for line in status.splitlines()):
                return child
        return None

    def command(self, words: Sequence[str]) -> list[str]:
        """The command line that runs `words` on the host as root, straight into its namespaces, without network."""
        leader = self.leader()
        if leader is None:
            raise LabError(f"host {self.name} of lab {self.lab} is off")
        return ["nsenter", "--target", str(leader), "--all", "--", *ENVIRONMENT, *words]

    def run(
        self,
        words: Sequence[str],
        *,
        check: bool = True,
        input: str | None = None,  # noqa: A002 - the name that subprocess.run has for it
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the host and wait for it."""
        return run(self.command(words), check=check, stdin=input, timeout=timeout)

    def start(self, words: Sequence[str], log: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a command on the host and return at once; the caller ends it."""
        output = log.open("wb") if log else subprocess.DEVNULL
        return subprocess.Popen(
            self.command(words),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def virsh(self, *words: str, check: bool = True, timeout: float | None = None) -> str:
        return self.run(["virsh", "-q", *words], check=check, timeout=timeout).stdout

    def read(self, path: str) -> str:
        return self.run(["cat", "--", path]).stdout

    def write(self, path: str, text: str) -> None:
        self.run(["sh", "-c", f"cat > {shlex.quote(path)}"], input=text)

    def put(self, source: Path, path: str) -> None:
        """Copy a file of this machine to the host; what is zero becomes a hole."""
        script = 'dd of="$1" bs=64k conv=sparse status=none && truncate -s "$2" -- "$1"'
        with source.open("rb") as file:
            words = self.command(["sh", "-c", script, "put", path, str(source.stat().st_size)])
            done = subprocess.run(words, stdin=file, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"{path} cannot be written on {self.name}: {done.stderr.strip()}")

    def fetch(self, path: str) -> bytes:
        """The content of a file of the host."""
        words = self.command(["cat", "--", path])
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            raise LabError(f"{path} cannot be read on {self.name}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    # ---- life ----

    def healthy(self) -> bool:
        """libvirtd answers, the image pool is active and sshd listens."""
        if self.leader() is None:
            return False
        test = "virsh -q pool-info default && virsh -q net-info lab && nc -z -w 5 127.0.0.1 22"
        return self.run(["sh", "-c", test], check=False, timeout=60).returncode == 0

    def boot(self, state: State, kvm: bool) -> None:
        """Start the container; returns at once. The host's file systems must be mounted."""
        if alive(self.pid_file):
            return
        guest = state.facts["guest_assets"]
        binds = [f"--bind={self.images}:{IMAGES}", f"--bind={DATA / self.lab / 'shared'}:{SHARED}"]
        binds += [f"--bind-ro={guest}:/opt/lab-guest", "--bind=/dev/net/tun"]
        # Post-copy needs it, and nspawn gives a container a /dev of its own.
        devices = ["/dev/userfaultfd", *(["/dev/kvm"] if kvm else [])]
        binds += [f"--bind={device}" for device in devices if Path(device).exists()]
        nspawn = [
            "systemd-nspawn", "--register=no", "--keep-unit", "--boot", "--quiet", "--console=pipe",
            f"--directory={self.root}", f"--network-namespace-path=/run/netns/{self.netns}",
            f"--hostname={self.name}", f"--uuid={machine_id(self)}", "--capability=all",
            "--resolv-conf=off", "--timezone=off", "--link-journal=no", *binds,
        ]  # fmt: skip
        state.record("process", str(self.pid_file))
        with (RUN / self.lab / f"{self.name}.log").open("wb") as log:
            started = subprocess.Popen(
                ["sh", "-c", BECOME, str(self.pid_file), *nspawn],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )
        born = start_time(started.pid)
        wait_for(
            f"{self.name} to be recorded",
            lambda: alive(self.pid_file) == started.pid or start_time(started.pid) != born,
            pause=0.02,
        )

    def wait_healthy(self, timeout: float = 300) -> None:
        def ready() -> bool:
            if alive(self.pid_file) is None:
                log = (RUN / self.lab / f"{self.name}.log").read_text(encoding="utf-8", errors="replace")
                raise LabError(f"host {self.name} ended while it booted: {log[-2000:]}")
            return self.healthy()

        wait_for(f"host {self.name} to answer", ready, timeout, 0.3)

    def power_off(self) -> None:
        """Pull the power: every process of the host is gone at once, its disks stay as they are."""
        kill_process(self.pid_file)


class BareHost(Host):
    """A host with nothing but sshd and Python on it, and packages for apt in a folder. Who makes it a hypervisor is what is tested."""

    bare = True

    def healthy(self) -> bool:
        """sshd listens."""
        test = "import socket; socket.create_connection(('127.0.0.1', 22), 5)"
        return self.leader() is not None and self.run(["python3", "-c", test], check=False, timeout=60).returncode == 0


def machine_id(host: Host) -> str:
    return hashlib.sha256(host.fqdn.encode()).hexdigest()[:32]


__all__ = ["IMAGES", "SHARED", "BareHost", "Host", "machine_id"]
