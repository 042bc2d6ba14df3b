# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Every file, device, folder and volume that the document of a domain names. Pure."""

from __future__ import annotations

import dataclasses

from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse

_PATHS = (
    "devices/*//source/@file",
    "devices/*//source/@dev",
    "devices/filesystem/source/@dir",
    "devices/*//backingStore/source/@file",
    "os/nvram/text()",
    "os/nvram/source/@file",
    "os/loader/text()",
    "os/kernel/text()",
    "os/initrd/text()",
)


@dataclasses.dataclass(frozen=True)
class References:
    """Absolute paths, and (pool, volume) pairs."""

    paths: tuple[str, ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()


def references(domain_xml: str) -> References:
    """What ``domain_xml`` names: disks with all that lies below them, media, firmware, kernels, shared folders."""
    root = parse(domain_xml, "domain definition")
    paths = [str(path).strip() for place in _PATHS for path in root.xpath(place)]
    volumes = [
        (source.get("pool", ""), source.get("volume", "")) for source in root.xpath("devices/disk//source[@pool]")
    ]
    return References(
        tuple(dict.fromkeys(path for path in paths if path.startswith("/"))), tuple(dict.fromkeys(volumes))
    )
