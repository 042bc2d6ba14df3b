# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What was read of all hosts, by what is asked for. Pure."""

from __future__ import annotations

import datetime
import functools
import typing as t
from urllib.parse import urlsplit

from ansible_collections.virtops.kvm.plugins.module_utils._model.repair import HostState, SeenDomain


def when(seconds: float | None) -> str:
    """A moment for people."""
    if not seconds:
        return ""
    moment = datetime.datetime.fromtimestamp(int(seconds), tz=datetime.timezone.utc)
    return moment.isoformat().replace("+00:00", "Z")


class Fleet:
    """All hosts that were read, and the names of those that could not be."""

    def __init__(self, states: t.Sequence[HostState], unread: t.Sequence[str] = ()) -> None:
        self.states = tuple(states)
        self.unread = tuple(unread)

    def host_of(self, address: str, label: str) -> HostState | None:
        """The host that a move calls so: by the URI or ssh target that leads there, else by its name."""
        for state in self.states:
            if address and address == state.uri:
                return state
        host = urlsplit(address).hostname if "://" in address else address.rpartition("@")[2]
        for wanted in (label, host):
            for state in self.states:
                if wanted and wanted in (state.name, state.host, urlsplit(state.uri).hostname):
                    return state
        return None

    @functools.cached_property
    def by_uuid(self) -> dict[str, list[tuple[HostState, SeenDomain]]]:
        """Where each domain is known."""
        found: dict[str, list[tuple[HostState, SeenDomain]]] = {}
        for state in self.states:
            for domain in state.domains:
                found.setdefault(domain.sighting.uuid, []).append((state, domain))
        return found

    @functools.cached_property
    def disk_at(self) -> dict[str, list[tuple[HostState, SeenDomain, int]]]:
        """Which domains have a disk at a path, and its inode there."""
        found: dict[str, list[tuple[HostState, SeenDomain, int]]] = {}
        for state in self.states:
            for domain in state.domains:
                for disk in domain.disks:
                    found.setdefault(disk.path, []).append((state, domain, disk.inode))
        return found
