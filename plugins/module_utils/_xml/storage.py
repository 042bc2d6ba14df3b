# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Storage pools and networks as their documents describe them."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Network, Pool
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse
from ansible_collections.virtops.kvm.plugins.module_utils._xml.units import bytes_of


def parse_pool(xml: str) -> Pool:
    """The Pool of a <pool> document; its state is the daemon's to tell."""
    root = parse(xml, "storage pool definition")
    return Pool(
        name=root.findtext("name", ""),
        type=root.get("type", "dir"),
        path=(root.findtext("target/path") or "").strip() or None,
        capacity=bytes_of(root.find("capacity"), default_unit="bytes"),
        available=bytes_of(root.find("available"), default_unit="bytes"),
    )


def parse_network(xml: str) -> Network:
    """The Network of a <network> document; its state is the daemon's to tell."""
    root = parse(xml, "network definition")
    forward, bridge = root.find("forward"), root.find("bridge")
    return Network(
        name=root.findtext("name", ""),
        # No <forward> is an isolated network; one without a mode is NAT.
        forward=forward.get("mode", "nat") if forward is not None else None,
        bridge=bridge.get("name") if bridge is not None else None,
        portgroups=tuple(group.get("name", "") for group in root.iterfind("portgroup")),
    )
