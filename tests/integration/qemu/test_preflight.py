# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has that stands against the move of a guest process is said before anything is made there, and then it moves."""

from __future__ import annotations

import contextlib
import typing as t

from tests.integration.qemu.trips import Result, clean, move, ready, runs_on
from tests.lab.guest.shapes import Disk
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.bare import BareGuest
    from tests.lab.host import Host

OTHER_UUID = "0badcafe-0000-4000-8000-000000000001"
#: Listens on all ports that a move may take.
ALL_PORTS = """
import socket, time
taken = [socket.create_server(("", port)) for port in range(49152, 49216)]
open("/tmp/all-ports", "w").close()
time.sleep(600)
"""
#: As what a container shows its own share of the memory: over the kernel's file.
LITTLE_MEMORY = """
sed 's/^MemAvailable:.*/MemAvailable: 600000 kB/; s/^MemTotal:.*/MemTotal: 8000000 kB/' /proc/meminfo > /tmp/meminfo
mount --bind /tmp/meminfo /proc/meminfo
"""


@contextlib.contextmanager
def occupied(host: Host, *words: str, ready: str) -> t.Iterator[None]:
    """A process of the host until the block ends; ``ready`` is a command that succeeds once it is what it shall be."""
    process = host.start(["sh", "-c", 'echo $$ > /tmp/occupant; exec "$@"', "sh", *words])
    try:
        wait_for(f"{words[0]} to run", lambda: host.run(["sh", "-c", ready], check=False).returncode == 0, 60, 0.1)
        yield
    finally:
        host.run(["sh", "-c", "kill -KILL $(cat /tmp/occupant)"])
        process.wait()


def another_guest(host: Host, name: str, uuid: str) -> contextlib.AbstractContextManager[None]:
    """A QEMU process that has nothing of the lab's guest but its name or UUID."""
    words = ["qemu-system-x86_64", "-name", name, "-uuid", uuid, "-machine", "none", "-display", "none", "-nodefaults"]
    words += ["-qmp", "unix:/tmp/other.sock,server=on,wait=off"]
    return occupied(host, *words, ready="test -S /tmp/other.sock")


def test_what_stands_against_it_is_said_beforehand(lab: Lab, hosts: list[str]) -> None:
    here, there = hosts[:2]
    guest = lab.create_bare_guest(here, disks=(Disk("raw"),))
    ready(lab, guest)
    place = lab.host(there)

    def refused(code: str, *words: str, **more: t.Any) -> Result:
        result = move(lab, guest, here, there, **more)
        assert result["failed"], (code, result)
        assert result["error_code"] == code, (code, result)
        for word in words:
            assert word in result["msg"], (word, result["msg"])
        clean(lab, guest, there)
        return result

    for check_mode in (True, False):
        same = move(lab, guest, here, here, check_mode=check_mode)
        assert same["error_code"] == "SAME_HOST", same
        off = move(lab, guest, here, here, check_mode=check_mode, method="offline", may_stop=True)
        assert off["error_code"] == "SAME_HOST", off

    with another_guest(place, guest.name, OTHER_UUID):
        refused("NAME_CONFLICT", OTHER_UUID)
    with another_guest(place, "other one", guest.uuid):
        refused("UUID_CONFLICT", "other one")
    place.write("/tmp/other.xml", domain("other-one", guest.uuid))
    place.virsh("define", "/tmp/other.xml")
    refused("UUID_CONFLICT", "other-one", check_mode=True)
    place.virsh("undefine", "other-one")

    place.run(["sh", "-ec", LITTLE_MEMORY])
    refused("MEMORY_SHORT", "for guests", check_mode=True)
    place.run(["umount", "/proc/meminfo"])

    lab.fault.close(there)
    refused("PORT_BLOCKED", "49152: timeout")
    lab.fault.open(there)
    with occupied(place, "python3", "-c", ALL_PORTS, ready="test -e /tmp/all-ports"):
        refused("PORT_TAKEN", "49152 to 49215")

    goes_to_a_device(lab, guest, here, there, refused)


def goes_to_a_device(lab: Lab, guest: BareGuest, here: str, there: str, refused: t.Callable[..., Result]) -> None:
    """A device is not made, so it must fit; what it had before is gone afterwards, and it only goes where somebody says so."""
    place = lab.host(there)
    smaller, larger, exact = lab.block_device(there, 340, (64, 136, 128)).partitions

    def onto(path: str, **more: t.Any) -> Result:
        return {"mapping": {"disks": {"virtio0": path}}, **more}

    refused("FILE_MISSING", "/dev/lab/none", **onto("/dev/lab/none", check_mode=True))
    for path in (smaller, larger):
        refused("DISK_SIZE_MISMATCH", path, f"{128 << 20}", **onto(path, accept=["IMAGE_EXISTS"]))
    with occupied(place, "sh", "-c", f"exec 3<{exact}; touch /tmp/open; exec sleep 600", ready="test -e /tmp/open"):
        refused("IMAGE_EXISTS", "in use", **onto(exact, accept=["IMAGE_EXISTS"]))
    refused("IMAGE_EXISTS", "overwritten", **onto(exact))
    runs_on(guest, here)

    place.run(["sh", "-c", f"head -c {128 << 20} /dev/urandom > {exact}"])
    guest.qmp("stop")
    moved = move(lab, guest, here, there, **onto(exact, accept=["IMAGE_EXISTS"]))
    assert moved.get("outcome") == "moved", moved
    assert guest.where() == {there: "paused"}
    sums = [
        lab.host(host).run(["sha256sum", path]).stdout.split()[0]
        for host, path in ((here, guest.disks[0]), (there, exact))
    ]
    assert sums[0] == sums[1], "what the device had before shows through"
    guest.qmp("cont")
    runs_on(guest, there)
    assert lab.verify(guest.moved(exact), there).clean

    # From the device to a file, which is the one that the guest left.
    back = move(lab, guest, there, here, mapping={"disks": {"virtio0": guest.disks[0]}})
    assert back.get("outcome") == "moved", back
    runs_on(guest, here)
    assert lab.verify(guest, here).clean


def domain(name: str, uuid: str) -> str:
    """A definition that libvirt takes, of a domain that nobody starts."""
    return f"<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory>1024</memory><os><type>hvm</type></os></domain>"
