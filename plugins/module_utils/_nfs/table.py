# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What is in force: the table that exportfs keeps for mountd and the kernel, as ``exportfs -s`` prints it."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._nfs.options import Effective, OptionFault, effective
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.syntax import split_options

_OCTAL = re.compile(rb"\\([0-7]{3})")
#: exportfs prints these only where they are on.
_NOTHING: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Row:
    """One path exported to one client. ``options`` is None for options that are not known here (a newer exportfs)."""

    path: str
    client: str
    words: tuple[str, ...]
    options: t.Optional[Effective]

    @property
    def untold(self) -> frozenset[str]:
        """Switches of which nothing is printed: without a kernel that says more, exportfs keeps the port to itself."""
        return frozenset() if {"secure", "insecure"} & set(self.words) else frozenset({"insecure"})


def parse_table(text: str) -> tuple[Row, ...]:
    """The rows of ``text``, in its order."""
    rows: list[Row] = []
    for line in text.split("\n"):
        path, blank, rest = line.partition(" ")
        client, opened, inner = rest.strip().partition("(")
        if not path.startswith("/") or not blank or not opened or not inner.endswith(")"):
            continue
        words = split_options(inner[:-1])
        try:
            options: Effective | None = effective(words, start=_NOTHING)
        except OptionFault:
            options = None
        rows.append(Row(_plain(path), client or "*", words, options))
    return tuple(rows)


def _plain(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), data).decode("utf-8", "surrogateescape")


def differs(asked: Effective, row: Row) -> bool:
    """Whether ``row`` is something else than what is asked for, as far as it tells."""
    if row.options is None:
        return True
    return _told(asked, row.untold) != _told(row.options, row.untold)


def _told(options: Effective, untold: frozenset[str]) -> Effective:
    # What maps single ids is in no manual, and exportfs does not print it.
    values = tuple((name, value) for name, value in options.values if not name.startswith("squash_"))
    security = tuple((flavour, flags - untold) for flavour, flags in options.security)
    return dataclasses.replace(options, security=security, values=values)
