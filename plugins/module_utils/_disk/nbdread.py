# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A reading NBD client on a unix socket, enough for what qemu-nbd exports on the same host.

It is here because the receiving end of a copy can rely on the standard library only.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import typing as t

_GREETING = struct.Struct(">8s8sH")
_OPTION = struct.Struct(">8sII")
_OPTION_REPLY = struct.Struct(">QIII")
_REQUEST = struct.Struct(">IHHQQI")
_CHUNK = struct.Struct(">IHHQI")
_SIMPLE = struct.Struct(">IIQ")

_OPTION_MAGIC = b"IHAVEOPT"
_REPLY_MAGIC = 0x3E889045565A9
_REQUEST_MAGIC = 0x25609513
_CHUNK_MAGIC = 0x668E33EF
_SIMPLE_MAGIC = 0x67446698

_FIXED_NO_ZEROES = 3
_OPT_GO, _OPT_STRUCTURED, _OPT_META = 7, 8, 10
_REP_ACK, _REP_INFO, _REP_META, _REP_ERROR = 1, 3, 4, 1 << 31
_CMD_READ, _CMD_CLOSE, _CMD_STATUS = 0, 2, 7
_DONE = 1
_TYPE_DATA, _TYPE_HOLE, _TYPE_STATUS, _TYPE_ERROR = 1, 2, 5, 1 << 15
_ZERO = 2
_CONTEXT = b"base:allocation"
#: The most that one request asks for.
_MOST_READ = 4 << 20
_MOST_STATUS = 1 << 30


class NbdError(OSError):
    """The server refused, or spoke something else."""


class _Connection:
    """One connection, used by one thread at a time."""

    def __init__(self, path: str, timeout: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.size = 0
        self.has_status = False
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
            self._negotiate()
            self._socket.settimeout(None)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Say goodbye."""
        with contextlib.suppress(OSError):
            self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, _CMD_CLOSE, 0, 0, 0))
        self._socket.close()

    def _fill(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            count = self._socket.recv_into(view[done:])
            if count == 0:
                raise NbdError("the NBD server closed the connection")
            done += count

    def _take(self, count: int) -> bytes:
        data = bytearray(count)
        self._fill(memoryview(data))
        return bytes(data)

    def _negotiate(self) -> None:
        magic, version, _unused_flags = _GREETING.unpack(self._take(_GREETING.size))
        if magic != b"NBDMAGIC" or version != _OPTION_MAGIC:
            raise NbdError("the NBD server speaks another protocol")
        self._socket.sendall(struct.pack(">I", _FIXED_NO_ZEROES))
        if self._option(_OPT_STRUCTURED, b""):
            query = struct.pack(">III", 0, 1, len(_CONTEXT)) + _CONTEXT
            self.has_status = any(kind == _REP_META for kind, unused_data in self._option(_OPT_META, query))
        for kind, data in self._option(_OPT_GO, struct.pack(">IH", 0, 0)):
            if kind == _REP_INFO and data[:2] == b"\0\0":
                (self.size,) = struct.unpack_from(">Q", data, 2)

    def _option(self, option: int, data: bytes) -> list[tuple[int, bytes]]:
        self._socket.sendall(_OPTION.pack(_OPTION_MAGIC, option, len(data)) + data)
        replies: list[tuple[int, bytes]] = []
        while True:
            magic, _unused_option, kind, length = _OPTION_REPLY.unpack(self._take(_OPTION_REPLY.size))
            if magic != _REPLY_MAGIC:
                raise NbdError("the NBD server lost its thread")
            body = self._take(length)
            if kind & _REP_ERROR:
                if option == _OPT_GO:
                    raise NbdError(f"the NBD server refuses: {body.decode('utf-8', 'replace')}")
                return []
            replies.append((kind, body))
            if kind == _REP_ACK:
                return replies

    def _chunks(self) -> t.Iterator[tuple[int, int]]:
        """(type, length) of each part of one answer; the caller takes its payload."""
        flags = 0
        while not flags & _DONE:
            (magic,) = struct.unpack(">I", self._take(4))
            if magic == _SIMPLE_MAGIC:
                error, _unused_cookie = struct.unpack(">IQ", self._take(12))
                if error:
                    raise NbdError(error, "the NBD server cannot read")
                yield -1, 0
                return
            if magic != _CHUNK_MAGIC:
                raise NbdError("the NBD server lost its thread")
            flags, kind, _unused_cookie, length = struct.unpack(">HHQI", self._take(16))
            if kind & _TYPE_ERROR:
                error, text = struct.unpack_from(">IH", body := self._take(length))
                raise NbdError(error, f"the NBD server cannot read: {body[6 : 6 + text].decode('utf-8', 'replace')}")
            yield kind, length

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill ``view`` from ``offset`` on."""
        self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, _CMD_READ, 1, offset, len(view)))
        for kind, length in self._chunks():
            if kind == -1:
                self._fill(view)
            elif kind == _TYPE_DATA:
                (start,) = struct.unpack(">Q", self._take(8))
                self._fill(view[start - offset : start - offset + length - 8])
            elif kind == _TYPE_HOLE:
                start, zeros = struct.unpack(">QI", self._take(12))
                view[start - offset : start - offset + zeros] = bytes(zeros)
            else:
                self._take(length)

    def status(self, offset: int, length: int) -> list[tuple[int, bool]]:
        """[(length, whether it is zeros)] from ``offset`` on; at least something of what was asked for."""
        self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, _CMD_STATUS, 1, offset, length))
        found: list[tuple[int, bool]] = []
        for kind, size in self._chunks():
            body = self._take(size)
            if kind == _TYPE_STATUS:
                found = [(count, bool(flags & _ZERO)) for count, flags in struct.iter_unpack(">II", body[4:])]
        return found


class NbdReader:
    """The content that a server on a unix socket exports. The socket's file is not needed any more once this exists."""

    def __init__(self, path: str, size: int | None = None, connections: int = 2, timeout: float = 30) -> None:
        self._free: queue.Queue[_Connection] = queue.Queue()
        self._all: list[_Connection] = []
        try:
            for _unused_number in range(connections):
                self._all.append(_Connection(path, timeout))
                self._free.put(self._all[-1])
        except BaseException:
            self.close()
            raise
        self.export_size = self._all[0].size
        self._size = self.export_size if size is None else size

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def close(self) -> None:
        """Close all connections."""
        for connection in self._all:
            connection.close()
        self._all = []

    @contextlib.contextmanager
    def _connection(self) -> t.Iterator[_Connection]:
        connection = self._free.get()
        try:
            yield connection
        finally:
            self._free.put(connection)

    def extents(self, start: int = 0, end: int | None = None) -> t.Iterator[tuple[int, int]]:
        """What the server does not know to be zeros."""
        position = start
        end = min(self._size, self.export_size) if end is None else min(end, self._size, self.export_size)
        while position < end:
            with self._connection() as connection:
                if not connection.has_status:
                    yield position, end - position
                    return
                found = connection.status(position, min(end - position, _MOST_STATUS))
            if not found:
                raise NbdError("the NBD server does not tell what it holds")
            for length, zeros in found:
                length = min(length, end - position)
                if not zeros and length > 0:
                    yield position, length
                position += length

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill ``view`` from ``offset`` on; what lies behind the end is zeros."""
        inside = max(0, min(len(view), self.export_size - offset))
        view[inside:] = bytes(len(view) - inside)
        with self._connection() as connection:
            for place in range(0, inside, _MOST_READ):
                connection.read_into(view[place : min(place + _MOST_READ, inside)], offset + place)
