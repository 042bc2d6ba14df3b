# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The deeds by which the contract of shared storage is proven on one host. Files are made in one folder per run, and go at its end."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import stat
import struct
import time
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock, wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import TimeoutExpired
from ansible_collections.virtops.kvm.plugins.module_utils._core.mounts import Mount, mount_of, read_mounts
from ansible_collections.virtops.kvm.plugins.module_utils._core.statefile import read_json, remove, write_json
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.asuser import ROOT, Answer, Silent, User, run_as, silent

PREFIX = ".virtops-contract-"
#: A lock that nobody gives back goes by itself.
_LOCK_SECONDS = 1800.0
_STALE_SECONDS = 3600.0
_STATE = "/run/virtops-kvm"
#: struct flock: l_type, l_whence, l_start, l_len, l_pid. A lock of the open file, as QEMU takes it on images.
_FLOCK = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_SETLK = getattr(fcntl, "F_OFD_SETLK", 37)


class Storage:
    """The folder ``path`` as ``user`` of this host sees it. ``run`` is the same on all hosts and names the folder of the trial."""

    def __init__(self, path: str, run: str, host: str, user: User, seconds: float) -> None:
        self.path, self.host, self.user = path, host, user
        self._folder = os.path.join(path, PREFIX + run)
        self._state = os.path.join(_STATE, f"contract-{run}.json")
        self._seconds = seconds

    def mount(self) -> dict[str, t.Any]:
        """What is mounted there. Asks the kernel alone, so a silent server does no harm."""
        mount = mount_of(self.path, read_mounts())
        return _mount_data(mount) if mount is not None else {}

    def folder(self) -> Answer:
        """The folder itself."""
        return self._as(ROOT, lambda: _facts(os.stat(self.path)))

    def make(self) -> Answer:
        """Make this host's file, write to it and keep a lock on it."""
        return self._as(self.user, self._make)

    def make_as_root(self) -> Answer:
        """Let root make a file, to see what becomes of it."""
        path = f"{self._folder}-{self.host}.root"

        def act() -> Answer:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                return _facts(os.fstat(descriptor))
            finally:
                os.close(descriptor)
                os.unlink(path)

        return self._as(ROOT, act)

    def see(self, file: t.Mapping[str, t.Any]) -> Answer:
        """Open the file of another host and try to lock it."""
        return self._as(self.user, lambda: _see(os.path.join(self._folder, file["name"]), file["token"], self._seconds))

    def rename(self) -> Answer:
        """Give this host's file its second name."""

        def act() -> Answer:
            os.rename(os.path.join(self._folder, first(self.host)), os.path.join(self._folder, second(self.host)))
            return {}

        return self._as(self.user, act)

    def sees_rename(self, other: str) -> Answer:
        """Whether the file of the host ``other`` has its second name alone."""

        def act() -> Answer:
            gone = not os.path.lexists(os.path.join(self._folder, first(other)))
            return {"seen": gone and os.path.lexists(os.path.join(self._folder, second(other)))}

        return self._as(self.user, act)

    def end(self) -> None:
        """Let go of the lock and remove what this host made. The last host removes the folder.

        NFS keeps a file that is removed while it is open, under another name: so who holds it has to be gone first.
        """
        holder = read_json(self._state)
        if holder is not None:
            if _started(holder["pid"]) == holder["started"]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(holder["pid"], signal.SIGTERM)
                with contextlib.suppress(TimeoutExpired):
                    wait_until(
                        Clock(),
                        lambda: _started(holder["pid"]),
                        lambda started: started != holder["started"],
                        what="the holder of the lock to end",
                        timeout=self._seconds,
                        interval=0.02,
                    )
            remove(self._state)
        self._as(self.user, self._clear)

    def _as(self, user: User, act: t.Callable[[], Answer]) -> Answer:
        try:
            return run_as(user, act, self._seconds)
        except Silent:
            raise silent(self.path, str(self.mount().get("source", "")), self.host, self._seconds) from None

    def _make(self) -> Answer:
        with contextlib.suppress(OSError):
            _clear_stale(self.path)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._folder, 0o700)
        path = os.path.join(self._folder, first(self.host))
        token = os.urandom(16).hex()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, token.encode("ascii"))
            os.fsync(descriptor)
            facts = _facts(os.fstat(descriptor))
            fcntl.fcntl(descriptor, _SETLK, _FLOCK)
            return {**facts, "name": first(self.host), "token": token, "holder": _hold(descriptor)}
        finally:
            os.close(descriptor)

    def keep(self, holder: int) -> None:
        """Remember who holds the lock."""
        write_json(self._state, {"pid": holder, "started": _started(holder)})

    def _clear(self) -> Answer:
        for name in (first(self.host), second(self.host)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._folder, name))
        with contextlib.suppress(OSError):
            os.rmdir(self._folder)
        return {}


def first(host: str) -> str:
    """The name of the file of ``host`` at first."""
    return f"{host.replace('/', '_')}.first"


def second(host: str) -> str:
    """Its name after it was renamed."""
    return f"{host.replace('/', '_')}.second"


def _hold(descriptor: int) -> int:
    """A process that has the file open with its lock, and nothing else; its id. Runs as the user already."""
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        empty = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(empty, standard)
        kept = os.dup2(descriptor, 3)
        os.closerange(kept + 1, 65536)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(_LOCK_SECONDS)
    finally:
        os._exit(0)


def _see(path: str, token: str, seconds: float) -> Answer:
    """A name that was looked for in vain may stay in a cache for a moment."""
    until = time.monotonic() + seconds / 2
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR)
            break
        except FileNotFoundError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
    try:
        same = os.read(descriptor, 64) == token.encode("ascii")
        facts = {**_facts(os.fstat(descriptor)), "same": same}
        try:
            fcntl.fcntl(descriptor, _SETLK, _FLOCK)
        except OSError as exc:
            refused = exc.errno in (errno.EAGAIN, errno.EACCES)
            return {**facts, "refused": refused, "lock_error": None if refused else exc.strerror}
        return {**facts, "refused": False, "lock_error": None}
    finally:
        os.close(descriptor)


def _clear_stale(path: str) -> None:
    """What a run left behind that nobody could end."""
    for entry in os.scandir(path):
        if entry.name.startswith(PREFIX) and entry.is_dir() and time.time() - entry.stat().st_mtime > _STALE_SECONDS:
            for name in os.listdir(entry.path):
                os.unlink(os.path.join(entry.path, name))
            os.rmdir(entry.path)


def _facts(status: os.stat_result) -> Answer:
    return {
        "inode": status.st_ino,
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
    }


def _mount_data(mount: Mount) -> dict[str, t.Any]:
    return {"point": mount.point, "type": mount.type, "source": mount.source, "options": list(mount.options)}


def _started(pid: int) -> str:
    """When the process began, in the kernel's words: an id may be given to another process. Empty where it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
            return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""
