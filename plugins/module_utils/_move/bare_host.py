# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What either end of a guest process's move asks of its own host: users, room, who has a file open; and how a guest is started there.

Shipped to the destination with the agent: the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import processes

_PROGRAM_SECONDS = 60.0


def has_systemd() -> bool:
    """Whether systemd runs this host."""
    return os.path.isdir("/run/systemd/system")


def has_libvirt() -> bool:
    """Whether a libvirt daemon of the system listens, or is started by who asks."""
    return any(os.path.exists(f"/run/libvirt/{name}") for name in ("libvirt-sock", "virtqemud-sock"))


def place() -> list[str]:
    """What two hosts never have alike while both run: so whoever reads the same at both ends of a move is on one host."""
    return [processes.boot_id(), os.readlink(f"{processes.PROC}/self/ns/pid"), socket.gethostname()]


def pids() -> list[int]:
    """All processes that this host shows."""
    return [int(entry) for entry in os.listdir(processes.PROC) if entry.isdigit()]


def has_user(name: str) -> bool:
    """Whether this host has a user of that name."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def give(path: str, owner: str) -> None:
    """Make what was made here belong to the user of that name, where this host has one."""
    if owner and has_user(owner):
        person = pwd.getpwnam(owner)
        os.chown(path, person.pw_uid, person.pw_gid)


def owners(paths: t.Sequence[str]) -> dict[str, list[int]]:
    """Whose the files are: path -> [uid, gid]; what is not there is left out."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError):
            seen = os.stat(path)
            found[path] = [seen.st_uid, seen.st_gid]
    return found


def give_back(wanted: t.Mapping[str, t.Sequence[int]]) -> None:
    """Let files belong to whom they did."""
    for path, owner in owners(list(wanted)).items():
        if owner != list(wanted[path]):
            os.chown(path, *wanted[path])


def opened(path: str) -> bool:
    """Whether a process of this host has the file open."""
    wanted = os.stat(path)
    for pid in pids():
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"{processes.PROC}/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found = os.stat(entry.path)
                    if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                        return True
    return False


def free(folder: str) -> int:
    """Bytes that are free where the folder is, or will be."""
    while not os.path.isdir(folder) and folder not in ("/", ""):
        folder = os.path.dirname(folder)
    found = os.statvfs(folder or "/")
    return found.f_bavail * found.f_frsize


def stamp(path: str) -> list[int]:
    """What two hosts see alike of one file that they share; empty where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def launch(unit: str, argv: t.Sequence[str], user: str, log: str, path: str) -> None:
    """Start a guest whose monitor of ours is at ``path``, in a unit where there is systemd; it may end at once."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    os.makedirs(os.path.dirname(log), mode=0o755, exist_ok=True)
    if user:
        person = pwd.getpwnam(user)
        os.chown(os.path.dirname(path), person.pw_uid, person.pw_gid)
    if not has_systemd():
        _run_alone(argv, user, log)
        return
    options = [f"--property=StandardOutput=append:{log}", f"--property=StandardError=append:{log}"]
    options += ["--property=KillMode=mixed", "--property=TimeoutStopSec=60", *([f"--uid={user}"] if user else [])]
    with open(log, "ab"):
        # Where QEMU ends before its pid could be asked for, the end of the file tells it.
        pass
    words_of = ["systemd-run", "--quiet", "--collect", f"--unit={unit}", *options, "--", *argv]
    what = f"Starting the unit {unit} on {socket.gethostname()}"
    command.check(words_of, "DESTINATION_FAILED", what, timeout=_PROGRAM_SECONDS)


def has_spoken(log: str) -> bool:
    """Whether QEMU has said something and is not to be seen: it ended."""
    return os.path.exists(log) and os.path.getsize(log) > 0


def _run_alone(argv: t.Sequence[str], user: str, log: str) -> None:
    """Without systemd: a session of its own, which outlives us."""
    with open(log, "ab") as out:
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"] if user else []
        command.start_alone([*become, *argv], out)
