# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One move of a bare QEMU guest by our module against the same sequence as a script over the monitor sockets (``by_hand.py``).

The guest of the targets is the classic exercise: a qcow2 of 10 GiB, of which 2 GiB are data, so that the ratio is what a user has. A small
one follows without targets, whose whole move takes about two seconds: there the fixed cost of the module (Python, checks, records) shows.
On QEMU 7.2 (bookworm) the module's ``legacy_block``, which is ``migrate -b``, is held against its mirrors with the small one, too.
"""

from __future__ import annotations

import json
import pathlib
import typing as t

from tests.bench.harness import Candidate, Figure, NotMeasured, Samples, interleave, median, ratio
from tests.bench.hosts import STAGE, stage_module, timed, touch_memory
from tests.lab.guest.bare import BareGuest
from tests.lab.host import Host
from tests.lab.lab import Lab

OURS, THEIRS, LEGACY = "module", "script", "legacy"
SUITES, OLD = ("trixie", "bookworm"), "bookworm"
MODULE = "ansible_collections.virtops.kvm.plugins.modules.qemu_migration"
_MEMORY: dict[str, t.Any] = {"memory_mib": 768, "area_mib": 512}
#: Shapes by what their figures are called.
SHAPES: dict[str, dict[str, t.Any]] = {
    "": {"size_mib": 10240, "fill_mib": 2048, **_MEMORY},
    "small_": {"size_mib": 1024, "fill_mib": 512, **_MEMORY},
}
SCRIPT = pathlib.Path(__file__).with_name("by_hand.py")
MIB = 1 << 20
#: Told anew for each process.
_OF_THE_PROCESS = {"-incoming": 2, "-S": 1, "-daemonize": 1}
_OURS = ("unix:/run/virtops-kvm/", "unix:/run/by-hand")


def forget_images(guest: BareGuest, host: Host) -> None:
    """Delete its images on a host that it does not run on."""
    if host.name in guest.where():
        raise NotMeasured(f"{guest.name} is still on {host.name}")
    host.run(["rm", "-f", *guest.disks])


def by_module(guest: BareGuest, source: Host, destination: Host, **more: t.Any) -> float:
    """Move by our module; the seconds of its whole process."""
    arguments = {"name": guest.name, "destination": f"root@{destination.address}", **more}
    source.write("/tmp/virtops-bench.json", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    words = ["env", f"PYTHONPATH=/{STAGE}", "python3", "-m", MODULE, "/tmp/virtops-bench.json"]
    seconds, output = timed(source, words)
    if not json.loads(output).get("changed"):
        raise NotMeasured(f"the module did not move {guest.name}: {output}")
    return seconds


def own_words(words: list[str]) -> list[str]:
    """A command line without what an earlier move added."""
    found, rest = [], list(words)
    while rest:
        width = _OF_THE_PROCESS.get(rest[0], 0)
        if rest[0] == "-qmp" and rest[1].startswith(_OURS):
            width = 2
        if not width:
            found.append(rest[0])
        rest = rest[width or 1 :]
    return found


def by_script(guest: BareGuest, source: Host, destination: Host) -> float:
    """Move by the script; the seconds of its whole process."""
    pid, words = next(iter(guest.processes(source).items()))
    disk = {"device": "virtio0", "format": "qcow2", "path": guest.disks[0], "size": guest.shape.size_mib * MIB}
    plan = {
        "argv": own_words(words),
        "ssh": f"root@{destination.address}",
        "address": destination.address,
        "monitor": guest.socket("qmp"),
        "pid": pid,
        "disks": [disk],
    }
    source.write("/tmp/by_hand.py", SCRIPT.read_text(encoding="utf-8"))
    return timed(source, ["python3", "/tmp/by_hand.py", json.dumps(plan)])[0]


def candidate(lab: Lab, name: str, guest: BareGuest) -> Candidate:
    """Move the guest once to the other host, in whichever direction that is now."""

    def measure(_round: int) -> dict[str, float]:
        source = guest.host()
        destination = next(host for host in lab.hosts if host.name != source.name)
        forget_images(guest, destination)
        with lab.watch([guest]) as watcher:
            if name == THEIRS:
                seconds = by_script(guest, source, destination)
            else:
                seconds = by_module(guest, source, destination, **({"legacy_block": True} if name == LEGACY else {}))
            if guest.where() != {destination.name: "running"}:
                raise NotMeasured(f"{guest.name} is not where it should be ({destination.name}): {guest.where()}")
            guest.wait_beating()
            pause = watcher.fresh()["guests"][guest.name]["longest_pause_ms"]
        return {"seconds": seconds, "pause_ms": pause}

    return Candidate(name, measure)


def measure_guest(lab: Lab, shape: dict[str, t.Any], names: t.Sequence[str], rounds: int) -> Samples:
    """The samples of some candidates with one guest, which is alone in the lab."""
    guest = lab.create_bare_guest(lab.hosts[0].name, **shape)
    touch_memory(guest)
    for host in lab.hosts:
        guest.make_tap(host)
        host.run(["mkdir", "-p", guest.folder])
    samples = interleave([candidate(lab, name, guest) for name in names], rounds)
    guest.remove()
    return samples


def measure_suite(suite: str, legacy: bool, rounds: int) -> dict[str, Samples]:
    """The samples of each guest in a lab of two hosts of one Debian."""
    lab = Lab.up(name="bqemu", hosts=2, suite=suite)
    try:
        for host in lab.hosts:
            stage_module(host)
        return {
            size: measure_guest(lab, shape, (OURS, THEIRS, LEGACY) if legacy and size else (OURS, THEIRS), rounds)
            for size, shape in SHAPES.items()
        }
    finally:
        lab.down()


def figures_of(name: str, samples: Samples, *, targets: bool) -> t.Iterator[Figure]:
    """The figures of one guest on one Debian."""
    wall, pause = ratio(samples, OURS, THEIRS, "seconds"), ratio(samples, OURS, THEIRS, "pause_ms")
    yield Figure(f"{name}_wall_ratio", wall, "ratio", *(("<=", 1.1) if targets else ()))
    yield Figure(f"{name}_pause_ratio", pause, "ratio", *(("<=", 1.0) if targets else ()))
    for one in samples:
        yield Figure(f"{name}_{one}_seconds", median(samples, one, "seconds"), "s")
        yield Figure(f"{name}_{one}_pause", median(samples, one, "pause_ms"), "ms")


def measure(rounds: int) -> tuple[Samples, list[Figure], dict[str, t.Any]]:
    """Samples, figures and conditions of one interleaved run on each of both QEMUs."""
    figures: list[Figure] = []
    kept: Samples = {}
    for suite in SUITES:
        for size, samples in measure_suite(suite, suite == OLD, rounds).items():
            name = f"{suite}_{size}".rstrip("_")
            kept.update({f"{name}_{one}": values for one, values in samples.items()})
            figures += figures_of(name, samples, targets=not size)
            if LEGACY in samples:
                figures.append(Figure("legacy_wall_ratio", ratio(samples, LEGACY, OURS, "seconds"), "ratio"))
    return kept, figures, {"hosts": 2, "suites": list(SUITES), "guests": list(SHAPES.values())}
