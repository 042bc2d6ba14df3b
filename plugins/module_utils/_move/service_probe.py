# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Asks a service of a guest again and again, from wherever this runs, until it is told that the move has ended.

A new question is asked at every interval, whether or not the earlier ones were answered: the first answer after a pause then
comes at once, and not when the kernel tries an old connection again.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import struct
import threading
import typing as t
from urllib.parse import urlsplit

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.service import PING, TCP, Service, ServiceSeen, Tally

#: How long a service may take to be back after the move. A switch may have to learn where the guest is now.
RETURN_SECONDS = 30.0
_ECHO, _ECHO6 = 8, 128
_REPLIES = (0, 129)


class ServiceProbe:
    """One service that is asked in threads of its own. ``ask`` returns when it answered, and raises OSError where it did not."""

    def __init__(
        self, service: Service, clock: Clock | None = None, ask: t.Callable[[Service], None] | None = None
    ) -> None:
        self._service = service
        self._clock = clock or Clock()
        self._ask = ask or asker(service)
        self._tally = Tally()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._answered = threading.Condition(self._lock)
        self._places = threading.Semaphore(max(2, int(service.timeout / service.interval) + 2))
        self._thread = threading.Thread(target=self._work, name="service", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def once(self) -> ServiceSeen:
        """Ask one time, here and now."""
        since = self._clock.monotonic()
        self._tally.asked += 1
        self._try()
        with self._lock:
            return self._tally.seen(self._service, since=since)

    def finish(self, patience: float = RETURN_SECONDS) -> ServiceSeen:
        """The move has ended: wait until the service answers again, if it ever did, and give the sum.

        Also who is asked at the end of ``patience`` has the service's own time to answer.
        """
        since = self._clock.monotonic()
        with self._answered:
            if self._tally.answered:
                limit = patience + self._service.timeout
                self._answered.wait_for(lambda: self._tally.last is not None and self._tally.last >= since, limit)
        self._stop.set()
        self._thread.join(self._service.interval + 1)
        with self._lock:
            return self._tally.seen(self._service, since=since)

    def _work(self) -> None:
        while not self._stop.is_set():
            if self._places.acquire(blocking=False):
                with self._lock:
                    self._tally.asked += 1
                threading.Thread(target=self._one, name="question", daemon=True).start()
            self._stop.wait(self._service.interval)

    def _one(self) -> None:
        try:
            self._try()
        finally:
            self._places.release()

    def _try(self) -> None:
        try:
            self._ask(self._service)
        except (OSError, KvmError, http.client.HTTPException, UnicodeError):
            return
        with self._answered:
            self._tally.answer(self._clock.monotonic())
            self._answered.notify_all()


def asker(service: Service) -> t.Callable[[Service], None]:
    """The way to ask ``service``."""
    if service.type == TCP:
        return _connect
    return _ping if service.type == PING else _get


def _connect(service: Service) -> None:
    with socket.create_connection((service.address, service.port), timeout=service.timeout):
        return


def _get(service: Service) -> None:
    """Any answer below 500 counts: who is told to log in has been answered."""
    parts = urlsplit(service.url)
    if parts.scheme == "https":
        # Whether it answers is asked, and nothing is told to it: a certificate of its own making will do.
        lenient = ssl.create_default_context()
        lenient.check_hostname, lenient.verify_mode = False, ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=service.timeout, context=lenient
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=service.timeout)
    with contextlib.closing(connection):
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        if connection.getresponse().status >= 500:
            raise OSError("the service answers with an error")


def _ping(service: Service) -> None:
    found = socket.getaddrinfo(service.address, None)[0]
    six, address = found[0] == socket.AF_INET6, found[4]
    sending, raw = _echo_socket(six)
    if sending is None:
        _ping_by_program(service)
        return
    word = os.urandom(16)
    with contextlib.closing(sending):
        sending.settimeout(service.timeout)
        sending.sendto(echo_request(word, six), address)
        while not is_echo_reply(sending.recv(1024), word, with_header=raw and not six):
            # Everybody's replies come to a raw socket.
            continue


def _echo_socket(six: bool) -> tuple[socket.socket | None, bool]:
    """A socket for echo requests, and whether it is a raw one: the kernel's own needs no right where it is permitted."""
    family = socket.AF_INET6 if six else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        with contextlib.suppress(PermissionError):
            return socket.socket(family, kind, protocol), kind == socket.SOCK_RAW
    return None, False


def echo_request(word: bytes, six: bool) -> bytes:
    """An echo request that carries ``word``. Its checksum counts for IPv4; for IPv6 the kernel makes it."""
    head = struct.pack("!BBHHH", _ECHO6 if six else _ECHO, 0, 0, 0, 1)
    total = sum(struct.unpack(f"!{(len(head) + len(word)) // 2}H", head + word))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", head[0], 0, ~total & 0xFFFF, 0, 1) + word


def is_echo_reply(data: bytes, word: bytes, *, with_header: bool) -> bool:
    """Whether ``data`` answers the request with ``word``; ``with_header`` when an IPv4 header comes first."""
    if with_header and data:
        data = data[(data[0] & 0x0F) * 4 :]
    return len(data) >= 8 and data[0] in _REPLIES and data[8:] == word


def _ping_by_program(service: Service) -> None:
    seconds = max(1, round(service.timeout))
    words = ["ping", "-n", "-q", "-c", "1", "-W", str(seconds), service.address]
    if command.run(words, timeout=seconds + 5).status != 0:
        raise OSError("no answer")
