# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Rows of text as aligned columns for a terminal."""

from __future__ import annotations

import typing as t
import unicodedata


def padded(rows: t.Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """``rows`` with every cell as wide as its column."""
    widths = [max(width(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [tuple(cell + " " * (wide - width(cell)) for cell, wide in zip(row, widths)) for row in rows]


def width(text: str) -> int:
    """Columns that ``text`` takes in a terminal."""
    wide = sum(1 for char in text if unicodedata.east_asian_width(char) in ("W", "F"))
    return len(text) + wide - sum(1 for char in text if unicodedata.combining(char))
