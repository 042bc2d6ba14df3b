# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Who a guest is and where its monitors wait, by its command line. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._qemu import argv as line
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import Keys, Option


def name_of(argv: t.Sequence[str]) -> str:
    """The guest's name; empty where it has none."""
    return line.parse(argv).merged("name").get("guest") if argv else ""


def uuid_of(argv: t.Sequence[str]) -> str:
    """The guest's UUID; empty where it has none."""
    return line.parse(argv).last("uuid").lower() if argv else ""


def monitors_of(argv: t.Sequence[str]) -> list[tuple[str, str]]:
    """(qmp or hmp, address) of the monitors that wait on a socket, those of QMP first."""
    found, whole = [], line.parse(argv)
    chardevs = {option.keys.get("id"): option.keys for option in whole.all("chardev")}
    for option in whole.options:
        if option.name in ("qmp", "qmp-pretty", "monitor"):
            kind, address = "hmp" if option.name == "monitor" else "qmp", _written(option)
        elif option.name == "mon":
            kind = "qmp" if option.keys.get("mode") == "control" else "hmp"
            address = _address(chardevs.get(option.keys.get("chardev"), Keys()))
        else:
            continue
        if address:
            found.append((kind, address))
    return sorted(found, key=lambda one: one[0] != "qmp")


def _written(option: Option) -> str:
    keys = line.parse_keys(option.value or "", "to")
    to = keys.get("to")
    if not keys.is_on("server") or not to.startswith(("unix:", "tcp:")):
        return ""
    return to if not to.startswith("tcp::") else to.replace("tcp::", "tcp:localhost:", 1)


def _address(keys: Keys) -> str:
    if not keys.is_on("server"):
        return ""
    if keys.get("path"):
        return f"unix:{keys.get('path')}"
    return f"tcp:{keys.get('host') or 'localhost'}:{keys.get('port')}" if keys.get("port") else ""
