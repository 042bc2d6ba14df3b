# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's answers about network devices."""

from __future__ import annotations

import struct

from ansible_collections.virtops.kvm.plugins.module_utils._core.rtnetlink import Link, parse_links, read_links


def attribute(kind: int, data: bytes) -> bytes:
    """One netlink attribute, padded."""
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def link(name: str, kind: str = "") -> bytes:
    """One RTM_NEWLINK message."""
    body = struct.pack("=BxHiII", 0, 1, 1, 0, 0) + attribute(3, name.encode() + b"\0")
    if kind:
        body += attribute(18 | 0x8000, attribute(1, kind.encode() + b"\0"))
    return struct.pack("=IHHII", len(body) + 16, 16, 2, 1, 0) + body


DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def test_links_of_one_answer() -> None:
    assert parse_links(link("lo") + link("br0", "bridge")) == ([Link("lo", ""), Link("br0", "bridge")], False)


def test_the_end_of_the_dump() -> None:
    assert parse_links(link("v.5", "vlan") + DONE) == ([Link("v.5", "vlan")], True)
    assert parse_links(DONE) == ([], True)


def test_garbage_ends_the_dump() -> None:
    assert parse_links(b"\0" * 32) == ([], True)
    assert parse_links(b"") == ([], False)


def test_this_host_has_a_loopback() -> None:
    assert "lo" in [found.name for found in read_links()]
