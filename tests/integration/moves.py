# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of moves share: starting one, catching it in the middle, and the promises that hold after every fault."""

from __future__ import annotations

import json
import os
import signal
import typing as t

from tests.integration.ansible_runs import Started, module_play, run_module, start_playbook
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.guest import Guest

#: MiB/s at which the disks of `slow_guest` take long enough to be caught in the middle, also on a slow machine.
SLOW = 3
#: MiB of random data in the disk of a `slow_guest`.
FILLED = 90


def options(lab: Lab, guest: Guest | str, destination: str, **more: t.Any) -> dict[str, t.Any]:
    """The options of domain_migration for a move of ``guest`` to the lab host ``destination``."""
    name = guest if isinstance(guest, str) else guest.name
    return {
        "name": name,
        "destination": lab.host(destination).uri,
        "migration_address": lab.host(destination).address,
        **more,
    }


def move(
    lab: Lab, guest: Guest | str, source: str, destination: str, *arguments: str, **more: t.Any
) -> dict[str, t.Any]:
    """Run domain_migration to its end and return its result."""
    return run_module(lab.inventory, source, "domain_migration", options(lab, guest, destination, **more), *arguments)


def start_move(lab: Lab, guest: Guest, source: str, destination: str, **more: t.Any) -> Started:
    """Start domain_migration and return at once."""
    return start_playbook(
        lab.inventory, module_play(source, "domain_migration", options(lab, guest, destination, **more))
    )


def slow_guest(lab: Lab, source: str, **shape: t.Any) -> Guest:
    """A running guest whose disk takes long to copy at SLOW."""
    return lab.create_guest(source, "qcow2", fill_mib=FILLED, **shape)


def mirroring(lab: Lab, guest: Guest, source: str) -> bool:
    """Whether the disk of ``guest`` is being mirrored right now, with some of it done."""
    answer = lab.host(source).run(
        ["virsh", "-q", "qemu-monitor-command", guest.uuid, json.dumps({"execute": "query-block-jobs"})], check=False
    )
    if answer.returncode != 0:
        return False
    jobs = json.loads(answer.stdout)["return"]
    return any(0 < job["offset"] < job["len"] for job in jobs)


def wait_mirroring(lab: Lab, guest: Guest, source: str, started: Started) -> None:
    """Wait until the move that was started is in the middle of copying disks."""

    def in_the_middle() -> bool:
        if started.process.poll() is not None:
            raise AssertionError(f"the move ended before its middle:\n{started.output()}")
        return mirroring(lab, guest, source)

    wait_for(f"the disk of {guest.name} to be mirrored", in_the_middle, 300, 0.2)


def job(lab: Lab, guest: Guest, host: str) -> str:
    """The job libvirt runs for the guest on ``host``, as domjobinfo says it; empty where the domain is not known."""
    answer = lab.host(host).run(["virsh", "-q", "domjobinfo", guest.uuid], check=False)
    for line in answer.stdout.splitlines():
        name, _colon, value = line.partition(":")
        if name.strip() == "Job type":
            return value.strip()
    return ""


def stage(lab: Lab, host: str, guest: Guest) -> str:
    """How far the journal on ``host`` says that the guest's move has come; empty where there is none."""
    answer = lab.host(host).run(["cat", f"/var/lib/virtops-kvm/moves/{guest.uuid}.json"], check=False)
    return str(json.loads(answer.stdout)["stage"]) if answer.returncode == 0 else ""


def nothing_left(lab: Lab, guest: Guest, destination: str) -> None:
    """The destination knows neither the domain nor any image, process, pool or claim of the move."""
    host = lab.host(destination)
    assert destination not in guest.where(), f"{guest.name} is still defined on {destination}"
    images = host.run(["find", "/var/lib/libvirt/images", "-type", "f"]).stdout.split("\n")
    assert not [image for image in images if guest.name in image], f"images left on {destination}: {images}"
    processes = host.run(["pgrep", "-f", f"guest={guest.name}[,]"], check=False).stdout.split()
    assert not processes, f"QEMU left on {destination}: {processes}"
    pools = host.virsh("pool-list", "--all", "--name").split()
    assert pools == ["default"], f"pools on {destination}: {pools}"
    claims = host.run(
        ["sh", "-c", "find /var/lib/virtops-kvm -name '*claim*' -type f 2>/dev/null"], check=False
    ).stdout.split()
    assert not claims, f"claims left on {destination}: {claims}"


def still_here(guest: Guest, source: str, pid: int | None = None) -> None:
    """The guest runs on ``source`` and nowhere else, in the same process as before, and beats."""
    assert guest.running_on() == [source], guest.where()
    guest.wait_beating()
    if pid is not None:
        assert guest.qemu_pid(guest.lab.host(source)) == pid


def arrived(guest: Guest, destination: str) -> None:
    """The guest runs on ``destination``, is known nowhere else, and beats."""
    assert guest.where() == {destination: "running"}, guest.where()
    guest.wait_beating()


def kill_tree(pid: int) -> None:
    """SIGKILL a controller and all processes below it, as a power loss would; only processes this test started."""
    children = [int(word) for word in os.popen(f"ps -o pid= --ppid {pid}").read().split()]
    os.kill(pid, signal.SIGKILL)
    for child in children:
        kill_tree(child)
