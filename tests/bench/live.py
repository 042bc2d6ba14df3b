# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One live move by our module against bare ``virsh migrate`` on the same guests: wall time, and the pause a client sees.

The ratios are those of guests of a realistic size: 1 GiB of memory, three quarters of it in use, and 768 MiB of data on the disk
that is copied. What our call costs besides is the same for every guest, so it is measured once more, in seconds, with guests that have
next to nothing to move; there a ratio would say more about the guest than about the call.
"""

from __future__ import annotations

import statistics
import typing as t

from tests.bench.harness import Candidate, Figure, NotMeasured, Samples, interleave, median, ratio
from tests.bench.hosts import forget_images, module_move, settle, stage_module, touch_memory, virsh_move
from tests.lab.guest.guest import Guest
from tests.lab.lab import Lab

OURS, THEIRS = "module", "virsh"
TOUCHED = {"memory_mib": 1024, "area_mib": 768}
#: Case -> shape and its options.
CASES: dict[str, tuple[str, dict[str, t.Any]]] = {
    "live_block": ("qcow2", {"size_mib": 1024, "fill_mib": 768, **TOUCHED}),
    "live_shared": ("shared", TOUCHED),
    "tiny_block": ("qcow2", {"fill_mib": 48}),
    "tiny_shared": ("shared", {}),
}
REALISTIC, TINY = ("live_block", "live_shared"), ("tiny_block", "tiny_shared")


def candidate(lab: Lab, name: str, guests: dict[str, Guest]) -> Candidate:
    """Move every guest once to the other host, in whichever direction that is now."""

    def measure(_round: int) -> dict[str, float]:
        samples: dict[str, float] = {}
        for case, guest in guests.items():
            source = guest.host()
            destination = next(host for host in lab.hosts if host.name != source.name)
            forget_images(guest, destination)
            with lab.watch([guest]) as watcher:
                if name == OURS:
                    seconds = module_move(guest, source, destination)
                else:
                    seconds = virsh_move(guest, source, destination, copy_storage=case.endswith("_block"))
                settle(lab, [guest], destination.name)
                pause = watcher.fresh()["guests"][guest.name]["longest_pause_ms"]
            samples.update({f"{case}_seconds": seconds, f"{case}_pause_ms": pause})
        return samples

    return Candidate(name, measure)


def extra(samples: Samples, key: str) -> float:
    """The median over rounds of how much longer ours took, in seconds."""
    pairs = list(zip(samples.get(OURS, {}).get(key, []), samples.get(THEIRS, {}).get(key, [])))
    if not pairs:
        raise NotMeasured(f"no pairs of '{key}'")
    return statistics.median(own - other for own, other in pairs)


def create(lab: Lab) -> dict[str, Guest]:
    """The guests of all cases on the first host, with their memory touched where that is asked."""
    guests = {}
    for case, (shape, options) in CASES.items():
        guests[case] = lab.create_guest(lab.hosts[0].name, shape, **options)
        if "area_mib" in options:
            touch_memory(guests[case])
    return guests


def measure(rounds: int) -> tuple[Samples, list[Figure], dict[str, t.Any]]:
    """Samples, figures and conditions of one interleaved run in a lab of two hosts."""
    lab = Lab.up(name="blive", hosts=2)
    try:
        for host in lab.hosts:
            stage_module(host)
        guests = create(lab)
        samples = interleave([candidate(lab, OURS, guests), candidate(lab, THEIRS, guests)], rounds)
    finally:
        lab.down()
    figures = []
    for case in REALISTIC:
        figures += [
            Figure(f"{case}_wall_ratio", ratio(samples, OURS, THEIRS, f"{case}_seconds"), "ratio", "<=", 1.15),
            Figure(f"{case}_pause_ratio", ratio(samples, OURS, THEIRS, f"{case}_pause_ms"), "ratio", "<=", 1.0),
            Figure(f"{case}_module_seconds", median(samples, OURS, f"{case}_seconds"), "s"),
            Figure(f"{case}_virsh_seconds", median(samples, THEIRS, f"{case}_seconds"), "s"),
            Figure(f"{case}_module_pause", median(samples, OURS, f"{case}_pause_ms"), "ms"),
            Figure(f"{case}_virsh_pause", median(samples, THEIRS, f"{case}_pause_ms"), "ms"),
        ]
    for case in TINY:
        figures += [
            Figure(f"{case}_extra_seconds", extra(samples, f"{case}_seconds"), "s"),
            Figure(f"{case}_wall_ratio", ratio(samples, OURS, THEIRS, f"{case}_seconds"), "ratio"),
            Figure(f"{case}_virsh_seconds", median(samples, THEIRS, f"{case}_seconds"), "s"),
        ]
    return samples, figures, {"hosts": 2, "suite": "trixie", "guests": CASES}
