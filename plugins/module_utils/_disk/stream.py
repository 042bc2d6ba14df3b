# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The way of the data from our own sender to our own receiver: requests and replies of NBD, inside TLS or plain on a unix socket.

Both ends are ours and have agreed on everything over ssh, so that NBD's negotiation is left out: the first byte inside TLS is that of a
request. TLS is Python's: OpenSSL encrypts at three times the speed of GnuTLS, which libnbd and QEMU use, and takes what a system call
gives, whole. Needs the standard library only, because the receiving end of a copy runs it too.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import typing as t

#: magic, flags, command, number, offset, length.
REQUEST = struct.Struct(">IHHQQI")
REQUEST_MAGIC = 0x25609513
WRITE, CLOSE, ZERO = 1, 2, 6
#: magic, error, number.
REPLY = struct.Struct(">IIQ")
REPLY_MAGIC = 0x67446698
#: What the receiver says first where no TLS greets: that a connection through a tunnel stands.
GREETING = b"NBDMAGIC"
#: Bytes that one system call takes or gives.
PORTION = 1 << 20
HANDSHAKE_SECONDS = 60.0


def context_of(identity: str, *, server: bool) -> ssl.SSLContext:
    """TLS between two ends that both have ``identity``, a key and its certificate, and trust nobody else."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
    # The one suite: with AES-128 in GCM, which takes the least processor time, and a key that nobody can find out afterwards.
    made.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(cadata=identity[identity.index("-----BEGIN CERTIFICATE") :])
    # OpenSSL wants a file; this one is in memory, and has no name.
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, identity.encode("ascii"))
        made.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return made


class Tls:
    """TLS without a socket: turns what is to be sent into what goes on the wire, and back."""

    def __init__(self, context: ssl.SSLContext, *, server: bool) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_side=server)

    def shake_hands(self, connection: socket.socket) -> None:
        """Find out on the blocking ``connection`` that the other end is who it should be. Raises OSError."""
        connection.settimeout(HANDSHAKE_SECONDS)
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                connection.sendall(self._out.read())
                data = connection.recv(PORTION)
                if not data:
                    raise ConnectionResetError("the other end closed the connection") from None
                self._in.write(data)
                continue
            connection.sendall(self._out.read())
            connection.settimeout(None)
            return

    def seal(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt ``data``; sealed gives it."""
        self._object.write(data)

    def sealed(self) -> bytes:
        """What is to go on the wire."""
        return self._out.read()

    def feed(self, data: bytes | memoryview) -> None:
        """What came from the wire."""
        self._in.write(data)

    def open_into(self, view: memoryview) -> int:
        """Decrypt into ``view``; gives how many bytes, 0 where more must come from the wire first."""
        try:
            return t.cast(int, self._object.read(len(view), view))
        except ssl.SSLWantReadError:
            return 0
