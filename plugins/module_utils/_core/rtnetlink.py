# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The network devices of this network namespace, asked of the kernel by rtnetlink.

/sys/class/net would be simpler, but shows the namespace in which sysfs was mounted, which in a container is another one.
"""

from __future__ import annotations

import socket
import struct
import typing as t

_RTM_NEWLINK, _RTM_GETLINK = 16, 18
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 18, 1
_HEADER, _LINK, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=HH")
_PATIENCE = 5.0


class Link(t.NamedTuple):
    """A network device and its kind (bridge, vlan, tun ...); the kind is empty for hardware."""

    name: str
    kind: str


def parse_links(data: bytes) -> tuple[list[Link], bool]:
    """The links in one answer of the kernel, and whether the dump ends with it."""
    found: list[Link] = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind = _HEADER.unpack_from(data, offset)[:2]
        if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < _HEADER.size:
            return found, True
        if kind == _RTM_NEWLINK:
            attributes = _attributes(data[offset + _HEADER.size + _LINK.size : offset + length])
            info = _attributes(attributes.get(_IFLA_LINKINFO, b""))
            found.append(Link(_text(attributes.get(_IFLA_IFNAME, b"")), _text(info.get(_IFLA_INFO_KIND, b""))))
        offset += _aligned(length)
    return found, False


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        # The two highest bits are flags.
        found[kind & 0x3FFF] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _text(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode("utf-8", "replace")


def read_links() -> list[Link]:
    """All links of this network namespace; none where the kernel does not answer."""
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    request = _HEADER.pack(_HEADER.size + len(body), _RTM_GETLINK, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + body
    found: list[Link] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as channel:
            channel.settimeout(_PATIENCE)
            channel.bind((0, 0))
            channel.send(request)
            done = False
            while not done:
                links, done = parse_links(channel.recv(1 << 18))
                found += links
    except OSError:
        return []
    return found
