# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of moves of guest processes share: one that runs, one that is held or killed at a point, and the promises that always hold."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import typing as t

from tests.bench.hosts import STAGE, stage_module
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.bare import BareGuest
    from tests.lab.host import Host

Result = dict[str, t.Any]
MODULE = "ansible_collections.virtops.kvm.plugins.modules.qemu_migration"
#: Runs the module, and at the begin of one stage (it is in the records by then) kills it, or holds it until the test lets go.
_CAUGHT = f"""
import contextlib, os, pathlib, signal, sys, time
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext
act, where, mark = sys.argv[1:4]
del sys.argv[1:4]
real = BareContext.stage
@contextlib.contextmanager
def stage(self, name):
    with real(self, name):
        if name == where and act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == where:
            pathlib.Path(mark).touch()
            while os.path.exists(mark):
                time.sleep(0.05)
        yield
BareContext.stage = stage
from {MODULE} import main
main()
"""


class Trip:
    """The module as the one process that it is on the source host."""

    def __init__(
        self,
        lab: Lab,
        guest: BareGuest,
        source: str,
        destination: str,
        /,
        *words: str,
        check_mode: bool = False,
        **more: t.Any,
    ) -> None:
        self.lab, self.guest, self.source, self.destination = lab, guest, source, destination
        host = lab.host(source)
        arguments = {
            **options(lab, guest, source, destination),
            **more,
            "_ansible_check_mode": check_mode,
            "_ansible_diff": True,
        }
        path = f"/tmp/move-{secrets.token_hex(4)}.json"
        host.write(path, json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        program = ["-c", _CAUGHT, *words] if words else ["-m", MODULE]
        command = ["env", f"PYTHONPATH=/{STAGE}", "python3", *program, path]
        self._process = subprocess.Popen(host.command(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, timeout: float = 600) -> Result:
        """Its result; empty where it was killed."""
        out, errors = self._process.communicate(timeout=timeout)
        if self._process.returncode < 0 or self._process.returncode > 128:
            return {}
        assert out.strip().startswith(b"{"), (out, errors)
        found: Result = json.loads(out)
        found.setdefault("failed", False)
        return found

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None


def options(lab: Lab, guest: BareGuest, source: str, destination: str) -> Result:
    """The options of a move between two hosts of the lab."""
    return {
        "name": guest.name,
        "destination": f"root@{lab.host(destination).address}",
        "destination_label": destination,
        "source_label": source,
    }


def move(lab: Lab, guest: BareGuest, source: str, destination: str, /, **more: t.Any) -> Result:
    """Run the module to its end."""
    return Trip(lab, guest, source, destination, **more).finish()


@contextlib.contextmanager
def held(lab: Lab, guest: BareGuest, source: str, destination: str, stage: str, **more: t.Any) -> t.Iterator[Trip]:
    """A move that stands at the begin of a stage; it goes on when the block ends."""
    mark = f"/tmp/held-{secrets.token_hex(4)}"
    trip = Trip(lab, guest, source, destination, "hold", stage, mark, **more)
    host = lab.host(source)

    def reached() -> bool:
        assert not trip.ended, trip.finish()
        return host.run(["test", "-e", mark], check=False).returncode == 0

    wait_for(f"the move to reach {stage}", reached, 240, 0.1)
    try:
        yield trip
    finally:
        host.run(["rm", "-f", mark])


def killed(lab: Lab, guest: BareGuest, source: str, destination: str, stage: str, **more: t.Any) -> None:
    """A move whose module is killed by SIGKILL at the begin of a stage."""
    assert Trip(lab, guest, source, destination, "kill", stage, "-", **more).finish() == {}


def ready(lab: Lab, guest: BareGuest) -> None:
    """The module is on both hosts, and the guest's tap device, too."""
    for host in lab.hosts[:2]:
        stage_module(host)
        if guest.shape.nic == "tap":
            guest.make_tap(host)


def runs_on(guest: BareGuest, host: str) -> None:
    """It runs there and nowhere else, and beats."""
    assert guest.where() == {host: "running"}, guest.where()
    guest.wait_beating()


def clean(lab: Lab, guest: BareGuest, host: str) -> None:
    """Nothing of the guest is left on a host: neither process nor image, nor a socket or a lock of ours."""
    place = lab.host(host)
    assert not guest.processes(place)
    assert not [disk for disk in guest.disks if exists(place, disk)]
    left = place.run(
        [
            "sh",
            "-c",
            "find /run/virtops-kvm/guests -mindepth 1 2>/dev/null; systemctl list-units --plain --no-legend 'virtops-guest-*'",
        ]
    ).stdout
    assert not left.strip(), left


def exists(host: Host, path: str) -> bool:
    return host.run(["test", "-e", path], check=False).returncode == 0


def signal(lab: Lab, guest: BareGuest, host: str, name: str) -> None:
    """Send a signal to the guest's process on a host."""
    pids = guest.processes(lab.host(host))
    assert len(pids) == 1, pids
    lab.host(host).run(["kill", f"-{name}", str(next(iter(pids)))])


def half_copied(lab: Lab, guest: BareGuest, host: str) -> None:
    """Wait until a part of its first disk is on a host, 3 MiB of it."""
    image = f"test $(stat -c %b {guest.disks[0]} 2>/dev/null || echo 0) -gt 6000"
    wait_for(
        "a part of the disk", lambda: lab.host(host).run(["sh", "-c", image], check=False).returncode == 0, 120, 0.2
    )
