# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Six guests over one slow link: evacuate.yml against a serial and a parallel shell loop of ``virsh migrate``.

The physical floor is the least number of bytes that any run of any candidate put on the link, headers and all, at the link's
rate: the data of the disks, and the memory that a booted guest has written (about three quarters of its 96 MiB). Each candidate's
figure is the share of that floor in its whole time, from the start of the command to its end. The guests go there and back again, so
that five rounds take half an hour.
"""

from __future__ import annotations

import shlex
import statistics
import time
import typing as t

from tests.bench.harness import Candidate, Figure, NotMeasured, Samples, interleave, median, ratio
from tests.bench.hosts import bytes_sent, forget_images, settle, timed, virsh_words
from tests.integration.ansible_runs import ROOT, run_playbook
from tests.lab.guest.guest import Guest
from tests.lab.host import Host
from tests.lab.lab import Lab

GUESTS, FILLED_MIB, LINK_MBIT = 6, 400, 200
OURS, SERIAL, PARALLEL = "evacuate.yml", "serial-virsh", "parallel-virsh"
CANDIDATES = (OURS, SERIAL, PARALLEL)
_MIB = 1024 * 1024


def seconds_on_link(mib: float) -> float:
    """The least time that so much needs on the link."""
    return mib * _MIB * 8 / (LINK_MBIT * 1_000_000)


def floor_seconds(samples: Samples) -> float:
    """The time of the least that any run sent. Raises NotMeasured where nothing was sent."""
    sent = [mib for name in CANDIDATES for mib in samples.get(name, {}).get("sent_mib", [])]
    if not sent:
        raise NotMeasured("no run counted what it sent")
    return seconds_on_link(min(sent))


def floor_share(samples: Samples, name: str) -> float:
    """The median share of the floor in the time of one candidate."""
    floor = floor_seconds(samples)
    return statistics.median(floor / seconds for seconds in samples[name]["seconds"])


def by_playbook(lab: Lab, source: Host, destination: Host) -> float:
    """One command of ours."""
    start = time.monotonic()
    variables = {
        "evacuate_source": source.name,
        "evacuate_destinations": destination.name,
        "evacuate_report_dir": "/tmp/virtops-bench",
    }
    run = run_playbook(lab.inventory, ROOT / "playbooks" / "evacuate.yml", extra_vars=variables, timeout=3600)
    if run.status != 0:
        raise NotMeasured(f"evacuate.yml failed:\n{run.output}")
    return time.monotonic() - start


def by_loop(source: Host, destination: Host, guests: list[Guest], *, parallel: bool) -> float:
    """The loop a person would write."""
    end = " &" if parallel else ""
    lines = [shlex.join(virsh_words(guest, destination, copy_storage=True)) + end for guest in guests]
    return timed(source, ["bash", "-ec", "\n".join([*lines, "wait"])])[0]


def forget_moves(lab: Lab, guests: list[Guest], destination: Host) -> None:
    """Take away what the last run left: the images at the next destination, and the records by which hosts are cordoned."""
    for guest in guests:
        forget_images(guest, destination)
    for host in lab.hosts:
        host.run(["rm", "-rf", "/var/lib/virtops-kvm"])


def candidate(lab: Lab, name: str, guests: list[Guest]) -> Candidate:
    """All guests to the other host in one way, over the slow link, in whichever direction that is now."""

    def measure(_round: int) -> dict[str, float]:
        source = guests[0].host()
        destination = next(host for host in lab.hosts if host.name != source.name)
        forget_moves(lab, guests, destination)
        lab.fault.shape(source.name, mbit=LINK_MBIT)
        try:
            with lab.watch(guests) as watcher:
                before = bytes_sent(source)
                if name == OURS:
                    seconds = by_playbook(lab, source, destination)
                else:
                    seconds = by_loop(source, destination, guests, parallel=name == PARALLEL)
                sent = (bytes_sent(source) - before) / _MIB
                seen = watcher.fresh()["guests"]
        finally:
            lab.fault.unshape(source.name)
        settle(lab, guests, destination.name)
        pauses = [guest["longest_pause_ms"] for guest in seen.values()]
        link_use = seconds_on_link(sent) / seconds
        return {"seconds": seconds, "sent_mib": sent, "link_use": link_use, "longest_pause_ms": max(pauses)}

    return Candidate(name, measure)


def measure(rounds: int) -> tuple[Samples, list[Figure], dict[str, t.Any]]:
    """Samples, figures and conditions of one interleaved run in a lab of two hosts."""
    lab = Lab.up(name="bevac", hosts=2, disk_mib=GUESTS * (FILLED_MIB + 128) * 2)
    try:
        wanted: list[tuple[str, str | None, dict[str, t.Any]]] = [
            ("qcow2", f"web{number}", {"fill_mib": FILLED_MIB, "size_mib": FILLED_MIB + 64}) for number in range(GUESTS)
        ]
        guests = lab.create_guests("kvm1", wanted)
        samples = interleave([candidate(lab, name, guests) for name in CANDIDATES], rounds)
    finally:
        lab.down()
    figures = [
        Figure("evacuate_floor_share", floor_share(samples, OURS), "share", ">=", 0.85),
        Figure("serial_floor_share", floor_share(samples, SERIAL), "share"),
        Figure("parallel_floor_share", floor_share(samples, PARALLEL), "share"),
        Figure("evacuate_to_serial_wall", ratio(samples, OURS, SERIAL, "seconds"), "ratio", "<=", 1.0),
        Figure("evacuate_to_parallel_wall", ratio(samples, OURS, PARALLEL, "seconds"), "ratio", "<=", 1.0),
        Figure("evacuate_to_parallel_pause", ratio(samples, OURS, PARALLEL, "longest_pause_ms"), "ratio", "<=", 1.0),
        Figure("floor_seconds", floor_seconds(samples), "s"),
        *(Figure(f"{name}_seconds", median(samples, name, "seconds"), "s") for name in CANDIDATES),
        *(Figure(f"{name}_sent", median(samples, name, "sent_mib"), "MiB") for name in CANDIDATES),
    ]
    conditions = {
        "guests": GUESTS,
        "data_mib": FILLED_MIB,
        "link_mbit": LINK_MBIT,
        "floor_seconds": floor_seconds(samples),
    }
    return samples, figures, conditions
