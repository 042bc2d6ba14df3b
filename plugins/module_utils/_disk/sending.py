# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The sender's connection to our own receiver (receive.py), which serves raw images and devices."""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import select
import socket
import ssl
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._disk.channel import WAIT_MS, WriteFailed
from ansible_collections.virtops.kvm.plugins.module_utils._disk.stream import (
    GREETING,
    HANDSHAKE_SECONDS,
    PORTION,
    REPLY,
    REPLY_MAGIC,
    REQUEST,
    REQUEST_MAGIC,
    WRITE,
    ZERO,
    Tls,
)

#: Bytes that may be on their way on one connection: enough for a long way, and few enough to stay near the processor.
WINDOW = 8 << 20
_SEALED_AT_ONCE = 256 << 10

Data = t.Union[bytes, bytearray, memoryview]


class StreamChannel:
    """One connection, used by one thread. Nothing in it waits but pump and flush."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        self._connection = connection
        self._tls = Tls(context, server=False) if context is not None else None
        self._waiting: dict[int, tuple[int, t.Callable[[], None]]] = {}
        self._plain: collections.deque[memoryview] = collections.deque()
        self._wire = memoryview(b"")
        self._answers = bytearray()
        self._flying = 0
        self._count = 0
        try:
            if self._tls is not None:
                self._tls.shake_hands(connection)
            else:
                _wait_for_greeting(connection)
        except OSError as exc:
            connection.close()
            raise _failed(exc) from exc
        connection.setblocking(False)

    def write(self, data: Data, offset: int, done: t.Callable[[], None]) -> None:
        """Send ``data``; ``done`` is called when the server has taken it. ``data`` must stay as it is until then."""
        self._ask(WRITE, offset, len(data), data, done)

    def zero(self, offset: int, length: int, done: t.Callable[[], None]) -> None:
        """Make ``length`` bytes zeros, as a hole where that can be."""
        self._ask(ZERO, offset, length, b"", done)

    def _ask(self, command: int, offset: int, length: int, data: Data, done: t.Callable[[], None]) -> None:
        self._count += 1
        weight = max(1, len(data))
        self._waiting[self._count] = (weight, done)
        self._flying += weight
        head = REQUEST.pack(REQUEST_MAGIC, 0, command, self._count, offset, length)
        self._plain.append(memoryview(head))
        view = memoryview(data)
        for place in range(0, len(view), _SEALED_AT_ONCE):
            self._plain.append(view[place : place + _SEALED_AT_ONCE])
        self.pump(0)

    def pump(self, milliseconds: int = WAIT_MS) -> bool:
        """Send and receive what can be; wait at most so long for that. Tells whether something happened."""
        if not self._flying:
            return False
        try:
            events = select.POLLIN | (select.POLLOUT if self._wire or self._plain else 0)
            # A new object each time costs nothing beside the system call.
            waiter = select.poll()
            waiter.register(self._connection, events)
            ready = waiter.poll(milliseconds)
            if not ready:
                return False
            if ready[0][1] & select.POLLOUT:
                self._send()
            if ready[0][1] & ~select.POLLOUT:
                self._receive()
        except OSError as exc:
            raise _failed(exc) from exc
        return True

    def _send(self) -> None:
        while self._wire or self._plain:
            if not self._wire:
                self._wire = self._next_wire()
            try:
                count = self._connection.send(self._wire)
            except BlockingIOError:
                return
            self._wire = self._wire[count:]

    def _next_wire(self) -> memoryview:
        if self._tls is None:
            return self._plain.popleft()
        sealed = 0
        while self._plain and sealed < _SEALED_AT_ONCE:
            piece = self._plain.popleft()
            self._tls.seal(piece)
            sealed += len(piece)
        return memoryview(self._tls.sealed())

    def _receive(self) -> None:
        try:
            data = self._connection.recv(PORTION)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the receiving end closed the connection")
        if self._tls is None:
            self._answers += data
        else:
            self._tls.feed(data)
            part = memoryview(bytearray(16384))
            while count := self._tls.open_into(part):
                self._answers += part[:count]
        whole = len(self._answers) // REPLY.size * REPLY.size
        replies, self._answers = self._answers[:whole], self._answers[whole:]
        for magic, error, number in REPLY.iter_unpack(replies):
            self._take(magic, error, number)

    def _take(self, magic: int, error: int, number: int) -> None:
        if magic != REPLY_MAGIC or number not in self._waiting:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the receiving end lost its thread")
        weight, done = self._waiting.pop(number)
        self._flying -= weight
        if error:
            raise OSError(error, os.strerror(error))
        done()

    @property
    def busy(self) -> bool:
        """Whether as much is on its way as may be."""
        return self._flying >= WINDOW

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return self._flying == 0

    def flush(self) -> None:
        """Wait until the server has brought everything to the kernel: with its answer it has."""
        while not self.idle:
            self.pump()

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self._connection.close()


def _wait_for_greeting(connection: socket.socket) -> None:
    connection.settimeout(HANDSHAKE_SECONDS)
    if connection.recv(len(GREETING), socket.MSG_WAITALL) != GREETING:
        raise ConnectionAbortedError(errno.ECONNABORTED, "nobody answers at the receiving end")


def _failed(exc: OSError) -> WriteFailed:
    number = errno.ECONNABORTED if isinstance(exc, ssl.SSLError) else exc.errno
    return WriteFailed(number or errno.ECONNABORTED, exc.strerror or str(exc))
