# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that is silent for a while is asked on, and the silence is told; also one that ends only after the move."""

from __future__ import annotations

import http.server
import socket
import threading
import time
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.service import Service
from ansible_collections.virtops.kvm.plugins.module_utils._move.service_probe import (
    ServiceProbe,
    echo_request,
    is_echo_reply,
)

#: Generous: the machine may be busy.
PATIENCE = 60.0


class Guest:
    """Answers, or not."""

    def __init__(self) -> None:
        self.silent = False
        self.asked = 0

    def __call__(self, service: Service) -> None:
        self.asked += 1
        if self.silent:
            raise OSError("no answer")


def wait(condition: t.Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def probe_of(guest: Guest) -> ServiceProbe:
    return ServiceProbe(Service("ping", "web01", interval=0.02, timeout=0.1), ask=guest)


def test_a_silence_is_measured() -> None:
    guest = Guest()
    probe = probe_of(guest)
    probe.start()
    wait(lambda: guest.asked > 3)
    begin = time.monotonic()
    guest.silent = True
    before = guest.asked
    wait(lambda: guest.asked > before + 5)
    silent = time.monotonic() - begin
    guest.silent = False
    seen = probe.finish(PATIENCE)
    assert seen.pause_ms is not None
    assert seen.pause_ms >= silent * 1000 - 1
    assert seen.back
    assert 0 < seen.answered < seen.asked


def test_the_end_waits_for_an_answer_and_no_longer_than_it_may() -> None:
    guest = Guest()
    probe = probe_of(guest)
    probe.start()
    wait(lambda: guest.asked > 3)
    guest.silent = True
    timer = threading.Timer(0.3, lambda: setattr(guest, "silent", False))
    timer.start()
    assert probe.finish(PATIENCE).back
    lost = probe_of(guest)
    lost.start()
    wait(lambda: guest.asked > 6)
    guest.silent = True
    time.sleep(0.1)
    assert not lost.finish(0.2).back


def test_who_is_asked_at_the_end_of_the_patience_has_its_own_time_to_answer() -> None:
    guest = Guest()
    probe = ServiceProbe(Service("ping", "web01", interval=0.02, timeout=PATIENCE), ask=guest)
    probe.start()
    wait(lambda: guest.asked > 3)
    guest.silent = True
    time.sleep(0.1)
    threading.Timer(0.3, lambda: setattr(guest, "silent", False)).start()
    assert probe.finish(0).back


def test_one_that_never_answers_is_not_waited_for() -> None:
    guest = Guest()
    guest.silent = True
    probe = probe_of(guest)
    probe.start()
    wait(lambda: guest.asked > 3)
    seen = probe.finish(10**6)
    assert (seen.answered, seen.pause_ms, seen.back) == (0, None, False)
    assert "never answered" in seen.warning
    assert not probe_of(guest).once().back


@pytest.fixture
def page() -> t.Iterator[int]:
    """The port of a server that has one page, and an error on all others."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401 if self.path == "/health?full=1" else 500)
            self.end_headers()

        def log_message(self, *unused: t.Any) -> None:
            """Be quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_real_services_are_asked(page: int) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = closed.getsockname()[1]
        for service, answers in (
            (Service("tcp", "127.0.0.1", page), True),
            (Service("tcp", "127.0.0.1", nobody), False),
            (Service("http", url=f"http://127.0.0.1:{page}/health?full=1"), True),
            (Service("http", url=f"http://127.0.0.1:{page}/"), False),
            (Service("http", url=f"https://127.0.0.1:{page}/"), False),
            (Service("tcp", "no such host.invalid", page), False),
        ):
            assert ServiceProbe(service).once().back is answers, service


@pytest.mark.parametrize("six", [False, True])
def test_only_the_reply_to_the_own_ping_counts(six: bool) -> None:
    word, other = b"0123456789abcdef", b"fedcba9876543210"
    request = echo_request(word, six)
    total = sum(int.from_bytes(request[at : at + 2], "big") for at in range(0, len(request), 2))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
    reply = bytes([129 if six else 0]) + request[1:]
    header = b"\x45" + bytes(19)
    assert is_echo_reply(reply, word, with_header=False)
    assert is_echo_reply(header + reply, word, with_header=True)
    assert not is_echo_reply(reply, other, with_header=False)
    assert not is_echo_reply(request, word, with_header=False)
    assert not is_echo_reply(b"", word, with_header=True)
