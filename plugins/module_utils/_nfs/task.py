# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One export as a task: what would be done, whether it may be, and afterwards whether it was."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.clients import Names
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.holders import Holder, Usage, holders
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.plan import (
    Document,
    Edit,
    edits,
    losers,
    new_file,
    same_path,
    strays,
    table_changes,
)
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.syntax import Entry
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.table import Row
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.wanted import Wanted, warnings_of


class Looks(t.Protocol):
    """What is read of a server."""

    @property
    def names(self) -> Names:
        """Its resolver."""

    def documents(self) -> tuple[Document, ...]:
        """Its files."""

    def table(self) -> tuple[Row, ...]:
        """What is in force."""

    def trial(self, entry: Entry) -> tuple[str, tuple[Row, ...]]:
        """What exportfs says of an entry, and makes of it."""

    def usage(self) -> Usage:
        """Who uses it."""

    def device(self, path: str) -> tuple[int, int] | None:
        """The device of a path."""

    def is_folder(self, path: str) -> bool | None:
        """Whether a path is a folder; None where there is nothing."""

    def real(self, path: str) -> str:
        """A path without links."""

    def host(self) -> str:
        """Its name."""


@dataclasses.dataclass(frozen=True)
class Decision:
    """``edits`` are the files to write; ``changes`` tells them and what is in force otherwise than asked."""

    file: str
    edits: tuple[Edit, ...]
    changes: tuple[Change, ...]
    holders: tuple[Holder, ...]
    warnings: tuple[str, ...]
    still_wrong: t.Callable[[], list[str]]


def decide(server: Looks, path: str, wish: Wanted | None, *, cut_off: bool, check_mode: bool) -> Decision:
    """Read everything, and refuse what must not be done. Raises KvmError."""
    warnings = list(_folder(server, path, wish, check_mode)) + list(warnings_of(wish) if wish else ())
    documents, rows = server.documents(), server.table()
    ours = same_path(path, server.real)
    to_write = edits(documents, path, wish, ours)
    in_force = table_changes(rows, path, wish, ours, server.names)
    changes = (*(edit.change for edit in to_write), *in_force)
    using: tuple[Holder, ...] = ()
    if to_write and wish is not None:
        _try(server, path, wish, ours)
    if changes:
        usage = server.usage()
        using = holders(path, server.device(path), losers(rows, wish, ours, server.names), usage, server.names)
        if using and not cut_off:
            raise _in_use(server.host(), path, using)
        warnings += _strays(server, rows, documents, ours, usage, cut_off)

    def still_wrong() -> list[str]:
        left = table_changes(server.table(), path, wish, ours, server.names)
        return [f"{change.object}: {change.action}" for change in left]

    placed = [document.file for document in documents for one in document.placed if ours(one.entry.path)]
    return Decision(placed[0] if placed else new_file(path), to_write, changes, using, tuple(warnings), still_wrong)


def _folder(server: Looks, path: str, wish: Wanted | None, check_mode: bool) -> t.Iterator[str]:
    if wish is None:
        return
    folder = server.is_folder(path)
    if folder:
        return
    why = "does not exist" if folder is None else "is no folder"
    if folder is None and check_mode:
        yield f"The folder {path} does not exist on {server.host()} yet; it has to before it can be exported."
        return
    raise KvmError(
        "EXPORT_PATH_MISSING",
        f"{path} cannot be exported by {server.host()}: it {why}. Make the folder first.",
        path=path,
    )


def _try(server: Looks, path: str, wish: Wanted, ours: t.Callable[[str], bool]) -> None:
    """Show it to exportfs, which may be older than an option, before anything is written."""
    said, rows = server.trial(wish.entry)
    left = table_changes(rows, path, wish, ours, server.names)
    if said and left:
        raise KvmError(
            "EXPORT_REJECTED",
            f"{path} cannot be exported so by {server.host()}: {said}. Leave out what this version of exportfs does not know; "
            "nothing was changed.",
            exportfs=said,
            missing=[change.object for change in left],
        )


def _in_use(host: str, path: str, using: t.Sequence[Holder]) -> KvmError:
    told = "; ".join(f"{holder.address} {holder.evidence}" for holder in using[:5])
    more = f" and {len(using) - 5} more" if len(using) > 5 else ""
    return KvmError(
        "EXPORT_IN_USE",
        f"{path} on {host} is in use, and some clients would lose it or the right to write: {told}{more}. Unmount it there first, "
        "or set cut_off_clients where they may be cut off; nothing was changed.",
        path=path,
        holders=list(using),
    )


def _strays(
    server: Looks,
    rows: t.Sequence[Row],
    documents: t.Sequence[Document],
    ours: t.Callable[[str], bool],
    usage: Usage,
    cut_off: bool,
) -> list[str]:
    """Exports that are in no file go with every ``exportfs -ra``."""
    found: list[str] = []
    for row in strays(rows, documents, ours, server.real):
        using = holders(row.path, server.device(row.path), [row.client], usage, server.names)
        if using and not cut_off:
            raise _in_use(server.host(), row.path, using)
        found.append(
            f"{row.path} is exported to {row.client} by {server.host()}, but no file says so; applying the files withdraws it."
        )
    return found


def export_data(wish: Wanted, decision: Decision) -> dict[str, t.Any]:
    """The export for the user."""
    return {
        "path": wish.path,
        "file": decision.file,
        "clients": [
            {"client": client.name, "options": options.words()} for client, options in zip(wish.clients, wish.options)
        ],
    }
