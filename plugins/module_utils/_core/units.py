# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Numbers for people: bytes, rates and durations as short text."""

from __future__ import annotations

KIB = 1024
MIB = 1024**2
GIB = 1024**3
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def format_bytes(count: float | None) -> str:
    """``count`` bytes in the largest binary unit that keeps it at one or above; '-' for None."""
    if count is None:
        return "-"
    value, unit = float(count), 0
    while abs(value) >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"


def format_seconds(seconds: float | None) -> str:
    """``seconds`` as '17 s', '2 min 05 s' or '1 h 02 min'; '-' for None."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
