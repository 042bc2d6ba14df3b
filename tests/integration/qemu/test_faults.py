# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is killed, hangs or is cut off while a guest process moves: it never runs twice, and the next run finishes or undoes."""

from __future__ import annotations

import typing as t

import pytest

from tests.integration.qemu.trips import Trip, clean, half_copied, held, killed, move, ready, runs_on, signal
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.bare import BareGuest


@pytest.fixture
def guest(lab: Lab, hosts: list[str]) -> BareGuest:
    """A guest whose disk takes a moment to copy."""
    made = lab.create_bare_guest(hosts[0], fill_mib=24)
    ready(lab, made)
    return made


def test_the_module_is_killed_at_every_stage(lab: Lab, hosts: list[str], guest: BareGuest) -> None:
    here, there = hosts[:2]
    with lab.watch([guest]) as watcher:
        for stage, outcome in (
            ("claim", "moved"), ("prepare", "moved"), ("transfer", "moved"), ("switch", "moved"), ("verify", "finished"),
            ("release", "finished"),
        ):  # fmt: skip
            if stage == "claim":
                # Nothing is made yet, but for the record.
                killed(lab, guest, here, there, "prepare", source_disks="delete")
            else:
                killed(lab, guest, here, there, stage, source_disks="delete")
            wait_for("the agent to let go", lambda at=there: not agents(lab, at), 60)  # type: ignore[misc]
            assert sum(state == "running" for state in guest.where().values()) <= 1, guest.where()
            done = move(lab, guest, here, there, source_disks="delete")
            assert done.get("outcome") == outcome, (stage, done)
            runs_on(guest, there)
            clean(lab, guest, here)
            here, there = there, here
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    assert seen["boots"] == 1 or len(seen["boots"]) == 1
    assert lab.verify(guest, here, seen["acknowledged"]).clean


def test_what_befalls_a_move_in_its_midst(lab: Lab, hosts: list[str], guest: BareGuest) -> None:
    here, there = hosts[:2]
    place = lab.host(there)
    module = "kill -TERM $(pgrep -f '[q]emu_migration /tmp/move-')"
    with lab.watch([guest]) as watcher:
        for act, code in (("abort", "MOVE_ABORTED"), ("kill", "MIRROR_FAILED")):
            trip = Trip(lab, guest, here, there, bandwidth=3)
            half_copied(lab, guest, there)
            if act == "abort":
                lab.host(here).run(["sh", "-c", module])
            else:
                signal(lab, guest, there, "KILL")
            ended = trip.finish()
            assert ended["error_code"] == code, ended
            runs_on(guest, here)
            clean(lab, guest, there)

        place.run(["sh", "-c", "mkdir -p /srv/tiny && mount -t tmpfs -o size=8m tmpfs /srv/tiny"])
        small = {"mapping": {"disks": {"virtio0": "/srv/tiny/full.qcow2"}}}
        assert move(lab, guest, here, there, **small)["error_code"] == "DISK_SPACE_SHORT"
        full = move(lab, guest, here, there, accept=["DISK_SPACE_SHORT"], **small)
        left = place.run(["sh", "-c", "ls /srv/tiny; umount /srv/tiny"]).stdout
        assert full["error_code"] == "MIRROR_FAILED", full
        assert "No space left" in full["msg"], full
        assert not left.strip(), left
        runs_on(guest, here)

        guest.set_dirty_rate(6000)
        never = move(lab, guest, here, there, bandwidth=5, timeout=15)
        assert never["error_code"] == "MOVE_TIMEOUT", never
        assert "memory" in never["msg"], never
        runs_on(guest, here)
        clean(lab, guest, there)
        guest.set_dirty_rate(0)

        guest.qmp("stop")
        moved = move(lab, guest, here, there)
        assert moved.get("outcome") == "moved", moved
        assert guest.where() == {there: "paused"}
        guest.qmp("cont")
        runs_on(guest, there)
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    assert lab.verify(guest, there, seen["acknowledged"]).clean


def agents(lab: Lab, host: str) -> str:
    return lab.host(host).run(["pgrep", "-f", "^python3 -c [i]mport sys, zlib"], check=False).stdout.strip()


def test_the_destination_dies_or_hangs(lab: Lab, hosts: list[str], guest: BareGuest) -> None:
    here, there = hosts[:2]
    before = guest.processes(lab.host(here))
    with lab.watch([guest]) as watcher:
        for stage, act in (
            ("transfer", "KILL"),
            ("transfer", "STOP"),
            ("switch", "KILL"),
            ("switch", "STOP"),
            ("verify", "KILL"),
        ):
            with held(lab, guest, here, there, stage) as trip:
                signal(lab, guest, there, act)
            ended = trip.finish()
            assert ended["failed"]
            assert f"stage {stage}" in ended["msg"], (stage, act, ended)
            runs_on(guest, here)
            assert guest.processes(lab.host(here)).keys() == before.keys()
            clean(lab, guest, there)
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"]
    assert lab.verify(guest, here, seen["acknowledged"]).clean
    assert move(lab, guest, here, there).get("outcome") == "moved"
    runs_on(guest, there)


def test_the_source_dies(lab: Lab, hosts: list[str], guest: BareGuest) -> None:
    here, there = hosts[:2]
    with held(lab, guest, here, there, "transfer") as trip:
        signal(lab, guest, here, "KILL")
    ended = trip.finish()
    assert ended["error_code"] == "GUEST_DIED", ended
    assert guest.where() == {}
    clean(lab, guest, there)
    guest.start()
    with held(lab, guest, here, there, "verify") as trip:
        signal(lab, guest, here, "KILL")
    ended = trip.finish()
    assert ended.get("outcome") == "moved", ended
    runs_on(guest, there)


def test_the_destination_is_out_of_reach_after_the_handover(lab: Lab, hosts: list[str], guest: BareGuest) -> None:
    here, there = hosts[:2]
    killed(lab, guest, here, there, "verify")
    lab.fault.link(there, False)
    refused = move(lab, guest, here, there)
    assert refused["error_code"] == "OWNERSHIP_UNPROVEN", refused
    assert "stays as it is" in refused["msg"], refused
    assert guest.where() == {here: "postmigrate", there: "paused"}
    lab.fault.link(there, True)
    done = move(lab, guest, here, there)
    assert done.get("outcome") == "finished", done
    runs_on(guest, there)
