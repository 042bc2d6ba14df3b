# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab proves itself: up twice, every shape beats, a live block migration loses nothing, a killed `up` leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .guest.guest import Guest
from .guest.shapes import SHAPES
from .lab import Lab
from .shell import DATA, RUN, LabError, run, say
from .watcher import ROOT

NAME = "selftest"
KILL_AFTER = (0.3, 0.8, 1.5, 3.0)  # seconds; where it hits does not matter, that `down` cleans up does


def leftovers(name: str) -> list[str]:
    """Everything of a lab that is still on this machine."""
    found = [f"directory {path}" for path in (RUN / name, DATA / name) if path.exists()]
    found += [
        f"netns {path.name}" for path in Path("/run/netns").glob("*") if path.name.split("-")[:2] == ["vkl", name]
    ]
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    found += [f"mount {line.split()[1]}" for line in mounts if f"{DATA}/{name}/" in line]
    loops = run(["losetup", "--list", "--noheadings", "--output", "BACK-FILE"], check=False).stdout
    found += [f"loop {line.strip()}" for line in loops.splitlines() if f"{DATA}/{name}/" in line]
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                words = Path(f"/proc/{entry.name}/cmdline").read_bytes()
            except OSError:
                continue
            if f"{DATA}/{name}/".encode() in words:
                found.append(f"process {entry.name}")
    return found


def killed_up(name: str, suite: str) -> None:
    """kill -9 `up` at several moments; `down` must leave nothing each time."""
    for delay in KILL_AFTER:
        command = [sys.executable, "-m", "tests.lab", "up", "--name", name, "--suite", suite, "--hosts", "2"]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        Lab(name).down()
        left = leftovers(name)
        if left:
            raise LabError(f"after kill -9 at {delay} s and down there is left: {'; '.join(left)}")


def all_shapes(lab: Lab) -> list[Guest]:
    wanted: list[tuple[str, str | None, dict[str, Any]]] = [
        (shape, f"wéb {shape}" if shape == "qcow2" else None, {}) for shape in SHAPES
    ]
    guests = lab.create_guests("kvm1", wanted)
    for guest, (shape, _name, _options) in zip(guests, wanted, strict=True):
        state = guest.where().get("kvm1")
        expected = {"paused": "paused", "shutoff": "shut off"}.get(shape, "running")
        if state != expected:
            raise LabError(f"guest {guest.name} is {state}, not {expected}")
    return guests


def migrate(lab: Lab, guest: Guest, source: str, destination: str) -> None:
    """By hand, as an operator would with virsh."""
    here, there = lab.host(source), lab.host(destination)
    for path in guest.disks:
        there.run(["qemu-img", "create", "-q", "-f", path.rpartition(".")[2], path, "128M"])
    there.virsh("pool-refresh", "default")
    here.virsh(
        "migrate", "--live", "--p2p", "--persistent", "--undefinesource", "--copy-storage-all",
        "--migrateuri", f"tcp://{there.address}", guest.uuid, f"qemu+ssh://root@{there.name}/system",
    )  # fmt: skip


def migration(lab: Lab, guest: Guest) -> None:
    with lab.watch([guest]) as watcher:
        guest.set_dirty_rate(200)
        migrate(lab, guest, "kvm1", "kvm2")
        after = watcher.fresh()["now"]
        while watcher.of(guest)["last"] < after:  # it beats on the other side, or `down` ends this
            time.sleep(0.1)
        seen = watcher.fresh()["guests"][guest.name]
    verdict = lab.verify(guest, "kvm2", seen["acknowledged"])
    say(f"longest pause {seen['longest_pause_ms']} ms (resolution {seen['resolution_ms']} ms), {verdict}")
    if not verdict.clean or not verdict.acknowledged or seen["two_copies"] or guest.running_on() != ["kvm2"]:
        raise LabError(f"the migration was not clean: {verdict} {seen}")


def selftest(suite: str) -> int:
    """Run every step; the first failure ends it, the lab is removed in any case."""
    steps: list[tuple[str, Callable[[], object]]] = []
    guests: list[Guest] = []
    steps.append(("kill -9 of `up`, then `down`", lambda: killed_up(NAME, suite)))
    steps.append(("up", lambda: Lab.up(NAME, 2, suite)))
    steps.append(("up again", lambda: Lab.up(NAME, 2, suite)))
    steps.append(("a guest of each shape", lambda: guests.extend(all_shapes(Lab.attach(NAME)))))
    steps.append(("live block migration", lambda: migration(Lab.attach(NAME), guests[0])))
    try:
        for title, step in steps:
            began = time.monotonic()
            step()
            print(f"ok   {title} ({time.monotonic() - began:.1f} s)", flush=True)
    finally:
        Lab(NAME).down()
    left = leftovers(NAME)
    if left:
        raise LabError(f"after down there is left: {'; '.join(left)}")
    print("ok   down leaves nothing")
    return 0
