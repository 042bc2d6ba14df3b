# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One live move by our module against bare ``virsh migrate`` on the same guests: wall time, and the pause a client sees."""

from __future__ import annotations

import typing as t

from tests.bench.harness import Candidate, Figure, Samples, interleave, median, ratio
from tests.bench.hosts import forget_images, module_move, settle, stage_module, virsh_move
from tests.lab.guest.guest import Guest
from tests.lab.lab import Lab

OURS, THEIRS = "module", "virsh"
SHAPES: dict[str, dict[str, t.Any]] = {
    "live_block": {"shape": "qcow2", "fill_mib": 48},
    "live_shared": {"shape": "shared"},
}


def candidate(lab: Lab, name: str, guests: dict[str, Guest]) -> Candidate:
    """Move every guest once to the other host, in whichever direction that is now."""

    def measure(_round: int) -> dict[str, float]:
        samples: dict[str, float] = {}
        for method, guest in guests.items():
            source = guest.host()
            destination = next(host for host in lab.hosts if host.name != source.name)
            forget_images(guest, destination)
            with lab.watch([guest]) as watcher:
                if name == OURS:
                    seconds = module_move(guest, source, destination)
                else:
                    seconds = virsh_move(guest, source, destination, copy_storage=method == "live_block")
                settle(lab, [guest], destination.name)
                pause = watcher.fresh()["guests"][guest.name]["longest_pause_ms"]
            samples.update({f"{method}_seconds": seconds, f"{method}_pause_ms": pause})
        return samples

    return Candidate(name, measure)


def measure(rounds: int) -> tuple[Samples, list[Figure], dict[str, t.Any]]:
    """Samples, figures and conditions of one interleaved run in a lab of two hosts."""
    lab = Lab.up(name="bench", hosts=2)
    try:
        for host in lab.hosts:
            stage_module(host)
        first = lab.hosts[0].name
        guests = {
            method: lab.create_guest(first, options["shape"], **{k: v for k, v in options.items() if k != "shape"})
            for method, options in SHAPES.items()
        }
        samples = interleave([candidate(lab, OURS, guests), candidate(lab, THEIRS, guests)], rounds)
    finally:
        lab.down()
    figures = []
    for method in SHAPES:
        figures += [
            Figure(f"{method}_wall_ratio", ratio(samples, OURS, THEIRS, f"{method}_seconds"), "ratio", "<=", 1.15),
            Figure(f"{method}_pause_ratio", ratio(samples, OURS, THEIRS, f"{method}_pause_ms"), "ratio", "<=", 1.0),
            Figure(f"{method}_module_seconds", median(samples, OURS, f"{method}_seconds"), "s"),
            Figure(f"{method}_virsh_seconds", median(samples, THEIRS, f"{method}_seconds"), "s"),
            Figure(f"{method}_module_pause", median(samples, OURS, f"{method}_pause_ms"), "ms"),
            Figure(f"{method}_virsh_pause", median(samples, THEIRS, f"{method}_pause_ms"), "ms"),
        ]
    return samples, figures, {"hosts": 2, "suite": "trixie", "guests": SHAPES}
