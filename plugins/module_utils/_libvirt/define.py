# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The gateway of the module domain: one domain of one host, looked at, defined, started, stopped, removed."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import constant, library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import (
    LOCAL_URI,
    Connection,
    libvirt_code,
    translated,
)
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.domains import unknown_domain
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.embedded import DryRun
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.states import state_name
from ansible_collections.virtops.kvm.plugins.module_utils._model.definition import Normalized
from ansible_collections.virtops.kvm.plugins.module_utils._model.lifecycle import Leftovers, Present
from ansible_collections.virtops.kvm.plugins.module_utils._xml.carry import is_uuid
from ansible_collections.virtops.kvm.plugins.module_utils._xml.domain import parse_domain

#: Where libvirt keeps the states of emulated TPMs, one folder per UUID.
TPM_STATES = "/var/lib/libvirt/swtpm"
_NO_DOMAIN = 42
_OPERATION_INVALID = 55
#: What the parser of documents objects to, among all that a conversion for QEMU may object to.
_PARSER_CODES = (8, 27, 35, 67, 92)
_UNDEFINE = {
    ("managed_save", "delete"): "VIR_DOMAIN_UNDEFINE_MANAGED_SAVE",
    ("snapshots", "delete"): "VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA",
    ("checkpoints", "delete"): "VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA",
    ("nvram", "delete"): "VIR_DOMAIN_UNDEFINE_NVRAM",
    ("nvram", "keep"): "VIR_DOMAIN_UNDEFINE_KEEP_NVRAM",
    ("tpm", "delete"): "VIR_DOMAIN_UNDEFINE_TPM",
    ("tpm", "keep"): "VIR_DOMAIN_UNDEFINE_KEEP_TPM",
}


class DomainGateway:
    """The domains behind one URI. A domain is named by its UUID once it is found."""

    def __init__(self, uri: str = LOCAL_URI) -> None:
        self.uri = uri
        self.clock = Clock()
        self._connection = Connection.open(uri)
        self._dry_run: DryRun | None = None
        with translated(f"Cannot read the name of the host at '{uri}'"):
            self.host = str(self._connection.handle.getHostname())

    def close(self) -> None:
        """Close what is open."""
        if self._dry_run is not None:
            self._dry_run.close()
            self._dry_run = None
        self._connection.close()

    # ---- reads ----

    def find(self, name: str) -> Present | None:
        """The domain of that name or UUID, or None."""
        lookup = "lookupByUUIDString" if is_uuid(name) else "lookupByName"
        lib = library()
        with translated(f"Cannot look up the domain '{name}' on {self.host}"):
            try:
                return self._present(getattr(self._connection.handle, lookup)(name))
            except lib.libvirtError as exc:
                if libvirt_code(exc) != _NO_DOMAIN:
                    raise
        return None

    def unknown(self, name: str) -> KvmError:
        """The error for a domain that is not there."""
        with translated(f"Cannot list the domains on {self.host}"):
            known = [handle.name() for handle in self._connection.handle.listAllDomains(0)]
        return unknown_domain(name, sorted(known), self.uri)

    def definition(self, domain: Present) -> str:
        """The saved definition, with its secrets; of a transient domain the one it runs with."""
        lib = library()
        with self._on(domain, "read the definition of") as handle:
            return str(handle.XMLDesc(lib.VIR_DOMAIN_XML_INACTIVE | lib.VIR_DOMAIN_XML_SECURE))

    def state(self, domain: Present) -> str | None:
        """The state; None when the domain is no longer there."""
        lib = library()
        with translated(f"Cannot read the state of the domain '{domain.name}' on {self.host}"):
            try:
                return state_name(self._connection.handle.lookupByUUIDString(domain.uuid).state(0)[0])
            except lib.libvirtError as exc:
                if libvirt_code(exc) != _NO_DOMAIN:
                    raise
        return None

    def exact(self) -> str | None:
        """None where libvirt can be asked what it would make of a document; else why not."""
        if self.uri != LOCAL_URI:
            return f"'{self.uri}' is not this host's own libvirt of the system"
        try:
            self._dry_run = self._dry_run or DryRun()
        except KvmError as error:
            return error.message.rstrip(".")
        return None

    def normalize(self, xml: str, validate: bool = False) -> Normalized:
        """What libvirt would make of ``xml``, and its schema say to it; only where ``exact`` has no objection."""
        self._dry_run = self._dry_run or DryRun()
        return self._dry_run.normalize(xml, validate)

    def objection(self, xml: str) -> str | None:
        """What libvirt has against ``xml``, asked by its conversion for QEMU: where no better dry run is to be had."""
        lib = library()
        try:
            self._connection.handle.domainXMLToNative("qemu-argv", xml, 0)
        except lib.libvirtError as exc:
            # It also refuses what could be defined, but not started here and now.
            if libvirt_code(exc) in _PARSER_CODES:
                return str(exc).strip().rstrip(".")
        return None

    def _present(self, handle: t.Any) -> Present:
        state = state_name(handle.state(0)[0])
        persistent = bool(handle.isPersistent())
        parsed = parse_domain(handle.XMLDesc(library().VIR_DOMAIN_XML_INACTIVE))
        nvram = parsed.firmware.nvram
        uuid = handle.UUIDString()
        return Present(
            name=handle.name(),
            uuid=uuid,
            state=state,
            persistent=persistent,
            autostart=bool(handle.autostart()) if persistent else False,
            managed_save=bool(handle.hasManagedSaveImage(0)) if persistent else False,
            snapshots=tuple(handle.snapshotListNames(0)),
            checkpoints=self._checkpoints(handle),
            nvram=nvram if nvram and self._exists(nvram) else None,
            tpm=parsed.tpm == "emulator" and self._exists(os.path.join(TPM_STATES, uuid)),
        )

    def _exists(self, path: str) -> bool:
        # Elsewhere we cannot look, and rather ask once too often.
        return self.uri != LOCAL_URI or not path.startswith("/") or os.path.exists(path)

    def _checkpoints(self, handle: t.Any) -> tuple[str, ...]:
        # Drivers other than QEMU's have none.
        with contextlib.suppress(library().libvirtError):
            return tuple(checkpoint.getName() for checkpoint in handle.listAllCheckpoints(0))
        return ()

    # ---- changes ----

    def define(self, xml: str) -> Present:
        """Define ``xml``, and give the domain that it makes."""
        with translated(f"Cannot define the domain on {self.host}"):
            return self._present(self._connection.handle.defineXMLFlags(xml, 0))

    def start(self, domain: Present, *, paused: bool = False) -> None:
        """Start it, or go on from its saved state."""
        lib = library()
        with self._on(domain, "start") as handle:
            handle.createWithFlags(lib.VIR_DOMAIN_START_PAUSED if paused else 0)

    def resume(self, domain: Present) -> None:
        """Let its processors run again."""
        with self._on(domain, "resume") as handle:
            handle.resume()

    def wake_up(self, domain: Present) -> None:
        """Wake a guest that has suspended itself."""
        with self._on(domain, "wake up") as handle:
            handle.pMWakeup(0)

    def pause(self, domain: Present) -> None:
        """Stop its processors."""
        with self._on(domain, "pause") as handle:
            handle.suspend()

    def save(self, domain: Present) -> None:
        """Save its state for its next start, and stop it."""
        with self._on(domain, "save the state of") as handle:
            handle.managedSave(0)

    def delete_saved_state(self, domain: Present) -> None:
        """Delete its saved state."""
        with self._on(domain, "delete the saved state of") as handle:
            handle.managedSaveRemove(0)

    def shut_down(self, domain: Present) -> None:
        """Ask the guest to shut down; that it is off already is no error."""
        lib = library()
        with self._on(domain, "shut down") as handle:
            try:
                handle.shutdown()
            except lib.libvirtError as exc:
                if libvirt_code(exc) not in (_NO_DOMAIN, _OPERATION_INVALID):
                    raise

    def kill(self, domain: Present) -> None:
        """End it as if its power cord were pulled; that it is off already is no error."""
        lib = library()
        with self._on(domain, "end") as handle:
            try:
                handle.destroy()
            except lib.libvirtError as exc:
                if libvirt_code(exc) not in (_NO_DOMAIN, _OPERATION_INVALID):
                    raise

    def set_autostart(self, domain: Present, *, on: bool) -> None:
        """Let it start with the host, or not."""
        with self._on(domain, "set the autostart of") as handle:
            handle.setAutostart(1 if on else 0)

    def undefine(self, domain: Present, leftovers: Leftovers) -> None:
        """Remove its definition, and of what belongs to it just what ``leftovers`` gives away. Never a disk."""
        flags = 0
        for (what, choice), name in _UNDEFINE.items():
            if getattr(leftovers, what) != choice:
                continue
            number = constant(name)
            if number is None and what == "tpm":
                raise KvmError(
                    "LIBVIRT_ARGUMENT_UNSUPPORTED",
                    f"libvirt on {self.host} cannot be told to {choice} the state of a TPM; remove the domain by hand.",
                )
            flags |= number or 0
        with self._on(domain, "undefine") as handle:
            handle.undefineFlags(flags)

    @contextlib.contextmanager
    def _on(self, domain: Present, attempt: str) -> t.Iterator[t.Any]:
        with translated(f"Cannot {attempt} the domain '{domain.name}' on {self.host}"):
            yield self._connection.handle.lookupByUUIDString(domain.uuid)
