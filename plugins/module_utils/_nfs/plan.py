# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""From files, table and wish to the changes: which bytes of which file become what, and what is in force that should not be."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
import zlib

from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.clients import Names, key_of
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.options import OptionFault, effective
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.syntax import Entry, Placed, render
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.table import Row, differs
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.wanted import Wanted

MAIN = "/etc/exports"
FOLDER = "/etc/exports.d"
HEADER = b"# One export, kept by virtops.kvm.nfs_export.\n"


@dataclasses.dataclass(frozen=True)
class Document:
    """One file that exportfs reads."""

    file: str
    data: bytes
    placed: tuple[Placed, ...]


@dataclasses.dataclass(frozen=True)
class Edit:
    """What becomes of a file. ``after`` is None for one that goes; ``before`` is None for a new one."""

    file: str
    before: t.Optional[bytes]
    after: t.Optional[bytes]
    change: Change


def new_file(path: str) -> str:
    """The file for the export of ``path``."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-").lower()[:80] or "root"
    # Different paths must not share a file: what the name leaves out goes into a number.
    number = "" if "/" + slug.replace("-", "/") == path else f"-{zlib.crc32(os.fsencode(path)):08x}"
    return f"{FOLDER}/virtops-{slug}{number}.exports"


def same_path(path: str, real: t.Callable[[str], str]) -> t.Callable[[str], bool]:
    """Tells whether another path is ``path`` to exportfs, which follows links."""
    goal = {path, real(path)}
    return lambda other: os.path.normpath(other) in goal or real(other) in goal


def edits(
    documents: t.Sequence[Document], path: str, wish: Wanted | None, ours: t.Callable[[str], bool]
) -> tuple[Edit, ...]:
    """What to write. An entry for the path stays in its file, whoever wrote it; more than one become one."""
    found = [(document, placed) for document in documents for placed in document.placed if ours(placed.entry.path)]
    if wish is not None and not found:
        file = new_file(path)
        there = next((document.data for document in documents if document.file == file), None)
        line = render(wish.entry) + b"\n"
        change = Change(file, "write" if there is not None else "create", None, _text(line))
        return (Edit(file, there, (there if there is not None else HEADER) + line, change),)
    if wish is not None and len(found) == 1 and _means(found[0][1].entry, wish):
        return ()
    keep = found[0][1] if wish is not None else None
    result = []
    for document in documents:
        mine = [placed for other, placed in found if other is document]
        if mine:
            result.append(_edited(document, mine, keep, wish))
    return tuple(edit for edit in result if edit.before != edit.after)


def _means(entry: Entry, wish: Wanted) -> bool:
    """Whether an entry says what is asked for, in whatever words."""
    if [client.name.lower() for client in entry.clients] != [client.name.lower() for client in wish.clients]:
        return False
    try:
        return [effective(*client.lists) for client in entry.clients] == list(wish.options)
    except OptionFault:
        return False


def _edited(document: Document, mine: t.Sequence[Placed], keep: Placed | None, wish: Wanted | None) -> Edit:
    data = document.data
    before: list[str] = []
    after: list[str] = []
    for placed in reversed(mine):
        before.insert(0, _text(data[placed.start : placed.end]))
        start, end = placed.start, placed.end
        new = render(wish.entry) if placed is keep and wish is not None else b""
        if new:
            after.insert(0, _text(new))
        elif not data[end:].partition(b"\n")[0].strip():
            line_start = data.rfind(b"\n", 0, start) + 1
            start = line_start if not data[line_start:start].strip() else start
            end = min(len(data), data.find(b"\n", end) + 1 or len(data))
        data = data[:start] + new + data[end:]
    gone = document.file != MAIN and data.strip() in (b"", HEADER.strip())
    action = "remove" if gone else "change" if after else "take out"
    change = Change(document.file, action, "\n".join(before), "\n".join(after) or None)
    return Edit(document.file, document.data, None if gone else data, change)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").rstrip("\n")


def table_changes(
    rows: t.Sequence[Row], path: str, wish: Wanted | None, ours: t.Callable[[str], bool], names: Names
) -> tuple[Change, ...]:
    """What is in force otherwise than asked: exported by hand, withdrawn by hand, or with other options."""
    left = {row.client.lower(): row for row in rows if ours(row.path)}
    changes: list[Change] = []
    for client, options in zip(wish.clients, wish.options) if wish is not None else ():
        row = left.pop(key_of(client.name, names), None) or left.pop(client.name.lower(), None)
        if row is None:
            changes.append(Change(f"{path} to {client.name}", "export", None, " ".join(options.words())))
        elif differs(options, row):
            changes.append(
                Change(f"{path} to {client.name}", "correct", " ".join(row.words), " ".join(options.words()))
            )
    changes += [Change(f"{path} to {row.client}", "withdraw", " ".join(row.words), None) for row in left.values()]
    return tuple(changes)


def losers(rows: t.Sequence[Row], wish: Wanted | None, ours: t.Callable[[str], bool], names: Names) -> tuple[str, ...]:
    """The clients in force that would lose the export, or the right to write."""
    wishes = {}
    for client, options in zip(wish.clients, wish.options) if wish is not None else ():
        wishes[key_of(client.name, names)] = wishes[client.name.lower()] = options
    found = []
    for row in rows:
        if not ours(row.path):
            continue
        asked = wishes.get(row.client.lower())
        read_only = asked is not None and not asked.writable
        if asked is None or (read_only and row.options is not None and row.options.writable):
            found.append(row.client)
    return tuple(found)


def strays(
    rows: t.Sequence[Row], documents: t.Sequence[Document], ours: t.Callable[[str], bool], real: t.Callable[[str], str]
) -> tuple[Row, ...]:
    """Other paths in force that no file names: ``exportfs -ra`` withdraws them."""
    named = {real(placed.entry.path) for document in documents for placed in document.placed}
    return tuple(row for row in rows if not ours(row.path) and real(row.path) not in named)
