# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The gateway of the volumes of storage pools: looked at, created, grown, deleted.

libvirt's pools remember what was there when they were last refreshed, so every look begins with a refresh. One that fails
stops the pool, so the server of a pool is asked for an answer before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import ownership
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.imageheader import read_image
from ansible_collections.virtops.kvm.plugins.module_utils._core.ownership import Ownership
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt import lvm
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import (
    LOCAL_URI,
    libvirt_code,
    translated,
)
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.pools import PoolGateway
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.volumes import refresh
from ansible_collections.virtops.kvm.plugins.module_utils._model.pool import PoolFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.volume import (
    FULL,
    LOGICAL,
    METADATA,
    Room,
    VolumeFacts,
    VolumeWanted,
    allocation_of,
    form_of,
)
from ansible_collections.virtops.kvm.plugins.module_utils._xml.references import References, references
from ansible_collections.virtops.kvm.plugins.module_utils._xml.volumes import disk_target, volume_document, volume_facts


class VolumeGateway:
    """The volumes of the pools behind one URI."""

    def __init__(self, uri: str = LOCAL_URI) -> None:
        self.pools = PoolGateway(uri)
        self.host, self.local = self.pools.host, self.pools.local
        self._handle = self.pools.connection.handle
        self._named: dict[str, tuple[bool, References]] | None = None

    def close(self) -> None:
        """Close it."""
        self.pools.close()

    # ---- reads ----

    def pool(self, name: str) -> PoolFacts:
        """The pool, active, and looked at anew. Raises POOL_NOT_FOUND, POOL_INACTIVE, STORAGE_SERVER_UNREACHABLE."""
        found = self.pools.find(name)
        if found is None:
            known = [pool.name for pool in self.pools.all()]
            raise KvmError(
                "POOL_NOT_FOUND",
                f"There is no storage pool '{name}' on {self.host}; it has {', '.join(known) or 'none'}.",
                pool=name,
                known=known,
            )
        if not found.active:
            raise KvmError(
                "POOL_INACTIVE",
                f"The storage pool '{name}' on {self.host} is not active, so its volumes are not to be seen; start it with storage_pool.",
                pool=name,
            )
        answer = self.pools.server_answer(found.definition)
        if answer != "open":
            raise KvmError(
                "STORAGE_SERVER_UNREACHABLE",
                f"The storage pool '{name}' on {self.host} is not read, because its server {found.definition.hosts[0]} does not answer "
                f"(port 2049: {answer}). Check that the server runs, and the network between the two.",
                pool=name,
                result=answer,
            )
        with translated(f"Cannot refresh the storage pool '{name}' on {self.host}"):
            refresh(self._pool(found), Clock())
        return self.pools.find(name) or found

    def active_pools(self) -> list[str]:
        """The names of all pools that are active."""
        return [pool.name for pool in self.pools.all() if pool.active]

    def volumes(self, pool: PoolFacts) -> list[VolumeFacts]:
        """All volumes of the pool, by name."""
        with translated(f"Cannot list the volumes of the storage pool '{pool.name}' on {self.host}"):
            handles = self._pool(pool).listAllVolumes(0)
        found = []
        for handle in handles:
            with contextlib.suppress(library().libvirtError):
                found.append(volume_facts(handle.XMLDesc(0), pool.name))
        everywhere = found if not any(one.format == "qcow2" for one in found) else [*found, *self._others(pool)]
        return sorted((self._placed(one, everywhere) for one in found), key=lambda one: one.name)

    def find(self, pool: PoolFacts, name: str) -> VolumeFacts | None:
        """The volume, with who uses it; None where there is none. Raises VOLUME_HIDDEN for one that libvirt does not show."""
        lib = library()
        with translated(f"Cannot look for the volume '{name}' in the storage pool '{pool.name}' on {self.host}"):
            try:
                self._pool(pool).storageVolLookupByName(name)
            except lib.libvirtError as exc:
                if libvirt_code(exc) == lib.VIR_ERR_NO_STORAGE_VOL:
                    self._check_hidden(pool, name)
                    return None
                raise
        return next((one for one in self.volumes(pool) if one.name == name), None)

    def room(self, pool: PoolFacts) -> Room:
        """What a volume of the pool has to fit in."""
        extent = 1
        if pool.definition.type == LOGICAL:
            extent = 4 * 1024 * 1024
            if self.local and pool.definition.source_name:
                extent = lvm.extent_size(pool.definition.source_name) or extent
        return Room(pool.definition.type, pool.available, extent)

    def _check_hidden(self, pool: PoolFacts, name: str) -> None:
        group = pool.definition.source_name
        if pool.definition.type != LOGICAL or not self.local or not group:
            return
        if name in lvm.names(lvm.volumes(group)):
            raise KvmError(
                "VOLUME_HIDDEN",
                f"The volume group '{group}' on {self.host} has a logical volume '{name}' that libvirt does not show, because it is thin "
                f"or not active. Activate it (lvchange -ay {group}/{name}); a thin one is used by its path /dev/{group}/{name}, or choose "
                "another name.",
                volume=name,
                pool=pool.name,
                group=group,
            )

    def backing_capacity(self, path: str, form: str | None) -> int:
        """The virtual size of the image at ``path``. Raises BACKING_MISSING."""
        with contextlib.suppress(library().libvirtError):
            return int(self._handle.storageVolLookupByPath(path).info()[1])
        if self.local:
            with contextlib.suppress(OSError):
                size = read_image(path, form).virtual_size
                if size is not None:
                    return size
        raise KvmError(
            "BACKING_MISSING",
            f"There is no backing image {path} on {self.host}; give the name of a volume of the same pool, or an absolute path.",
            path=path,
        )

    def _others(self, pool: PoolFacts) -> list[VolumeFacts]:
        """The volumes of all other pools, as libvirt remembers them: one of them may be built on one of this pool."""
        found = []
        for name in self.active_pools():
            if name == pool.name:
                continue
            with contextlib.suppress(library().libvirtError):
                for handle in self._handle.storagePoolLookupByName(name).listAllVolumes(0):
                    found.append(volume_facts(handle.XMLDesc(0), name))
        return found

    def _placed(self, volume: VolumeFacts, everywhere: t.Sequence[VolumeFacts]) -> VolumeFacts:
        """``volume`` with who uses it."""
        named = [
            (domain, active)
            for domain, (active, names) in sorted(self._domains().items())
            if (volume.pool, volume.name) in names.volumes or any(self._same(path, volume.path) for path in names.paths)
        ]
        overlays = [one.name for one in everywhere if one.backing and self._same(one.backing, volume.path)]
        return dataclasses.replace(
            volume,
            domains=tuple(domain for domain, unused in named),
            users=tuple(domain for domain, active in named if active),
            overlays=tuple(sorted(overlays)),
        )

    def _same(self, one: str, other: str) -> bool:
        # The names of a logical volume are links.
        return one == other or (self.local and os.path.realpath(one) == os.path.realpath(other))

    def _domains(self) -> dict[str, tuple[bool, References]]:
        """All domains of the host, whether each runs, and what it names, running and as it is defined."""
        if self._named is None:
            lib = library()
            self._named = {}
            with translated(f"Cannot read the domains of {self.host}"):
                handles = self._handle.listAllDomains(0)
            for handle in handles:
                with contextlib.suppress(lib.libvirtError):
                    now, then = references(handle.XMLDesc(0)), references(handle.XMLDesc(lib.VIR_DOMAIN_XML_INACTIVE))
                    both = References((*now.paths, *then.paths), (*now.volumes, *then.volumes))
                    self._named[handle.name()] = (bool(handle.isActive()), both)
        return self._named

    # ---- changes ----

    def create(self, pool: PoolFacts, wanted: VolumeWanted, room: Room) -> None:
        """Create the volume. libvirt refuses where there is one of that name."""
        flags = 0
        if form_of(wanted, room) == "qcow2" and allocation_of(wanted, room) in (METADATA, FULL):
            flags = library().VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA
        with translated(f"Cannot create the volume '{wanted.name}' in the storage pool '{pool.name}' on {self.host}"):
            self._pool(pool).createXML(volume_document(wanted, room), flags)

    def grow(self, pool: PoolFacts, volume: VolumeFacts, capacity: int) -> None:
        """Make it larger: through the domain that runs on it, if one does, so that its guest sees it."""
        for domain in volume.users:
            with translated(f"Cannot grow the disk of the running domain '{domain}' on {self.host}"):
                handle = self._handle.lookupByName(domain)
                target = disk_target(handle.XMLDesc(0), volume.path, volume.pool, volume.name)
                if target is None:
                    raise InputError(
                        "grow",
                        f"The volume '{volume.name}' is under an image with which the domain '{domain}' runs; grow the topmost one.",
                    )
                if volume.type == "block":
                    self._extend(pool, volume, capacity)
                handle.blockResize(target, capacity, library().VIR_DOMAIN_BLOCK_RESIZE_BYTES)
            return
        if pool.definition.type == LOGICAL:
            self._extend(pool, volume, capacity)
            return
        with translated(f"Cannot grow the volume '{volume.name}' in the storage pool '{pool.name}' on {self.host}"):
            self._pool(pool).storageVolLookupByName(volume.name).resize(capacity, 0)

    def _extend(self, pool: PoolFacts, volume: VolumeFacts, capacity: int) -> None:
        # libvirt cannot resize logical volumes.
        if not self.local:
            raise InputError(
                "grow", f"A logical volume can only be grown on its host itself, and not by '{self.pools.uri}'."
            )
        lvm.extend(t.cast(str, pool.definition.source_name), volume.name, capacity)
        with translated(f"Cannot refresh the storage pool '{pool.name}' on {self.host}"):
            refresh(self._pool(pool), Clock())

    def own(self, volume: VolumeFacts, wanted: Ownership) -> None:
        """Give it owner, group and mode."""
        ownership.apply(volume.path, wanted)

    def delete(self, pool: PoolFacts, volume: VolumeFacts) -> None:
        """Delete the volume and its data."""
        with translated(f"Cannot delete the volume '{volume.name}' of the storage pool '{pool.name}' on {self.host}"):
            self._pool(pool).storageVolLookupByName(volume.name).delete(0)

    def _pool(self, pool: PoolFacts) -> t.Any:
        return self._handle.storagePoolLookupByUUIDString(pool.uuid)
