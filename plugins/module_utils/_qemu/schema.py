# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What ``query-qmp-schema`` tells: which commands, arguments and events a QEMU has. Pure."""

from __future__ import annotations

import typing as t


class Schema:
    """The schema of one QEMU, by its own answer."""

    def __init__(self, entries: t.Iterable[t.Mapping[str, t.Any]]) -> None:
        self._entries = {(entry["meta-type"], entry["name"]): entry for entry in entries}
        self._types = {name: entry for (kind, name), entry in self._entries.items() if kind not in ("command", "event")}

    @property
    def commands(self) -> frozenset[str]:
        """The names of all commands."""
        return frozenset(name for kind, name in self._entries if kind == "command")

    def has_command(self, name: str) -> bool:
        """Whether there is the command ``name``."""
        return ("command", name) in self._entries

    def has_event(self, name: str) -> bool:
        """Whether there is the event ``name``."""
        return ("event", name) in self._entries

    def arguments(self, command: str) -> frozenset[str]:
        """The names of the arguments of ``command``; none where it takes none or is not there."""
        entry = self._entries.get(("command", command))
        return self._members(entry["arg-type"]) if entry else frozenset()

    def has_argument(self, command: str, argument: str) -> bool:
        """Whether ``command`` is there and takes ``argument``, such as ``migrate`` and ``blk`` before QEMU 9.1."""
        return argument in self.arguments(command)

    def choices(self, command: str, argument: str) -> frozenset[str]:
        """The values that an argument can have where it is one of a fixed set (or a list of such), else none."""
        entry = self._entries.get(("command", command))
        for member in self._types.get(entry["arg-type"], {}).get("members", ()) if entry else ():
            if member["name"] == argument:
                return self._values(member["type"])
        return frozenset()

    def _members(self, type_name: str) -> frozenset[str]:
        """The members of an object, those of its variants included."""
        entry = self._types.get(type_name, {})
        found = {member["name"] for member in entry.get("members", ()) if isinstance(member, dict) and "name" in member}
        for variant in entry.get("variants", ()):
            found |= self._members(variant["type"])
        return frozenset(found)

    def _values(self, type_name: str) -> frozenset[str]:
        entry = self._types.get(type_name, {})
        if entry.get("meta-type") == "array":
            return self._values(entry["element-type"])
        # Before QEMU 6.1 an enumeration has only "values".
        members = entry.get("members") if entry.get("meta-type") == "enum" else None
        if members is not None:
            return frozenset(member["name"] for member in members)
        return frozenset(entry.get("values", ()))
