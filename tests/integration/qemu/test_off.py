# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qemu_migration with a stop: the guest shuts down, its images are proven equal, and it boots on exactly one host, whatever is killed."""

from __future__ import annotations

import json
import typing as t

from tests.integration.ansible_runs import run_module
from tests.integration.qemu.test_faults import agents
from tests.integration.qemu.trips import clean, exists, held, killed, move, ready, runs_on
from tests.lab.guest.shapes import Disk
from tests.lab.host import IMAGES
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.bare import BareGuest

OFF = {"method": "offline", "may_stop": True}


def boots(guest: BareGuest) -> str:
    status = guest.status()
    assert status is not None
    return str(status["b"])


def test_it_is_asked_copied_and_started_and_comes_home_where_that_fails(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    disks = (Disk("qcow2", chain=True), Disk("raw"), Disk("qcow2", shared=True))
    guest = lab.create_bare_guest(here, disks=disks, fill_mib=8, unit="lab-off")
    ready(lab, guest)
    refused = move(lab, guest, here, there, method="offline")
    assert refused["error_code"] == "MAY_NOT_STOP", refused
    before = boots(guest)
    with lab.watch([guest]) as watcher:
        checked = move(lab, guest, here, there, check_mode=True, **OFF)
        assert checked["changed"], checked
        assert (boots(guest), guest.where()) == (before, {here: "running"})

        # What cannot start there comes home, with the unit that it had gone.
        same = checked["destination_argv"][1:]
        failed = move(lab, guest, here, there, destination_arguments=[*same, "-device", "no-such"], **OFF)
        assert failed["error_code"] == "DESTINATION_FAILED", failed
        assert "running on" in failed["msg"], failed
        assert "nothing of it is left" in failed["msg"], failed
        runs_on(guest, here)
        left = lab.host(there).run(["sh", "-c", "ls /var/lib/libvirt/images"]).stdout
        assert guest.name not in left, left

        moved = move(lab, guest, here, there, source_disks="rename", **OFF)
        assert moved.get("outcome") == "moved", moved
        runs_on(guest, there)
        assert boots(guest) != before
        assert move(lab, guest, here, there, **OFF)["outcome"] == "already_there"
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    assert lab.verify(guest, there, seen["acknowledged"]).clean
    first, second, shared = guest.disks
    info = json.loads(lab.host(there).run(["qemu-img", "info", "-U", "--output=json", first]).stdout)
    assert "backing-filename" not in info, info
    kept = [one for one in (first, second) if exists(lab.host(here), f"{one}.migrated")]
    assert kept == [first, second]
    assert exists(lab.host(here), shared)


def test_the_module_is_killed_at_every_stage_of_it(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(here, disks=(Disk("qcow2"),), fill_mib=8)
    ready(lab, guest)
    with lab.watch([guest]) as watcher:
        for stage, outcome in (
            ("stop", "moved"), ("transfer", "finished"), ("switch", "finished"), ("verify", "finished"), ("release", "finished"),
        ):  # fmt: skip
            killed(lab, guest, here, there, stage, source_disks="delete", **OFF)
            wait_for("the agent to let go", lambda at=there: not agents(lab, at), 60)  # type: ignore[misc]
            assert sum(state == "running" for state in guest.where().values()) <= 1, guest.where()
            done = move(lab, guest, here, there, source_disks="delete", **OFF)
            assert done.get("outcome") == outcome, (stage, done)
            runs_on(guest, there)
            clean(lab, guest, here)
            here, there = there, here

        # What fails while the guest is off: it boots at home.
        with held(lab, guest, here, there, "transfer", **OFF) as trip:
            lab.host(there).run(["sh", "-c", f"kill {' '.join(agents(lab, there).split())}"])
        ended = trip.finish()
        assert ended["failed"], ended
        assert "running on" in ended["msg"], ended
        runs_on(guest, here)
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    assert lab.verify(guest, here, seen["acknowledged"]).clean


def test_a_guest_that_does_not_listen_is_ended_only_where_that_is_asked(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    # It stands in its firmware, where nobody hears a button.
    deaf = lab.create_bare_guest(here, "deaf", wait=False, extra=("-boot", "menu=on,splash-time=60000"))
    ready(lab, deaf)
    silent = move(lab, deaf, here, there, shutdown_timeout=0, **OFF)
    assert silent["error_code"] == "SHUTDOWN_TIMEOUT", silent
    assert deaf.where() == {here: "running"}
    hard = move(lab, deaf, here, there, shutdown_timeout=0, shutdown_action="destroy", **OFF)
    assert hard.get("outcome") == "moved", hard
    assert "ended, as asked" in json.dumps(hard["warnings"]), hard["warnings"]
    assert deaf.where() == {there: "running"}


def test_a_guest_without_a_process_goes_with_its_unit(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    image, unit = f"{IMAGES}/still.qcow2", "virtops-kvm-guest-still\\x20one.service"
    described = {
        "name": "still one", "memory": "64M", "disks": [{"path": image, "size": "64M"}], "persistent": True, "autostart": True,
    }  # fmt: skip
    off = {"name": "still one", "state": "stopped", "shutdown_timeout": 0, "shutdown_action": "destroy"}
    for options in (described, off):
        made = run_module(lab.inventory, here, "qemu_guest", options)
        assert not made["failed"], made
    lab.host(here).run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 5 1M 64k", image])
    for source, destination in ((here, there), (there, here)):
        ask = {
            "name": "still one", "method": "offline", "destination": f"root@{lab.host(destination).address}", "source_disks": "delete",
        }  # fmt: skip
        moved = run_module(lab.inventory, source, "qemu_migration", ask)
        assert moved.get("outcome") == "moved", moved
        again = run_module(lab.inventory, source, "qemu_migration", ask)
        assert (again["changed"], again.get("outcome")) == (False, "already_there"), again
        lab.host(destination).run(["qemu-io", "-f", "qcow2", "-c", "read -q -P 5 1M 64k", image])
        shown = [
            lab.host(name).run(["systemctl", "is-enabled", unit], check=False).stdout.strip()
            for name in (source, destination)
        ]
        assert shown[1] == "enabled", shown
        assert shown[0] != "enabled", shown
        assert not exists(lab.host(source), image)
    same = run_module(lab.inventory, here, "qemu_guest", described)
    assert (same["changed"], same["restart_needed"]) == (True, False), same
    stopped = run_module(lab.inventory, here, "qemu_guest", {**off, "persistent": False})
    assert not stopped["failed"], stopped
