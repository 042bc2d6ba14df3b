# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A writing NBD client on a unix socket: the content of a new qcow2 image, through a qemu-nbd of our own.

It is here so that a host needs no library for it; nbdread.py is its reading counterpart.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.qemunbd import RunFolder, Server, listen_unix

_REQUEST = struct.Struct(">IHHQQI")
_REQUEST_MAGIC = 0x25609513
_REPLY = struct.Struct(">II8x")
_REPLY_MAGIC = 0x67446698
_FIXED_NO_ZEROES = 3
_EXPORT_NAME = 1
_WRITE, _CLOSE, _FLUSH = 1, 2, 3
_START_SECONDS = 30


class NbdWriter:
    """A qcow2 image that is open for writing. Errors are OSErrors, as a file's would be."""

    def __init__(self, path: str) -> None:
        with contextlib.ExitStack() as stack:
            with RunFolder() as folder:
                listener = listen_unix(folder.join("write"))
                with contextlib.closing(listener):
                    self._server = Server(path, "qcow2", listener, writable=True, connections=1)
                stack.callback(self._server.close)
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                stack.callback(self._socket.close)
                self._greet(folder.join("write"), path)
            self._stack = stack.pop_all()

    def _greet(self, address: str, path: str) -> None:
        try:
            self._socket.settimeout(_START_SECONDS)
            self._socket.connect(address)
            self._take(18)
            self._socket.sendall(struct.pack(">I8sII", _FIXED_NO_ZEROES, b"IHAVEOPT", _EXPORT_NAME, 0))
            self._take(10)
            self._socket.settimeout(None)
        except OSError as exc:
            reason = self._server.complaint() or str(exc)
            raise KvmError(
                "IMAGE_INVALID", f"The image {path} cannot be opened by qemu-nbd: {reason}.", path=path
            ) from exc

    def _take(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise ConnectionResetError("qemu-nbd closed the connection")
            data += more
        return data

    def _ask(self, kind: int, offset: int, data: bytes | memoryview) -> None:
        self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, kind, 0, offset, len(data)))
        self._socket.sendall(data)
        magic, error = _REPLY.unpack(self._take(_REPLY.size))
        if magic != _REPLY_MAGIC:
            raise ConnectionResetError("qemu-nbd gave an answer that cannot be read")
        if error:
            raise OSError(error, os.strerror(error))

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Change some of the content."""
        self._ask(_WRITE, offset, data)

    def finish(self) -> None:
        """Bring everything to the disk."""
        self._ask(_FLUSH, 0, b"")
        self.close()

    def close(self) -> None:
        """End the connection and the server; harmless twice."""
        with contextlib.suppress(OSError):
            self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, _CLOSE, 0, 0, 0))
        self._stack.close()


def make_qcow2(path: str, size: int) -> None:
    """Make an image without content in the empty file ``path``."""
    done = command.run(["qemu-img", "create", "-q", "-f", "qcow2", "--", path, str(size)])
    if done.status != 0:
        for number in (28, 122):
            if os.strerror(number) in done.stderr:
                raise OSError(number, os.strerror(number))
        raise KvmError("IMAGE_INVALID", f"The image {path} cannot be made: {done.reason}.", path=path)
