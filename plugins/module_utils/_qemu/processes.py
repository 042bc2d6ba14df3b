# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Processes of this host, told apart for ever: a pid is given again, but not with the same start time in the same boot."""

from __future__ import annotations

import os
import signal
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import words

PROC = "/proc"
_KILL_POLL = 0.05
#: What only libvirt's guests have in their command line.
_LIBVIRT = ("/var/lib/libvirt/qemu/domain-", "/libvirt/qemu/lib/domain-", "/run/libvirt/qemu")


def boot_id() -> str:
    """Another one after each boot."""
    with open(f"{PROC}/sys/kernel/random/boot_id", encoding="ascii") as stream:
        # A container has its host's, so its own pid 1 counts, too.
        return f"{stream.read().strip()}-{start_time(1)}"


def start_time(pid: int) -> str:
    """When the process started, in ticks since boot; empty where there is none, or only what its parent has not buried yet."""
    try:
        with open(f"{PROC}/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def is_alive(pid: int, start: str) -> bool:
    """Whether that very process is there."""
    return bool(start) and start_time(pid) == start


def argv_of(pid: int) -> list[str]:
    """Its command line; empty where it is gone."""
    try:
        with open(f"{PROC}/{pid}/cmdline", "rb") as stream:
            data = stream.read()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [os.fsdecode(word) for word in data.split(b"\0")[:-1]]


def cwd_of(pid: int) -> str:
    """Its working directory."""
    return os.readlink(f"{PROC}/{pid}/cwd")


def user_of(pid: int) -> int:
    """The user id that it runs as."""
    return os.stat(f"{PROC}/{pid}").st_uid


def cgroup_of(pid: int) -> str:
    """Its control group in the one hierarchy; empty where there is none."""
    with open(f"{PROC}/{pid}/cgroup", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith("0::"):
                return line[3:].strip()
    return ""


def is_libvirts(argv: t.Sequence[str]) -> bool:
    """Whether libvirt started it."""
    return any(sign in word for word in argv for sign in _LIBVIRT)


def guests(wanted: str) -> list[int]:
    """The pids of QEMU processes whose guest has this name or UUID, libvirt's included."""
    found = []
    for entry in os.listdir(PROC):
        if not entry.isdigit():
            continue
        argv = argv_of(int(entry))
        if not argv or not _is_qemu(argv[0]) or not start_time(int(entry)):
            continue
        if wanted in (words.name_of(argv), words.uuid_of(argv)) or wanted.lower() == words.uuid_of(argv):
            found.append(int(entry))
    return sorted(found)


def _is_qemu(program: str) -> bool:
    name = os.path.basename(program)
    return name.startswith("qemu-system-") or name in ("qemu-kvm", "kvm", "qemu")


def kill(pid: int, start: str, clock: Clock, patience: float = 20.0) -> bool:
    """End that very process by SIGKILL, which also ends one that is stopped; tells whether it is gone."""
    end = clock.monotonic() + patience
    while is_alive(pid, start):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return True
        if clock.monotonic() >= end:
            return False
        clock.sleep(_KILL_POLL)
    return True
