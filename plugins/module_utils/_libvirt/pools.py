# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The gateway of the storage pools of one host: looked at, defined, started, stopped, removed. Never their data.

What a document means, libvirt itself is asked: its test driver reads it with the code of the daemon, inside this program.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import read_settings
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.knock import probe
from ansible_collections.virtops.kvm.plugins.module_utils._core.mounts import below, read_mounts
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt import lvm
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import (
    LOCAL_URI,
    Connection,
    libvirt_code,
    translated,
)
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.domains import QEMU_CONF
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.storage_probe import StorageProbe, is_local
from ansible_collections.virtops.kvm.plugins.module_utils._model.pool import (
    Ground,
    PoolDefinition,
    PoolFacts,
    same_source,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.volume import LOGICAL
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse
from ansible_collections.virtops.kvm.plugins.module_utils._xml.pools import joined, plain, pool_definition
from ansible_collections.virtops.kvm.plugins.module_utils._xml.references import References, references
from ansible_collections.virtops.kvm.plugins.module_utils._xml.units import bytes_of

#: libvirt's own test driver: always there, and it never leaves this program.
_TEST_URI = "test:///default"
_NO_POOL = 49
_NFS_PORT = 2049
_SHOWN = 5
#: What umount says of a file system that is in use.
_BUSY = "busy"


class PoolGateway:
    """The storage pools behind one URI. A pool is named by its UUID once it is found."""

    def __init__(self, uri: str = LOCAL_URI) -> None:
        self.uri = uri
        self.local = is_local(uri)
        self.connection = Connection.open(uri)
        with translated(f"Cannot read the name of the host at '{uri}'"):
            self.host = str(self.connection.handle.getHostname())
            version = int(self.connection.handle.getLibVersion())
        self._probe = StorageProbe.of_this_host(read_settings(QEMU_CONF), version) if self.local else None
        self._running: dict[str, References] | None = None

    def close(self) -> None:
        """Close it."""
        self.connection.close()

    # ---- reads ----

    def find(self, name: str) -> PoolFacts | None:
        """The pool of that name, or None."""
        with translated(f"Cannot look up the storage pool '{name}' on {self.host}"):
            try:
                return self.facts(self.connection.handle.storagePoolLookupByName(name))
            except library().libvirtError as exc:
                if libvirt_code(exc) != _NO_POOL:
                    raise
        return None

    def all(self) -> list[PoolFacts]:
        """All pools, by name. One that vanishes meanwhile is left out."""
        with translated(f"Cannot list the storage pools of {self.host}"):
            handles = self.connection.handle.listAllStoragePools(0)
        found = []
        for handle in sorted(handles, key=lambda one: str(one.name())):
            with contextlib.suppress(library().libvirtError):
                found.append(self.facts(handle))
        return found

    def definition(self, pool: PoolFacts, *, live: bool = False) -> str:
        """The saved document; with ``live`` the one that it runs with."""
        flags = 0 if live else library().VIR_STORAGE_XML_INACTIVE
        with self._on(pool, "read the definition of") as handle:
            return str(handle.XMLDesc(flags))

    def normalize(self, xml: str) -> str:
        """What libvirt would make of ``xml``. Raises DEFINITION_REFUSED where it would refuse it."""
        lib = library()
        bare, extras = plain(xml)
        name = pool_definition(bare).name
        try:
            with contextlib.closing(lib.open(_TEST_URI)) as test:
                for other in test.listAllStoragePools(0):
                    if other.isActive():
                        other.destroy()
                    other.undefine()
                return joined(test.storagePoolDefineXML(bare, 0).XMLDesc(0), extras)
        except lib.libvirtError as exc:
            raise KvmError(
                "DEFINITION_REFUSED",
                f"libvirt refuses the definition of the storage pool '{name}': {str(exc).strip().rstrip('.')}.",
                pool=name,
                libvirt_code=libvirt_code(exc),
            ) from exc

    def supported(self, kind: str) -> bool:
        """Whether libvirt there can run pools of that type. True where it cannot be asked."""
        try:
            text = self.connection.handle.getStoragePoolCapabilities(0)
        except library().libvirtError:
            return True
        found = parse(text).find(f"pool[@type='{kind}']")
        return found is None or found.get("supported") == "yes"

    def ground(self, wanted: PoolDefinition) -> Ground:
        """What is at the path of ``wanted`` on this host; nothing is known of another one."""
        if not self.local or wanted.path is None or not wanted.path.startswith("/"):
            return Ground()
        mounted = self.mounted_at(wanted.path)
        if mounted is not None:
            # A look into the mount of a server that is down would not come back.
            return Ground(True, (), mounted)
        try:
            names = [name for name in os.listdir(wanted.path) if name != "lost+found"]
        except FileNotFoundError:
            return Ground(False)
        except OSError as exc:
            raise KvmError(
                "PATH_UNUSABLE",
                f"The path {wanted.path} on {self.host} cannot be the folder of a storage pool: {exc.strerror}.",
                path=wanted.path,
            ) from exc
        more = ["..."] if len(names) > _SHOWN else []
        return Ground(True, (*sorted(names)[:_SHOWN], *more), None)

    def mounted_at(self, path: str) -> str | None:
        """What is mounted right at ``path`` on this host."""
        folder = os.path.join(os.path.realpath(os.path.dirname(path.rstrip("/"))), os.path.basename(path.rstrip("/")))
        found = [mount.source for mount in read_mounts() if mount.point == folder]
        return found[-1] if found else None

    def server_answer(self, wanted: PoolDefinition) -> str:
        """Whether the NFS server of ``wanted`` can be reached from this host: open, or in a word why not."""
        kinds = (None, "auto", "nfs")
        custom = any(option.partition("=")[0] in ("port", "proto") for option in wanted.mount_options)
        if not self.local or wanted.type != "netfs" or wanted.source_format not in kinds or custom or not wanted.hosts:
            return "open"
        return probe(wanted.hosts[0].strip("[]"), _NFS_PORT)

    def has_group(self, wanted: PoolDefinition) -> bool:
        """Whether the volume group of a pool that is one is there; True where nobody can look."""
        if not self.local or wanted.type != LOGICAL or not wanted.source_name:
            return True
        return lvm.extent_size(wanted.source_name) is not None

    def opened(self, pool: PoolFacts) -> tuple[str, ...]:
        """The logical volumes of an active pool that somebody has open, by LVM's word. libvirt deactivates all when it stops a pool."""
        group = pool.definition.source_name
        if not self.local or not pool.active or pool.definition.type != LOGICAL or not group:
            return ()
        return lvm.names(lvm.volumes(group), opened=True)

    def facts(self, handle: t.Any) -> PoolFacts:
        """What there is to say of one pool."""
        root = parse(handle.XMLDesc(0))
        definition = pool_definition(handle.XMLDesc(0))
        active, persistent = bool(handle.isActive()), bool(handle.isPersistent())
        mounted = (
            self.mounted_at(definition.path) if self.local and definition.mount_source and definition.path else None
        )
        sound = definition.mount_source is None or same_source(mounted, definition.mount_source)
        place = (
            self._probe.folder_location(definition.path)
            if self._probe and definition.path and active and sound
            else None
        )
        permissions = root.find("target/permissions")
        return PoolFacts(
            name=handle.name(),
            uuid=handle.UUIDString(),
            definition=definition,
            active=active,
            persistent=persistent,
            autostart=bool(handle.autostart()) if persistent else False,
            capacity=bytes_of(root.find("capacity"), default_unit="bytes") if active else 0,
            allocation=bytes_of(root.find("allocation"), default_unit="bytes") if active else 0,
            available=bytes_of(root.find("available"), default_unit="bytes") if active else 0,
            owner=_number(permissions, "owner"),
            group=_number(permissions, "group"),
            mode=permissions.findtext("mode") if permissions is not None else None,
            mounted=mounted,
            shared=place.shared if place else None,
            filesystem=place.filesystem if place else None,
            users=self.users(handle.name(), definition.path) if active else (),
        )

    def users(self, name: str, path: str | None) -> tuple[str, ...]:
        """The running domains that have a disk in the pool, by its name or by its path."""
        if self._running is None:
            lib = library()
            with translated(f"Cannot read the running domains of {self.host}"):
                handles = self.connection.handle.listAllDomains(lib.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
            self._running = {}
            for handle in handles:
                with contextlib.suppress(lib.libvirtError):
                    self._running[handle.name()] = references(handle.XMLDesc(0))
        return tuple(
            domain
            for domain, named in sorted(self._running.items())
            if any(pool == name for pool, unused in named.volumes)
            or (path and any(below(one, path) for one in named.paths))
        )

    # ---- changes ----

    def define(self, xml: str) -> PoolFacts:
        """Define ``xml``, and give the pool that it makes."""
        with translated(f"Cannot define the storage pool on {self.host}"):
            return self.facts(self.connection.handle.storagePoolDefineXML(xml, 0))

    def create_folder(self, pool: PoolFacts) -> None:
        """Make the folder of a pool that does not run. Of the types for which we ask, this touches nothing else."""
        with self._on(pool, "create the folder of") as handle:
            handle.build(library().VIR_STORAGE_POOL_BUILD_NEW)

    def start(self, pool: PoolFacts) -> None:
        """Start it: mount it, or find its volume group."""
        with self._on(pool, "start") as handle:
            handle.create(0)

    def stop(self, pool: PoolFacts) -> None:
        """Stop it: libvirt calls that destroy, and it leaves all data alone. Raises POOL_IN_USE where a program has something open."""
        try:
            with self._on(pool, "stop") as handle:
                handle.destroy()
        except KvmError as error:
            if _BUSY not in error.message:
                raise
            raise KvmError(
                "POOL_IN_USE",
                f"The storage pool '{pool.name}' on {self.host} cannot be stopped, because a program has something of it open that libvirt "
                f"does not know of; 'fuser -vm {pool.definition.path}' shows which. End it, and run again.",
                pool=pool.name,
                said=error.message,
            ) from error

    def undefine(self, pool: PoolFacts) -> None:
        """Remove its definition, and nothing else."""
        with self._on(pool, "undefine") as handle:
            handle.undefine()

    def set_autostart(self, pool: PoolFacts, *, on: bool) -> None:
        """Let it start with the host, or not."""
        with self._on(pool, "set the autostart of") as handle:
            handle.setAutostart(1 if on else 0)

    @contextlib.contextmanager
    def _on(self, pool: PoolFacts, attempt: str) -> t.Iterator[t.Any]:
        with translated(f"Cannot {attempt} the storage pool '{pool.name}' on {self.host}"):
            yield self.connection.handle.storagePoolLookupByUUIDString(pool.uuid)


def _number(permissions: t.Any, tag: str) -> int | None:
    text = (permissions.findtext(tag) or "").strip() if permissions is not None else ""
    return int(text) if text.isdigit() else None
