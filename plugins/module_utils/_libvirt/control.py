# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The port at which another host's libvirtd is spoken with, from a URI. Pure."""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

_PORTS = {"ssh": 22, "libssh": 22, "libssh2": 22, "tls": 16514, "tcp": 16509}


class ControlPort(t.NamedTuple):
    """Where it is."""

    address: str
    port: int


def control_port(uri: str) -> ControlPort | None:
    """The port of ``uri``; None for a URI without a host or with a transport of its own.

    To be probed before connecting: ssh waits for minutes where packets are dropped.
    """
    parts = urlsplit(uri)
    transport = parts.scheme.partition("+")[2] or "tls"
    port = parts.port or _PORTS.get(transport)
    return None if not parts.hostname or port is None else ControlPort(parts.hostname, port)
