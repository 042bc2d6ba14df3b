# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What is copied: a file or device as it is, or the content that a guest sees; and whether it stayed the same meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import stat
import struct
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.imageheader import backing_location, read_image
from ansible_collections.virtops.kvm.plugins.module_utils._disk import device, header, inuse
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import Reader, threads_for
from ansible_collections.virtops.kvm.plugins.module_utils._disk.qemunbd import opened

#: More layers than anybody has: a chain that is longer bites its own tail.
_MOST_LAYERS = 200
#: struct flock, and the byte that QEMU locks when it may write (block/file-posix.c: RAW_LOCK_PERM_BASE + BLK_PERM_WRITE's bit).
_LOCK = struct.Struct("hhqqi4x")
_WRITER_BYTE = 101

Stamp = tuple[t.Any, ...]


@dataclasses.dataclass(frozen=True)
class Layer:
    """One image of a backing chain. ``backing`` is the path of what it builds on, "" for the base; ``name`` and ``name_format``
    are what the image itself says of that."""

    path: str
    format: str
    backing: str = ""
    name: str = ""
    name_format: str = ""


def chain_of(path: str, image_format: str) -> list[Layer]:
    """The image at ``path`` and all that it builds on, the top first. Raises KvmError IMAGE_INVALID."""
    layers: list[Layer] = []
    seen: set[str] = set()
    form: str | None = image_format
    while path:
        if path in seen or len(layers) >= _MOST_LAYERS:
            raise KvmError(
                "IMAGE_INVALID", f"The backing chain of '{layers[0].path}' goes round in a circle.", path=path
            )
        seen.add(path)
        try:
            facts = read_image(path, form)
        except OSError as exc:
            raise missing_source(path, exc) from exc
        if form == "qcow2" and facts.virtual_size is None:
            raise KvmError("IMAGE_INVALID", f"'{path}' is no qcow2 image; say which format it has.", path=path)
        below = backing_location(path, facts.backing_path) if facts.backing_path else ""
        if below and not below.startswith("/"):
            raise KvmError("IMAGE_INVALID", f"'{path}' builds on '{below}', which is no file of this host.", path=path)
        layers.append(Layer(path, form or "raw", below, facts.backing_path or "", facts.backing_format or ""))
        path, form = below, facts.backing_format or "raw"
    return layers


def missing_source(path: str, exc: OSError) -> KvmError:
    """The error for a source that cannot be opened."""
    return KvmError("SOURCE_MISSING", f"The source '{path}' cannot be read: {exc.strerror}.", path=path)


def stamp_of(path: str) -> Stamp:
    """What changes when somebody writes to ``path``."""
    try:
        status = os.stat(path)
    except OSError as exc:
        raise missing_source(path, exc) from exc
    if stat.S_ISBLK(status.st_mode):
        return ("block", status.st_rdev, device.written_sectors(device.numbers_of(status.st_rdev)))
    return ("file", status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class PatchedReader:
    """Content of which the first bytes are replaced."""

    def __init__(self, reader: Reader, head: bytes) -> None:
        self._reader = reader
        self._head = head

    @property
    def size(self) -> int:
        """Bytes."""
        return max(self._reader.size, len(self._head))

    def extents(self, start: int = 0, end: int | None = None) -> t.Iterator[tuple[int, int]]:
        """The reader's, and the head."""
        if start < len(self._head):
            yield start, min(len(self._head), self.size if end is None else end) - start
            start = len(self._head)
        if end is None or start < end:
            yield from self._reader.extents(start, end)

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill ``view``."""
        self._reader.read_into(view, offset)
        if offset < len(self._head):
            part = self._head[offset : offset + len(view)]
            view[: len(part)] = part


@dataclasses.dataclass(frozen=True)
class Source:
    """A source that is open. ``stamps`` are of every file that its content depends on."""

    path: str
    reader: Reader
    allocated: int
    stamps: t.Mapping[str, Stamp]

    def check_unchanged(self) -> None:
        """Raises KvmError SOURCE_CHANGED where somebody wrote to it since it was opened."""
        for path, before in self.stamps.items():
            if stamp_of(path) != before:
                raise source_changed(path)


def source_changed(path: str) -> KvmError:
    """The error for a source that somebody writes to."""
    return KvmError(
        "SOURCE_CHANGED",
        f"'{path}' was changed while it was copied, so the copy is of no use; shut off its guest, and run again.",
        path=path,
    )


def has_writer(path: str) -> bool:
    """Whether a QEMU has the image open for writing, by the lock that it keeps on one byte for that (also over NFS)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise missing_source(path, exc) from exc
    try:
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _WRITER_BYTE, 1, 0)
        kind = _LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0]
    except OSError:
        # A file system without locks: nobody can be asked, and the stamps tell a change afterwards.
        return False
    finally:
        os.close(descriptor)
    return bool(kind != fcntl.F_UNLCK)


def check_free(path: str) -> None:
    """Raises KvmError SOURCE_IN_USE where somebody writes to the source, DEVICE_IN_USE where it is a device."""
    place = device.look(path)
    if place.kind == device.BLOCK_DEVICE:
        inuse.check_free(place, writing=False, clock=Clock())
        return
    clock = Clock()
    end = clock.monotonic() + inuse.PATIENCE
    while place.kind == device.FILE and has_writer(path) and clock.monotonic() < end:
        # It may be on its way out.
        clock.sleep(0.25)
    if place.kind == device.FILE and has_writer(path):
        raise KvmError(
            "SOURCE_IN_USE",
            f"'{path}' is in use by a guest or a program that writes to it; shut off the guest, and run again.",
            path=path,
        )


def check_image(path: str) -> None:
    """Raises KvmError IMAGE_INVALID for what is no qcow2 image, or whose data is elsewhere, so that its bytes are not all of it."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(header.FIXED)
    except OSError as exc:
        raise missing_source(path, exc) from exc
    header.cluster_size(head)
    header.check_whole(head)


@contextlib.contextmanager
def open_source(path: str, image_format: str, *, content: bool, head: bytes | None = None) -> t.Iterator[Source]:
    """Open the source: its content with ``content``, else its bytes, of which ``head`` may replace the first.

    Raises KvmError SOURCE_MISSING and IMAGE_INVALID.
    """
    layers = chain_of(path, image_format) if content and image_format == "qcow2" else [Layer(path, image_format)]
    if not content and image_format == "qcow2":
        check_image(path)
    stamps = {layer.path: stamp_of(layer.path) for layer in layers}
    allocated = sum(os.stat(layer.path).st_blocks * 512 for layer in layers)
    try:
        with opened(path, image_format if content else "raw", connections=2 * threads_for()) as reader:
            yield Source(path, reader if head is None else PatchedReader(reader, head), allocated, stamps)
    except OSError as exc:
        if isinstance(exc, (FileNotFoundError, PermissionError, IsADirectoryError)):
            raise missing_source(path, exc) from exc
        raise
