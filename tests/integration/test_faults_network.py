# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links, ports and space that fail a move: the guest stays, the destination is clean, the next try succeeds."""

from __future__ import annotations

import time
import typing as t

from tests.integration.moves import (
    SLOW,
    arrived,
    job,
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


def test_06_link_down_for_twenty_seconds(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source)
    started = start_move(lab, guest, source, destination, bandwidth=SLOW)
    wait_mirroring(lab, guest, source, started)
    lab.fault.link(destination, False)
    time.sleep(20)
    lab.fault.link(destination, True)
    result = started.finish().result("domain_migration")

    if result.get("failed"):
        still_here(guest, source)
        nothing_left(lab, guest, destination)
        assert move(lab, guest, source, destination)["changed"]
    arrived(guest, destination)
    verdict = lab.verify(guest, destination)
    assert (verdict.lost, verdict.torn) == (0, 0)


def test_06_link_down_for_good(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source)
    pid = guest.qemu_pid(lab.host(source))
    started = start_move(lab, guest, source, destination, bandwidth=SLOW, timeout=40)
    wait_mirroring(lab, guest, source, started)
    lab.fault.link(destination, False)
    result = started.finish().result("domain_migration")

    assert result["failed"]
    assert result["error_code"] in (
        "MOVE_ABORTING_UNKNOWN",
        "MOVE_TIMEOUT",
        "MOVE_ABORTED",
        "HOST_UNREACHABLE",
        "OWNERSHIP_UNPROVEN",
    )
    assert guest.qemu_pid(lab.host(source)) == pid
    assert lab.host(source).virsh("domstate", guest.uuid).strip() == "running"
    lab.fault.link(destination, True)
    wait_for(f"the old job of {guest.name} to end", lambda: job(lab, guest, source) == "None", 1200, 1)
    again = move(lab, guest, source, destination)
    assert not again.get("failed"), again
    arrived(guest, destination)


def test_07_destination_full(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source)
    pid = guest.qemu_pid(lab.host(source))
    started = start_move(lab, guest, source, destination, bandwidth=SLOW)
    wait_mirroring(lab, guest, source, started)
    lab.fault.fill(destination)
    result = started.finish().result("domain_migration")
    lab.fault.unfill(destination)

    assert result["failed"]
    assert "space" in result["msg"].lower()
    still_here(guest, source, pid)
    nothing_left(lab, guest, destination)
    assert move(lab, guest, source, destination)["changed"]
    arrived(guest, destination)


def test_07_destination_full_beforehand_is_refused(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = slow_guest(lab, source)
    lab.fault.fill(destination)
    result = move(lab, guest, source, destination)
    lab.fault.unfill(destination)

    assert result["failed"]
    assert "DISK_SPACE_SHORT" in [finding["code"] for finding in result["details"]["findings"]]
    still_here(guest, source)
    nothing_left(lab, guest, destination)


def test_24_migration_ports_closed(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "qcow2")
    pid = guest.qemu_pid(lab.host(source))
    lab.fault.close(destination, "49152-49215")
    result = move(lab, guest, source, destination)
    lab.fault.open(destination)

    assert result["failed"]
    assert "PORT_BLOCKED" in [finding["code"] for finding in result["details"]["findings"]]
    still_here(guest, source, pid)
    nothing_left(lab, guest, destination)
    assert move(lab, guest, source, destination)["changed"]
    arrived(guest, destination)


def test_24_control_port_closed(lab: Lab, hosts: list[str]) -> None:
    source, destination = hosts[:2]
    guest = lab.create_guest(source, "qcow2")
    lab.fault.link(destination, False)
    result = move(lab, guest, source, destination)
    lab.fault.link(destination, True)

    assert result["failed"]
    assert result["error_code"] == "HOST_UNREACHABLE"
    assert destination in result["msg"] or lab.host(destination).address in result["msg"]
    still_here(guest, source)
