# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The oldest hosts we promise: Debian bookworm with libvirt 9.0 and QEMU 7.2. The main road of every move, for real."""

from __future__ import annotations

import typing as t

import pytest

from tests.integration.ansible_runs import ROOT, run_module, run_playbook
from tests.integration.conftest import lab_name
from tests.integration.moves import arrived, move
from tests.integration.qemu import trips
from tests.lab import Lab
from tests.lab.guest.shapes import Disk

if t.TYPE_CHECKING:
    import pathlib


@pytest.fixture(scope="module")
def old_lab() -> t.Iterator[Lab]:
    """Two bookworm hosts."""
    lab = Lab.up(name=lab_name("old"), hosts=2, suite="bookworm")
    try:
        yield lab
    finally:
        lab.down()


def test_versions_are_the_old_ones(old_lab: Lab) -> None:
    host = run_module(old_lab.inventory, "kvm1", "host_info", {})["host"]
    assert host["libvirt_version"] // 1_000_000 == 9
    assert host["qemu_version"] // 1_000_000 == 7


@pytest.mark.parametrize("shape", ["three-disks", "chain", "uefi"])
def test_there_and_back_with_disks(old_lab: Lab, shape: str) -> None:
    guest = old_lab.create_guest("kvm1", shape)
    with old_lab.watch([guest]) as watcher:
        there = move(old_lab, guest, "kvm1", "kvm2")
        assert there["changed"], there
        assert there["method"] == "live_block"
        arrived(guest, "kvm2")
        assert not move(old_lab, guest, "kvm1", "kvm2")["changed"]
        report = watcher.fresh()["guests"][guest.name]
    assert not report["two_copies"], report["evidence"]
    verdict = old_lab.verify(guest, "kvm2", report["acknowledged"])
    assert (verdict.lost, verdict.torn) == (0, 0)
    guest.remove()


def test_suspended_with_a_tpm_goes_on_where_it_was_and_seeded_back(old_lab: Lab) -> None:
    guest = old_lab.create_guest("kvm1", "qcow2", tpm=True)
    boot = guest.status()
    assert boot is not None
    there = move(old_lab, guest, "kvm1", "kvm2", method="suspended", may_stop=True)
    assert there.get("outcome") == "moved", there
    arrived(guest, "kvm2")
    status = guest.status()
    assert status is not None
    assert status["b"] == boot["b"]
    assert old_lab.verify(guest, "kvm2").clean

    old_lab.host("kvm2").virsh("checkpoint-create-as", guest.uuid, "since-backup")
    back = move(old_lab, guest, "kvm2", "kvm1", method="seeded", may_stop=True)
    assert back.get("outcome") == "moved", back
    assert back["files"][0]["delta"] == "bitmap", back["move"]["warnings"]
    arrived(guest, "kvm1")
    assert old_lab.host("kvm1").virsh("checkpoint-list", guest.uuid, "--name").split() == ["since-backup"]
    assert old_lab.verify(guest, "kvm1").clean
    guest.remove()


def test_a_guest_process_by_mirrors_and_by_the_way_of_old(old_lab: Lab) -> None:
    guest = old_lab.create_bare_guest("kvm1", disks=(Disk("qcow2"), Disk("raw")), fill_mib=16)
    trips.ready(old_lab, guest)
    with old_lab.watch([guest]) as watcher:
        there = trips.move(old_lab, guest, "kvm1", "kvm2", source_disks="delete")
        assert there.get("outcome") == "moved", there
        trips.runs_on(guest, "kvm2")
        back = trips.move(old_lab, guest, "kvm2", "kvm1", source_disks="delete", legacy_block=True)
        assert back.get("outcome") == "moved", back
        trips.runs_on(guest, "kvm1")
        report = watcher.fresh()["guests"][guest.name]
    assert not report["two_copies"], report["evidence"]
    assert old_lab.verify(guest, "kvm1", report["acknowledged"]).clean
    guest.remove()


def test_a_guest_process_with_a_human_monitor_by_the_way_of_old_and_offline(old_lab: Lab) -> None:
    guest = old_lab.create_bare_guest("kvm1", monitor="hmp", fill_mib=8)
    trips.ready(old_lab, guest)
    with old_lab.watch([guest]) as watcher:
        there = trips.move(old_lab, guest, "kvm1", "kvm2", source_disks="delete", legacy_block=True)
        assert there.get("outcome") == "moved", there
        trips.runs_on(guest, "kvm2")
        human = f"unix:{guest.socket('hmp')}"
        back = trips.move(
            old_lab, guest, "kvm2", "kvm1", method="offline", may_stop=True, monitor=human, source_disks="delete"
        )
        assert back.get("outcome") == "moved", back
        trips.runs_on(guest, "kvm1")
        report = watcher.fresh()["guests"][guest.name]
    assert not report["two_copies"], report["evidence"]
    assert old_lab.verify(guest, "kvm1", report["acknowledged"]).clean
    guest.remove()


def test_old_hosts_are_configured_to_trust_each_other_and_a_second_run_changes_nothing(
    old_lab: Lab, tmp_path: pathlib.Path
) -> None:
    asked = {
        "libvirt_host_hosts": "kvm",
        # They are installed, and the lab has no network from which to get others.
        "libvirt_host_packages": [],
        "libvirt_host_authority_directory": str(tmp_path / "authority"),
        # A container has no AppArmor of its own.
        "libvirt_host_qemu_settings": {"security_driver": "none"},
    }
    playbook = ROOT / "playbooks" / "configure_hosts.yml"
    first, second = (run_playbook(old_lab.inventory, playbook, extra_vars=asked) for _each in range(2))
    assert first.status == 0, first.output
    assert first.changed > 0
    assert (second.status, second.changed) == (0, 0), second.output
    old_lab.host("kvm2").run(["virsh", "-c", "qemu+tls://kvm1/system", "list"])
    guest = old_lab.create_guest("kvm1", "qcow2")
    over = {"name": guest.name, "destination": "qemu+tls://kvm2/system", "tls": True}
    moved = run_module(old_lab.inventory, "kvm1", "domain_migration", over)
    assert moved.get("outcome") == "moved", moved
    arrived(guest, "kvm2")
    guest.remove()
