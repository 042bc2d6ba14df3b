# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab: hosts up and down, and the way in for tests, demo and benchmarks."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import network
from .accel import kvm_works
from .barehost import bare_rootfs
from .blocks import Blocks
from .config import configure
from .faults import Faults
from .guest.assets import assets
from .guest.guest import Guest
from .guests import Guests
from .host import BareHost, Host
from .inventory import inventory_path, write_access
from .pki import Pki
from .records import Verdict
from .rootfs import clean_if_idle, rootfs
from .shell import DATA, RUN, LabError, install_needed, locked, run, say
from .state import State, mounted_below, tear_down
from .verify import verify
from .vm.host import VmHost
from .vm.template import template
from .vm.tree import Base, base_image
from .watcher import Watcher

DISK_MIB = 8192  # virtual; the image file is sparse
KINDS = ("container", "bare", "vm")
FIRST_SERVER = 80  # the number of the first storage server, which its address is made of


class Lab(Guests, Blocks):
    """One lab by name. `Lab.up(...)` builds or repairs it, `Lab.attach(name)` finds a running one."""

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[a-z0-9]{1,8}", name):
            raise LabError(f"lab name {name!r}: use one to eight lower case letters and digits")
        self.name = name
        self.state = State.load(RUN / name / "state.json")

    # ---- finding ----

    @classmethod
    def attach(cls, name: str = "lab") -> Lab:
        lab = cls(name)
        if not lab.state.facts.get("hosts"):
            raise LabError(f"there is no lab named {name}; start it with: ./run lab up --name {name}")
        return lab

    @property
    def hosts(self) -> list[Host]:
        """The hypervisors."""
        return self._hosts(self.state.facts["hosts"], 1, "hypervisor")

    @property
    def servers(self) -> list[Host]:
        """Plain storage servers; a lab of vm hosts has them."""
        return self._hosts(self.state.facts.get("servers", []), FIRST_SERVER, "storage")

    def _hosts(self, names: list[str], first: int, role: str) -> list[Host]:
        suite = self.state.facts["suite"]
        if self.state.facts.get("kind", "container") != "vm":
            form = BareHost if self.state.facts.get("kind") == "bare" else Host
            return [form(self.name, name, number, suite) for number, name in enumerate(names, first)]
        return [VmHost(self.name, name, number, suite, role) for number, name in enumerate(names, first)]

    def host(self, name: str) -> Host:
        everything = [*self.hosts, *self.servers]
        for host in everything:
            if host.name == name:
                return host
        raise LabError(f"lab {self.name} has no host {name}; it has {', '.join(h.name for h in everything)}")

    @property
    def inventory(self) -> Path:
        return inventory_path(self.name)

    @property
    def directory(self) -> Path:
        """Run directory: state, inventory, ssh wrappers."""
        return RUN / self.name

    @property
    def fault(self) -> Faults:
        return Faults(self)

    @property
    def pki(self) -> Pki:
        return Pki(self)

    @property
    def keys(self) -> Path:
        return DATA / self.name / "keys"

    # ---- life ----

    @classmethod
    def up(
        cls,
        name: str = "lab",
        hosts: int = 3,
        suite: str = "trixie",
        disk_mib: int = DISK_MIB,
        kind: str = "container",
        servers: int = 1,
    ) -> Lab:
        """Build the lab, or check and repair it if it is there; a lab of kind `vm` has storage servers, too. Hosts of kind `bare` are
        containers without libvirt."""
        if kind not in KINDS:
            raise LabError(f"unknown kind {kind} of hosts; there are {', '.join(KINDS)}")
        began = time.monotonic()
        lab = cls(name)
        install_needed()
        tree, guest = rootfs(suite), assets()
        kvm = kvm_works(tree, guest)
        tree = bare_rootfs(suite) if kind == "bare" else tree
        more: dict[str, Any] = {"kind": kind}
        if kind == "vm":
            more["base"] = str(base_image(suite).path)
            more["servers"] = [f"nfs{number}" for number in range(1, servers + 1)]
        with locked(RUN / f"{name}.lock", f"lab {name}"):
            lab.state = State.load(lab.state.path)
            facts = lab.state.facts
            was = (facts.get("suite"), facts.get("kind", "container"))
            if facts.get("hosts") and (was != (suite, kind) or len(facts["hosts"]) > hosts):
                raise LabError(
                    f"lab {name} is already up with {len(facts['hosts'])} {facts['suite']} hosts of kind {was[1]}; "
                    "take it down first or use another --name"
                )
            lab._prepare(tree, guest, hosts, suite, disk_mib, kvm, more)
            everything = [*lab.hosts, *lab.servers]
            if kind == "vm":
                lab._template(everything)
            with ThreadPoolExecutor(max_workers=len(everything)) as pool:
                for result in [pool.submit(lab._bring_up, host) for host in everything]:
                    result.result()
        say(f"{len(everything)} {suite} hosts of lab {name} are up after {time.monotonic() - began:.1f} s")
        return lab

    def _prepare(
        self, tree: Path, guest: Path, hosts: int, suite: str, disk_mib: int, kvm: bool, more: dict[str, Any]
    ) -> None:
        state = self.state
        state.record("directory", str(RUN / self.name))
        state.record("directory", str(DATA / self.name))
        (RUN / self.name).chmod(0o755)
        shared = DATA / self.name / "shared"
        shared.mkdir(parents=True, exist_ok=True)
        shared.chmod(0o777)
        names = [f"kvm{number}" for number in range(1, hosts + 1)]
        state.set_facts(
            suite=suite, rootfs=str(tree), guest_assets=str(guest), disk_mib=disk_mib, kvm=kvm, hosts=names, **more
        )
        network.make_lan(state, self.name)
        write_access(self.name, [*self.hosts, *self.servers], self.keys)
        (RUN / self.name / "cp").mkdir(exist_ok=True)

    def _template(self, hosts: list[Host]) -> None:
        """Make sure that there is a saved host to start new ones from, if any is new; the first new one makes it."""
        base = Base(Path(self.state.facts["base"]))
        for host in hosts:
            if isinstance(host, VmHost) and not host.identified.exists():
                host.power_off()
                host.directory.mkdir(parents=True, exist_ok=True)
                network.plug_host(self.state, self.name, host.name, host.number, True)
                self.state.set_facts(template=str(template(base, host, self.state, self.state.facts["disk_mib"])))
                return

    def _bring_up_vm(self, host: VmHost) -> None:
        """A new host goes on from the template's memory; one that was on before boots from its own disks."""
        host.power_off()
        network.plug_host(self.state, self.name, host.name, host.number, True)
        host.directory.mkdir(parents=True, exist_ok=True)
        kvm = bool(self.state.facts["kvm"])
        if host.identified.exists():
            host.boot(self.state, kvm)
        else:
            saved = Path(self.state.facts["template"])
            host.make_disks(saved)
            host.stage([*self.hosts, *self.servers], self.keys)
            host.boot(self.state, kvm, saved / "memory")
            host.wait_answers()
            host.identify()
        host.wait_healthy()

    def _bring_up(self, host: Host) -> None:
        if host.healthy():
            return
        if isinstance(host, VmHost):
            self._bring_up_vm(host)
            return
        host.power_off()
        network.plug_host(self.state, self.name, host.name, host.number)
        self._mount(host)
        configure(host, self.hosts, self.keys)
        self.plug_blocks(host)
        host.boot(self.state, self.state.facts["kvm"])
        host.wait_healthy()

    def _mount(self, host: Host) -> None:
        """The host's own file systems: an overlay of the cached root, and a size-limited one for images."""
        for part in ("upper", "work", "root", "images"):
            (host.directory / part).mkdir(parents=True, exist_ok=True)
        if not mounted_below(str(host.root)):
            layers = (
                f"lowerdir={self.state.facts['rootfs']},upperdir={host.directory}/upper,workdir={host.directory}/work"
            )
            self.state.record("mount", str(host.root))
            run(["mount", "-t", "overlay", "-o", layers, f"virtops-{self.name}-{host.name}", str(host.root)])
        if mounted_below(str(host.images)):
            return
        image = host.directory / "images.ext4"
        self.state.record("loop", str(image))
        self.state.record("mount", str(host.images))
        if not image.exists():
            fresh = image.with_suffix(".new")
            with fresh.open("wb") as file:
                file.truncate(self.state.facts["disk_mib"] << 20)
            run(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-L", f"{host.name}-images", str(fresh)])
            fresh.rename(image)
        run(["mount", "-o", "loop,discard,noatime", str(image), str(host.images)])
        shutil.rmtree(host.images / "lost+found", ignore_errors=True)
        host.images.chmod(0o711)

    def down(self) -> None:
        """Remove everything that belongs to the lab, whatever state it is in."""
        with locked(RUN / f"{self.name}.lock", f"lab {self.name}"):
            self.state = State.load(self.state.path)
            problems = tear_down(self.state)
            if problems:
                raise LabError(f"lab {self.name} is not quite gone: {'; '.join(problems)}")
            # A controller that was still at work when the lab went may have put its ssh sockets there once more.
            shutil.rmtree(RUN / self.name, ignore_errors=True)
            (RUN / f"{self.name}.lock").unlink(missing_ok=True)
        for folder in (RUN, DATA):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        clean_if_idle()

    # ---- measuring ----

    def watch(self, guests: Iterable[Guest], output: Path | None = None) -> Watcher:
        """A context manager: a watcher that has heard every guest once."""
        return Watcher(self.name, guests, output)

    def verify(
        self, guest: Guest, host: str | Host | None = None, acknowledged: list[int] | None = None, pause: bool = True
    ) -> Verdict:
        """Count lost and torn acknowledged records on the guest's disks (see verify.py)."""
        place = guest.host() if host is None else self.host(host) if isinstance(host, str) else host
        return verify(guest, place, acknowledged, pause)

    def status(self) -> list[dict[str, Any]]:
        """One row per host, from the hosts themselves."""

        def row(host: Host) -> dict[str, Any]:
            on = host.leader() is not None
            healthy = on and host.healthy()
            asked = healthy and host.role == "hypervisor"
            guests = host.virsh("list", "--name", check=False).split("\n") if asked else []
            return {
                "host": host.name, "address": host.address, "suite": host.suite, "on": on, "healthy": healthy,
                "running": [name for name in (line.strip() for line in guests) if name],
            }  # fmt: skip

        with ThreadPoolExecutor(max_workers=8) as pool:
            return list(pool.map(row, [*self.hosts, *self.servers]))
