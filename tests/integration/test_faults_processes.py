# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that die in the middle of a move: QEMU on either side, libvirtd on either side, the controller.

The numbers in the names are the rows of the failure table: the right outcome of each is known beforehand.
"""

from __future__ import annotations

import signal
import typing as t

from tests.integration.moves import (
    SLOW,
    arrived,
    job,
    kill_tree,
    move,
    nothing_left,
    slow_guest,
    start_move,
    still_here,
    wait_mirroring,
)
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab


def test_01_source_qemu_killed_while_disks_are_copied(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source)
    started = start_move(lab, guest, source, destination, bandwidth=SLOW)
    wait_mirroring(lab, guest, source, started)
    lab.fault.qemu(guest, source, "kill")
    result = started.finish().result("domain_migration")

    assert result["failed"]
    assert result["error_code"]
    assert guest.where() == {source: "shut off"}
    nothing_left(lab, guest, destination)

    guest.start()
    assert move(lab, guest, source, destination)["changed"]
    arrived(guest, destination)


def test_03_destination_qemu_killed_while_disks_are_copied(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source)
    pid = guest.qemu_pid(lab.host(source))
    with lab.watch([guest]) as watcher:
        started = start_move(lab, guest, source, destination, bandwidth=SLOW)
        wait_mirroring(lab, guest, source, started)
        lab.fault.qemu(guest, destination, "kill")
        result = started.finish().result("domain_migration")
        still_here(guest, source, pid)
        acknowledged = watcher.fresh()["guests"][guest.name]["acknowledged"]

    assert result["failed"]
    assert "vda" in result["msg"] or guest.disks[0] in result["msg"], result["msg"]
    nothing_left(lab, guest, destination)
    verdict = lab.verify(guest, source, acknowledged)
    assert (verdict.lost, verdict.torn) == (0, 0)

    assert move(lab, guest, source, destination)["changed"]
    arrived(guest, destination)


def test_09_source_libvirtd_killed_while_disks_are_copied(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source)
    pid = guest.qemu_pid(lab.host(source))
    started = start_move(lab, guest, source, destination, bandwidth=SLOW)
    wait_mirroring(lab, guest, source, started)
    lab.fault.daemon(source, "down")
    result = started.finish().result("domain_migration")

    assert result["failed"]
    lab.fault.daemon(source, "up")
    still_here(guest, source, pid)

    assert move(lab, guest, source, destination)["changed"]
    arrived(guest, destination)
    assert job(lab, guest, destination) == "None"


def test_09_destination_libvirtd_killed_while_disks_are_copied(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source)
    pid = guest.qemu_pid(lab.host(source))
    started = start_move(lab, guest, source, destination, bandwidth=SLOW)
    wait_mirroring(lab, guest, source, started)
    lab.fault.daemon(destination, "down")
    result = started.finish().result("domain_migration")

    assert result["failed"]
    still_here(guest, source, pid)
    lab.fault.daemon(destination, "up")

    assert move(lab, guest, source, destination)["changed"]
    arrived(guest, destination)
    processes = lab.host(destination).run(["pgrep", "-c", "-f", f"guest={guest.name}[,]"]).stdout.strip()
    assert processes == "1", "an orphan QEMU runs on the destination"


def test_10_killed_controller_leaves_a_move_that_ends_by_itself(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source, autostart=True)
    with lab.watch([guest]) as watcher:
        started = start_move(lab, guest, source, destination, bandwidth=SLOW)
        wait_mirroring(lab, guest, source, started)
        kill_tree(started.process.pid)
        assert guest.running_on() == [source]

        result = move(lab, guest, source, destination, bandwidth=SLOW)
        assert not result.get("failed"), result
        assert result["outcome"] in ("attached", "already_there")
        arrived(guest, destination)
        report = watcher.fresh()["guests"][guest.name]

    assert not report["two_copies"], report["evidence"]
    verdict = lab.verify(guest, destination, report["acknowledged"])
    assert (verdict.lost, verdict.torn) == (0, 0)
    assert "enable" in lab.host(destination).virsh("dominfo", guest.uuid).split("Autostart:")[1].splitlines()[0]
    again = move(lab, guest, source, destination)
    assert not again["changed"]


def test_10_interrupt_aborts_and_leaves_the_destination_clean(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source)
    pid = guest.qemu_pid(lab.host(source))
    started = start_move(lab, guest, source, destination, bandwidth=SLOW)
    wait_mirroring(lab, guest, source, started)
    started.process.send_signal(signal.SIGINT)
    assert started.finish().status != 0

    wait_for(f"the move of {guest.name} to be given up", lambda: job(lab, guest, source) == "None", 120)
    still_here(guest, source, pid)
    wait_for(f"{destination} to be clean", lambda: destination not in guest.where(), 120)
    nothing_left(lab, guest, destination)
    assert move(lab, guest, source, destination)["changed"]
    arrived(guest, destination)


def test_11_job_aborted_by_hand_while_disks_are_copied(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source)
    pid = guest.qemu_pid(lab.host(source))
    started = start_move(lab, guest, source, destination, bandwidth=SLOW)
    wait_mirroring(lab, guest, source, started)
    lab.host(source).virsh("domjobabort", guest.uuid)
    result = started.finish().result("domain_migration")

    assert result["failed"]
    told_as_aborted(result)
    still_here(guest, source, pid)
    nothing_left(lab, guest, destination)
    assert move(lab, guest, source, destination)["changed"]
    arrived(guest, destination)


def test_11_job_aborted_by_hand_while_memory_is_copied(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "shared", memory_mib=192, dirty=6000, area_mib=48)
    pid = guest.qemu_pid(lab.host(source))
    started = start_move(lab, guest, source, destination, bandwidth=SLOW, method="live_shared")
    wait_for(f"the memory of {guest.name} to be copied", lambda: job(lab, guest, source) == "Unbounded", 300, 0.1)
    lab.host(source).virsh("domjobabort", guest.uuid)
    result = started.finish().result("domain_migration")

    assert result["failed"]
    told_as_aborted(result)
    still_here(guest, source, pid)
    nothing_left(lab, guest, destination)


def told_as_aborted(result: dict[str, t.Any]) -> None:
    """libvirt 11 often loses the reason of a failed migration, for virsh too; then the sentence names the abort as a cause it can be."""
    assert result["error_code"] == "MOVE_ABORTED" or "domjobabort" in result["msg"], result["msg"]
