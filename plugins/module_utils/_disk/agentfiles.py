# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The receiving end's verbs for files: looking, room, small files with their owners, folders.

Runs on the destination, shipped there as text: the standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import device, inuse, wire
from ansible_collections.virtops.kvm.plugins.module_utils._disk.agentimage import kind_of, name_of_owner, owner_of
from ansible_collections.virtops.kvm.plugins.module_utils._disk.wire import checked_path

#: A file that travels in one message; disks do not.
MOST_BYTES = 64 << 20

Value = dict[str, t.Any]


def look(path: str) -> Value:
    """What is at ``path``. Never fails where there is nothing."""
    path = checked_path(path)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return {"exists": False, "path": path}
    found = {
        "exists": True,
        "path": os.path.realpath(path),
        "kind": kind_of(status),
        "size": status.st_size,
        "allocated": status.st_blocks * 512,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "owner": name_of_owner(status),
        "mode": stat.S_IMODE(status.st_mode),
        "in_use": "",
    }
    if stat.S_ISBLK(status.st_mode):
        place = device.look(path)
        found["size"] = place.size
        uses = inuse.find_uses(place.node, inuse.read_facts(place.node), writing=True) if place.node else []
        found["in_use"] = "; ".join(f"{use.device}: {use.words}" for use in uses)
    return found


def tail(path: str, begin: int) -> Value:
    """Whether a device holds something else than zeros from ``begin`` on."""
    place = device.look(checked_path(path))
    descriptor = os.open(place.real, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return {"filled": next(device.filled(descriptor, begin, place.size), None) is not None}
    finally:
        os.close(descriptor)


def space(path: str) -> Value:
    """The room in the file system where ``path`` is or would be."""
    folder = checked_path(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    found = os.statvfs(folder)
    return {"folder": folder, "free": found.f_bavail * found.f_frsize, "total": found.f_blocks * found.f_frsize}


def make_folder(path: str, mode: int = 0o755, owner: str | None = None) -> Value:
    """Make sure of a folder; ``made`` are the folders that are new, outermost first."""
    path = checked_path(path)
    made: list[str] = []
    missing = path
    while not os.path.isdir(missing):
        made.insert(0, missing)
        missing = os.path.dirname(missing)
    for folder in made:
        os.mkdir(folder)
        os.chmod(folder, mode)
        os.chown(folder, *owner_of(owner))
    return {"path": path, "made": made}


def get_file(path: str) -> Value:
    """One small file with its mode and owner."""
    path = checked_path(path)
    with open(path, "rb") as stream:
        status = os.fstat(stream.fileno())
        if status.st_size > MOST_BYTES:
            raise KvmError(
                "FILE_TOO_LARGE", f"'{path}' has {status.st_size} bytes; this way is for small files.", path=path
            )
        data = stream.read()
    return {"data": wire.encode(data), "mode": stat.S_IMODE(status.st_mode), "owner": name_of_owner(status)}


def put_file(path: str, data: str, mode: int = 0o600, owner: str | None = None, replace: bool = False) -> Value:
    """Write one small file whole or not at all. What is there with another content stays, unless ``replace`` is said."""
    path = checked_path(path)
    content = wire.decode(data)
    existed = os.path.lexists(path)
    if existed:
        with open(path, "rb") as stream:
            if stream.read(len(content) + 1) == content:
                return {"path": path, "changed": False}
        if not replace:
            raise KvmError("DESTINATION_EXISTS", f"'{path}' exists and holds something else.", path=path)
    handle, partial = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            os.fchmod(handle, mode)
            os.fchown(handle, *owner_of(owner))
            stream.flush()
            os.fsync(handle)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise
    _sync_folder(os.path.dirname(path))
    return {"path": path, "changed": True, "existed": existed}


def tree(path: str) -> Value:
    """A folder with all its small files, as get_file tells them; names are relative. Links and devices are left out."""
    path = checked_path(path)
    entries: list[Value] = []
    for folder, names, files in os.walk(path):
        inner = os.path.relpath(folder, path)
        status = os.stat(folder)
        entries.append(
            {"name": inner, "folder": True, "mode": stat.S_IMODE(status.st_mode), "owner": name_of_owner(status)}
        )
        names.sort()
        for name in sorted(files):
            whole = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(whole).st_mode):
                entries.append(
                    {"name": os.path.normpath(os.path.join(inner, name)), "folder": False, **get_file(whole)}
                )
    return {"path": path, "entries": entries}


def put_tree(path: str, entries: t.Sequence[Value], replace: bool = False) -> Value:
    """Write what tree told; ``made`` is what is new and may be removed again, outermost first."""
    path = checked_path(path)
    made: list[str] = []
    for entry in entries:
        whole = path if entry["name"] == "." else checked_path(os.path.join(path, entry["name"]))
        if entry["folder"]:
            made += make_folder(whole, entry["mode"], entry["owner"])["made"]
            continue
        done = put_file(whole, entry["data"], entry["mode"], entry["owner"], replace)
        made += [whole] if done["changed"] and not done.get("existed") else []
    return {"path": path, "made": made}


def remove(path: str, folder: bool = False) -> Value:
    """Remove a file, or with ``folder`` a folder with all that is in it. Never a device."""
    path = checked_path(path)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return {"path": path, "removed": False}
    if stat.S_ISDIR(status.st_mode):
        if not folder or path.count("/") < 2:
            raise KvmError("NO_FILE", f"'{path}' is a folder, and stays.", path=path)
        shutil.rmtree(path)
    elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
        os.unlink(path)
    else:
        raise KvmError("NO_FILE", f"'{path}' is no regular file, and stays.", path=path)
    return {"path": path, "removed": True}


def rename(path: str, to: str) -> Value:
    """Give a file another name in its folder, which nobody else may have."""
    path, to = checked_path(path), checked_path(to)
    try:
        # Unlike rename, link never replaces what is there.
        os.link(path, to, follow_symlinks=False)
        os.unlink(path)
    except FileExistsError as exc:
        raise KvmError("DESTINATION_EXISTS", f"'{to}' exists, and stays.", path=to) from exc
    except OSError as exc:
        if exc.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        if os.path.lexists(to):
            raise KvmError("DESTINATION_EXISTS", f"'{to}' exists, and stays.", path=to) from exc
        os.rename(path, to)
    _sync_folder(os.path.dirname(to))
    return {"path": to}


def set_owner(path: str, owner: str | None = None, mode: int | None = None) -> Value:
    """Owner and mode of one file."""
    path = checked_path(path)
    os.chown(path, *owner_of(owner))
    if mode is not None:
        os.chmod(path, mode)
    return {"path": path}


def rebase(path: str, backing: str, backing_format: str, image_format: str = "qcow2") -> Value:
    """Write another backing file into an image, unseen (the content of both must be equal), always with its format."""
    words = ["qemu-img", "rebase", "-u", "-f", image_format, "-b", checked_path(backing), "-F", backing_format]
    command.check([*words, checked_path(path)], "IMAGE_INVALID", f"Giving '{path}' the backing file '{backing}'")
    return {"path": path}


def wait_free(path: str) -> None:
    """Raise DEVICE_IN_USE where somebody uses the device at ``path``."""
    inuse.check_free(device.look(checked_path(path)), writing=True, clock=Clock())


def _sync_folder(path: str) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


VERBS: dict[str, t.Callable[..., Value]] = {
    "stat": look,
    "space": space,
    "tail": tail,
    "make_folder": make_folder,
    "get_file": get_file,
    "put_file": put_file,
    "tree": tree,
    "put_tree": put_tree,
    "remove": remove,
    "rename": rename,
    "set_owner": set_owner,
    "rebase": rebase,
}
