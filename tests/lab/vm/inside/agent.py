# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's way into a vm host that no fault can cut: runs commands that come over a link of its own.

The link's device lives in a network namespace that only this process holds, so the host and whoever tests it see nothing
of it. One connection is one command: a line of JSON ({"argv": [...]}), then frames of one byte and a length: `i` input
and `e` its end to the command; `o` output, `r` errors and `x` exit status back. The command ends with its connection.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import threading
from typing import BinaryIO

DEVICE, ADDRESS, PORT = "eth1", "192.0.2.2", 7
CLONE_NEWNET = 0x40000000
HEAD = struct.Struct("!cI")


def listener() -> socket.socket:
    """A listening socket in a network namespace of its own, which the thread that makes it keeps alive."""
    made: list[socket.socket] = []
    ready = threading.Event()

    def make() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        own = str(threading.get_native_id())
        subprocess.run(["nsenter", "--net=/proc/1/ns/net", "ip", "link", "set", DEVICE, "netns", own], check=True)
        script = f"link set lo up\naddress add {ADDRESS}/24 dev {DEVICE}\nlink set {DEVICE} up\n"
        subprocess.run(["ip", "-batch", "-"], input=script.encode(), check=True)
        made.append(socket.create_server((ADDRESS, PORT), backlog=64))
        ready.set()
        threading.Event().wait()

    threading.Thread(target=make, daemon=True).start()
    if not ready.wait(300):
        raise SystemExit("no listening socket")
    return made[0]


class Command:
    """One connection and its process."""

    def __init__(self, link: socket.socket) -> None:
        self.link, self.sending = link, threading.Lock()
        self.file = link.makefile("rb")
        self.feeding: threading.Thread | None = None

    def send(self, kind: bytes, data: bytes) -> None:
        with self.sending, contextlib.suppress(OSError):  # nobody listens any more: the one who reads ends the process
            self.link.sendall(HEAD.pack(kind, len(data)) + data)

    def relay(self, stream: BinaryIO, kind: bytes) -> None:
        while data := os.read(stream.fileno(), 65536):
            self.send(kind, data)

    def feed(self, process: subprocess.Popen[bytes]) -> None:
        """Hand the input on; when the connection ends before the process does, end the process."""
        assert process.stdin is not None
        try:
            while len(head := self.file.read(HEAD.size)) == HEAD.size:
                kind, size = HEAD.unpack(head)
                data = self.file.read(size)
                try:
                    if kind == b"i":
                        process.stdin.write(data)
                        process.stdin.flush()
                    else:
                        process.stdin.close()
                except (BrokenPipeError, ValueError):
                    pass  # it does not read its input; that is its own affair
        except OSError:
            pass
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def run(self) -> None:
        argv = json.loads(self.file.readline())["argv"]
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(
                argv, start_new_session=True, cwd="/", bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe
            )
        except OSError as error:
            self.send(b"r", f"{argv[0]}: {error.strerror}\n".encode())
            self.send(b"x", struct.pack("!i", 127))
            return
        self.feeding = threading.Thread(target=self.feed, args=[process], daemon=True)
        self.feeding.start()
        relays = [
            threading.Thread(target=self.relay, args=[process.stdout, b"o"], daemon=True),
            threading.Thread(target=self.relay, args=[process.stderr, b"r"], daemon=True),
        ]
        for thread in relays:
            thread.start()
        status = process.wait()
        for thread in relays:  # what a child in the background still prints is not waited for
            thread.join(2 if thread.is_alive() else None)
        self.send(b"x", struct.pack("!i", status if status >= 0 else 128 - status))

    def serve(self) -> None:
        try:
            self.run()
        except (OSError, ValueError):
            pass
        finally:
            # A link that is closed with something unread in it is reset, and what was sent last is lost on the other side: so the
            # other side closes first.
            with contextlib.suppress(OSError):
                self.link.shutdown(socket.SHUT_WR)
            if self.feeding is not None:
                self.feeding.join(60)
            with contextlib.suppress(OSError):
                self.link.shutdown(socket.SHUT_RDWR)
            self.link.close()


def main() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.environ.update(PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME="/root", LANG="C.UTF-8")
    server = listener()
    while True:
        link, _source = server.accept()
        threading.Thread(target=Command(link).serve, daemon=True).start()


if __name__ == "__main__":
    main()
