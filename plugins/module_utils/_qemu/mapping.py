# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What differs on the destination of a guest process: the mapping of domains, and what only a command line has. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping

#: What a guest process has of the mapping of domains.
WITH_DOMAINS = ("disks", "paths", "bridges", "emulator")
#: What it has beside.
OF_PROCESSES = ("taps", "ports", "addresses")
_NAME = re.compile(r"[^\s/,=]{1,15}")


@dataclasses.dataclass(frozen=True)
class GuestMapping:
    """``base`` has disks (by device), paths, bridges and the emulator; ``taps`` is by interface name, ``ports`` by number (of
    whatever listens: VNC, monitors, serial lines, forwards), ``addresses`` by the address that something listens on."""

    base: Mapping = dataclasses.field(default_factory=Mapping)
    taps: dict[str, str] = dataclasses.field(default_factory=dict)
    ports: dict[int, int] = dataclasses.field(default_factory=dict)
    addresses: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_user(cls, data: t.Mapping[str, t.Any] | None) -> GuestMapping:
        """The mapping a user wrote. Raises InputError."""
        data = dict(data or {})
        unknown = sorted(set(data) - {*WITH_DOMAINS, *OF_PROCESSES})
        if unknown:
            raise InputError(
                "mapping",
                f"The mapping has no key '{unknown[0]}' for a guest process; it has {', '.join((*WITH_DOMAINS, *OF_PROCESSES))}.",
                key=unknown[0],
            )
        for key in OF_PROCESSES:
            if data.get(key) is not None and not isinstance(data[key], dict):
                raise InputError("mapping", f"The mapping's '{key}' must be a dictionary of old to new.", key=key)
        taps = {str(old): str(new) for old, new in (data.get("taps") or {}).items()}
        for name in taps.values():
            if not _NAME.fullmatch(name):
                raise InputError("mapping", f"The mapping's taps name '{name}', which is no interface.", key="taps")
        addresses = {str(old): str(new) for old, new in (data.get("addresses") or {}).items()}
        for name in addresses.values():
            if not re.fullmatch(r"[0-9A-Za-z.:\[\]-]*", name):
                raise InputError("mapping", f"The mapping's addresses name '{name}', which is none.", key="addresses")
        base = Mapping.from_user({key: data[key] for key in WITH_DOMAINS if key in data})
        return cls(base, taps, _ports(data.get("ports") or {}), addresses)


def _ports(data: t.Mapping[t.Any, t.Any]) -> dict[int, int]:
    found = {}
    for old, new in data.items():
        try:
            pair = int(old), int(new)
        except (TypeError, ValueError):
            pair = 0, 0
        if not all(0 < port < 65536 for port in pair):
            raise InputError("mapping", f"The mapping's ports need numbers of ports, not '{old}: {new}'.", key="ports")
        found[pair[0]] = pair[1]
    return found
