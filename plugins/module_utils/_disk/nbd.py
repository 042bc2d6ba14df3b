# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""libnbd's Python binding, imported here and nowhere else, and only where it is installed.

It is needed on the sending host for what qemu-nbd writes at the other end, because no other client can send it chosen blocks, many at
a time, inside TLS.
"""

from __future__ import annotations

import errno
import socket
import traceback
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.channel import WAIT_MS, WriteFailed
from ansible_collections.virtops.kvm.plugins.module_utils._disk.qemunbd import KEY_USER

try:
    import nbd
except ImportError:
    nbd = None
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

#: Bytes that may be on their way on one connection.
WINDOW = 16 << 20


def library() -> t.Any:
    """The nbd module. Raises KvmError MISSING_LIBRARY where it is not installed."""
    if nbd is None:
        raise KvmError(
            "MISSING_LIBRARY",
            "The Python library nbd is not installed on the sending host; install python3-libnbd and run again.",
            library="nbd",
        )
    return nbd


def supports_tls() -> bool:
    """Whether this libnbd can speak TLS."""
    return bool(library().NBD().supports_tls())


class NbdChannel:
    """One connection to a server, used by one thread."""

    def __init__(self, connection: socket.socket, key_file: str | None) -> None:
        self._handle = library().NBD()
        if key_file is not None:
            self._handle.set_tls(library().TLS_REQUIRE)
            self._handle.set_tls_psk_file(key_file)
            self._handle.set_tls_username(KEY_USER)
        try:
            self._handle.connect_socket(connection.detach())
        except library().Error as exc:
            raise WriteFailed(errno.ECONNABORTED, exc.string) from exc
        self._flying = 0
        self._failed: int | None = None

    def write(self, data: bytes | bytearray | memoryview, offset: int, done: t.Callable[[], None]) -> None:
        """Send ``data``; ``done`` is called when the server has taken it. ``data`` must stay as it is until then."""
        self._start(self._handle.aio_pwrite, data, len(data), offset, done)

    def zero(self, offset: int, length: int, done: t.Callable[[], None]) -> None:
        """Make ``length`` bytes zeros, as a hole where that can be."""
        self._start(self._handle.aio_zero, length, 0, offset, done)

    def _start(self, verb: t.Any, what: t.Any, weight: int, offset: int, done: t.Callable[[], None]) -> None:
        def completed(error: t.Any) -> int:
            self._flying -= max(1, weight)
            if error.value:
                self._failed = self._failed or error.value
            else:
                done()
            return 1

        self._flying += max(1, weight)
        try:
            verb(what, offset, completion=completed)
        except library().Error as exc:
            raise WriteFailed(exc.errnum or errno.ECONNABORTED, exc.string) from exc
        self.pump(0)

    def pump(self, milliseconds: int = WAIT_MS) -> bool:
        """Send and receive what can be; wait at most so long for that. Tells whether something happened."""
        try:
            happened = bool(self._handle.poll(milliseconds) > 0) if self._flying else False
        except library().Error as exc:
            raise WriteFailed(self._failed or exc.errnum or errno.ECONNABORTED, exc.string) from exc
        if self._failed is not None:
            raise WriteFailed(self._failed, errno.errorcode.get(self._failed, str(self._failed)))
        return happened

    @property
    def busy(self) -> bool:
        """Whether as much is on its way as may be."""
        return self._flying >= WINDOW

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return self._flying == 0

    def flush(self) -> None:
        """Wait until the server has brought everything to the kernel."""
        try:
            if self._handle.can_flush():
                self._handle.flush()
        except library().Error as exc:
            raise WriteFailed(exc.errnum or errno.EIO, exc.string) from exc

    def close(self) -> None:
        """Close the connection, without a goodbye that could last."""
        handle, self._handle = self._handle, None
        # Before libnbd 1.16 a handle has no close: it is closed when nobody refers to it any more.
        close = getattr(handle, "close", None)
        if close is not None:
            close()
