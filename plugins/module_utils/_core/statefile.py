# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Small records on disk: written whole or not at all, and locks that die with their owner."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError


def write_json(path: str, data: t.Any, mode: int = 0o600) -> None:
    """Write ``data`` to ``path`` atomically and durably (temporary name, fsync, rename)."""
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True) + "\n", mode)


def write_text(path: str, text: str, mode: int = 0o600) -> None:
    """Write ``text`` to ``path`` atomically and durably (temporary name, fsync, rename)."""
    write_bytes(path, text.encode("utf-8"), mode)


def write_bytes(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write ``data`` to ``path`` atomically and durably (temporary name, fsync, rename)."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=folder, prefix=".", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(partial, mode)
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise
    folder_fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)


def read_json(path: str) -> t.Any | None:
    """The record at ``path``, or None where there is none. Raises KvmError STATE_UNREADABLE for a damaged one."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError:
        return None
    except ValueError as exc:
        raise KvmError(
            "STATE_UNREADABLE",
            f"The record {path} is damaged ({exc}); look at it, and remove it when it is of no use.",
            path=path,
        ) from exc


def remove(path: str) -> bool:
    """Remove ``path``; tells whether it was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def put_away(path: str, *, delete: bool) -> str | None:
    """Delete the file ``path``, or rename it so that nothing opens it by its old name; gives the new name. Never overwrites."""
    if delete:
        remove(path)
        return None
    number, name = 1, f"{path}.migrated"
    while os.path.lexists(name):
        number += 1
        name = f"{path}.migrated-{number}"
    os.rename(path, name)
    return name


class FileLock:
    """An advisory lock (flock) that the kernel releases when its owner dies."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it; tells whether it is now ours."""
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(descriptor)
            if exc.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        self._fd = descriptor
        return True

    def held(self, table: str = "/proc/locks") -> bool:
        """Whether somebody has the lock now, without ever taking it: who only looks must be in nobody's way."""
        try:
            inode = os.stat(self.path).st_ino
            with open(table, encoding="ascii") as stream:
                rows = [line.split() for line in stream]
        except FileNotFoundError:
            return False
        # "1: FLOCK  ADVISORY  WRITE 4711 00:1b:42 0 EOF"; who waits for it has "->" for a second word.
        return any("FLOCK" in row[1:3] and row[-3].rpartition(":")[2] == str(inode) for row in rows if len(row) >= 8)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
