# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The link or the source goes in the midst of a guest process's move, while disks or memory are on their way, or after post-copy began."""

from __future__ import annotations

import time
import typing as t

from tests.integration.qemu.trips import Trip, clean, half_copied, held, move, ready, runs_on, signal
from tests.lab.guest.shapes import Disk
from tests.lab.shell import LabError, wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.bare import BareGuest

#: Dirty pages per second that no bandwidth of `SLOW` MiB/s follows.
ENDLESS = 6000
SLOW = 3


def migration(guest: BareGuest, host: str) -> str:
    """What the human monitor of a guest's process says about its migration; the other one speaks with the module."""
    try:
        with guest.talk(guest.lab.host(host), guest.socket("hmp")) as talk:
            return talk.hmp("info migrate")
    except LabError:
        return ""


def in_state(guest: BareGuest, host: str, state: str, trip: Trip | None = None) -> None:
    """Wait until its migration is there, while the move runs."""

    def seen() -> bool:
        assert trip is None or not trip.ended, trip.finish()
        return f"status: {state}" in migration(guest, host)

    wait_for(f"the migration of {guest.name} to be {state}", seen, 240, 0.2)


def test_the_link_is_down_for_a_while_or_for_good_and_the_source_dies(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(here, fill_mib=24, monitor="both", memory_mib=128)
    ready(lab, guest)
    before = guest.processes(lab.host(here))
    with lab.watch([guest]) as watcher:
        # For good, with the disk half copied: the source goes on and is as before, and nothing there is forgotten.
        trip = Trip(lab, guest, here, there, bandwidth=SLOW)
        half_copied(lab, guest, there)
        lab.fault.link(there, False)
        ended = trip.finish()
        assert ended["error_code"] in ("MOVE_STALLED", "MIRROR_FAILED"), ended
        assert "cannot be reached" in ended["msg"], ended
        assert guest.where() == {here: "running", there: "inmigrate"}
        assert guest.processes(lab.host(here)).keys() == before.keys()
        guest.wait_beating()
        assert move(lab, guest, here, there)["error_code"] == "HOST_UNREACHABLE"
        lab.fault.link(there, True)
        one_boot(lab, guest, watcher.fresh()["guests"][guest.name])

        # Our half there, which nobody ended, holds the guest until it has heard nothing for a while.
        wait_for(f"{there} to let go of {guest.name}", lambda: not halves(lab, there), 240)

        # For 20 s, with its memory on the way: the next run ends what that one left, and goes on where the link comes back.
        guest.set_dirty_rate(ENDLESS)
        trip = Trip(lab, guest, here, there, bandwidth=SLOW * 4, auto_converge=False)
        in_state(guest, here, "active", trip)
        lab.fault.link(there, False)
        time.sleep(20)
        lab.fault.link(there, True)
        guest.set_dirty_rate(0)
        moved = trip.finish()
        assert moved.get("outcome") == "moved", moved
        runs_on(guest, there)
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    one_boot(lab, guest, seen)
    assert lab.verify(guest, there, seen["acknowledged"]).clean

    # The source dies, first with its memory on the way, then with its disk: its disks are what it has, and nothing there is left.
    back = move(lab, guest, there, here, source_disks="delete")
    assert back.get("outcome") == "moved", back
    guest.set_dirty_rate(ENDLESS)
    trip = Trip(lab, guest, here, there, bandwidth=SLOW * 4)
    in_state(guest, here, "active", trip)
    died(lab, guest, here, there, trip)
    guest.start()
    trip = Trip(lab, guest, here, there, bandwidth=SLOW)
    half_copied(lab, guest, there)
    died(lab, guest, here, there, trip)
    guest.start()
    assert lab.verify(guest, here).clean


def halves(lab: Lab, host: str) -> list[str]:
    """The processes of ours on a host that serve a source."""
    return lab.host(host).run(["pgrep", "-f", "python3 -c import sys, zlib"], check=False).stdout.split()


def one_boot(lab: Lab, guest: BareGuest, seen: dict[str, t.Any]) -> None:
    """It never booted again; where it did, its consoles say why."""
    consoles = [host.run(["tail", "-n", "40", f"{guest.folder}/console"], check=False).stdout for host in lab.hosts[:2]]
    assert len(seen["boots"]) == 1, (seen["boots"], "\n----\n".join(consoles))


def died(lab: Lab, guest: BareGuest, here: str, there: str, trip: Trip) -> None:
    signal(lab, guest, here, "KILL")
    ended = trip.finish()
    assert ended["error_code"] == "GUEST_DIED", ended
    assert guest.where() == {}
    clean(lab, guest, there)


def test_after_post_copy_neither_side_is_ended(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(here, disks=(Disk("qcow2", shared=True),), monitor="both", memory_mib=128)
    ready(lab, guest)
    shared = {"method": "live_shared", "bandwidth": SLOW}
    by_postcopy = {**shared, "timeout": 3, "postcopy": True, "timeout_action": "postcopy"}
    with lab.watch([guest]) as watcher:
        # It never converges: what then happens is what was asked for.
        guest.set_dirty_rate(ENDLESS)
        never = move(lab, guest, here, there, timeout=3, **shared)
        assert never["error_code"] == "MOVE_TIMEOUT", never
        runs_on(guest, here)
        moved = move(lab, guest, here, there, **by_postcopy)
        assert moved.get("outcome") == "moved", moved
        runs_on(guest, there)
        here, there = there, here

        # The link goes while a part of its memory is on either side.
        trip = Trip(lab, guest, here, there, **by_postcopy)
        in_state(guest, here, "postcopy-active", trip)
        lab.fault.link(there, False)
        torn = trip.finish()
        assert torn["error_code"] == "POSTCOPY_FAILED", torn
        assert guest.where()[here] not in ("running", "paused"), guest.where()
        assert list(guest.where()) == [here, there] or list(guest.where()) == [there, here]
        again = move(lab, guest, here, there, **by_postcopy)
        assert again["error_code"] == "POSTCOPY_FAILED", again
        assert guest.where()[here] not in ("running", "paused"), guest.where()

        # The network is back, and with it what the connection still had to say.
        lab.fault.link(there, True)
        in_state(guest, here, "completed")
        finished = move(lab, guest, here, there, **by_postcopy)
        assert finished.get("outcome") == "finished", finished
        runs_on(guest, there)
        guest.set_dirty_rate(0)
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    one_boot(lab, guest, seen)
    assert lab.verify(guest, there, seen["acknowledged"]).clean

    # It was told to run there and died: its memory here may be older than the disks that both share, so nothing goes on with it.
    here, there = there, here
    with held(lab, guest, here, there, "verify", method="live_shared") as trip:
        signal(lab, guest, there, "KILL")
    died_there = trip.finish()
    assert died_there["error_code"] == "GUEST_DIED", died_there
    assert guest.where() == {here: "postmigrate"}


def test_a_guest_that_is_paused_for_its_memory_to_follow_runs_in_the_end(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(here, disks=(Disk("qcow2", shared=True),), monitor="both", memory_mib=128)
    ready(lab, guest)
    by_pause = {"method": "live_shared", "timeout_action": "suspend"}
    with lab.watch([guest]) as watcher:
        guest.set_dirty_rate(ENDLESS)
        # Killed while the guest stands still: the next run knows that it ran, and lets it go on.
        trip = Trip(lab, guest, here, there, bandwidth=SLOW, timeout=3, **by_pause)
        wait_for("the module to pause the guest", lambda: stands(guest, here, trip), 240, 0.2)
        lab.host(here).run(["sh", "-c", "kill -KILL $(pgrep -f '[q]emu_migration /tmp/move-')"])
        assert trip.finish() == {}
        assert stands(guest, here)
        undone = move(lab, guest, here, there, settle_only=True, **by_pause)
        assert undone.get("outcome") == "undone", undone
        runs_on(guest, here)
        assert not guest.processes(lab.host(there))

        moved = move(lab, guest, here, there, bandwidth=SLOW * 4, timeout=8, **by_pause)
        assert moved.get("outcome") == "moved", moved
        assert "action 'suspend'" in str(moved["warnings"]), moved
        assert moved["move"]["downtime_ms"] > 0
        runs_on(guest, there)
        guest.set_dirty_rate(0)
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    one_boot(lab, guest, seen)
    assert lab.verify(guest, there, seen["acknowledged"]).clean


def stands(guest: BareGuest, host: str, trip: Trip | None = None) -> bool:
    """Whether it is paused there, as its human monitor says; the other one speaks with the module."""
    assert trip is None or not trip.ended, trip.finish()
    with guest.talk(guest.lab.host(host), guest.socket("hmp")) as talk:
        return "paused" in talk.hmp("info status")
