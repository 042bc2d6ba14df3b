# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The calls of libvirt that a move with a stopped guest needs: to stop and start it, its saved memory, its definition and records."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.savefile import saved_while_running
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import constant, library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection, translated
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import SnapshotRecord
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse, render

SOURCE, DESTINATION = "source", "destination"
#: Where libvirt of the system keeps saved memory and the state of emulated TPMs; it has no call that tells.
SAVE_FOLDER = "/var/lib/libvirt/qemu/save"
TPM_FOLDER = "/var/lib/libvirt/swtpm"
#: How the checkpoints begin that note what a guest writes while its disks are copied.
TRACK = "virtops-seed-"
#: What is removed with a definition that leaves a host, by the names of the flags; files stay, whatever keeps them.
_FORGET = (
    "VIR_DOMAIN_UNDEFINE_MANAGED_SAVE",
    "VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA",
    "VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA",
    "VIR_DOMAIN_UNDEFINE_KEEP_NVRAM",
    "VIR_DOMAIN_UNDEFINE_KEEP_TPM",
)


class SavedMemory(t.NamedTuple):
    """The saved memory of a domain: its file, its document with secrets, whether the guest ran when it was saved."""

    path: str
    xml: str
    ran: bool


class StoppedCalls:
    """Part of MoveGateway."""

    source_host: str
    destination_host: str

    def connection(self, side: str) -> Connection:
        """The connection to one side."""
        raise NotImplementedError

    def _need(self, side: str, name: str) -> t.Any:
        raise NotImplementedError

    def _domain(self, side: str, name: str) -> t.Any:
        raise NotImplementedError

    def shut_down(self, uuid: str) -> None:
        """Ask the guest to shut down; it may take its time, or ignore it."""
        with translated("Cannot ask the domain to shut down"):
            self._need(SOURCE, uuid).shutdown()

    def power_off(self, uuid: str) -> None:
        """End the guest without asking it."""
        with translated("Cannot end the domain"):
            self._need(SOURCE, uuid).destroyFlags(library().VIR_DOMAIN_DESTROY_GRACEFUL)

    def start(self, side: str, uuid: str) -> None:
        """Boot the domain, or continue its saved memory."""
        with translated(f"Cannot start the domain on the {side}"):
            self._need(side, uuid).create()

    def save(self, uuid: str) -> None:
        """Save its memory as a managed save: so a start on the source, by whomever, continues it."""
        with translated("Cannot save the memory of the domain"):
            self._need(SOURCE, uuid).managedSave(0)

    def saved_state(self, uuid: str) -> SavedMemory | None:
        """The saved memory on the source; None where there is none. Raises SAVED_STATE_UNREADABLE."""
        domain = self._need(SOURCE, uuid)
        with translated("Cannot read the saved memory of the domain"):
            if not domain.hasManagedSaveImage(0):
                return None
            xml = domain.managedSaveGetXMLDesc(library().VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)
        path = os.path.join(SAVE_FOLDER, f"{domain.name()}.save")
        return SavedMemory(path, str(xml), saved_while_running(path))

    def has_saved_state(self, side: str, uuid: str) -> bool:
        """Whether libvirt on this side has saved memory of the domain."""
        with translated(f"Cannot ask for the saved memory of the domain on the {side}"):
            domain = self._domain(side, uuid)
            return bool(domain is not None and domain.hasManagedSaveImage(0))

    def restore(self, path: str, xml: str, *, running: bool) -> None:
        """Continue on the destination from the file ``path`` there, with the document ``xml``."""
        lib = library()
        flags = lib.VIR_DOMAIN_SAVE_RUNNING if running else lib.VIR_DOMAIN_SAVE_PAUSED
        with translated(f"Cannot restore the domain on {self.destination_host}"):
            self.connection(DESTINATION).handle.restoreFlags(path, xml, flags)

    def keep_state(self, uuid: str, *, running: bool) -> None:
        """Save the paused domain on the destination into libvirt's own place: only so does libvirt know of it (a file that is
        merely put there is found at a start, but neither told nor removed)."""
        lib = library()
        flags = lib.VIR_DOMAIN_SAVE_RUNNING if running else lib.VIR_DOMAIN_SAVE_PAUSED
        with translated(f"Cannot save the domain on {self.destination_host}"):
            self._need(DESTINATION, uuid).managedSave(flags)

    def abort_job(self, uuid: str) -> None:
        """End the saving that runs; its call fails then, and the guest goes on."""
        with contextlib.suppress(library().libvirtError, KvmError):
            self._need(SOURCE, uuid).abortJob()

    def destroy_there(self, uuid: str) -> None:
        """End a domain on the destination whose CPUs never ran there."""
        with translated(f"Cannot end the domain on {self.destination_host}"):
            self._need(DESTINATION, uuid).destroy()

    def define(self, xml: str) -> None:
        """Define the domain on the destination."""
        with translated(f"{self.destination_host} refuses the definition"):
            self.connection(DESTINATION).handle.defineXML(xml)

    def forget(self, side: str, uuid: str) -> None:
        """Remove definition, saved memory, and records of snapshots and checkpoints from one side; all other files stay."""
        domain = self._domain(side, uuid)
        if domain is None:
            return
        flags = 0
        for name in _FORGET:
            flags |= constant(name) or 0
        with translated(f"Cannot undefine domain '{domain.name()}' on the {side}"):
            domain.undefineFlags(flags)

    def snapshots(self, uuid: str) -> tuple[SnapshotRecord, ...]:
        """The snapshots on the source, parents first, with their secrets."""
        lib = library()
        order = constant("VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL") or 0
        with translated("Cannot read the snapshots of the domain"):
            found = self._need(SOURCE, uuid).listAllSnapshots(order)
            return tuple(
                SnapshotRecord(str(one.getXMLDesc(lib.VIR_DOMAIN_SNAPSHOT_XML_SECURE)), bool(one.isCurrent(0)))
                for one in found
            )

    def redefine_snapshot(self, uuid: str, record: SnapshotRecord) -> bool:
        """Tell libvirt on the destination of a snapshot that its images hold; false where it refuses."""
        lib = library()
        flags = lib.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
        flags |= lib.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT if record.current else 0
        with contextlib.suppress(lib.libvirtError, KvmError):
            self._need(DESTINATION, uuid).snapshotCreateXML(record.xml, flags)
            return True
        return False

    def track(self, uuid: str, name: str, targets: t.Sequence[str]) -> None:
        """Begin a checkpoint of the running domain, of these disks only: from now on their images note what is written."""
        domain = self._need(SOURCE, uuid)
        root = parse("<domaincheckpoint><name/><description/><disks/></domaincheckpoint>", "checkpoint")
        root.find("name").text = name
        root.find("description").text = "What is written while virtops.kvm copies the disks; it goes with the move."
        for target in targets:
            disk = parse("<disk checkpoint='bitmap'/>", "checkpoint")
            disk.set("name", target)
            root.find("disks").append(disk)
        with translated("Cannot begin a checkpoint of the domain"):
            domain.checkpointCreateXML(render(root), 0)

    def untrack(self, uuid: str) -> None:
        """Remove all checkpoints of ours; of a domain that does not run libvirt only forgets them, and the images keep bitmaps."""
        lib = library()
        domain = self._domain(SOURCE, uuid)
        if domain is None:
            return
        with translated("Cannot remove a checkpoint of the domain"):
            for point in domain.listAllCheckpoints(0):
                if point.getName().startswith(TRACK):
                    point.delete(0 if domain.isActive() else lib.VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY)

    def tpm_folder(self, uuid: str, xml: str) -> str:
        """The folder in which an emulated TPM of the definition ``xml`` keeps its state; empty where it has none."""
        backend = parse(xml, "domain definition").find("devices/tpm/backend[@type='emulator']")
        if backend is None:
            return ""
        source = backend.find("source[@type='dir']")
        return source.get("path", "") if source is not None else os.path.join(TPM_FOLDER, uuid)

    def named_there(self, paths: t.Collection[str]) -> frozenset[str]:
        """Those of ``paths`` that any domain of the destination names."""
        with translated(f"Cannot read the domains of {self.destination_host}"):
            texts = [domain.XMLDesc(0) for domain in self.connection(DESTINATION).handle.listAllDomains(0)]
        named = {str(name) for text in texts for name in parse(text).xpath("//@file | //@dev | //os/nvram/text()")}
        return frozenset(path for path in paths if path in named)

    def refresh_pool_there(self, folder: str) -> None:
        """Let a pool of the destination see new images in ``folder``; without one there is nothing to do."""
        lib = library()
        with contextlib.suppress(lib.libvirtError, KvmError):
            for pool in self.connection(DESTINATION).handle.listAllStoragePools(
                lib.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE
            ):
                if (parse(pool.XMLDesc(0)).findtext("target/path") or "").rstrip("/") == folder.rstrip("/"):
                    pool.refresh(0)
