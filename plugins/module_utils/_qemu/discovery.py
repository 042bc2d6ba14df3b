# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Finding QEMU processes in /proc, what the kernel tells about them, and which of them libvirt manages."""

from __future__ import annotations

import contextlib
import glob
import grp
import os
import pwd
import re
import stat
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import GuestProcess
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import Address, listening
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import CommandLine
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argvread import monitors_of

_PROGRAM = re.compile(r"(?:qemu-system-\w+|qemu-kvm|kvm)(?: \(deleted\))?\Z")
_UNIT = re.compile(r"[^/]+\.(?:service|scope)\Z")
_MACHINE = re.compile(r"/machine-qemu\\x2d|/machine(?:\.slice)?/qemu-[0-9]+-|\.libvirt-qemu(?:/|\Z)")
#: Where libvirt keeps the monitors of its domains (and of the QEMUs that it asks for capabilities), for the system and for users.
_LIBVIRT_SOCKET = re.compile(r"/libvirt/qemu/(?:lib/)?(?:domain-|qmp-)")
#: Where it keeps their pids.
LIBVIRT_PIDS = ("/run/libvirt/qemu/*.pid", "/run/user/*/libvirt/qemu/run/*.pid")
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
#: Main loop and RCU: so many threads has a QEMU that has not made its machine yet.
_THREADS_BEFORE_START = 2


def pids(proc: str = "/proc") -> list[int]:
    """The processes that run a QEMU system emulator, told by the program they run, or by their first word where that is hidden."""
    found = []
    for name in _list(proc):
        if not name.isdigit():
            continue
        program = _link(f"{proc}/{name}/exe") or (words_of(int(name), proc) or ("",))[0]
        if _PROGRAM.search(os.path.basename(program)) and words_of(int(name), proc):
            found.append(int(name))
    return sorted(found)


def words_of(pid: int, proc: str = "/proc") -> tuple[str, ...]:
    """The command line of a process; empty where it has ended."""
    text = _read(f"{proc}/{pid}/cmdline")
    return tuple(text.split("\0")[:-1]) if text.endswith("\0") else tuple(text.split("\0")) if text else ()


def read_process(pid: int, proc: str = "/proc") -> GuestProcess | None:
    """What the kernel tells about a process; None where it has ended."""
    words = words_of(pid, proc)
    fields = _read(f"{proc}/{pid}/stat").rpartition(")")[2].split()
    if not words or len(fields) < 20 or fields[0] in "ZX":
        return None
    status = parse_status(_read(f"{proc}/{pid}/status"))
    cgroup = parse_cgroup(_read(f"{proc}/{pid}/cgroup"))
    parent = int(fields[1])
    files, taps = _open_files(pid, proc)
    return GuestProcess(
        pid,
        (_link(f"{proc}/{pid}/exe") or words[0]).replace(" (deleted)", ""),
        words,
        state=fields[0],
        started=_boot_time(proc) + int(fields[19]) / os.sysconf("SC_CLK_TCK"),
        user=_user(status.get("Uid", "")),
        group=_group(status.get("Gid", "")),
        directory=_link(f"{proc}/{pid}/cwd"),
        cgroup=cgroup,
        unit=unit_of(cgroup),
        parent_pid=parent,
        parent=_read(f"{proc}/{parent}/comm").strip() if parent else "",
        namespaces=tuple(kind for kind in _NAMESPACES if _differs(pid, kind, proc)),
        files=files,
        taps=taps,
    )


def parse_status(text: str) -> dict[str, str]:
    """The fields of /proc/PID/status."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key: value.strip() for key, _colon, value in pairs}


def parse_cgroup(text: str) -> str:
    """The control group in /proc/PID/cgroup: the unified one, else that of systemd's own tree."""
    groups = {}
    for line in text.splitlines():
        number, _colon, rest = line.partition(":")
        controllers, _colon, path = rest.partition(":")
        groups[controllers or number] = path
    return groups.get("0") or groups.get("name=systemd") or next(iter(groups.values()), "")


def unit_of(cgroup: str) -> str:
    """systemd's unit of a control group: the innermost service or scope. The one of a login or a container tells nothing of a start."""
    parts = [part for part in cgroup.split("/") if _UNIT.match(part)]
    return parts[-1] if parts else ""


# ---- what is libvirt's ----


def libvirt_evidence(
    process: GuestProcess, line: CommandLine, bound: t.Iterable[str], recorded: t.Container[int]
) -> str:
    """By what it is known that libvirt manages a process; empty where it does not.

    ``bound`` are the paths of the sockets that the process listens on, ``recorded`` the pids in libvirt's pid files. A name, or a
    command line copied from libvirt's, is no evidence.
    """
    if process.pid in recorded:
        return "libvirt has a pid file for it"
    if _MACHINE.search(process.cgroup):
        return f"it runs in libvirt's control group {process.cgroup}"
    asked = [place.address.path for place in monitors_of(line) if place.address]
    for path in [*bound, *asked]:
        if _LIBVIRT_SOCKET.search(path):
            return f"its monitor is libvirt's: {path}"
    return ""


def recorded_pids(patterns: t.Sequence[str] = LIBVIRT_PIDS) -> frozenset[int]:
    """The pids in libvirt's pid files."""
    texts = [_read(path).strip() for pattern in patterns for path in glob.glob(pattern)]
    return frozenset(int(text) for text in texts if text.isdigit())


# ---- sockets ----


def sockets_of(pid: int, proc: str = "/proc") -> dict[int, Address]:
    """Descriptor -> where it listens, for each socket of a process that waits for connections."""
    inodes = dict(
        listening(_read(f"{proc}/{pid}/net/unix"), _read(f"{proc}/{pid}/net/tcp") + _read(f"{proc}/{pid}/net/tcp6"))
    )
    found = {}
    for descriptor in _list(f"{proc}/{pid}/fd"):
        match = re.fullmatch(r"socket:\[([0-9]+)\]", _link(f"{proc}/{pid}/fd/{descriptor}"))
        if match and match.group(1) in inodes:
            found[int(descriptor)] = inodes[match.group(1)]
    return found


def not_started(pid: int, proc: str = "/proc") -> bool:
    """Whether a QEMU has no threads for vCPUs yet: it still waits for something before it makes its machine."""
    return 1 <= len(_list(f"{proc}/{pid}/task")) <= _THREADS_BEFORE_START


def allocated(path: str) -> int | None:
    """The bytes that a file takes on disk; None for what is no file here."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_blocks * 512 if stat.S_ISREG(found.st_mode) else None


def _open_files(pid: int, proc: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files and block devices that it has open, and the taps."""
    files, taps = [], []
    for descriptor in sorted(_list(f"{proc}/{pid}/fd"), key=int):
        path = _link(f"{proc}/{pid}/fd/{descriptor}")
        if path == "/dev/net/tun":
            match = re.search(r"^iff:\s*(\S+)", _read(f"{proc}/{pid}/fdinfo/{descriptor}"), re.MULTILINE)
            if match:
                taps.append(match.group(1))
        elif path.startswith("/") and not path.startswith(("/memfd:", "/dev/null", "/dev/shm", "/dev/kvm", "/dev/pt")):
            files.append(path)
    return tuple(dict.fromkeys(files)), tuple(dict.fromkeys(taps))


def _differs(pid: int, kind: str, proc: str) -> bool:
    own, other = _link(f"{proc}/self/ns/{kind}"), _link(f"{proc}/{pid}/ns/{kind}")
    return bool(own and other) and own != other


def _boot_time(proc: str) -> float:
    match = re.search(r"^btime ([0-9]+)$", _read(f"{proc}/stat"), re.MULTILINE)
    return float(match.group(1)) if match else 0.0


def _user(numbers: str) -> str:
    number = numbers.split()[1] if len(numbers.split()) > 1 else ""
    with contextlib.suppress(KeyError, ValueError):
        return pwd.getpwuid(int(number)).pw_name
    return number


def _group(numbers: str) -> str:
    number = numbers.split()[1] if len(numbers.split()) > 1 else ""
    with contextlib.suppress(KeyError, ValueError):
        return grp.getgrgid(int(number)).gr_name
    return number


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
