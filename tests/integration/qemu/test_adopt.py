# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qemu_migration makes a guest that a script started a domain of libvirt's on another host, and says what cannot be one."""

from __future__ import annotations

import contextlib
import json
import typing as t
from dataclasses import replace

import pytest

from tests.integration.qemu.test_faults import agents
from tests.integration.qemu.trips import Trip, clean, exists, half_copied, killed, move, ready, runs_on
from tests.lab.guest.shapes import Disk
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.bare import BareGuest
    from tests.lab.host import Host

ADOPT = {"method": "offline", "may_stop": True, "target": "libvirt"}
LIVE = {"method": "live_shared", "target": "libvirt"}
WITH_DISKS = {"method": "live_block", "target": "libvirt"}
SHARED = (Disk("qcow2", shared=True),)


@contextlib.contextmanager
def screen_taken(place: Host) -> t.Iterator[None]:
    """Somebody listens where libvirt would show the guest's screen, so that it cannot start it."""
    busy = place.start(["nc", "-l", "-k", "-p", "5999"])
    try:
        yield
    finally:
        place.run(["sh", "-c", "kill $(pgrep -f '^nc -l -k -p 5999')"])
        busy.wait()


def test_a_guest_becomes_a_domain(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(
        here, style="blockdev", disks=(Disk("qcow2"), Disk("raw")), fill_mib=8, extra=("-vnc", "127.0.0.1:99")
    )
    ready(lab, guest)
    place = lab.host(there)

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
        with screen_taken(place):
            failed = move(lab, guest, here, there, **ADOPT)
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


@pytest.fixture
def certificates(lab: Lab, hosts: list[str]) -> t.Iterator[None]:
    """Certificates for the two hosts of a move."""
    lab.pki.install(*hosts[:2])
    yield
    lab.pki.remove()


def test_a_guest_becomes_a_domain_while_it_runs(lab: Lab, hosts: list[str], certificates: None) -> None:
    here, there = hosts[:2]
    place = lab.host(there)
    # What libvirt does not give alike: no start of it there, and so no doubt, tells that it would be noticed.
    other = lab.create_bare_guest(
        here, "other", style="blockdev", disks=SHARED, extra=("-device", "virtio-rng-pci,event_idx=off"), wait=False
    )
    ready(lab, other)
    refused = move(lab, other, here, there, **LIVE)
    assert refused["error_code"] == "HARDWARE_DIFFERS", refused
    assert "event_idx" in refused["msg"], refused
    assert other.where() == {here: "running"}
    clean_but_for_disks(lab, other, there)
    other.remove()

    # With all that QEMU gives to those who refuse nothing: a screen, a floppy drive, a CD-ROM drive, a parallel port.
    guest = lab.create_bare_guest(
        here, disks=SHARED, vcpus=2, extra=("-vnc", "127.0.0.1:99", "-device", "virtio-balloon-pci")
    )
    ready(lab, guest)
    checked = move(lab, guest, here, there, check_mode=True, **LIVE)
    assert checked["changed"], checked
    owner = place.run(["stat", "-c", "%u:%g", guest.disks[0]]).stdout
    with lab.watch([guest]) as watcher:
        with screen_taken(place):
            failed = move(lab, guest, here, there, **LIVE)
        assert failed["error_code"] == "ADOPTION_FAILED", failed
        runs_on(guest, here)
        clean_but_for_disks(lab, guest, there)

        # Killed where the source stands still: what libvirt has of it ends with the stream. Then killed where libvirt has all of it.
        for stage in ("switch", "verify"):
            killed(lab, guest, here, there, stage, tls=True, **LIVE)
            wait_for("the agent to let go", lambda: not agents(lab, there), 60)
            if stage == "switch":
                wait_for("libvirt to let go", lambda: not place.virsh("list", "--all", "--name").split(), 60)
                assert place.run(["stat", "-c", "%u:%g", guest.disks[0]]).stdout != owner
                undone = move(lab, guest, here, there, settle_only=True, **LIVE)
                assert undone["outcome"] == "undone", undone
                runs_on(guest, here)
                assert place.run(["stat", "-c", "%u:%g", guest.disks[0]]).stdout == owner
        assert place.virsh("domstate", guest.uuid).strip() == "paused"
        done = move(lab, guest, here, there, **LIVE)
        assert done.get("outcome") == "finished", done
        assert list(guest.where()) == [there]
        guest.wait_beating()
        again = move(lab, guest, here, there, **LIVE)
        assert (again["changed"], again["outcome"]) == (False, "already_there"), again
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    assert len(seen["boots"]) == 1, seen["boots"]
    assert lab.verify(guest, there, seen["acknowledged"]).clean
    left = place.run(["sh", "-c", "find /run/virtops-kvm/guests -mindepth 1"]).stdout
    assert not left, left
    assert "yes" in place.virsh("dominfo", guest.uuid).partition("Persistent:")[2].splitlines()[0]
    place.virsh("destroy", guest.uuid)
    place.virsh("undefine", guest.uuid)


def test_a_guest_with_disks_of_its_own_becomes_a_domain_while_it_runs(
    lab: Lab, hosts: list[str], certificates: None
) -> None:
    here, there = hosts[:2]
    place = lab.host(there)
    guest = lab.create_bare_guest(here, disks=(Disk("qcow2"), Disk("raw")), fill_mib=24, extra=("-vnc", "127.0.0.1:99"))
    ready(lab, guest)
    checked = move(lab, guest, here, there, check_mode=True, **WITH_DISKS)
    assert checked["changed"], checked
    assert all(f"image {there}:{disk}" in json.dumps(checked["diff"]) for disk in guest.disks), checked
    clean(lab, guest, there)
    with lab.watch([guest]) as watcher:
        # Who writes its disks there dies with them half copied: libvirt's half ends, too.
        trip = Trip(lab, guest, here, there, bandwidth=3, **WITH_DISKS)
        half_copied(lab, guest, there)
        (writer,) = (pid for pid, words in guest.processes(place).items() if any("virtops" in word for word in words))
        place.run(["kill", "-KILL", str(writer)])
        failed = trip.finish()
        assert failed["error_code"] == "MIRROR_FAILED", failed
        runs_on(guest, here)
        assert not place.virsh("list", "--all", "--name").split()
        clean(lab, guest, there)

        # Killed where the source stands still, and its disks are there but for the end.
        killed(lab, guest, here, there, "switch", tls=True, **WITH_DISKS)
        wait_for("the agent to let go", lambda: not agents(lab, there), 60)
        done = move(lab, guest, here, there, tls=True, source_disks="rename", **WITH_DISKS)
        assert done.get("outcome") == "moved", done
        guest.wait_beating()
        assert list(guest.where()) == [there]
        again = move(lab, guest, here, there, **WITH_DISKS)
        assert (again["changed"], again["outcome"]) == (False, "already_there"), again
        seen = watcher.fresh()["guests"][guest.name]
    assert not seen["two_copies"], seen["evidence"]
    assert len(seen["boots"]) == 1, seen["boots"]
    assert lab.verify(guest, there, seen["acknowledged"]).clean
    assert not [disk for disk in guest.disks if exists(lab.host(here), disk)]
    assert "yes" in place.virsh("dominfo", guest.uuid).partition("Persistent:")[2].splitlines()[0]
    place.virsh("destroy", guest.uuid)
    place.virsh("undefine", guest.uuid)


def clean_but_for_disks(lab: Lab, guest: BareGuest, host: str) -> None:
    """Nothing of it is on a host but the images, which both see."""
    assert not lab.host(host).virsh("list", "--all", "--name").split()
    clean(lab, replace(guest, disks=()), host)
