# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""repair.yml on real hosts: every thing that interrupted work leaves is named; what is proven is finished or taken back, the rest stays."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import typing as t

from tests.integration.ansible_runs import ROOT, Run, module_play, run_module, run_playbook, start_playbook
from tests.integration.moves import (
    SLOW,
    arrived,
    job,
    kill_tree,
    nothing_left,
    options,
    slow_guest,
    stage,
    start_move,
    still_here,
    wait_mirroring,
)
from tests.integration.offline.interrupted import holder, picture, wait_value
from tests.integration.qemu.trips import clean, killed, ready, runs_on
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.bare import BareGuest
    from tests.lab.guest.guest import Guest
    from tests.lab.host import Host

MOVES = "/var/lib/virtops-kvm/moves"
#: $1 a folder: a QEMU that waits for a migration that nobody will send, started by somebody else.
STRANGER = """set -e
mkdir -p "$1"
qemu-system-x86_64 -name stranger -machine pc -accel tcg -m 64 -display none -nodefaults -incoming defer \
    -qmp "unix:$1/qmp.sock,server=on,wait=off" -pidfile "$1/pid" -daemonize
"""
#: $1 a UUID, $2 the ssh target: define the domain there as well.
DEFINE_THERE = """set -e
virsh -q dumpxml --inactive "$1" > /tmp/twice.xml
virsh -q -c "$2" define /tmp/twice.xml
"""

Named = dict[tuple[str, str], str]


def repair(lab: Lab, folder: pathlib.Path, *arguments: str, **variables: t.Any) -> Run:
    """Run repair.yml over all hosts."""
    asked = {"repair_hosts": "kvm", "repair_report_dir": str(folder), **variables}
    return run_playbook(lab.inventory, ROOT / "playbooks" / "repair.yml", *arguments, extra_vars=asked)


def named(run: Run, index: int = 0) -> Named:
    """What the plan of a round calls each thing, and what it wants to do: (code, host) and object, and action."""
    plans = run.results("repair_plan")
    assert plans, run.output
    return {(f"{one['code']} {one['host']}", one["object"]): one["action"] for one in plans[index]["things"]}


def kill_module(host: Host, guest: Guest) -> None:
    """SIGKILL the module that moves the guest: it has the lock of the domain open."""
    path = f"/run/virtops-kvm/locks/{guest.uuid}.lock"
    os.kill(wait_value("the module", lambda: holder(host, path)), signal.SIGKILL)


def interrupt(lab: Lab, guest: Guest, source: str, destination: str) -> None:
    """Kill controller and module in the middle of a move with disks."""
    started = start_move(lab, guest, source, destination, bandwidth=SLOW)
    wait_mirroring(lab, guest, source, started)
    kill_tree(started.process.pid)
    kill_module(lab.host(source), guest)


def interrupt_stopped(lab: Lab, guest: Guest, source: str, destination: str) -> None:
    """Kill controller and module while the disk of a guest is copied that they stopped."""
    address = lab.host(destination).address
    stopped = options(lab, guest, destination, method="offline", may_stop=True, bandwidth=SLOW)
    by_tls = {"destination": f"qemu+tls://{address}/system", "transfer_host": f"root@{address}"}
    started = start_playbook(lab.inventory, module_play(source, "domain_migration", {**stopped, **by_tls}))

    def copying() -> bool:
        assert started.process.poll() is None, started.output()
        return stage(lab, source, guest) == "transfer"

    wait_for(f"{guest.name} to be copied", copying, 300, 0.2)
    kill_tree(started.process.pid)
    kill_module(lab.host(source), guest)
    wait_for(
        "the agent to let go", lambda: not any("python3 -c" in line for line in picture(lab.host(destination))), 120
    )


def pictures(lab: Lab) -> list[frozenset[str]]:
    """What is on each host."""
    return [picture(host) for host in lab.hosts]


def image(guest: Guest) -> str:
    return guest.disks[0]


@contextlib.contextmanager
def stranger(host: Host) -> t.Iterator[int]:
    """A QEMU of somebody else that waits for a migration."""
    folder = "/run/stranger"
    host.run(["sh", "-c", STRANGER, "sh", folder])
    pid = int(host.run(["cat", f"{folder}/pid"]).stdout)
    try:
        yield pid
    finally:
        host.run(["sh", "-c", f"kill -9 {pid}; rm -rf {folder}"], check=False)


def forgotten(lab: Lab, guest: BareGuest, source: str, destination: str) -> None:
    """A move that was killed while its destination waits, and of which the source knows nothing any more."""
    ready(lab, guest)
    killed(lab, guest, source, destination, "transfer")
    lab.host(source).run(
        ["sh", "-c", f'grep -l \'"name": "{guest.name}"\' {MOVES}/guest-*.json | xargs rm'],
    )


def test_each_thing_is_named_and_only_what_is_proven_is_acted_on(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    one, two, three = hosts
    first, second, third = (lab.host(name) for name in hosts)
    broken = slow_guest(lab, one)
    pid = broken.qemu_pid(first)
    at_home = lab.create_guest(one, "qcow2")
    cold = lab.create_guest(two, "shutoff")
    moved_by_hand = lab.create_guest(two, "shared")
    half, lost = lab.create_bare_guest(one, fill_mib=8), lab.create_bare_guest(one, fill_mib=8)
    with stranger(third) as foreign:
        # A move whose controller and module were killed, and whose migration was aborted since.
        interrupt(lab, broken, one, two)
        first.virsh("domjobabort", broken.uuid)
        wait_for("the migration to end", lambda: job(lab, broken, one) == "None" and two not in broken.where(), 120)
        # Guest processes: a move that both records know, and one that only the destination knows.
        ready(lab, half)
        killed(lab, half, one, two, "transfer")
        forgotten(lab, lost, one, two)
        # A copy in the making that no move goes on with, and an image that nobody explains.
        staged, foreign_image = f"{image(at_home)}.moving-{at_home.uuid[:8]}", image(at_home)
        third.write(staged, "copy")
        third.write(foreign_image, "somebody's")
        # Domains that two hosts know: both shut off; one runs and the other is unexplained; one migrated away by hand.
        second.run(["sh", "-c", DEFINE_THERE, "sh", cold.uuid, third.uri])
        first.run(["sh", "-c", DEFINE_THERE, "sh", at_home.uuid, second.uri])
        second.virsh("migrate", "--live", "--persistent", "--p2p", moved_by_hand.uuid, third.uri)
        # A host that somebody emptied.
        assert run_module(lab.inventory, three, "host_cordon", {"reason": "a new board"})["changed"]

        left = {
            (f"INCOMING_UNKNOWN {three}", f"process {foreign}"): "leave",
            (f"IMAGE_UNEXPLAINED {three}", foreign_image): "leave",
            (f"DEFINED_TWICE {two}", f"domain {cold.name}"): "leave",
            (f"DEFINED_TWICE {two}", f"domain {at_home.name}"): "leave",
            (f"CORDONED {three}", "host"): "leave",
        }
        wanted = {
            (f"MOVE_INTERRUPTED {one}", f"domain {broken.name}"): "undo",
            (f"MOVE_INTERRUPTED {one}", f"guest {half.name}"): "undo",
            (f"INCOMING_STALE {two}", f"guest {lost.name}"): "undo",
            (f"COPY_ORPHANED {three}", staged): "undo",
            (f"DEFINED_TWICE {two}", f"domain {moved_by_hand.name}"): "finish",
        }
        wait_for("the agents to let go", lambda: not any("python3 -c" in line for line in picture(second)), 120)
        before = pictures(lab)
        told = repair(lab, tmp_path, "--check")
        assert told.status == 0, told.output
        assert named(told) == {**wanted, **left}, told.output
        assert told.changed == len(wanted), told.output
        wait_for("the hosts to be as they were", lambda: pictures(lab) == before, 60)
        assert list(tmp_path.iterdir()) == []

        run = repair(lab, tmp_path)
        assert run.status == 0, run.output
        assert run.changed == len(wanted), run.output
        still_here(broken, one, pid)
        nothing_left(lab, broken, two)
        for guest in (half, lost):
            runs_on(guest, one)
            clean(lab, guest, two)
        assert moved_by_hand.where() == {three: "running"}
        assert third.run(["ls", os.path.dirname(staged)]).stdout.split().count(os.path.basename(staged)) == 0
        assert third.run(["cat", foreign_image]).stdout == "somebody's"
        assert third.run(["cat", f"/proc/{foreign}/comm"]).stdout.startswith("qemu-system")
        assert cold.where() == {two: "shut off", three: "shut off"}
        assert at_home.where() == {one: "running", two: "shut off"}
        report = json.loads((tmp_path / "repair.json").read_text(encoding="utf-8"))
        assert {entry["thing"]["id"] for entry in report["acted"]} == {" ".join(key) for key in wanted}
        assert named(run, -1) == left

        again = repair(lab, tmp_path, repair_fail_on="left")
        assert (again.status, again.changed) == (2, 0), again.output
        assert named(again) == left
        assert "DEFINED_TWICE" in again.result("fail")["msg"]
        lifted = repair(lab, tmp_path, repair_uncordon=True)
        assert (lifted.status, lifted.changed) == (0, 1), lifted.output
        assert (f"CORDONED {three}", "host") not in named(lifted, -1)


def test_a_migration_that_nobody_drives_is_followed_and_finished(
    lab: Lab, hosts: list[str], tmp_path: pathlib.Path
) -> None:
    one, two, three = hosts
    guest = slow_guest(lab, one, autostart=True)
    with lab.watch([guest]) as watcher:
        interrupt(lab, guest, one, two)
        told = repair(lab, tmp_path, "--check")
        assert named(told) == {(f"MOVE_INTERRUPTED {one}", f"domain {guest.name}"): "finish"}, told.output
        run = repair(lab, tmp_path)
        assert (run.status, run.changed) == (0, 1), run.output
        arrived(guest, two)
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    assert lab.verify(guest, two, seen["acknowledged"]).clean

    # Stopped, and over a libvirt that is reached by TLS: its files go by ssh, and so does what takes the move back.
    lab.pki.install(two, three)
    try:
        interrupt_stopped(lab, guest, two, three)
        run = repair(lab, tmp_path)
        assert run.status == 0, run.output
        assert named(run)[f"MOVE_INTERRUPTED {two}", f"domain {guest.name}"] == "undo", run.output
        still_here(guest, two)
        nothing_left(lab, guest, three)
    finally:
        lab.pki.remove()
    again = repair(lab, tmp_path)
    assert (again.status, again.changed) == (0, 0), again.output
    assert named(again) == {(f"COPY_KEPT {one}", image(guest)): "leave"}
