# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Sizes and addresses as libvirt's documents write them."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element

_FACTORS = {"b": 1, "byte": 1, "bytes": 1}
for _power, _letter in enumerate("kmgtpe", start=1):
    _FACTORS[_letter] = _FACTORS[f"{_letter}ib"] = 1024**_power
    _FACTORS[f"{_letter}b"] = 1000**_power


def factor_of(unit: str) -> int | None:
    """The bytes that ``unit`` stands for, None for one that libvirt does not know."""
    return _FACTORS.get(unit.strip().lower())


def bytes_of(element: Element | None, *, attribute: str | None = None, default_unit: str = "KiB") -> int:
    """The bytes that ``element`` (its text, or its ``attribute``) gives in its unit; 0 where there is no element.

    libvirt's rules: no unit means KiB for memory, KB is 1000 bytes, k and KiB are 1024.
    """
    if element is None:
        return 0
    text = (element.get(attribute) if attribute else element.text) or "0"
    unit = element.get("unit", default_unit)
    factor = factor_of(unit)
    if factor is None or not text.strip().isdigit():
        raise KvmError("XML_INVALID", f"The size '{text.strip()} {unit}' in <{element.tag}> cannot be understood.")
    return int(text) * factor


def pci_address(element: Element) -> str:
    """A PCI address element as 0000:01:00.0."""
    parts = [int(element.get(key) or "0", 0) for key in ("domain", "bus", "slot", "function")]
    return f"{parts[0]:04x}:{parts[1]:02x}:{parts[2]:02x}.{parts[3]:x}"
