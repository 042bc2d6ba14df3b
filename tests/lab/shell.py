# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands, taking locks, waiting: what every other file of the lab stands on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

CACHE = Path("/var/cache/virtops-kvm")
RUN = Path("/run/virtops-lab")
DATA = Path("/var/lib/virtops-lab")


class LabError(Exception):
    """Something the lab could not do, in a sentence."""


def say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def run(
    command: Sequence[str],
    *,
    check: bool = True,
    stdin: str | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output is captured, and shown in the error if it fails."""
    done = subprocess.run(
        list(command),
        check=False,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
    )
    if check and done.returncode:
        what = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise LabError(f"{' '.join(command)}: exit status {done.returncode}: {what}")
    return done


def wait_for(what: str, ready: Callable[[], bool], timeout: float = 180, pause: float = 0.2) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout:.0f} s in vain for {what}")
        time.sleep(pause)


@contextlib.contextmanager
def locked(path: Path, what: str, quiet: bool = False) -> Iterator[None]:
    """Hold an exclusive lock; says so when it has to wait. The kernel releases it if we are killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not quiet:
                say(f"waiting for another process that holds the lock on {what}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file in one step, so that a reader never sees half of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(path)


# Which package brings a command that the lab needs on this machine, and what for.
NEEDED = {
    "mmdebstrap": ("mmdebstrap", "builds the hosts' root file system"),
    "systemd-nspawn": ("systemd-container", "boots the hosts"),
    "ip": ("iproute2", "builds the lab's network"),
    "tc": ("iproute2", "shapes links"),
    "nsenter": ("util-linux", "runs commands in hosts"),
    "losetup": ("mount", "gives every host a file system of its own for images"),
    "mkfs.ext4": ("e2fsprogs", "gives every host a file system of its own for images"),
    "qemu-img": ("qemu-utils", "makes and reads guest images"),
    "ping": ("iputils-ping", "asks guests whether they are there, as a controller does during a move"),
    "ssh": ("openssh-client", "lets the controller reach the hosts"),
    "gcc": ("gcc libc6-dev linux-libc-dev", "compiles the program that runs in lab guests"),
}


KEYRINGS = Path("/usr/share/keyrings")


def proves_debian(folder: Path) -> bool:
    """Whether keys are there that prove the suites of the lab. Debian signs trixie with bookworm's key too, which is the newest that
    Ubuntu 24.04 has of Debian's."""
    keys = (
        "debian-archive-keyring.pgp",
        "debian-archive-trixie-automatic.gpg",
        "debian-archive-bookworm-automatic.gpg",
    )
    return any((folder / key).exists() for key in keys)


def install_needed() -> None:
    """Install what this machine lacks, by apt, and say what and why. Several labs may ask at the same time."""
    with locked(CACHE / "apt.lock", "the packages of this machine", quiet=True):
        _install_needed()


def _install_needed() -> None:
    missing = {name: need for name, need in NEEDED.items() if not shutil.which(name)}
    if Path("/usr/lib/x86_64-linux-gnu/libc.a").exists() is False:
        missing["libc.a"] = ("gcc libc6-dev linux-libc-dev", "compiles the program that runs in lab guests")
    if not proves_debian(KEYRINGS):
        missing["keyring"] = ("debian-archive-keyring", "proves that Debian's packages are Debian's")
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"this machine has no apt-get; install yourself: {', '.join(sorted(missing))}")
    packages: list[str] = []
    for package, reason in missing.values():
        for one in package.split():
            if one not in packages:
                say(f"installs {one}: {reason}")
                packages.append(one)
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q", "-o", "DPkg::Lock::Timeout=600"]
    _update([*quiet, "update"])
    try:
        run([*quiet, "install", "--no-install-recommends", *packages])
    except LabError as error:
        raise LabError(f"{error}{advice(str(error))}") from None


def advice(said: str) -> str:
    """What to do where apt says that there is no such package: Ubuntu has some of ours in a part that may be switched off."""
    if "no installation candidate" not in said and "Unable to locate package" not in said:
        return ""
    return "\nOn Ubuntu, mmdebstrap and debian-archive-keyring are in 'universe'; switch that on (add-apt-repository universe)."


def _update(command: list[str]) -> None:
    """Read the lists of packages anew. apt waits for other programs with the lock of dpkg, but not with that of its lists."""
    deadline = time.monotonic() + 600
    while True:
        try:
            run(command)
            return
        except LabError as error:
            if "Could not get lock" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(3)


def process_stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on (state, ppid, ...), or None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; tells a recycled pid from the recorded one."""
    fields = process_stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def kill_recorded(pid: int, started: int, how: int = signal.SIGKILL) -> bool:
    """Signal exactly the process that was recorded; False when it is gone."""
    if start_time(pid) != started:
        return False
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return False
    return True
