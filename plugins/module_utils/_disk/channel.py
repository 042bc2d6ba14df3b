# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What carries blocks to the other end, whoever serves there: one connection, used by one thread."""

from __future__ import annotations

import socket
import typing as t

_CONNECT_SECONDS = 5.0
#: A peer that does not acknowledge for so long is gone. More than an outage of 20 s, after which TCP waits as long again.
_USER_TIMEOUT_MS = 90_000
WAIT_MS = 500


class WriteFailed(Exception):
    """The server did not take what was sent; ``errno`` says why."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.errno = number


class Channel(t.Protocol):
    """One connection. All of it raises WriteFailed."""

    def write(self, data: bytes | bytearray | memoryview, offset: int, done: t.Callable[[], None]) -> None:
        """Send ``data``; ``done`` is called when the server has taken it. ``data`` must stay as it is until then."""

    def zero(self, offset: int, length: int, done: t.Callable[[], None]) -> None:
        """Make ``length`` bytes zeros, as a hole where that can be."""

    def pump(self, milliseconds: int = WAIT_MS) -> bool:
        """Send and receive what can be; wait at most so long for that. Tells whether something happened."""

    @property
    def busy(self) -> bool:
        """Whether as much is on its way as may be."""

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""

    def flush(self) -> None:
        """Wait until the server has brought everything to the kernel."""

    def close(self) -> None:
        """Close the connection, without a goodbye that could last."""


def connect_tcp(address: str, port: int) -> socket.socket:
    """A connection that gives up in bounded time. Raises OSError."""
    connection = socket.create_connection((address, port), timeout=_CONNECT_SECONDS)
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


def connect_unix(path: str) -> socket.socket:
    """A connection to a unix socket. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection
