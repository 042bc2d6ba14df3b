# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves of stopped guests when the destination, the link or the bytes let them down: the guest goes on at home, and the next run
sends what is missing. One guest bears it all, to and fro between two hosts."""

from __future__ import annotations

import os
import pathlib
import signal
import time
import typing as t

import pytest

from tests.integration.conftest import sweep
from tests.integration.moves import move
from tests.integration.offline.interrupted import Trip, begin, picture, traveller
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab

MIB = 1 << 20
OTHER = "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>"
FOREIGN_UUID = "3f6f5f0e-6c5a-4a53-9d0f-0d6f3f1c7e12"


@pytest.fixture(autouse=True, scope="module")
def hosts_are_empty(lab: Lab) -> t.Iterator[None]:
    """Before the first test of this file and after the last; between them the guest stays."""
    sweep(lab)
    yield
    sweep(lab)


def codes(result: dict[str, t.Any]) -> list[str]:
    """The codes of all findings of a refused move."""
    assert result["failed"], result
    return [finding["code"] for finding in result["details"]["findings"]]


@pytest.mark.parametrize("method", ["offline", "suspended"])
def test_what_cannot_work_is_refused_before_the_guest_is_stopped(lab: Lab, method: str) -> None:
    guest, source, destination = traveller(lab)
    pid = guest.qemu_pid(lab.host(source))
    there = lab.host(destination)
    given: dict[str, t.Any] = {"method": method, "may_stop": True}
    small = lab.block_device(destination, 40, partitions=1)
    try:
        onto = {"mapping": {"disks": {"vda": small.partitions[0]}}, "accept": ["IMAGE_EXISTS"]}
        before = picture(there)
        refused = move(lab, guest, source, destination, **given, **onto)
        assert "DISK_SIZE_MISMATCH" in codes(refused)
        assert small.partitions[0] in refused["msg"]
        assert there.run(["cmp", "-n", str(8 * MIB), small.partitions[0], "/dev/zero"]).returncode == 0

        lab.fault.fill(destination, leave_mib=20)
        refused = move(lab, guest, source, destination, **given)
        lab.fault.unfill(destination)
        assert "DISK_SPACE_SHORT" in codes(refused)
        assert "/var/lib/libvirt/images" in refused["msg"]
        assert picture(there) == before
    finally:
        lab.remove_block_device(small)

    for code, name, uuid in (
        ("NAME_CONFLICT", guest.name, FOREIGN_UUID),
        ("UUID_CONFLICT", "somebody-else", guest.uuid),
    ):
        there.run(["virsh", "-q", "define", "/dev/stdin"], input=OTHER.format(name=name, uuid=uuid))
        before, document = picture(there), there.virsh("dumpxml", uuid)
        refused = move(lab, guest, source, destination, **given)
        assert code in codes(refused)
        assert name in refused["msg"]
        assert (picture(there), there.virsh("dumpxml", uuid)) == (before, document)
        there.virsh("undefine", uuid)
    assert guest.where() == {source: "running"}
    assert guest.qemu_pid(lab.host(source)) == pid


@pytest.mark.parametrize("method", ["offline", "suspended"])
def test_the_destination_becomes_full(lab: Lab, method: str) -> None:
    trip = begin(lab, *traveller(lab), method)
    trip.wait_copied()
    lab.fault.fill(trip.destination)
    result = trip.ended()
    lab.fault.unfill(trip.destination)
    trip.failed(result, "DESTINATION_FULL", "running", "Nothing of this move is left")
    trip.nothing_left(partial=False)
    trip.at_home(same_boot=method == "suspended")
    trip.again()


@pytest.mark.parametrize("method", ["offline", "suspended"])
def test_the_receiver_is_killed(lab: Lab, method: str) -> None:
    trip = begin(lab, *traveller(lab), method)
    trip.wait_copied()
    os.kill(trip.receiver(), signal.SIGKILL)
    trip.failed(trip.ended(), "CONNECTION_LOST", "running", "sends only the rest")
    trip.nothing_left(partial=True)
    trip.at_home(same_boot=method == "suspended")
    trip.again(most=trip.total() - trip.copied() // 2)


def data_blocks(path: pathlib.Path) -> list[int]:
    """Numbers of the blocks (1 MiB) of a file whose beginning is written."""
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        return [
            number
            for number in range(size // MIB)
            if os.lseek(stream.fileno(), number * MIB, os.SEEK_HOLE) > number * MIB
        ]


def halted_between_proofs(trip: Trip, sender: int) -> int:
    """Halt the sender where it has not yet asked for the proof of what it wrote last; gives the number of that block. It asks after
    every eight."""

    def between() -> bool:
        os.kill(sender, signal.SIGSTOP)
        before = -1
        while before != trip.copied():
            before = trip.copied()
            time.sleep(0.3)
        if len(data_blocks(*trip.partials())) % 8 in (2, 3, 4, 5, 6):
            return True
        os.kill(sender, signal.SIGCONT)
        return False

    wait_for("the sender to be between two proofs", between, 300, 0.1)
    return data_blocks(*trip.partials())[-1]


def test_a_byte_is_not_what_was_sent(lab: Lab) -> None:
    """The sender sleeps; then one byte on the disk is another, and the proof sees it."""
    trip = begin(lab, *traveller(lab), "suspended")
    trip.wait_copied(0.2)
    sender = trip.sender()
    block = halted_between_proofs(trip, sender)
    with open(*trip.partials(), "r+b") as stream:
        stream.seek(block * MIB + 77)
        byte = stream.read(1)
        stream.seek(block * MIB + 77)
        stream.write(bytes([byte[0] ^ 1]))
    os.kill(sender, signal.SIGCONT)
    result = trip.ended()
    trip.failed(result, "PROOF_FAILED", "running", "sends only the rest")
    assert result["details"]["blocks"] == [block]
    trip.nothing_left(partial=True)
    trip.at_home(same_boot=True)
    trip.again(most=trip.total() - trip.copied() // 2, same_boot=True)


def test_the_source_changes_during_the_copy(lab: Lab) -> None:
    """Somebody appends to the image: for QEMU that is nothing, for the copy it is."""
    trip = begin(lab, *traveller(lab), "suspended")
    trip.wait_copied()
    image = trip.here.images / os.path.basename(trip.guest.disks[0])
    with open(image, "ab") as stream:
        stream.write(b"x")
    trip.failed(trip.ended(), "SOURCE_CHANGED", trip.guest.disks[0], "running")
    trip.nothing_left(partial=True)
    trip.at_home(same_boot=True)
    trip.again(most=trip.total() // 2, same_boot=True)


def test_the_link_is_down_for_twenty_seconds(lab: Lab) -> None:
    trip = begin(lab, *traveller(lab), "suspended")
    trip.wait_copied()
    lab.fault.link(trip.destination, False)
    time.sleep(20)
    lab.fault.link(trip.destination, True)
    result = trip.ended()
    assert not result.get("failed"), result
    trip.arrived(same_boot=True)


def test_the_link_is_down_for_good(lab: Lab) -> None:
    trip = begin(lab, *traveller(lab), "suspended")
    trip.wait_copied()
    lab.fault.link(trip.destination, False)
    trip.failed(trip.ended(), "CONNECTION_LOST", "running", "sends only the rest")
    # The other side finds out by itself.
    trip.nothing_left(partial=True)
    lab.fault.link(trip.destination, True)
    trip.at_home(same_boot=True)
    trip.again(most=trip.total() - trip.copied() // 2, same_boot=True)
