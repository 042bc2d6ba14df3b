# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one command on a vm host through its agent (inside/agent.py): `client.py WORDS...`, in the host's namespace.

A program of its own, so that whoever wants the command line of a command on a host gets one, as with a container.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading

ADDRESS, PORT = "192.0.2.2", 7
HEAD = struct.Struct("!cI")
LOST = 255  # exit status when the host went away


def feed(link: socket.socket) -> None:
    """Hand our own input on, then its end."""
    try:
        while data := os.read(0, 65536):
            link.sendall(HEAD.pack(b"i", len(data)) + data)
        link.sendall(HEAD.pack(b"e", 0))
    except OSError:
        return


def whole(data: bytes, to: int) -> None:
    while data:
        data = data[os.write(to, data) :]


def main(words: list[str]) -> int:
    with socket.create_connection((ADDRESS, PORT), 60) as link:
        link.settimeout(None)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 12)
        link.sendall(json.dumps({"argv": words}).encode() + b"\n")
        threading.Thread(target=feed, args=[link], daemon=True).start()
        file = link.makefile("rb")
        while len(head := file.read(HEAD.size)) == HEAD.size:
            kind, size = HEAD.unpack(head)
            data = file.read(size)
            if kind == b"x":
                return int(struct.unpack("!i", data)[0])
            whole(data, 1 if kind == b"o" else 2)
    print("the host went away", file=sys.stderr)
    return LOST


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except OSError as problem:
        print(f"no way into the host: {problem}", file=sys.stderr)
        code = LOST
    os._exit(code)  # a thread may still wait for our input
