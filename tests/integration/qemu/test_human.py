# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qemu_migration by a human monitor alone, and inside TLS: by two real QEMUs, with the wire listened to."""

from __future__ import annotations

import typing as t

import pytest

from tests.integration.observe import Tap
from tests.integration.qemu.trips import clean, move, ready, runs_on
from tests.lab.guest.shapes import Disk

if t.TYPE_CHECKING:
    from tests.lab import Lab

#: A word of the kernel's command line, which is in the memory of every guest, and one that is in each record on its disk.
IN_MEMORY, ON_DISK = "lab.records=", "VKR1"


def test_a_guest_with_a_human_monitor_only(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(
        here, style="drive", machine="q35", monitor="hmp", disks=(Disk("qcow2", shared=True),),
        extra=("-device", "pcie-root-port,id=slot1,slot=1"),
    )  # fmt: skip
    ready(lab, guest)
    plug = f"{guest.disks[0]}.plugged.raw"
    lab.host(here).run(["qemu-img", "create", "-q", "-f", "raw", plug, "16M"])
    assert "OK" in guest.hmp(f"drive_add 0 if=none,id=later,file={plug},format=raw")
    assert guest.hmp("device_add virtio-blk-pci,drive=later,id=plugged,serial=later-1,bus=slot1") == ""

    refused = move(lab, guest, here, there)
    assert "HUMAN_MONITOR_ONLY" in str(refused["details"]) or refused["error_code"] == "HUMAN_MONITOR_ONLY", refused
    with lab.watch([guest]) as watcher:
        moved = move(lab, guest, here, there, method="live_shared")
        assert moved.get("outcome") == "moved", moved
        assert moved["move"]["memory_bytes"] > 0, moved
        runs_on(guest, there)
        assert any("plugged" in word for word in moved["destination_argv"])
        # It has a QMP monitor of ours by now; the human one is asked for by name.
        human = f"unix:{guest.socket('hmp')}"
        back = move(lab, guest, there, here, method="live_shared", monitor=human)
        assert back.get("outcome") == "moved", back
        runs_on(guest, here)
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    assert len(seen["boots"]) == 1, seen["boots"]
    off = move(lab, guest, here, there, method="offline", may_stop=True, monitor=human)
    assert off.get("outcome") == "moved", off
    runs_on(guest, there)
    assert lab.verify(guest, there, seen["acknowledged"]).clean


@pytest.fixture
def certificates(lab: Lab, hosts: list[str]) -> t.Iterator[None]:
    """Certificates for the first host alone."""
    lab.pki.install(hosts[0])
    yield
    lab.pki.remove()


def test_tls_leaves_nothing_readable_on_the_wire(lab: Lab, hosts: list[str], certificates: None) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(here, disks=(Disk("qcow2"),), fill_mib=16)
    ready(lab, guest)
    lacking = move(lab, guest, here, there, tls=True)
    assert lacking["error_code"] == "TLS_UNAVAILABLE", lacking
    assert there in lacking["msg"], lacking
    lab.pki.install(there)

    # A name that is not in the destination's certificate: somebody else may be behind it.
    lab.host(here).run(["sh", "-c", f"echo {lab.host(there).address} impostor >> /etc/hosts"])
    wrong = move(lab, guest, here, there, tls=True, migration_address="impostor")
    assert wrong["failed"], wrong
    assert wrong["error_code"] in ("MOVE_FAILED", "MIRROR_FAILED", "MIGRATION_FAILED"), wrong
    runs_on(guest, here)
    clean(lab, guest, there)

    with Tap(lab, here, IN_MEMORY, ON_DISK) as tap:
        moved = move(lab, guest, here, there, tls=True, bandwidth=24, source_disks="delete")
    assert moved.get("outcome") == "moved", moved
    runs_on(guest, there)
    assert len(tap.streams) == 2, tap.streams
    assert not any(count["marked"] for count in tap.streams.values()), tap.streams
    # The way back in clear, so that this test is known to see what it looks for; what TLS left in QEMU is not in its way.
    with Tap(lab, here, IN_MEMORY, ON_DISK) as tap:
        back = move(lab, guest, there, here, bandwidth=24)
    assert back.get("outcome") == "moved", back
    assert any(count["marked"] for count in tap.streams.values()), tap.streams
    runs_on(guest, here)
    assert lab.verify(guest, here).clean
