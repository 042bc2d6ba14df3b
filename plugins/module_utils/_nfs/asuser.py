# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Doing things as another user, and not for ever: file systems of a server that is silent hold whoever touches them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pwd
import select
import signal
import sys
import time
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

Answer = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class User:
    """Numbers decide on a shared file system; ``name`` is for people."""

    uid: int
    gid: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name or 'user'} ({self.uid}:{self.gid})"


ROOT = User(0, 0, "root")


class Silent(Exception):
    """No answer in time."""


def run_as(user: User, act: t.Callable[[], Answer], seconds: float) -> Answer:
    """What ``act`` gives in a process of its own that ``user`` owns. An OSError is told as ``error`` and ``errno``. Raises Silent."""
    reading, writing = os.pipe()
    # Nothing that is buffered may be written twice.
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be(user, act, writing)
    os.close(writing)
    try:
        data = _read(reading, time.monotonic() + seconds)
    finally:
        os.close(reading)
        if _still_runs(child):
            os.kill(child, signal.SIGKILL)
    if not data:
        raise Silent
    return t.cast("Answer", json.loads(data))


def _still_runs(child: int) -> bool:
    """Whether ``child`` still runs; one that has ended is laid to rest."""
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(child, os.WNOHANG) == (0, 0):
                time.sleep(0.005)
                continue
        return False
    return True


def _read(descriptor: int, until: float) -> bytes:
    data = b""
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return b""
        part = os.read(descriptor, 65536)
        if not part:
            return data
        data += part


def _be(user: User, act: t.Callable[[], Answer], writing: int) -> t.NoReturn:
    """The child: never returns to what the parent is doing."""
    status = 1
    try:
        become(user)
        try:
            answer = act()
        except OSError as exc:
            answer = {"error": exc.strerror or str(exc), "errno": exc.errno}
        os.write(writing, json.dumps(answer).encode("utf-8"))
        status = 0
    finally:
        os._exit(status)


def become(user: User) -> None:
    """Give up all rights but those of ``user``."""
    os.umask(0o077)
    if os.geteuid() != 0:
        return
    try:
        name = pwd.getpwuid(user.uid).pw_name
        os.setgroups(os.getgrouplist(name, user.gid))
    except KeyError:
        os.setgroups([user.gid])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


def silent(path: str, server: str, host: str, seconds: float) -> KvmError:
    """The error for a file system that does not answer."""
    return KvmError(
        "SERVER_SILENT",
        f"{path} on {host} did not answer within {seconds:g} s: {server or 'its server'} is down, or cannot be reached from there. "
        "Bring the server back, and look whether the firewalls let NFS through (TCP port 2049); nothing was changed.",
        path=path,
        server=server,
        host=host,
    )
