# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A whole server at a glance: files and table side by side, and who uses what."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._nfs.clients import key_of
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.holders import Usage, holders
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.options import OptionFault, effective
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.syntax import Client
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.table import Row, differs
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.task import Looks


def survey(server: Looks, paths: t.Sequence[str]) -> dict[str, t.Any]:
    """Everything, or what is exported of ``paths``."""
    documents, rows, usage = server.documents(), list(server.table()), server.usage()
    goal = {server.real(path) for path in paths}
    exports: list[dict[str, t.Any]] = []
    for document in documents:
        for placed in document.placed:
            path = placed.entry.path
            for client in placed.entry.clients:
                row = _take(rows, server, path, client.name)
                place = {"file": document.file, "line": placed.line}
                exports.append({**_said(path, client, row), **place, **_used(server, path, client.name, usage)})
    for row in rows:
        place = {"file": None, "line": None, "options": [], "in_force": list(row.words), "agrees": False}
        exports.append({"path": row.path, "client": row.client, **place, **_used(server, row.path, row.client, usage)})
    return {
        "exports": [export for export in exports if not goal or server.real(export["path"]) in goal],
        "sessions": [
            {"address": one.address, "name": one.name, "open_files": len(one.opened)} for one in usage.sessions
        ],
    }


def _take(rows: list[Row], server: Looks, path: str, client: str) -> Row | None:
    """The row for an entry; each once, as exportfs takes the first entry and passes over its doubles."""
    names = {key_of(client, server.names), client.lower()}
    for row in rows:
        if row.path in (path, server.real(path)) and row.client.lower() in names:
            rows.remove(row)
            return row
    return None


def _said(path: str, client: Client, row: Row | None) -> dict[str, t.Any]:
    try:
        agrees = row is not None and not differs(effective(*client.lists), row)
    except OptionFault:
        agrees = False
    return {
        "path": path,
        "client": client.name,
        "options": [word for words in client.lists for word in words],
        "in_force": list(row.words) if row is not None else None,
        "agrees": agrees,
    }


def _used(server: Looks, path: str, client: str, usage: Usage) -> dict[str, t.Any]:
    return {"holders": list(holders(path, server.device(path), [client], usage, server.names))}
