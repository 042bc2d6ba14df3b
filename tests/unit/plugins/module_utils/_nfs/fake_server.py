# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server without any: its files, its table and its resolver in memory."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._nfs.clients import key_of
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.holders import Usage
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.options import effective
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.plan import Document, Edit
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.syntax import Entry, parse
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.table import Row


class FakeNames:
    """Knows a few hosts."""

    HOSTS: t.ClassVar[dict[str, tuple[str, tuple[str, ...]]]] = {
        "kvm1": ("kvm1.example.org", ("10.0.0.11", "2001:db8::11")),
        "kvm1.example.org": ("kvm1.example.org", ("10.0.0.11", "2001:db8::11")),
        "kvm2": ("kvm2.example.org", ("10.0.0.12",)),
    }

    def canonical(self, name: str) -> str | None:
        if name[0].isdigit():
            return name
        found = self.HOSTS.get(name.lower())
        return found[0] if found else None

    def addresses(self, name: str) -> t.Sequence[str]:
        found = self.HOSTS.get(name.lower())
        return found[1] if found else (name,)

    def names_of(self, address: str) -> t.Sequence[str]:
        return [name for name, found in self.HOSTS.items() if address in found[1]]


class FakeServer:
    """Applies what is written as exportfs does, the first entry for a path and client first."""

    def __init__(self, files: dict[str, bytes] | None = None, usage: Usage | None = None) -> None:
        self.names = FakeNames()
        self.files = dict(files or {})
        self.used = usage or Usage()
        self.folders = {"/srv/a", "/srv/b", "/srv/a b"}
        self.links: dict[str, str] = {}
        self.complaint = ""
        self.wrong: list[str] = []
        self.rows: list[Row] = []
        self.export()

    def export(self) -> None:
        """exportfs -ra."""
        self.rows = []
        for document in self.documents():
            for placed in document.placed:
                for client in placed.entry.clients:
                    options = effective(*client.lists)
                    key = key_of(client.name, self.names)
                    if not any((row.path, row.client) == (placed.entry.path, key) for row in self.rows):
                        self.rows.append(Row(self.real(placed.entry.path), key, tuple(options.words()), options))

    def documents(self) -> tuple[Document, ...]:
        return tuple(Document(file, data, parse(data, file)) for file, data in sorted(self.files.items()))

    def table(self) -> tuple[Row, ...]:
        return tuple(self.rows)

    def trial(self, entry: Entry) -> tuple[str, tuple[Row, ...]]:
        return self.complaint, ()

    def usage(self) -> Usage:
        return self.used

    def device(self, path: str) -> tuple[int, int] | None:
        return (8, 1)

    def is_folder(self, path: str) -> bool | None:
        return True if path in self.folders else None

    def real(self, path: str) -> str:
        return self.links.get(path, path)

    def host(self) -> str:
        return "stor1"

    def apply(self, edits: t.Sequence[Edit], wrong: t.Callable[[], t.Sequence[str]]) -> None:
        for edit in edits:
            if edit.after is None:
                del self.files[edit.file]
            else:
                self.files[edit.file] = edit.after
        self.export()
        self.wrong = list(wrong())
