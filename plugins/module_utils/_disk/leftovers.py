# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What moves leave among images: files whose names, or the markers beside them, say that a move of ours made or left them."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.repair import SeenFile

#: A copy in the making (``cold_plan``), and what is not yet complete of it.
_STAGED = re.compile(r".+\.moving-([0-9a-f]{8})(?:\.partial-[0-9A-Za-z]+)?")
#: The marker beside an image that a move left behind (``_libvirt/volumes``).
_LEFT = re.compile(r"(.+)\.left-by-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9]+)")


def staged_for(path: str) -> str:
    """The first digits of the UUID of the domain whose move was making ``path``; empty for a file of any other kind."""
    found = _STAGED.fullmatch(os.path.basename(path))
    return found[1] if found else ""


def read_files(folders: t.Iterable[str], named: t.Container[str], proc: str = "/proc") -> list[SeenFile]:
    """The plain files in ``folders`` (not below them) that are not ``named`` by anybody, but for markers."""
    found = []
    for folder in sorted(set(folders)):
        entries = _entries(folder)
        kept = _kept(entries)
        for name, status in sorted(entries.items()):
            path = os.path.join(folder, name)
            if path in named or _LEFT.fullmatch(name):
                continue
            found.append(
                SeenFile(
                    path, status.st_ino, status.st_blocks * 512, status.st_mtime, staged_for=staged_for(name),
                    left_by=kept.get(name, ""),
                )
            )  # fmt: skip
    if any(file.staged_for for file in found):
        open_now = _open_files(proc)
        found = [_with_use(file, open_now) for file in found]
    return found


def _entries(folder: str) -> dict[str, os.stat_result]:
    found: dict[str, os.stat_result] = {}
    with contextlib.suppress(OSError), os.scandir(folder) as listing:
        for entry in listing:
            with contextlib.suppress(OSError):
                found[entry.name] = entry.stat(follow_symlinks=False)
    return {name: status for name, status in found.items() if stat.S_ISREG(status.st_mode)}


def _kept(entries: t.Mapping[str, os.stat_result]) -> dict[str, str]:
    """Images with a marker that still holds: they were not written since."""
    found = {}
    for name in entries:
        marker = _LEFT.fullmatch(name)
        image = entries.get(marker[1]) if marker else None
        if marker and image is not None and int(image.st_mtime) == int(marker[3]):
            found[marker[1]] = marker[2]
    return found


def _with_use(file: SeenFile, open_now: t.Container[tuple[int, int]]) -> SeenFile:
    if not file.staged_for:
        return file
    try:
        status = os.stat(file.path, follow_symlinks=False)
    except OSError:
        return file
    return SeenFile(
        file.path, file.inode, file.allocated, file.written, (status.st_dev, status.st_ino) in open_now, file.staged_for,
        file.left_by,
    )  # fmt: skip


def opened_by_others(paths: t.Iterable[str], owner: int, proc: str = "/proc") -> str:
    """The first of ``paths`` that a process beside ``owner`` has open; empty where there is none."""
    open_now = _open_files(proc, owner)
    for path in paths:
        with contextlib.suppress(OSError):
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in open_now:
                return path
    return ""


def _open_files(proc: str, but: int = 0) -> set[tuple[int, int]]:
    """Device and inode of every file that a process of this host, ``but`` for one, has open."""
    found = set()
    for pid in os.listdir(proc):
        if not pid.isdigit() or int(pid) == but:
            continue
        with contextlib.suppress(OSError):
            for entry in os.scandir(os.path.join(proc, pid, "fd")):
                with contextlib.suppress(OSError):
                    status = os.stat(entry.path)
                    found.add((status.st_dev, status.st_ino))
    return found


def check_staged(path: str, uuid: str) -> None:
    """Raises InputError unless the name of ``path`` says that a move of the domain ``uuid`` was making it."""
    if not os.path.isabs(path) or os.path.normpath(path) != path:
        raise InputError("path", f"'{path}' is no absolute path in its plain form.")
    if not staged_for(path) or staged_for(path) != uuid[:8]:
        raise InputError(
            "path",
            f"The name of {path} does not say that a move of the domain {uuid} was making it (it would end in .moving-{uuid[:8]}); "
            "it was not touched.",
        )


def remove_staged(path: str, uuid: str, *, pretend: bool, proc: str = "/proc") -> bool:
    """Remove a copy that a move of the domain ``uuid`` was making, when nobody has it open; tells whether it was there.

    Raises IMAGE_IN_USE, and LEFTOVER_STAYS where it is no plain file or cannot be removed.
    """
    check_staged(path, uuid)
    try:
        status = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise _stays(path, exc.strerror or str(exc)) from exc
    if not stat.S_ISREG(status.st_mode):
        raise _stays(path, "it is no plain file")
    if (status.st_dev, status.st_ino) in _open_files(proc):
        raise KvmError("IMAGE_IN_USE", f"{path} was not removed: a process of this host has it open.", path=path)
    if not pretend:
        try:
            os.unlink(path)
        except OSError as exc:
            raise _stays(path, exc.strerror or str(exc)) from exc
    return True


def _stays(path: str, why: str) -> KvmError:
    return KvmError("LEFTOVER_STAYS", f"{path} was not removed: {why}. Look at it there.", path=path)
