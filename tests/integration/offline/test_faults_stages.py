# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves of stopped guests whose module or whose controller is killed, at every stage: the guest is never on two hosts, can be started
where its newest data is, and the next run brings everything to its end. One guest bears it all."""

from __future__ import annotations

import os
import signal
import typing as t

import pytest

from tests.integration.conftest import sweep
from tests.integration.moves import kill_tree, move
from tests.integration.offline.interrupted import Trip, begin, checkpoints, finished, traveller
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab


@pytest.fixture(autouse=True, scope="module")
def hosts_are_empty(lab: Lab) -> t.Iterator[None]:
    """Before the first test of this file and after the last; between them the guest stays."""
    sweep(lab)
    yield
    sweep(lab)


def caught(trip: Trip, stage: str) -> int | None:
    """Wait until the move is at a stage, and in its middle where it has one. At its end the module is halted; gives its pid then."""
    if stage == "release":
        trip.wait_stage("switch")
        halted = trip.sender()
        trip.halt_at(halted, stage)
        return halted
    trip.wait_stage(stage)
    if stage == "transfer":
        trip.wait_copied()
    return None


def settled(trip: Trip) -> dict[str, str]:
    """Where the guest is once nothing happens to it any more of what was begun: a shutdown, or the saving of its memory."""

    def still() -> bool:
        job = trip.here.virsh("domjobinfo", trip.guest.uuid, check=False)
        return trip.guest.where().get(trip.source) != "running" or "None" in job

    wait_for("what was begun to end", still, 300, 0.2)
    return trip.guest.where()


@pytest.mark.parametrize(
    ("method", "stage"),
    [
        ("offline", "prepare"),
        ("offline", "transfer"),
        ("offline", "release"),
        ("suspended", "stop"),
        ("suspended", "transfer"),
        ("suspended", "switch"),
    ],
)
def test_the_sender_is_killed(lab: Lab, method: str, stage: str) -> None:
    trip = begin(lab, *traveller(lab), method)
    sender = trip.sender()
    caught(trip, stage)
    os.kill(sender, signal.SIGKILL)
    finished(trip.running.finish())
    trip.no_process_left()
    copied, total = (trip.copied(), trip.total()) if stage == "transfer" else (0, 0)
    assert len([place for place, state in settled(trip).items() if state == "running"]) <= 1
    if stage in ("prepare", "stop", "transfer"):
        trip.nothing_left(partial=stage == "transfer", claim=stage == "prepare")
    if stage == "transfer":
        # Nobody has to run it again: the guest can be started as it is.
        assert trip.guest.where() == {trip.source: "shut off"}
        trip.guest.start()
        trip.at_home(same_boot=method == "suspended", by_hand=True)
    trip.again(most=total - copied // 2 if total else None, same_boot=True if method == "suspended" else None)
    trip.no_claim_left()


def test_the_sender_is_killed_while_the_guest_still_runs(lab: Lab) -> None:
    """Seeding: the guest does not even notice, and the next run removes what noted its writes. What somebody changes in the copy after
    it was proven is not believed."""
    trip = begin(lab, *traveller(lab), "seeded")
    pid = trip.guest.qemu_pid(trip.here)
    sender = trip.sender()
    trip.wait_copied()
    os.kill(sender, signal.SIGKILL)
    finished(trip.running.finish())
    trip.nothing_left(partial=True)
    trip.at_home(same_boot=True)
    assert trip.guest.qemu_pid(trip.here) == pid
    (left,) = checkpoints(trip.here, trip.guest)
    assert left.startswith("virtops-seed-")

    most = trip.total() - trip.copied() // 2
    again = begin(lab, trip.guest, trip.source, trip.destination, "seeded", bandwidth=0)
    sender = again.sender()
    again.halt_at(sender, "stop")
    (partial,) = again.partials()
    with open(partial, "r+b") as stream:
        stream.seek(20 << 20)
        block = stream.read(1 << 20)
        stream.seek(20 << 20)
        stream.write(bytes(1 << 16))
    os.kill(sender, signal.SIGCONT)
    result = again.ended()
    assert not result.get("failed"), result
    assert result["files"][0]["delta"] == "bitmap"
    assert result["move"]["disk_bytes"] <= most
    again.arrived()
    with open(again.there.images / os.path.basename(again.guest.disks[0]), "rb") as stream:
        stream.seek(20 << 20)
        assert stream.read(1 << 20) == block
    assert checkpoints(again.there, again.guest) == []
    assert "virtops-seed-" not in again.there.virsh(
        "qemu-monitor-command", again.guest.uuid, '{"execute": "query-named-block-nodes"}'
    )


@pytest.mark.parametrize("stage", ["prepare", "stop", "transfer", "switch", "release"])
def test_the_controller_is_killed(lab: Lab, stage: str) -> None:
    """The move goes on without it; the next run follows it, or finds that all is done."""
    trip = begin(lab, *traveller(lab), "suspended")
    halted = caught(trip, stage)
    kill_tree(trip.running.process.pid)
    if halted is not None:
        os.kill(halted, signal.SIGCONT)
    options = {**trip.options, "bandwidth": 0}
    result = move(lab, trip.guest, trip.source, trip.destination, **options)
    assert not result.get("failed"), result
    assert result["outcome"] in ("attached", "already_there")
    trip.arrived(same_boot=True)
    assert not move(lab, trip.guest, trip.source, trip.destination, **options)["changed"]
