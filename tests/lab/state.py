# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's memory: everything it creates is written down before it is created, so `down` can always remove it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .shell import LabError, kill_recorded, locked, process_stat, run, start_time, wait_for

KINDS = ("directory", "mount", "loop", "netns", "process")


@dataclass
class State:
    """What one lab is made of; `resources` is in order of creation."""

    path: Path
    resources: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> State:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(path)
        except ValueError as error:
            raise LabError(f"{path}: not a state file: {error}") from error
        return cls(path, data["resources"], data["facts"])

    def save(self) -> None:
        """Replace the file in one step: a kill leaves the old or the new state, never half of one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".state")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"facts": self.facts, "resources": self.resources}, file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self.path)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Read again, change, save: other threads and processes may have written since."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.with_name(f".{self.path.name}.lock"), "state", quiet=True):
            now = State.load(self.path)
            self.resources, self.facts = now.resources, now.facts
            yield
            self.save()

    def record(self, kind: str, name: str) -> None:
        """Write down a resource before it is made; a second time changes nothing."""
        if kind not in KINDS:
            raise LabError(f"unknown kind of resource: {kind}")
        entry = {"kind": kind, "name": name}
        if entry not in self.resources:
            with self.changing():
                if entry not in self.resources:
                    self.resources.append(entry)

    def set_facts(self, **facts: Any) -> None:
        with self.changing():
            self.facts.update(facts)


def read_pid_file(path: Path) -> tuple[int, int] | None:
    """Pid and start time out of a copy of /proc/PID/stat that the process made before it became what it is."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    if len(fields) < 20:
        return None
    return int(text.split(" ", 1)[0]), int(fields[19])


def alive(path: Path) -> int | None:
    """The pid recorded in a pid file if exactly that process still runs."""
    recorded = read_pid_file(path)
    if recorded is None or start_time(recorded[0]) != recorded[1]:
        return None
    return recorded[0]


def children(parent: int) -> list[int]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            fields = process_stat(int(entry.name))
            if fields is not None and int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


def wait_gone(pid: int, started: int) -> None:
    wait_for(f"process {pid} to end", lambda: start_time(pid) != started, pause=0.02)


def kill_process(path: Path) -> None:
    """Kill a recorded process and its children, the container's pid 1 first, and wait until all are gone."""
    recorded = read_pid_file(path)
    if recorded is None:
        return
    pid, started = recorded
    family = []
    if start_time(pid) == started:
        family = [(child, start_time(child) or 0) for child in children(pid)]
    for child, born in family:
        kill_recorded(child, born)
    kill_recorded(pid, started)
    for one, born in [*family, (pid, started)]:
        wait_gone(one, born)
    path.unlink(missing_ok=True)


def processes_in_netns(path: Path) -> list[int]:
    try:
        wanted = path.stat()
    except OSError:
        return []
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            own = os.stat(f"/proc/{entry.name}/ns/net")
        except OSError:
            continue
        if (own.st_dev, own.st_ino) == (wanted.st_dev, wanted.st_ino):
            found.append(int(entry.name))
    return found


def remove_netns(name: str) -> None:
    """End what lives in a network namespace of the lab (ssh masters, watchers), then the namespace."""
    path = Path("/run/netns") / name
    for _attempt in range(50):
        living = [pid for pid in processes_in_netns(path) if pid != os.getpid() and start_time(pid) is not None]
        if not living:
            break
        for pid in living:
            kill_recorded(pid, start_time(pid) or -1, signal.SIGKILL)
        run(["sleep", "0.05"])
    if path.exists():
        run(["ip", "netns", "delete", name])


def mounted_below(path: str) -> list[str]:
    """Mount points at or below a path, deepest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        where = line.split()[4].encode().decode("unicode_escape").encode("latin-1").decode(errors="replace")
        if where == path or where.startswith(path + "/"):
            found.append(where)
    return sorted(found, key=len, reverse=True)


def unmount(path: str) -> None:
    """Unmount everything at or below a path; waits for processes that are on their way out."""

    def free() -> bool:
        for where in mounted_below(path):
            run(["umount", where], check=False)
        return not mounted_below(path)

    wait_for(f"{path} to be unmounted", free, 30)


def detach_loops(image: str) -> None:
    """Free the loop devices of an image file."""
    for line in run(["losetup", "--associated", image], check=False).stdout.splitlines():
        run(["losetup", "--detach", line.split(":", 1)[0]], check=False)


def remove_resource(entry: dict[str, Any]) -> None:
    kind, name = entry["kind"], entry["name"]
    if kind == "process":
        kill_process(Path(name))
    elif kind == "netns":
        remove_netns(name)
    elif kind == "mount":
        unmount(name)
    elif kind == "loop":
        detach_loops(name)
    elif kind == "directory":
        if mounted_below(name):
            unmount(name)
        run(["rm", "-rf", "--one-file-system", name])


def tear_down(state: State) -> list[str]:
    """Remove everything recorded, last made first; what could not be removed stays recorded and is returned."""
    problems: list[str] = []
    order = {"process": 0, "netns": 1, "mount": 2, "loop": 3, "directory": 4}
    last_first = state.resources[::-1]
    for entry in sorted(last_first, key=lambda one: order[one["kind"]]):
        if problems and entry["name"] == str(state.path.parent):
            break  # keep the memory of what is still there
        try:
            remove_resource(entry)
        except LabError as error:
            problems.append(str(error))
            continue
        state.resources.remove(entry)
        if state.path.exists():
            state.save()
    return problems


__all__ = ["State", "alive", "kill_process", "locked", "read_pid_file", "tear_down"]
