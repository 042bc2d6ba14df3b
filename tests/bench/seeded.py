# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a guest does not run: ``seeded`` against ``offline``, for a disk of 2 GiB of which 1 % changes while it is copied.

In the stop of a seeded move only what a bitmap calls changed is read, sent and proven; in that of an offline move all of it. The link
is a gigabit that five moves share.
"""

from __future__ import annotations

import contextlib
import json
import threading
import typing as t

from tests.bench.harness import Candidate, Figure, NotMeasured, Samples, interleave, median, ratio
from tests.bench.hosts import MODULE, STAGE, forget_images, settle, stage_module, timed
from tests.lab.guest.guest import Guest
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.shell import LabError

METHODS = ("offline", "seeded")
SIZE_MIB, FILLED_MIB = 2048, 1800
MBIT = 200.0
#: What changes meanwhile, about 1 %: the area of the records (8 MiB) is written over about once, and this is new.
RECORDS, NEW_MIB, EVERY_SECONDS = 100, 12, 10.0


def stopped_move(guest: Guest, source: Host, destination: Host, method: str) -> dict[str, t.Any]:
    """Move by our module; what its result says of the move."""
    arguments = {"name": guest.name, "destination": destination.uri, "method": method, "may_stop": True}
    source.write("/tmp/virtops-bench.json", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    command = ["env", f"PYTHONPATH=/{STAGE}", "python3", "-m", MODULE, "/tmp/virtops-bench.json"]
    seconds, output = timed(source, command)
    result = json.loads(output)
    if result.get("method") != method or result["move"]["stopped_seconds"] is None:
        raise NotMeasured(f"{guest.name} did not move by {method}: {output}")
    if method == "seeded" and result["files"][0]["delta"] != "bitmap":
        raise NotMeasured(f"the changes of {guest.name} were not found by a bitmap: {output}")
    return {**result["move"], "wall": seconds}


class Writer:
    """Lets the guest write new data steadily, from now until it is ended; a guest that is stopped just then writes no less later."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *unused_details: object) -> None:
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        for _number in range(NEW_MIB):
            with contextlib.suppress(LabError):
                self._guest.fill(0, 1, wait=False)
            if self._end.wait(EVERY_SECONDS):
                return


def candidate(lab: Lab, guest: Guest, method: str) -> Candidate:
    """Move the guest to the other host, in whichever direction that is now, while it changes 1 % of its disk: it writes its records
    over and over in what is copied already, and new data besides."""

    def measure(_round: int) -> dict[str, float]:
        source = guest.host()
        destination = next(host for host in lab.hosts if host.name != source.name)
        forget_images(guest, destination)
        guest.set_record_rate(RECORDS)
        with Writer(guest):
            move = stopped_move(guest, source, destination, method)
        settle(lab, [guest], destination.name)
        return {
            "stopped_seconds": move["stopped_seconds"],
            "wall_seconds": move["wall"],
            "sent_mib": move["sent_bytes"] / (1 << 20),
        }

    return Candidate(method, measure)


def measure(rounds: int) -> tuple[Samples, list[Figure], dict[str, t.Any]]:
    """Samples, figures and conditions of one interleaved run in a lab of two hosts with a narrow link."""
    lab = Lab.up(name="seeding", hosts=2)
    try:
        for host in lab.hosts:
            stage_module(host)
        guest = lab.create_guest(lab.hosts[0].name, "qcow2", size_mib=SIZE_MIB, fill_mib=FILLED_MIB)
        lab.fault.shape(lab.hosts[0].name, mbit=MBIT)
        samples = interleave([candidate(lab, guest, method) for method in METHODS], rounds)
    finally:
        lab.down()
    figures = [
        Figure("seeded_stop_shorter", ratio(samples, "offline", "seeded", "stopped_seconds"), "times", ">=", 10.0),
        *(
            Figure(f"{method}_{key}", median(samples, method, key), unit)
            for method in METHODS
            for key, unit in (("stopped_seconds", "s"), ("wall_seconds", "s"), ("sent_mib", "MiB"))
        ),
    ]
    conditions = {
        "hosts": 2,
        "suite": "trixie",
        "disk_mib": SIZE_MIB,
        "filled_mib": FILLED_MIB,
        "new_mib": NEW_MIB,
        "records_per_second": RECORDS,
        "link_mbit": MBIT,
    }
    return samples, figures, conditions
