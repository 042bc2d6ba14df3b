# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The gateway of a move: both ends of it, through the source's libvirtd and a connection to the destination's."""

from __future__ import annotations

import contextlib
import os
import typing as t
from urllib.parse import urlsplit

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt import jobs
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import constant, library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import (
    LOCAL_URI,
    Connection,
    libvirt_code,
    translated,
)
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.events import start_event_loop
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.opening import Opening
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.remote_claims import RemoteClaim
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.sightings import sighting_of
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.stopped import StoppedCalls
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.volumes import RemoteImage, RemoteImages, mark_left
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._xml.host import parse_capabilities

SOURCE, DESTINATION = "source", "destination"
_EVENT_SECONDS = 1.0


def host_of(uri: str) -> str:
    """The host part of a libvirt URI, for messages."""
    return urlsplit(uri).hostname or uri


class MoveGateway(StoppedCalls):
    """Everything a move asks of, or does to, the two libvirtds. One connection to each side."""

    def __init__(
        self, destination_uri: str, destination_label: str | None = None, source_label: str | None = None
    ) -> None:
        start_event_loop()
        self.destination_uri = destination_uri
        self.destination_host = destination_label or host_of(destination_uri)
        # ssh and the destination's daemon take their time, in which the source is read.
        self._opening: Opening | None = Opening(destination_uri)
        self._source = Connection.open(LOCAL_URI)
        with translated("Cannot read the name of this host"):
            self.source_host = source_label or str(self._source.handle.getHostname())
        self._far: Connection | None = None
        self._completed: jobs.CompletedJob | None = None

    # -- both ends ---------------------------------------------------------------------------------------------------

    def connection(self, side: str) -> Connection:
        """The connection to one side; the destination's is opened when it is first needed, and again when it broke."""
        if side == SOURCE:
            return self._source
        if self._far is not None and self._far.handle.isAlive():
            return self._far
        opening, self._opening = self._opening or Opening(self.destination_uri), None
        self._far = opening.connection()
        return self._far

    def look(self, side: str, name: str) -> Sighting:
        """What one side says of the domain ``name`` (or UUID). An unreachable side is an answer, not an error."""
        host = self.source_host if side == SOURCE else self.destination_host
        lib = library()
        try:
            domain = self._domain(side, name)
            if domain is None:
                return Sighting(host)
            return sighting_of(host, domain, with_job=side == SOURCE)
        except lib.libvirtError as exc:
            if libvirt_code(exc) == lib.VIR_ERR_NO_DOMAIN:
                return Sighting(host)
            return Sighting(host, reachable=False, error=str(exc).strip())
        except KvmError as error:
            return Sighting(host, reachable=False, error=error.message)

    def one_host(self) -> str:
        """The UUID of the host when both connections lead to one that calls itself the same; empty otherwise."""
        with translated("Cannot read the host's UUID"):
            here, there = (
                parse_capabilities(self.connection(side).handle.getCapabilities()).uuid
                for side in (SOURCE, DESTINATION)
            )
        return here if here and here == there else ""

    def definition(self, side: str, name: str, *, saved: bool) -> str:
        """The domain's migratable XML with its secrets: of the running domain, or (``saved``) of the persistent definition."""
        lib = library()
        flags = (
            lib.VIR_DOMAIN_XML_MIGRATABLE | lib.VIR_DOMAIN_XML_SECURE | (lib.VIR_DOMAIN_XML_INACTIVE if saved else 0)
        )
        with translated(f"Cannot read the definition of domain '{name}'"):
            return str(self._need(side, name).XMLDesc(flags))

    def set_autostart(self, side: str, name: str, wanted: bool) -> None:
        """Let the domain start with its host, or not."""
        with translated(f"Cannot set autostart of domain '{name}' on the {side}"):
            self._need(side, name).setAutostart(int(wanted))

    def resume(self, side: str, name: str) -> None:
        """Let the paused domain run. The caller has proven that it does not run on the other side."""
        with translated(f"Cannot resume domain '{name}' on the {side}"):
            self._need(side, name).resume()

    # -- the source --------------------------------------------------------------------------------------------------

    def migrate(self, uuid: str, flags: int, params: dict[str, t.Any]) -> None:
        """The move itself; returns when libvirt is done with it. Runs in a thread of its own."""
        domain = self._need(SOURCE, uuid)
        self._completed = jobs.CompletedJob(self._source.handle, domain)
        with translated(f"Moving domain '{domain.name()}' to {self.destination_host} failed"):
            domain.migrateToURI3(self.destination_uri, params, flags)

    def job_stats(self, uuid: str) -> dict[str, t.Any]:
        """The figures of the outgoing migration; empty when none runs."""
        with contextlib.suppress(KvmError, library().libvirtError):
            domain = self._domain(SOURCE, uuid)
            return jobs.job_stats(domain) if domain is not None else {}
        return {}

    def completed_stats(self, uuid: str) -> dict[str, t.Any]:
        """The figures of the migration that ended: by the source's event, else from the destination's memory."""
        stats = self._completed.wait(_EVENT_SECONDS) if self._completed else {}
        if not stats.get("memory_total"):
            with contextlib.suppress(KvmError, library().libvirtError):
                domain = self._domain(DESTINATION, uuid)
                stats = jobs.completed_stats(domain) if domain is not None else {}
        return stats

    def abort(self, uuid: str) -> None:
        """Ask libvirt to end the outgoing migration; its call returns when the guest is safe on the source."""
        with contextlib.suppress(library().libvirtError, KvmError):
            self._need(SOURCE, uuid).abortJob()

    def set_max_downtime(self, uuid: str, milliseconds: int) -> bool:
        """Set the permitted pause; tells whether libvirt took it."""
        with contextlib.suppress(library().libvirtError, KvmError):
            self._need(SOURCE, uuid).migrateSetMaxDowntime(milliseconds)
            return True
        return False

    def start_postcopy(self, uuid: str) -> None:
        """Switch the running migration to post-copy."""
        with translated("Cannot switch the migration to post-copy"):
            self._need(SOURCE, uuid).migrateStartPostCopy()

    def suspend(self, uuid: str) -> None:
        """Pause the guest, so that its migration ends soon."""
        with translated("Cannot suspend the domain"):
            self._need(SOURCE, uuid).suspend()

    def destroy_paused(self, uuid: str) -> None:
        """End the source's half of a domain that runs on the destination; refuses unless it is paused by a migration."""
        seen = self.look(SOURCE, uuid)
        if seen.active and not (seen.state == "paused" and seen.reason in ("migration", "postcopy")):
            raise KvmError(
                "OWNERSHIP_UNPROVEN", f"Domain '{uuid}' is {seen.state} on {seen.host}; it was not touched.", uuid=uuid
            )
        if seen.active:
            with translated("Cannot end the source's half of the domain"):
                self._need(SOURCE, uuid).destroy()

    def undefine(self, uuid: str) -> None:
        """Remove the definition from the source; NVRAM and managed save stay where they are."""
        lib = library()
        domain = self._domain(SOURCE, uuid)
        if domain is None:
            return
        flags = lib.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | lib.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        with translated(f"Cannot undefine domain '{domain.name()}' on the source"):
            domain.undefineFlags(flags)

    def checkpoints(self, uuid: str) -> tuple[str, ...]:
        """The XML of the domain's checkpoints, parents first."""
        lib = library()
        flags = getattr(lib, "VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL", 0)
        with translated("Cannot read the checkpoints of the domain"):
            return tuple(point.getXMLDesc(0) for point in self._need(SOURCE, uuid).listAllCheckpoints(flags))

    def paths_in_use(self, uuid: str) -> str:
        """The definitions of all other domains on the source as one text: an image named in it has another user."""
        with translated("Cannot read the other domains of the source"):
            others = [domain for domain in self._source.handle.listAllDomains(0) if domain.UUIDString().lower() != uuid]
            return "\n".join(domain.XMLDesc(0) for domain in others)

    def mark_left(self, path: str, uuid: str, destination: str) -> None:
        """Leave a marker beside the source image that the move leaves behind: a move back may then replace the stale copy."""
        mark_left(path, uuid, f"Domain {uuid} moved to {destination}; this copy of its disk is out of date since.\n")

    def refresh_source_pool(self, folder: str) -> None:
        """Let the source's pool at ``folder`` forget images that were renamed or deleted."""
        lib = library()
        with contextlib.suppress(lib.libvirtError):
            for pool in self._source.handle.listAllStoragePools(lib.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
                if f"<path>{folder}</path>" in pool.XMLDesc(0):
                    pool.refresh(0)

    def sees(self, path: str) -> bool:
        """Whether something is at ``path`` on this host."""
        return os.path.lexists(path)

    # -- the destination ---------------------------------------------------------------------------------------------

    def claim(self, uuid: str, clock: Clock) -> RemoteClaim:
        """A claim for a place on the destination, not taken yet."""
        return RemoteClaim(self.connection(DESTINATION), uuid, self.source_host, clock)

    def find_image(self, path: str) -> RemoteImage | None:
        """What lies at ``path`` on the destination."""
        return self._images().find(path)

    def create_image(self, path: str, image_format: str, capacity: int) -> bool:
        """Create an image on the destination; tells whether its folder had to be made as well."""
        return self._images().create(path, image_format, capacity)

    def remove_image(self, path: str) -> bool:
        """Remove an image from the destination; tells whether it was there."""
        return self._images().remove(path)

    def folder_full(self, folder: str) -> bool:
        """Whether nothing more can be written to a folder of the destination."""
        return self._images().full(folder)

    def leftover_image(self, path: str, uuid: str) -> bool:
        """Whether an earlier move of this domain left the image there, out of date since."""
        return self._images().leftover(path, uuid)

    def remove_leftover(self, path: str, uuid: str) -> None:
        """Remove such an image."""
        self._images().remove_leftover(path, uuid)

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder from the destination."""
        self._images().remove_folder(path)

    def redefine_checkpoint(self, uuid: str, xml: str) -> bool:
        """Tell the destination of a checkpoint whose bitmap arrived; false when it did not. Of a domain that does not run libvirt
        cannot look whether it did."""
        lib = library()
        with contextlib.suppress(lib.libvirtError, KvmError):
            domain = self._need(DESTINATION, uuid)
            flags = lib.VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE
            if domain.isActive():
                flags |= getattr(lib, "VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE", 0)
            domain.checkpointCreateXML(xml, flags)
            return True
        return False

    # -- own ---------------------------------------------------------------------------------------------------------

    def constant(self, name: str) -> t.Any:
        """libvirt's constant ``name``; None where this libvirt has none."""
        return constant(name)

    def close(self) -> None:
        """Close both connections. A call that still hangs in one of them keeps its thread, which ends with the process."""
        if self._completed is not None:
            self._completed.close()
        for connection in (self._far or self._opened_in_vain(), self._source):
            if connection is not None:
                connection.close()

    def _opened_in_vain(self) -> Connection | None:
        return self._opening.connection_if_open() if self._opening is not None else None

    def _images(self) -> RemoteImages:
        return RemoteImages(self.connection(DESTINATION), self.destination_host)

    def _domain(self, side: str, name: str) -> t.Any:
        lib = library()
        handle = self.connection(side).handle
        lookups = (handle.lookupByUUIDString, handle.lookupByName) if _is_uuid(name) else (handle.lookupByName,)
        for lookup in lookups:
            try:
                return lookup(name)
            except lib.libvirtError as exc:
                if libvirt_code(exc) != lib.VIR_ERR_NO_DOMAIN:
                    raise
        return None

    def _need(self, side: str, name: str) -> t.Any:
        with translated(f"Cannot find domain '{name}' on the {side}"):
            domain = self._domain(side, name)
        if domain is None:
            host = self.source_host if side == SOURCE else self.destination_host
            raise KvmError("DOMAIN_NOT_FOUND", f"There is no domain '{name}' on {host}.", name=name)
        return domain


def _is_uuid(text: str) -> bool:
    plain = text.replace("-", "")
    return len(plain) == 32 and all(digit in "0123456789abcdefABCDEF" for digit in plain)
