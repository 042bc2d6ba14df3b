# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qemu_migration makes a guest that a script started a domain of libvirt's on another host, and says what cannot be one."""

from __future__ import annotations

import json
import typing as t

from tests.integration.qemu.test_faults import agents
from tests.integration.qemu.trips import killed, move, ready, runs_on
from tests.lab.guest.shapes import Disk
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab

ADOPT = {"method": "offline", "may_stop": True, "target": "libvirt"}


def test_a_guest_becomes_a_domain(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(
        here, style="blockdev", disks=(Disk("qcow2"), Disk("raw")), fill_mib=8, extra=("-vnc", "127.0.0.1:99")
    )
    ready(lab, guest)
    place = lab.host(there)
    assert move(lab, guest, here, there, **{**ADOPT, "method": "live_block"})["error_code"] == "INVALID_OPTION"

    # Somebody has a domain of that name: nobody is stopped for it.
    other = f"<domain type='qemu'><name>{guest.name}</name><memory>1024</memory><os><type>hvm</type></os></domain>"
    place.write("/tmp/other.xml", other)
    place.virsh("define", "/tmp/other.xml")
    refused = move(lab, guest, here, there, check_mode=True, **ADOPT)
    assert refused["error_code"] == "NAME_CONFLICT", refused
    place.virsh("undefine", guest.name)

    checked = move(lab, guest, here, there, check_mode=True, **ADOPT)
    assert checked["changed"], checked
    assert guest.where() == {here: "running"}
    assert not place.virsh("list", "--all", "--name").split()
    with lab.watch([guest]) as watcher:
        # What libvirt cannot start comes home.
        busy = place.start(["nc", "-l", "-k", "-p", "5999"])
        try:
            failed = move(lab, guest, here, there, **ADOPT)
        finally:
            place.run(["sh", "-c", "kill $(pgrep -f '^nc -l -k -p 5999')"])
            busy.wait()
        assert failed["error_code"] == "ADOPTION_FAILED", failed
        runs_on(guest, here)
        assert not place.virsh("list", "--all", "--name").split()

        killed(lab, guest, here, there, "verify", **ADOPT)
        wait_for("the agent to let go", lambda: not agents(lab, there), 60)
        done = move(lab, guest, here, there, **ADOPT)
        assert done.get("outcome") == "finished", done
        assert place.virsh("domstate", guest.uuid).strip() == "running"
        guest.wait_beating()
        assert list(guest.where()) == [there]
        again = move(lab, guest, here, there, **ADOPT)
        assert (again["changed"], again["outcome"]) == (False, "already_there"), again
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    assert lab.verify(guest, there, seen["acknowledged"]).clean
    assert guest.mac in place.virsh("dumpxml", guest.uuid)
    place.virsh("destroy", guest.uuid)
    place.virsh("undefine", guest.uuid)
    guest.remove()

    shared = ("-object", "memory-backend-ram,id=m,size=1M,share=on", "-device", "ivshmem-plain,memdev=m,master=on")
    strange = lab.create_bare_guest(here, "strange", extra=shared)
    ready(lab, strange)
    refused = move(lab, strange, here, there, **ADOPT)
    assert "ivshmem-plain" in json.dumps(refused), refused
    assert "ADOPTION_IMPOSSIBLE" in json.dumps(refused), refused
    runs_on(strange, here)
