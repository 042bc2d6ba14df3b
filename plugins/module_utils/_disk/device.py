# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a path is: a block device with its size and place in the kernel's tree, a file, or nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import stat
import struct
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import BLOCK, FileReader, digest_of, size_of

BLOCK_DEVICE = "block"
FILE = "file"
ABSENT = "absent"
OTHER = "other"

SYSFS = "/sys/dev/block"
SECTOR = 512
_BLKRRPART = 0x125F
_BLKZEROOUT = 0x127F
#: Of /sys/dev/block/M:N/stat: sectors that were written since the device is there.
_WRITTEN = 6


@dataclasses.dataclass(frozen=True)
class Node:
    """A block device in sysfs, by its numbers ``259:3``. ``label`` is the name that the device mapper or md knows it by."""

    numbers: str
    name: str
    label: str = ""
    parent: t.Optional[str] = None
    partitions: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    read_only: bool = False


@dataclasses.dataclass(frozen=True)
class Place:
    """A path of this host. ``real`` is it without links. ``node`` is None for what is no block device."""

    path: str
    real: str
    kind: str
    size: int = 0
    node: t.Optional[Node] = None


def check_path(path: str, option: str) -> str:
    """``path`` where it can be used as it is. Raises InputError where it is relative, leads upwards, or is no path at all."""
    if not path.startswith("/"):
        raise InputError(option, f"'{path}' is no absolute path; write it from / on.", path=path)
    if any(ord(letter) < 32 for letter in path):
        raise InputError(option, f"{path!r} holds a control character; no path of a disk does.", path=path)
    if ".." in path.split("/") or path.endswith("/") or "//" in path:
        raise InputError(
            option, f"'{path}' is not the plain path of a file; write it without '..', '//' and a last '/'."
        )
    return path


def look(path: str) -> Place:
    """What is at ``path``. Raises OSError where it cannot be looked at."""
    real = os.path.realpath(path)
    try:
        status = os.stat(real)
    except FileNotFoundError:
        return Place(path, real, ABSENT)
    if stat.S_ISREG(status.st_mode):
        return Place(path, real, FILE, status.st_size)
    if not stat.S_ISBLK(status.st_mode):
        return Place(path, real, OTHER)
    descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        size = size_of(descriptor)
    finally:
        os.close(descriptor)
    return Place(path, real, BLOCK_DEVICE, size, read_node(numbers_of(status.st_rdev)))


def look_at_device(path: str) -> Place:
    """The block device at ``path``. Raises KvmError DEVICE_NOT_FOUND or NO_BLOCK_DEVICE."""
    try:
        place = look(path)
    except OSError as exc:
        raise KvmError(
            "DEVICE_NOT_FOUND",
            f"The device {path} on this host cannot be opened: {exc.strerror}. A device that is gone or suspended reads so.",
            device=path,
        ) from exc
    if place.kind == ABSENT:
        raise KvmError(
            "DEVICE_NOT_FOUND",
            f"There is no device {path} on this host. Check its name; an LV must be active (lvchange -ay).",
            device=path,
        )
    if place.kind != BLOCK_DEVICE:
        what = "a regular file" if place.kind == FILE else "no block device"
        raise KvmError(
            "NO_BLOCK_DEVICE",
            f"{path} on this host is {what}; a block device is needed here (an LV, a partition or a whole disk).",
            device=path,
        )
    return place


def numbers_of(number: int) -> str:
    """A device number as sysfs and mountinfo write it."""
    return f"{os.major(number)}:{os.minor(number)}"


def read_node(numbers: str, sysfs: str = SYSFS) -> Node:
    """What sysfs tells of a block device; where it tells nothing, its numbers stand for its name."""
    folder = os.path.realpath(f"{sysfs}/{numbers}")
    if not os.path.isdir(folder):
        return Node(numbers, numbers)
    above = os.path.dirname(folder)
    part = os.path.exists(f"{folder}/partition")
    parts = [name for name in _list(folder) if os.path.exists(f"{folder}/{name}/partition")]
    return Node(
        numbers,
        os.path.basename(folder),
        read_fact(f"{folder}/dm/name") or "",
        (read_fact(f"{above}/dev") or None) if part else None,
        tuple(filter(None, (read_fact(f"{folder}/{name}/dev") for name in parts))),
        tuple(_list(f"{folder}/holders")),
        read_fact(f"{folder}/ro") == "1",
    )


def read_fact(path: str) -> str | None:
    """One small file of sysfs or procfs, without the end of its line; None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read().strip()
    except OSError:
        return None


def _list(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def written_sectors(numbers: str, sysfs: str = SYSFS) -> int | None:
    """How much was written to the device so far: two equal answers prove that nobody wrote in between. None: not told."""
    fields = (read_fact(f"{sysfs}/{numbers}/stat") or "").split()
    return int(fields[_WRITTEN]) if len(fields) > _WRITTEN else None


def open_alone(place: Place, *, write: bool) -> int:
    """Open a block device so that nobody can mount or map it meanwhile. Raises KvmError DEVICE_IN_USE.

    This is the kernel's own word on it, and free of races; programs that open it plainly, as QEMU does, it does not see.
    """
    flags = (os.O_RDWR if write else os.O_RDONLY) | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(place.real, flags)
    except OSError as exc:
        if exc.errno == errno.EBUSY:
            raise KvmError(
                "DEVICE_IN_USE",
                f"The device {place.path} on this host is in use: the kernel keeps it for a file system, a swap area or "
                "another device that is built on it. Take it out of use first.",
                device=place.path,
                uses=[],
            ) from exc
        if exc.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise KvmError(
                "DEVICE_READ_ONLY",
                f"The device {place.path} on this host cannot be opened for {'writing' if write else 'reading'}: "
                f"{exc.strerror}. Check its permissions, and whether it is read-only (blockdev --getro).",
                device=place.path,
            ) from exc
        raise


def zero_out(descriptor: int, offset: int, length: int) -> None:
    """Make ``length`` bytes of a block device zeros, by the device itself where it can."""
    if offset % SECTOR == 0 and length % SECTOR == 0:
        try:
            fcntl.ioctl(descriptor, _BLKZEROOUT, struct.pack("=QQ", offset, length))
            return
        except OSError as exc:
            if exc.errno not in (errno.EINVAL, errno.ENOTTY, errno.EOPNOTSUPP):
                raise
    write_all(descriptor, bytes(length), offset)


def filled(descriptor: int, begin: int, end: int) -> t.Iterator[tuple[int, int]]:
    """(offset, length) of the parts of a device that are not all zeros."""
    while begin < end:
        length = min(BLOCK, end - begin)
        data = bytearray(length)
        with memoryview(data) as view:
            FileReader(descriptor, begin + length).read_into(view, begin)
        if digest_of(data):
            yield begin, length
        begin += length


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data``."""
    view = memoryview(data)
    done = 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], offset + done)


def settle(descriptor: int) -> None:
    """Bring what was written to the disk, and forget it, so that what is read next is what the disk holds."""
    os.fsync(descriptor)
    with contextlib.suppress(OSError):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def reread_partitions(descriptor: int) -> bool:
    """Let the kernel read the partition table of a whole disk anew; tells whether it did."""
    try:
        fcntl.ioctl(descriptor, _BLKRRPART)
    except OSError:
        return False
    return True
