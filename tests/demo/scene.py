# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands on the demo's first host, and what is measured of it from outside."""

from __future__ import annotations

import dataclasses
import typing as t

from tests.lab import Guest, Lab, Watcher

SOURCE = "kvm1"

#: shape, name, options, and what is special about it.
RUNNING: list[tuple[str, str, dict[str, t.Any], str]] = [
    ("chain", "web01", {}, "an image with a backing file"),
    ("three-disks", "müller db", {}, "three disks, qcow2 and raw, and a name with a space"),
    ("uefi", "mail", {}, "UEFI firmware with its variables"),
    ("qcow2", "cache", {"dirty": 400, "memory_mib": 160}, "keeps writing to its memory"),
]
SHUT_OFF: tuple[str, str, dict[str, t.Any], str] = ("shutoff", "archive", {}, "is shut off, so it moves offline")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a client and the disks say, whatever Ansible reported."""

    guests: int
    arrived: int
    lost_writes: int
    two_copies: int
    longest_pause_ms: int
    archive_moved: bool
    notes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether all is as it should be."""
        whole = self.arrived == self.guests and self.archive_moved
        return whole and self.lost_writes == 0 and self.two_copies == 0 and not self.notes

    def line(self) -> str:
        """The last line of the demo."""
        return (
            f"evacuated: {self.arrived} of {self.guests}, lost writes: {self.lost_writes}, "
            f"two running copies: {self.two_copies}, longest pause: {self.longest_pause_ms} ms"
        )


def set_up(lab: Lab) -> tuple[list[Guest], Guest]:
    """The guests on the first host, all running but one; whatever an earlier demo left is removed."""
    for guest in lab.guests:
        guest.remove()
    for host in lab.hosts:
        host.run(["rm", "-rf", "/var/lib/virtops-kvm", "/run/virtops-kvm"])
    print(f"Starting guests on {SOURCE}:")
    for _shape, name, _options, what in [*RUNNING, SHUT_OFF]:
        print(f"  {name:12} {what}", flush=True)
    wanted: list[tuple[str, str | None, dict[str, t.Any]]] = []
    for shape, name, options, _what in [*RUNNING, SHUT_OFF]:
        wanted.append((shape, name, options))
    *running, archive = lab.create_guests(SOURCE, wanted)
    return running, archive


def measure(lab: Lab, watcher: Watcher, running: t.Sequence[Guest], archive: Guest) -> Measured:
    """Ask the client that listened all the time, then stop the guests and read what their disks hold."""
    heard = watcher.fresh()["guests"]
    notes = [f"{guest.name} is silent" for guest in running if heard[guest.name]["silent_ms"] > 10_000]
    places = {guest.name: guest.where() for guest in running}
    arrived = [name for name, where in places.items() if list(where.values()) == ["running"] and SOURCE not in where]
    copies = {name for name, where in places.items() if list(where.values()).count("running") > 1}
    lost = 0
    for guest in running:
        guest.stop()
    watcher.stop()
    final = watcher.report()["guests"]
    copies |= {name for name, seen in final.items() if seen["two_copies"]}
    for guest in running:
        verdict = lab.verify(guest, acknowledged=[int(number) for number in final[guest.name]["acknowledged"]])
        lost += verdict.lost + verdict.torn
        notes += [] if verdict.acknowledged else [f"{guest.name} acknowledged no write"]
        notes += [] if len(final[guest.name]["boots"]) == 1 else [f"{guest.name} booted again"]
    return Measured(
        guests=len(running),
        arrived=len(arrived),
        lost_writes=lost,
        two_copies=len(copies),
        longest_pause_ms=round(max(seen["longest_pause_ms"] for seen in heard.values())),
        archive_moved=list(archive.where().values()) == ["shut off"] and SOURCE not in archive.where(),
        notes=tuple(notes),
    )
