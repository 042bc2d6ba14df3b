# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of faults in moves of stopped guests share: one guest that goes to and fro, a move that is caught at a stage, its
processes by what they hold open, and the promises that hold after every fault."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import time
import typing as t
import uuid

from tests.integration.ansible_runs import Run, Started
from tests.integration.conftest import sweep
from tests.integration.moves import move, start_move
from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.guest import Guest
    from tests.lab.host import Host

Result = dict[str, t.Any]
#: MiB of random data in the guest's disk, and MiB/s at which they take long enough to be caught in the middle.
FILLED, SLOW = 64, 6
#: The journal's stages in their order; before the first there is no journal yet, and the progress tells.
STAGES = ("prepare", "claim", "stop", "transfer", "switch", "verify", "release", "done")
#: Whatever a move could leave on a host. Programs by their first words, so that a second one of a kind shows only by itself.
_PICTURE = r"""
find /var/lib/libvirt /srv/shared /var/lib/virtops-kvm /run/virtops-kvm /etc/libvirt/qemu -mindepth 1 \
    -not -name lost+found -not -name .lab-fill 2>/dev/null | sed 's/^/file /'
ps -eo comm=,args= | awk '$1 ~ /^(qemu|python3$|ssh$|swtpm)/ { $1 = ""; print "process" substr($0, 1, 200) }'
ss -Hltn | awk '{ print "port " $4 }'
virsh -q secret-list | sed 's/^/secret /'
virsh -q list --all --name | sed '/^$/d; s/^/domain /'
virsh -q pool-list --all --name | sed '/^$/d; s/^/pool /'
"""

Picture = frozenset[str]


def picture(host: Host) -> Picture:
    """Files, processes, open ports, claims, domains and pools of a host, a line each."""
    return frozenset(host.run(["sh", "-c", _PICTURE]).stdout.splitlines())


def traveller(lab: Lab) -> tuple[Guest, str, str]:
    """A guest that runs on one host and is known on no other, its host, and the other host: the one that an earlier test left in
    order, or a new one on empty hosts."""
    names = [host.name for host in lab.hosts[:2]]
    lab.fault.clear()
    for guest in lab.guests:
        places = guest.where()
        if list(places.values()) == ["running"] and set(places) <= set(names):
            guest.wait_beating()
            (here,) = places
            return guest, here, next(name for name in names if name != here)
    sweep(lab)
    return lab.create_guest(names[0], "qcow2", fill_mib=FILLED, autostart=True), names[0], names[1]


@dataclasses.dataclass(frozen=True)
class Trip:
    """A move that was started, what the guest had acknowledged before it, and what the destination was like. Without ``source_disks``
    of its own a move deletes the disks it leaves, so that the way back is no shorter."""

    lab: Lab
    guest: Guest
    source: str
    destination: str
    options: dict[str, t.Any]
    running: Started
    acknowledged: list[int]
    boot: str
    before: Picture
    old_journal: str

    @property
    def here(self) -> Host:
        return self.lab.host(self.source)

    @property
    def there(self) -> Host:
        return self.lab.host(self.destination)

    # ---- where it is ----

    def journal(self) -> dict[str, t.Any]:
        """The journal of this move; empty while there is only that of an earlier one."""
        found = journal_of(self.here, self.guest)
        return {} if found.get("id", "") == self.old_journal else found

    def stage(self) -> str:
        """The stage that the journal tells, and before there is one the progress file."""
        found = str(self.journal().get("stage", ""))
        if found:
            return found
        progress = inside(self.here, f"/run/virtops-kvm/progress/{self.options['progress_id']}.json")
        return "prepare" if progress.get("stage") in ("claim", "prepare") else ""

    def wait_stage(self, wanted: str) -> None:
        """Wait until the move has come to a stage; looks often, because some are short."""
        end = time.monotonic() + 600
        while STAGES.index(self.stage() or "prepare") < STAGES.index(wanted) or not self.stage():
            assert self.running.process.poll() is None, f"it ended before {wanted}:\n{self.running.output()}"
            assert time.monotonic() < end, f"it never came to {wanted}:\n{self.running.output()}"
            time.sleep(0.005)

    def halt_at(self, pid: int, wanted: str) -> None:
        """Let a process of the move go on in small steps until the move is at a stage, and leave it halted there: some stages are
        over before one who only looks has seen them."""
        end = time.monotonic() + 600
        while True:
            os.kill(pid, signal.SIGSTOP)
            if STAGES.index(self.stage() or "prepare") >= STAGES.index(wanted):
                break
            os.kill(pid, signal.SIGCONT)
            assert time.monotonic() < end, f"it never came to {wanted}:\n{self.running.output()}"
            time.sleep(0.003)
        assert self.stage() == wanted, f"it is at {self.stage()} already"

    def wait_copied(self, share: float = 0.35) -> None:
        """Wait until so much of the disk is on the destination."""

        def copied() -> bool:
            assert self.running.process.poll() is None, f"the move ended before its middle:\n{self.running.output()}"
            return self.copied() > share * self.total()

        wait_for(f"{share:.0%} of {self.guest.name} to be copied", copied, 600, 0.05)

    def total(self) -> int:
        """Bytes that the guest's image takes on the source."""
        return (self.here.images / os.path.basename(self.guest.disks[0])).stat().st_blocks * 512

    def partials(self) -> list[pathlib.Path]:
        """Copies in the making, as this machine sees them."""
        return [
            path for path in self.there.images.iterdir() if ".moving-" in path.name and self.guest.name in path.name
        ]

    def copied(self) -> int:
        """Bytes of the disk that the destination has."""
        return sum(path.stat().st_blocks * 512 for path in self.partials())

    # ---- its processes ----

    def sender(self) -> int:
        """Pid, on this machine, of the module: it has the lock of the domain open."""
        return wait_value("the module", lambda: holder(self.here, f"/run/virtops-kvm/locks/{self.guest.uuid}.lock"))

    def receiver(self) -> int:
        """Pid, on this machine, of the receiving end: the Python that has the copy in the making open, as its server has too."""
        (partial,) = self.partials()
        path = f"/var/lib/libvirt/images/{partial.name}"
        return wait_value("the receiving end", lambda: holder(self.there, path))

    # ---- the promises ----

    def ended(self) -> Result:
        """The result of the move."""
        return self.running.finish().result("domain_migration")

    def nothing_left(self, *, partial: bool, claim: bool = False) -> None:
        """The destination is as it was, but for the copy with which the next run goes on, and the ``claim`` of a module that was
        killed before it had a receiving end there: that is in libvirtd's memory until a move drops it."""

        def strange() -> list[str]:
            return sorted(line for line in picture(self.there) - self.before if not self._resumable(line, claim))

        wait_none(f"nothing to be left on {self.destination}", strange)
        assert bool(self.partials()) == partial, self.partials()

    def _resumable(self, line: str, claim: bool) -> bool:
        if line.startswith("secret "):
            return claim
        return line.startswith("file /var/lib/libvirt/images/") and ".moving-" in line and self.guest.name in line

    def no_claim_left(self) -> None:
        """Nobody has a place on the destination."""

        def claims() -> list[str]:
            return [line for line in picture(self.there) if line.startswith("secret ")]

        wait_none("no place to be held", claims)

    def no_process_left(self) -> None:
        """No end of a copy runs on, nor is its key, socket or port left, on either host."""

        def busy() -> list[str]:
            return [line for host in (self.here, self.there) for line in picture(host) if is_work(line)]

        wait_none("nothing to run any more", busy)

    def at_home(self, *, same_boot: bool, by_hand: bool = False) -> None:
        """The guest runs on the source as before, is not known on the destination, and its disk holds every record. Where it was
        started ``by_hand``, its host still does not do that by itself."""
        assert self.guest.where() == {self.source: "running"}, self.guest.where()
        self.guest.wait_beating()
        status = self.guest.status()
        assert status is not None
        assert (status["b"] == self.boot) == same_boot
        verdict = self.lab.verify(self.guest, self.source, self.acknowledged)
        assert verdict.clean, verdict
        assert by_hand or autostarts(self.here, self.guest)

    def failed(self, result: Result, code: str, *words: str) -> None:
        """The error has this code, and its sentence says what, between which hosts, and these words."""
        assert result["failed"], result
        assert result["error_code"] == code, result
        for word in (self.guest.name, self.source, self.destination, *words):
            assert word in result["msg"], result["msg"]

    def again(self, *, most: float | None = None, same_boot: bool | None = None) -> Result:
        """Run the move again: it succeeds, sends at most ``most`` bytes of disk, and everything is there and nothing else. It is a
        change, unless the kill came after the very last step."""
        was_done = self.journal().get("stage") == "done"
        options = {key: value for key, value in self.options.items() if key not in ("bandwidth", "progress_id")}
        result = move(self.lab, self.guest, self.source, self.destination, **options)
        assert not result.get("failed"), result
        assert result["changed"] != was_done, result
        if most is not None:
            assert result["move"]["disk_bytes"] <= most, (result["move"], most)
        self.arrived(same_boot=same_boot)
        return result

    def arrived(self, *, same_boot: bool | None = None) -> None:
        """The guest runs on the destination alone, with all its records, and of the move nothing but the guest is left."""
        assert self.guest.where() == {self.destination: "running"}, self.guest.where()
        self.guest.wait_beating()
        status = self.guest.status()
        assert status is not None
        assert same_boot is None or (status["b"] == self.boot) == same_boot
        verdict = self.lab.verify(self.guest, self.destination, self.acknowledged)
        assert verdict.clean, verdict
        assert autostarts(self.there, self.guest)
        self.no_process_left()
        new = picture(self.there) - self.before
        assert not [line for line in new if ".moving" in line or ".partial" in line], new
        assert self.journal().get("stage") == "done", self.journal()


def begin(lab: Lab, guest: Guest, source: str, destination: str, method: str, **options: t.Any) -> Trip:
    """Start a move of a running guest, slow enough to be caught."""
    status = guest.status()
    assert status is not None
    before, old = picture(lab.host(destination)), str(journal_of(lab.host(source), guest).get("id", ""))
    given = {"method": method, "may_stop": True, "source_disks": "delete", "bandwidth": SLOW, **options}
    given["destination_label"] = destination
    given["progress_id"] = uuid.uuid4().hex
    running = start_move(lab, guest, source, destination, **given)
    return Trip(lab, guest, source, destination, given, running, status["a"], status["b"], before, old)


def autostarts(host: Host, guest: Guest) -> bool:
    """Whether a host starts the guest by itself."""
    return guest.uuid in host.virsh("list", "--all", "--autostart", "--uuid").split()


def checkpoints(host: Host, guest: Guest) -> list[str]:
    """The checkpoints of a guest that libvirt knows on a host."""
    return host.virsh("checkpoint-list", guest.uuid, "--name").split()


def journal_of(host: Host, guest: Guest) -> dict[str, t.Any]:
    """The journal of the last move of a guest from a host."""
    return inside(host, f"/var/lib/virtops-kvm/moves/{guest.uuid}.json")


def inside(host: Host, path: str) -> dict[str, t.Any]:
    """A JSON file of a host, without starting a program there; empty where there is none."""
    try:
        text = pathlib.Path(f"/proc/{host.leader()}/root{path}").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    return t.cast("dict[str, t.Any]", json.loads(text))


def holder(host: Host, path: str, program: str = "python3") -> int | None:
    """Pid, on this machine, of the process of a host that runs ``program`` and has a file of the host open."""
    space = os.readlink(f"/proc/{host.leader()}/ns/pid")
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "ns/pid") != space or (entry / "comm").read_text().strip() != program:
                continue
            if path in {os.readlink(one) for one in (entry / "fd").iterdir()}:
                return int(entry.name)
        except OSError:
            continue
    return None


def wait_value(what: str, ask: t.Callable[[], int | None]) -> int:
    """What ``ask`` gives as soon as it gives something."""
    found: list[int] = []

    def asked() -> bool:
        value = ask()
        found.extend([] if value is None else [value])
        return bool(found)

    wait_for(what, asked, 600, 0.02)
    return found[0]


def wait_none(what: str, ask: t.Callable[[], list[str]]) -> None:
    """Wait until ``ask`` finds nothing any more; tells what it still finds in the end. What ends by itself gets the time for it."""
    end = time.monotonic() + 240
    while found := ask():
        assert time.monotonic() < end, f"{what}: {found}"
        time.sleep(0.2)


def is_work(line: str) -> bool:
    """Whether a line of a picture is of a copy or a move that is under way."""
    kind, _space, rest = line.partition(" ")
    if kind == "process":
        return not rest.startswith(("/usr/bin/qemu-system", "qemu-system", "/usr/bin/swtpm"))
    return kind == "file" and "/copy-" in rest


def finished(run: Run) -> Result:
    """The result of a module that was killed: what Ansible makes of it."""
    assert run.status != 0, run.output
    return run.result("domain_migration")
