# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""All that one host shows of interrupted work: records of moves, domains, guest processes, files, and its cordon. Changes nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import posixpath
import socket
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.cordon import read_cordon
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.leftovers import read_files
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.sightings import image_folders, see_all
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.guest import Guest
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal
from ansible_collections.virtops.kvm.plugins.module_utils._model.repair import (
    HostState,
    SeenDomain,
    SeenGuest,
    SeenGuestMove,
    SeenMove,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BareOptions
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_far import Unreachable
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_local import local_end
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_source import monitor_of
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_undo import look_here
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.survey import read_guests

#: Where there is none of these, there is no libvirt on the host, and no domain.
LIBVIRT = ("/usr/sbin/libvirtd", "/usr/sbin/virtqemud", "/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock")
IMAGES = "/var/lib/libvirt/images"


def has_libvirt() -> bool:
    """Whether this host may have domains."""
    return any(os.path.exists(path) for path in LIBVIRT)


def read_state(name: str, uri: str, timeout: float) -> HostState:
    """This host, which the fleet calls ``name`` and the other hosts open at ``uri``. Monitors get ``timeout`` seconds each."""
    records = Records(Workspace(), name)
    cordon = read_cordon()
    state = HostState(
        name, socket.gethostname(), uri, moves=tuple(records.moves()), guest_moves=tuple(records.guest_moves()),
        arrivals=tuple(records.arrivals()), cordoned=cordon is not None, cordon_reason=cordon.reason if cordon else "",
        cordon_since=cordon.since if cordon else None, unreadable=tuple(records.unreadable),
    )  # fmt: skip
    guests = read_guests(timeout)
    domains, folders, error = _domains(name)
    named = {path for one in domains for path in one.named}
    for guest in guests:
        own = {
            path
            for disk in guest.disks
            for path in (disk.source, *(layer.path for layer in disk.backing_chain))
            if path
        }
        folders |= {posixpath.dirname(path) for path in own if path.startswith("/") and not path.startswith("/dev/")}
        named |= own | set(guest.process.files)
    folders |= {
        posixpath.dirname(path) for one in state.arrivals for path in one.journal.images if path.startswith("/")
    }
    return dataclasses.replace(
        state,
        domains=tuple(domains),
        domains_error=error,
        guests=tuple(_seen(guest) for guest in guests),
        files=tuple(read_files({*folders, IMAGES}, named)),
    )


def _domains(host: str) -> tuple[list[SeenDomain], set[str], str]:
    if not has_libvirt():
        return [], set(), ""
    try:
        with Connection.open() as connection:
            domains = see_all(connection, host)
            return domains, image_folders(connection, domains), ""
    except KvmError as error:
        return [], set(), error.message


def _seen(guest: Guest) -> SeenGuest:
    disks = tuple(disk.source for disk in guest.disks if disk.source and not disk.removable)
    return SeenGuest(guest.process.pid, guest.name, guest.uuid, guest.status, guest.incoming, guest.process.unit, disks)


class Records:
    """The records of moves that lie on this host; ``unreadable`` fills as they are read."""

    def __init__(self, workspace: Workspace, host: str) -> None:
        self._workspace = workspace
        self._host = host
        self.unreadable: list[str] = []

    def moves(self) -> list[SeenMove]:
        """Domains that moved away from here, or were to. Their documents stay here: they may have passwords."""
        found = []
        for key in self._keys(""):
            journal = self._read(key, Journal)
            if journal is not None:
                plain = dataclasses.replace(
                    journal, source_xml="", persistent_xml="", state_xml="", snapshots=(), checkpoints=(), seals={}
                )
                found.append(SeenMove(plain, self._workspace.lock(journal.uuid).held()))
        return found

    def guest_moves(self) -> list[SeenGuestMove]:
        """Guest processes whose move away from here neither ended nor was undone."""
        found = []
        for key in self._keys("guest-"):
            journal = self._read(key, BareJournal)
            if journal is not None and journal.open:
                found.append(SeenGuestMove(_plain(journal), self._here(journal), self._workspace.lock(key).held()))
        return found

    def arrivals(self) -> list[SeenGuestMove]:
        """Guest processes whose move to here neither ended nor was undone, as far as this host was told."""
        found = []
        with local_end(self._host, self._workspace.state, self._workspace.run) as end:
            for key in self._keys("incoming-"):
                record = self._read(key, BareJournal)
                if record is not None and record.open:
                    seen = end.look(record.key, record.name, record.uuid)
                    found.append(SeenGuestMove(_plain(record), seen, self._workspace.lock(key).held()))
        return found

    def _keys(self, kind: str) -> list[str]:
        """The names of the records of one kind, by what their files begin with."""
        with contextlib.suppress(FileNotFoundError):
            names = sorted(os.listdir(os.path.join(self._workspace.state, "moves")))
            keys = [name[: -len(".json")] for name in names if name.endswith(".json") and not name.startswith(".")]
            others = ("guest-", "incoming-")
            return [key for key in keys if (key.startswith(kind) if kind else not key.startswith(others))]
        return []

    def _read(self, key: str, kind: t.Any) -> t.Any:
        path = os.path.join(self._workspace.state, "moves", f"{key}.json")
        try:
            data = statefile.read_json(path)
            return None if data is None else from_data(kind, data)
        except KvmError as error:
            self.unreadable.append(error.message)
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as exc:
            self.unreadable.append(f"The record {path} cannot be understood ({exc}).")
        return None

    def _here(self, journal: BareJournal) -> BareSighting:
        """What this host shows of a guest that was to go."""
        nowhere = Unreachable(journal.destination_host, KvmError("HOST_UNREACHABLE", "Nobody asked."))
        try:
            address, uuid = monitor_of(journal.name, "", self._workspace, journal.key)
        except KvmError as error:
            return BareSighting(self._host, found=True, error=error.message)
        context = BareContext(
            journal.name, journal.key, journal.destination, self._host, nowhere, self._workspace, Clock(),
            BareOptions(method=journal.method), GuestMapping(), Stop(), 0.0, uuid=uuid or journal.uuid,
            monitor_address=address, journal=journal,
        )  # fmt: skip
        try:
            return look_here(context)
        finally:
            if context.monitor is not None:
                context.monitor.close()


def _plain(journal: BareJournal) -> BareJournal:
    """The record without command lines and definitions, which stay here: they may have secrets."""
    return dataclasses.replace(journal, argv=(), home=(), domain="", unit_file="")
