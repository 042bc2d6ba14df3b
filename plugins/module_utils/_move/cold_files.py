# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The files of a domain on this host: what they are, and whether somebody wrote to them."""

from __future__ import annotations

import dataclasses
import grp
import os
import pwd
import stat
import typing as t


@dataclasses.dataclass(frozen=True)
class NearFile:
    """A file or device of the source. ``size`` and ``allocated`` are bytes; ``owner`` is ``user:group`` by name where it has one."""

    path: str
    size: int
    allocated: int
    mode: int = 0o600
    owner: str = ""
    device: bool = False


def near_file(path: str) -> NearFile | None:
    """What is at ``path``; None where there is nothing. Raises OSError where it cannot be read."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISBLK(status.st_mode):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.lseek(descriptor, 0, os.SEEK_END)
        finally:
            os.close(descriptor)
        return NearFile(path, size, size, device=True)
    return NearFile(path, status.st_size, status.st_blocks * 512, stat.S_IMODE(status.st_mode), _owner(status))


def _owner(status: os.stat_result) -> str:
    try:
        user = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        user = str(status.st_uid)
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"{user}:{group}"


def files_below(folder: str) -> tuple[str, ...]:
    """The regular files below ``folder``, without what programs keep there for the moment."""
    found = []
    for place, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if (
                stat.S_ISREG(os.lstat(path).st_mode)
                and not name.startswith(".")
                and not name.endswith((".pid", ".sock"))
            ):
                found.append(path)
    return tuple(sorted(found))


def seal(paths: t.Iterable[str]) -> dict[str, str]:
    """What the files look like now. A device has no time of its own, so only its size."""
    found = {}
    for path in paths:
        status = os.stat(path)
        if stat.S_ISBLK(status.st_mode):
            found[path] = "device"
        else:
            found[path] = f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
    return found


def broken_seals(seals: t.Mapping[str, str]) -> tuple[str, ...]:
    """The paths whose file was written, replaced or removed since it was sealed."""
    broken = []
    for path, mark in seals.items():
        try:
            now = seal([path])[path]
        except OSError:
            now = "gone"
        if now != mark:
            broken.append(path)
    return tuple(sorted(broken))
