# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Six guests over one slow link: evacuate.yml against a serial and a parallel shell loop of ``virsh migrate``.

The physical floor is the data of the guests' disks over the link's rate; the share of it that is reached is the figure.
"""

from __future__ import annotations

import shlex
import time
import typing as t

from tests.bench.harness import Candidate, Figure, NotMeasured, Samples, interleave, median, ratio
from tests.bench.hosts import settle, timed, virsh_words
from tests.integration.ansible_runs import ROOT, run_playbook
from tests.lab.guest.guest import Guest
from tests.lab.lab import Lab

GUESTS, FILLED_MIB, LINK_MBIT = 6, 192, 200
OURS, SERIAL, PARALLEL = "evacuate.yml", "serial-virsh", "parallel-virsh"


def floor_seconds() -> float:
    """The least time that the guests' data needs on the link, in seconds; protocol overhead and memory not counted."""
    return GUESTS * FILLED_MIB * 1024 * 1024 * 8 / (LINK_MBIT * 1_000_000)


def by_playbook(lab: Lab, guests: list[Guest]) -> float:
    """One command of ours."""
    start = time.monotonic()
    variables = {
        "evacuate_source": "kvm1",
        "evacuate_destinations": "kvm2",
        "evacuate_report_dir": "/tmp/virtops-bench",
    }
    run = run_playbook(lab.inventory, ROOT / "playbooks" / "evacuate.yml", extra_vars=variables, timeout=3600)
    if run.status != 0:
        raise NotMeasured(f"evacuate.yml failed:\n{run.output}")
    return time.monotonic() - start


def by_loop(lab: Lab, guests: list[Guest], *, parallel: bool) -> float:
    """The loop a person would write."""
    end = " &" if parallel else ""
    lines = [shlex.join(virsh_words(guest, lab.host("kvm2"), copy_storage=True)) + end for guest in guests]
    return timed(lab.host("kvm1"), ["bash", "-ec", "\n".join([*lines, "wait"])])[0]


def candidate(lab: Lab, name: str) -> Candidate:
    """Fresh guests on kvm1, then all of them to kvm2 in one way over the slow link."""

    def measure(_round: int) -> dict[str, float]:
        wanted: list[tuple[str, str | None, dict[str, t.Any]]] = [
            ("qcow2", f"web{number}", {"fill_mib": FILLED_MIB, "size_mib": FILLED_MIB + 64}) for number in range(GUESTS)
        ]
        guests = lab.create_guests("kvm1", wanted)
        lab.fault.shape("kvm1", mbit=LINK_MBIT)
        try:
            with lab.watch(guests) as watcher:
                seconds = by_playbook(lab, guests) if name == OURS else by_loop(lab, guests, parallel=name == PARALLEL)
                seen = watcher.fresh()["guests"]
            settle(lab, guests, "kvm2")
        finally:
            lab.fault.unshape("kvm1")
            for guest in guests:
                guest.remove()
            for host in lab.hosts:
                host.run(["rm", "-rf", "/var/lib/virtops-kvm"])
        pauses = [guest["longest_pause_ms"] for guest in seen.values()]
        return {"seconds": seconds, "floor_share": floor_seconds() / seconds, "longest_pause_ms": max(pauses)}

    return Candidate(name, measure)


def measure(rounds: int) -> tuple[Samples, list[Figure], dict[str, t.Any]]:
    """Samples, figures and conditions of one interleaved run in a lab of two hosts."""
    lab = Lab.up(name="bench", hosts=2, disk_mib=4096)
    try:
        samples = interleave([candidate(lab, name) for name in (OURS, SERIAL, PARALLEL)], rounds)
    finally:
        lab.down()
    figures = [
        Figure("evacuate_floor_share", median(samples, OURS, "floor_share"), "share", ">=", 0.85),
        Figure("serial_floor_share", median(samples, SERIAL, "floor_share"), "share"),
        Figure("parallel_floor_share", median(samples, PARALLEL, "floor_share"), "share"),
        Figure("evacuate_to_serial_wall", ratio(samples, OURS, SERIAL, "seconds"), "ratio", "<=", 1.0),
        Figure("evacuate_to_parallel_wall", ratio(samples, OURS, PARALLEL, "seconds"), "ratio", "<=", 1.0),
        Figure("evacuate_to_parallel_pause", ratio(samples, OURS, PARALLEL, "longest_pause_ms"), "ratio", "<=", 1.0),
    ]
    conditions = {"guests": GUESTS, "data_mib": FILLED_MIB, "link_mbit": LINK_MBIT, "floor_seconds": floor_seconds()}
    return samples, figures, conditions
