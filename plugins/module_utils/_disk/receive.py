# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The receiving end's server for raw images and devices: takes blocks from our own sender, and writes them.

Runs on the destination, shipped there as text: the standard library only. It is there beside qemu-nbd, which writes all other
formats, because nothing is to be started for it and because it takes half the processor time.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import ssl
import threading
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._disk import device
from ansible_collections.virtops.kvm.plugins.module_utils._disk.stream import (
    CLOSE,
    GREETING,
    PORTION,
    REPLY,
    REPLY_MAGIC,
    REQUEST,
    REQUEST_MAGIC,
    WRITE,
    ZERO,
    Tls,
)

#: Strangers that may wait at the door at once.
_MOST_CONNECTIONS = 32
_END_SECONDS = 60.0
_MOST_WRITTEN = 64 << 20
_PUNCH_HOLE_KEEP_SIZE = 3


class Receiver:
    """Serves one image to whoever has the other half of ``context``; on a socket that only root can reach there is none."""

    def __init__(
        self, descriptor: int, listener: socket.socket, context: ssl.SSLContext | None, *, is_device: bool
    ) -> None:
        self._descriptor: int | None = os.dup(descriptor)
        self._context = context
        self._device = is_device
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._complaint: str | None = None
        self._listener = listener.dup()
        self._door = threading.Thread(target=self._accept, daemon=True)
        self._door.start()

    def complaint(self, unused_patience: float = 0) -> str | None:
        """What went wrong last."""
        return self._complaint

    def settle(self) -> None:
        """All connections stand: no other is let in."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._door.join(_END_SECONDS)
        self._listener.close()

    def close(self) -> None:
        """End it; what was acknowledged is then with the kernel."""
        self.settle()
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in connections.values():
            thread.join(_END_SECONDS)
        if self._descriptor is not None and not any(thread.is_alive() for thread in connections.values()):
            os.close(self._descriptor)
            self._descriptor = None

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            with self._lock:
                if len(self._connections) >= _MOST_CONNECTIONS:
                    connection.close()
                    continue
                thread = threading.Thread(target=self._attend, args=(connection,), daemon=True)
                self._connections[connection] = thread
                thread.start()

    def _attend(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Session(connection, self._context, t.cast(int, self._descriptor), is_device=self._device).serve()
        except OSError as exc:
            self._complaint = str(exc)
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()


class Session:
    """One connection."""

    def __init__(
        self, connection: socket.socket, context: ssl.SSLContext | None, descriptor: int, *, is_device: bool
    ) -> None:
        self._connection = connection
        self._tls = Tls(context, server=True) if context is not None else None
        self._descriptor = descriptor
        self._device = is_device
        self._raw = memoryview(bytearray(PORTION)) if self._tls is not None else memoryview(b"")
        self._data = bytearray(PORTION)

    def serve(self) -> None:
        """Do what is asked until the other end goes. Raises OSError for what is no request of ours."""
        if self._tls is not None:
            self._tls.shake_hands(self._connection)
        else:
            self._connection.sendall(GREETING)
        head = memoryview(bytearray(REQUEST.size))
        while self._fill(head):
            magic, _unused_flags, command, number, offset, length = REQUEST.unpack(head)
            if magic != REQUEST_MAGIC or (command == WRITE and length > _MOST_WRITTEN):
                raise ConnectionAbortedError("the sender lost its thread")
            if command == CLOSE:
                return
            self._reply(number, self._do(command, offset, length))

    def _do(self, command: int, offset: int, length: int) -> int:
        """The number of the error, 0 for none."""
        if command == WRITE:
            if len(self._data) < length:
                self._data = bytearray(length)
            view = memoryview(self._data)[:length]
            if not self._fill(view):
                raise ConnectionResetError("the sender went in the middle of a block")
        try:
            if command == WRITE:
                device.write_all(self._descriptor, view, offset)
            elif command == ZERO and self._device:
                device.zero_out(self._descriptor, offset, length)
            elif command == ZERO:
                punch(self._descriptor, offset, length)
            else:
                return errno.EINVAL
        except OSError as exc:
            return exc.errno or errno.EIO
        return 0

    def _fill(self, view: memoryview) -> bool:
        """Fill ``view``; False where the other end has closed the connection before."""
        done = 0
        while done < len(view):
            count = self._some(view[done:])
            if count == 0:
                if done:
                    raise ConnectionResetError("the sender went in the middle of a request")
                return False
            done += count
        return True

    def _some(self, view: memoryview) -> int:
        if self._tls is None:
            return self._connection.recv_into(view)
        while True:
            count = self._tls.open_into(view)
            if count:
                return count
            got = self._connection.recv_into(self._raw)
            if got == 0:
                return 0
            self._tls.feed(self._raw[:got])

    def _reply(self, number: int, error: int) -> None:
        data: t.Any = REPLY.pack(REPLY_MAGIC, error, number)
        if self._tls is not None:
            self._tls.seal(data)
            data = self._tls.sealed()
        self._connection.sendall(data)


def punch(descriptor: int, offset: int, length: int) -> None:
    """Make ``length`` bytes of a file a hole; zeros where its file system has no holes."""
    library = ctypes.CDLL(None, use_errno=True)
    wide = ctypes.c_int64
    if library.fallocate64(descriptor, _PUNCH_HOLE_KEEP_SIZE, wide(offset), wide(length)) == 0:
        return
    if ctypes.get_errno() not in (errno.EOPNOTSUPP, errno.ENOSYS):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    while length > 0:
        device.write_all(descriptor, bytes(min(length, PORTION)), offset)
        offset, length = offset + PORTION, length - PORTION
