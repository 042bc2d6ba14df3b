# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The bytes between us and a monitor: every step has an end in time, whatever the other side does."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import Address, is_held, parse_address

#: More than any answer of a monitor (the schema, the longest, has a quarter of a MiB).
LIMIT = 64 << 20
_CHUNK = 1 << 16
_RETRY_SECONDS = 0.1
#: struct sockaddr_un has room for 108 bytes, the last of them a zero.
_PATH_BYTES = 107
#: A session with a monitor, or what is made of one.
Spoken = t.TypeVar("Spoken")


class Stream:
    """A connected socket. One thread uses it at a time."""

    def __init__(self, connection: socket.socket, address: Address, clock: Clock) -> None:
        self._connection = connection
        self._connection.setblocking(False)
        self._poll = select.poll()
        self._broken: str | None = None
        self.address = address
        self.clock = clock
        self.buffer = bytearray()

    def send(self, data: bytes, end: float, what: str) -> None:
        """Send all of ``data`` before the clock shows ``end``. Where only a part could go, nothing more can be said here."""
        self._check(what)
        rest = memoryview(data)
        while rest:
            self._wait(select.POLLOUT, end, what, cut=len(rest) < len(data))
            try:
                rest = rest[self._connection.send(rest) :]
            except BlockingIOError:
                continue
            except OSError as exc:
                raise self.gone(what, exc.strerror or str(exc)) from exc

    def receive(self, end: float, what: str) -> None:
        """Add to the buffer what has come; wait for that until ``end``."""
        self._check(what)
        if len(self.buffer) > LIMIT:
            raise self.garbled(what, f"more than {LIMIT >> 20} MiB without an end")
        while True:
            self._wait(select.POLLIN, end, what)
            try:
                data = self._connection.recv(_CHUNK)
            except BlockingIOError:
                continue
            except OSError as exc:
                raise self.gone(what, exc.strerror or str(exc)) from exc
            if not data:
                raise self.gone(what, "the other side closed the connection")
            self.buffer += data
            return

    def line(self, end: float, what: str) -> bytes:
        """The next line, without its end."""
        searched = 0
        while True:
            at = self.buffer.find(b"\n", searched)
            if at >= 0:
                line = bytes(self.buffer[:at]).rstrip(b"\r")
                del self.buffer[: at + 1]
                return line
            searched = len(self.buffer)
            self.receive(end, what)

    def fileno(self) -> int:
        """The descriptor, for whoever waits for more than one thing."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close the connection; closing twice is no error."""
        self._broken = self._broken or "the connection is closed"
        self._connection.close()

    # ---- errors ----

    def gone(self, what: str, reason: str) -> KvmError:
        """The error for a monitor that is not there any more."""
        self._broken = self._broken or reason
        return gone(self.address, what, reason)

    def silent(self, what: str) -> KvmError:
        """The error for a monitor that does not answer in time."""
        return silent(self.address, what)

    def garbled(self, what: str, seen: str) -> KvmError:
        """The error for a peer that speaks something else; there is no way back to the start of a message, so this is the end."""
        self._broken = self._broken or "it sent what no monitor sends"
        return KvmError(
            "MONITOR_GARBLED",
            f"What answers at {self.address} is no monitor of QEMU, or not of the kind expected ({what}): it sent {seen}.",
            address=str(self.address),
            command=what,
        )

    def _check(self, what: str) -> None:
        if self._broken is not None:
            raise gone(self.address, what, self._broken)

    def _wait(self, event: int, end: float, what: str, cut: bool = False) -> None:
        left = end - self.clock.monotonic()
        self._poll.register(self._connection, event)
        # What is there already is taken even when the time is over.
        if self._poll.poll(max(0.0, left) * 1000):
            return
        if cut:
            self._broken = "a command could be sent in part only"
        raise self.silent(what)


def gone(address: Address, what: str, reason: str) -> KvmError:
    """The error for a monitor that cannot be reached (any more)."""
    return KvmError(
        "MONITOR_GONE",
        f"The monitor {address} cannot be reached ({what}): {reason}. See whether its QEMU still runs.",
        address=str(address),
        command=what,
        reason=reason,
    )


def silent(address: Address, what: str) -> KvmError:
    """The error for a monitor that has been given all the time it gets."""
    return KvmError(
        "MONITOR_SILENT",
        f"The monitor {address} does not answer in time ({what}): its QEMU is stopped or hangs, or works on something long.",
        address=str(address),
        command=what,
    )


def busy(address: Address, what: str) -> KvmError:
    """The error for a monitor that speaks with somebody else."""
    return KvmError(
        "MONITOR_BUSY",
        f"The monitor {address} speaks with another client ({what}), and QEMU hears one at a time: end that client, or give QEMU a "
        "second monitor.",
        address=str(address),
        command=what,
    )


class Conversation:
    """What the sessions with monitors of both kinds share: they have a stream, and end with it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __enter__(self: Spoken) -> Spoken:
        return self

    def __exit__(self, *unused_details: object) -> None:
        self.close()

    @property
    def address(self) -> Address:
        """Where the monitor listens."""
        return self._stream.address

    def pause(self, seconds: float, _events: t.Container[str] = ()) -> None:
        """Wait so long; a monitor that tells of events ends that by one of them."""
        self._stream.clock.sleep(seconds)

    def close(self) -> None:
        """End the session; QEMU goes on."""
        self._stream.close()


def open_greeted(
    address: str | Address,
    timeout: float,
    clock: Clock | None,
    speak: t.Callable[[Stream, bytes, float], Spoken],
) -> Spoken:
    """What ``speak`` makes of a connection to a monitor, the first line of its greeting, and the seconds that are left.

    Whoever gets no greeting waits behind another client, if there was one when we came.
    """
    place = parse_address(address) if isinstance(address, str) else address
    clock = clock or Clock()
    end = clock.monotonic() + timeout
    held = is_held(place)
    stream = _open(place, end, clock, held)
    with contextlib.ExitStack() as unless_ready:
        unless_ready.callback(stream.close)
        try:
            first = b""
            while not first.strip():
                first = stream.line(end, "the greeting")
        except KvmError as exc:
            if held and exc.error_code == "MONITOR_SILENT":
                raise busy(place, "the greeting") from exc
            raise
        spoken = speak(stream, first, max(0.0, end - clock.monotonic()))
        unless_ready.pop_all()
    return spoken


def _open(address: Address, end: float, clock: Clock, held: bool) -> Stream:
    what = "connecting"
    while True:
        try:
            return Stream(_connect(address, max(0.001, end - clock.monotonic())), address, clock)
        except BlockingIOError:
            # The queue of those who wait is full.
            if clock.monotonic() >= end:
                raise (busy if held else silent)(address, what) from None
            clock.sleep(_RETRY_SECONDS)
        except TimeoutError as exc:
            raise silent(address, what) from exc
        except OSError as exc:
            raise gone(address, what, exc.strerror or str(exc)) from exc


def _connect(address: Address, timeout: float) -> socket.socket:
    if address.kind == "tcp":
        return _in_time(address, timeout)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.ExitStack() as unless_connected:
        unless_connected.callback(connection.close)
        connection.setblocking(False)
        with contextlib.ExitStack() as at_once:
            connection.connect(_reach(address, at_once))
        unless_connected.pop_all()
    return connection


def _in_time(address: Address, timeout: float) -> socket.socket:
    try:
        connection = socket.create_connection((address.host, address.port), timeout=timeout)
    except socket.timeout as exc:
        # Before Python 3.10 this is another class than TimeoutError.
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from exc
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _reach(address: Address, at_once: contextlib.ExitStack) -> str | bytes:
    """The name to connect to; one that is too long for the system call goes by its folder's descriptor."""
    if address.abstract:
        return b"\0" + os.fsencode(address.path)
    if len(os.fsencode(address.path)) <= _PATH_BYTES:
        return address.path
    folder = os.open(os.path.dirname(address.path), os.O_PATH | os.O_CLOEXEC)
    at_once.callback(os.close, folder)
    return f"/proc/self/fd/{folder}/{os.path.basename(address.path)}"
