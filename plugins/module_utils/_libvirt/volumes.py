# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Images on a host that only its libvirtd reaches: looked for, created and removed through the storage pool at their folder.

A folder without a pool gets a transient one for the moment. libvirt's pools remember what was there when they were last
refreshed, so every look begins with a refresh.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
import posixpath
import re
import typing as t
import uuid

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock, wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import (
    Connection,
    libvirt_code,
    translated,
)
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import new_element, parse, render

TRANSIENT_PREFIX = "virtops-kvm-"
#: Another move may end the transient pool that both use, at the very moment this one works with it.
_ATTEMPTS = 5
_POOL_GONE = (49, 55)
#: What libvirt says of a pool in which another move creates an image right now; there is no error number for it.
_INTERNAL_ERROR, _BUSY, _BUSY_SECONDS = 1, "asynchronous jobs", 300.0
#: libvirt counts as available what ext4 keeps for root (5 %), and QEMU is not root.
_NOTHING, _RESERVED = 4 * 1024 * 1024, 0.055


def marker_name(path: str, uuid: str, written: int) -> str:
    """The path of the marker beside an image that a move of the domain ``uuid`` left behind; ``written`` is when the image was
    last written, so that the marker of an image that is in use again says nothing."""
    return f"{path}.left-by-{uuid}-{written}"


def mark_left(path: str, uuid: str, text: str) -> None:
    """Write the marker beside the image ``path`` of this host; an older one goes."""
    for old in glob.glob(glob.escape(f"{path}.left-by-{uuid}-") + "*"):
        os.unlink(old)
    with open(marker_name(path, uuid, int(os.stat(path).st_mtime)), "w", encoding="utf-8") as stream:
        stream.write(text)


def refresh(pool: t.Any, clock: Clock) -> None:
    """Let ``pool`` look at its storage anew, as soon as nobody creates an image in it: libvirt refuses until then."""

    def refreshed() -> bool:
        try:
            pool.refresh(0)
        except library().libvirtError as exc:
            if libvirt_code(exc) == _INTERNAL_ERROR and _BUSY in str(exc):
                return False
            raise
        return True

    wait_until(
        clock, refreshed, bool, what=f"images to be created in the storage pool '{pool.name()}'", timeout=_BUSY_SECONDS
    )


@dataclasses.dataclass(frozen=True)
class RemoteImage:
    """An image as the pool of its folder sees it."""

    path: str
    format: str
    capacity: int


class RemoteImages:
    """The images of one host, by path."""

    def __init__(self, connection: Connection, host: str) -> None:
        self._connection = connection
        self._host = host

    def find(self, path: str) -> RemoteImage | None:
        """What is at ``path`` now; None where there is nothing (or not even its folder)."""
        try:
            with self._pool(posixpath.dirname(path)) as pool:
                volume = self._volume(pool, path)
                return None if volume is None else self._describe(volume, path)
        except KvmError as error:
            if error.error_code == "FOLDER_MISSING":
                return None
            raise

    def create(self, path: str, image_format: str, capacity: int) -> bool:
        """Create a compact image of exactly ``capacity`` bytes; tells whether its folder had to be made.

        Raises IMAGE_EXISTS where something is there already: nothing is ever overwritten.
        """
        attempt = 1
        while True:
            try:
                return self._create(path, image_format, capacity)
            except KvmError as error:
                if error.details.get("libvirt_code") not in _POOL_GONE or attempt == _ATTEMPTS:
                    raise
            attempt += 1

    def leftover(self, path: str, uuid: str) -> bool:
        """Whether the image at ``path`` is what an earlier move of the domain ``uuid`` left there: its marker lies beside it, the
        image was not written since, and no domain of the host names it. Such a copy is out of date."""
        try:
            with self._pool(posixpath.dirname(path)) as pool:
                return self._marker(pool, path, uuid) is not None and not self._in_use(path)
        except KvmError as error:
            if error.error_code == "FOLDER_MISSING":
                return False
            raise

    def remove_leftover(self, path: str, uuid: str) -> None:
        """Remove the copy that ``leftover`` tells of, and its marker."""
        with (
            self._pool(posixpath.dirname(path)) as pool,
            translated(f"Cannot remove the old copy {path} on {self._host}"),
        ):
            marker, volume = self._marker(pool, path, uuid), self._volume(pool, path)
            if marker is not None and volume is not None:
                volume.delete(0)
                marker.delete(0)

    def full(self, folder: str) -> bool:
        """Whether nothing more can be written to ``folder``: next to nothing is free, or only what is reserved for root."""
        with contextlib.suppress(KvmError), self._pool(folder) as pool, translated(f"Cannot read the pool at {folder}"):
            capacity, _allocation, available = pool.info()[1:4]
            return bool(available < _NOTHING or available <= capacity * _RESERVED)
        return False

    def remove(self, path: str) -> bool:
        """Remove the image at ``path``; tells whether it was there."""
        try:
            with self._pool(posixpath.dirname(path)) as pool:
                volume = self._volume(pool, path)
                if volume is None:
                    return False
                if self._in_use(path):
                    raise KvmError(
                        "IMAGE_IN_USE",
                        f"{path} on {self._host} was not removed: a domain there names it by now.",
                        path=path,
                    )
                with translated(f"Cannot remove the image {path} on {self._host}"):
                    volume.delete(0)
                return True
        except KvmError as error:
            if error.error_code == "FOLDER_MISSING":
                return False
            raise

    def remove_folder(self, folder: str) -> None:
        """Remove ``folder`` when it is empty; anything else leaves it."""
        with contextlib.suppress(library().libvirtError):
            # Only an inactive pool can be deleted, and a transient one is gone when it is inactive.
            pool = self._connection.handle.storagePoolDefineXML(_pool_xml(folder), 0)
            try:
                pool.delete(0)
            finally:
                pool.undefine()

    def _create(self, path: str, image_format: str, capacity: int) -> bool:
        folder = posixpath.dirname(path)
        try:
            self._create_in(folder, path, image_format, capacity, build=False)
        except KvmError as error:
            if error.error_code != "FOLDER_MISSING":
                raise
            self._create_in(folder, path, image_format, capacity, build=True)
            return True
        return False

    def _create_in(self, folder: str, path: str, image_format: str, capacity: int, *, build: bool) -> None:
        with self._pool(folder, build) as pool:
            if self._volume(pool, path) is not None:
                raise self._exists(path)
            with translated(f"Cannot create the image {path} on {self._host}"):
                self._make(pool, posixpath.basename(path), image_format, capacity)

    def _make(self, pool: t.Any, name: str, image_format: str, capacity: int) -> None:
        """libvirt would give the file to root, which an export that takes everybody for QEMU's user does not permit."""
        try:
            pool.createXML(_volume_xml(name, image_format, capacity), 0)
        except library().libvirtError as refused:
            owner = self._qemu_user() if libvirt_code(refused) == library().VIR_ERR_SYSTEM_ERROR else None
            if owner is None:
                raise
            try:
                pool.createXML(_volume_xml(name, image_format, capacity, owner), 0)
            except library().libvirtError:
                raise refused from None

    def _qemu_user(self) -> tuple[str, str] | None:
        """The numbers of QEMU's user and group there, as libvirt labels images."""
        for label in parse(self._connection.handle.getCapabilities()).iterfind("host/secmodel[model='dac']/baselabel"):
            found = re.fullmatch(r"\+(\d+):\+(\d+)", (label.text or "").strip())
            if found:
                return found[1], found[2]
        return None

    def _exists(self, path: str) -> KvmError:
        return KvmError(
            "IMAGE_EXISTS",
            f"There is an image {path} on {self._host} already, and it is not overwritten; look at it, then remove or rename it, or "
            "map the disk to another path.",
            path=path,
        )

    @contextlib.contextmanager
    def _pool(self, folder: str, build: bool = False) -> t.Iterator[t.Any]:
        pool = self._existing(folder)
        if pool is not None:
            with translated(f"Cannot refresh the storage pool at {folder} on {self._host}"):
                refresh(pool, Clock())
            yield pool
            return
        pool = self._transient(folder, build)
        try:
            yield pool
        finally:
            with contextlib.suppress(library().libvirtError):
                pool.destroy()

    def _existing(self, folder: str) -> t.Any:
        with translated(f"Cannot read the storage pools of {self._host}"):
            pools = self._connection.handle.listAllStoragePools(2)
        for pool in pools:
            with contextlib.suppress(library().libvirtError):
                path = parse(pool.XMLDesc(0)).findtext("target/path") or ""
                if path.rstrip("/") == folder.rstrip("/"):
                    return pool
        return None

    def _transient(self, folder: str, build: bool) -> t.Any:
        lib = library()
        try:
            flags = lib.VIR_STORAGE_POOL_CREATE_WITH_BUILD if build else 0
            return self._connection.handle.storagePoolCreateXML(_pool_xml(folder), flags)
        except lib.libvirtError as exc:
            pool = self._existing(folder)
            if pool is not None:
                return pool
            if libvirt_code(exc) == lib.VIR_ERR_SYSTEM_ERROR and not build:
                raise KvmError("FOLDER_MISSING", f"There is no folder {folder} on {self._host}.", path=folder) from exc
            with translated(f"Cannot use the folder {folder} on {self._host}"):
                raise

    def _volume(self, pool: t.Any, path: str) -> t.Any:
        lib = library()
        try:
            return pool.storageVolLookupByName(posixpath.basename(path))
        except lib.libvirtError as exc:
            if libvirt_code(exc) == lib.VIR_ERR_NO_STORAGE_VOL:
                return None
            with translated(f"Cannot look for the image {path} on {self._host}"):
                raise

    def _marker(self, pool: t.Any, path: str, uuid: str) -> t.Any:
        volume = self._volume(pool, path)
        if volume is None:
            return None
        with translated(f"Cannot read the image {path} on {self._host}"):
            written = parse(volume.XMLDesc(0)).findtext("target/timestamps/mtime") or ""
        seconds = written.partition(".")[0]
        return self._volume(pool, marker_name(path, uuid, int(seconds))) if seconds.isdigit() else None

    def _in_use(self, path: str) -> bool:
        with translated(f"Cannot read the domains of {self._host}"):
            texts = [domain.XMLDesc(0) for domain in self._connection.handle.listAllDomains(0)]
        return any(path in parse(text).xpath("//@file | //@dev") for text in texts)

    def _describe(self, volume: t.Any, path: str) -> RemoteImage:
        with translated(f"Cannot read the image {path} on {self._host}"):
            root = parse(volume.XMLDesc(0))
        found = root.find("target/format")
        return RemoteImage(
            path, found.get("type", "raw") if found is not None else "raw", int(root.findtext("capacity") or 0)
        )


def _pool_xml(folder: str) -> str:
    root = new_element("pool", {"type": "dir"})
    root.append(new_element("name", text=TRANSIENT_PREFIX + uuid.uuid4().hex[:12]))
    target = new_element("target")
    target.append(new_element("path", text=folder))
    root.append(target)
    return t.cast(str, render(root))


def _volume_xml(name: str, image_format: str, capacity: int, owner: tuple[str, str] | None = None) -> str:
    root = new_element("volume", {"type": "file"})
    root.append(new_element("name", text=name))
    root.append(new_element("capacity", {"unit": "bytes"}, str(capacity)))
    root.append(new_element("allocation", {"unit": "bytes"}, "0"))
    target = new_element("target")
    target.append(new_element("format", {"type": image_format}))
    if image_format == "qcow2":
        # Version 3: it takes persistent bitmaps, and zero clusters cost nothing.
        target.append(new_element("compat", text="1.1"))
    if owner is not None:
        permissions = new_element("permissions")
        permissions.append(new_element("owner", text=owner[0]))
        permissions.append(new_element("group", text=owner[1]))
        target.append(permissions)
    root.append(target)
    return t.cast(str, render(root))
