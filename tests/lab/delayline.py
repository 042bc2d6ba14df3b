# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A relay that delays frames between two devices, for kernels without netem.

    python3 -m tests.lab.delayline NETNS DEVICE DEVICE MILLISECONDS

Frames are taken with their offload header, so that large segments pass as they are.
"""

from __future__ import annotations

import collections
import select
import socket
import sys
import time

from .wire import enter_netns

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_VNET_HDR = 15
PACKET_OUTGOING = 4
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32
LIMIT = 64 << 20  # bytes held per direction; beyond it frames are lost, as on a real line

Queue = collections.deque[tuple[float, bytes]]


def open_device(name: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    for option in (SO_RCVBUFFORCE, SO_SNDBUFFORCE):
        sock.setsockopt(socket.SOL_SOCKET, option, 32 << 20)
    sock.bind((name, ETH_P_ALL))
    sock.setblocking(False)
    return sock


def take(sock: socket.socket, queue: Queue, held: int, due: float) -> int:
    """Move what has arrived into the queue; returns the bytes now held."""
    for _frame in range(256):
        try:
            data, address = sock.recvfrom(1 << 17)
        except (BlockingIOError, OSError):
            break
        if address[2] != PACKET_OUTGOING and held < LIMIT:
            queue.append((due, data))
            held += len(data)
    return held


def give(sock: socket.socket, queue: Queue, held: int, now: float) -> int:
    """Send what is due."""
    while queue and queue[0][0] <= now:
        data = queue.popleft()[1]
        held -= len(data)
        try:
            sock.send(data)
        except OSError:
            continue  # the device is down or full: a line loses such frames
    return held


def relay(first: socket.socket, second: socket.socket, seconds: float) -> None:
    pairs = {first: second, second: first}
    queues: dict[socket.socket, Queue] = {first: collections.deque(), second: collections.deque()}
    held = dict.fromkeys(pairs, 0)
    while True:
        now = time.monotonic()
        due = [queue[0][0] for queue in queues.values() if queue]
        timeout = max(0.0, min(due) - now) if due else None
        readable, _writable, _failed = select.select(list(pairs), [], [], timeout)
        now = time.monotonic()
        for sock in readable:
            held[sock] = take(sock, queues[sock], held[sock], now + seconds)
        for sock, other in pairs.items():
            held[sock] = give(other, queues[sock], held[sock], time.monotonic())


def main() -> int:
    netns, first, second, delay = sys.argv[1:5]
    enter_netns(netns)
    relay(open_device(first), open_device(second), float(delay) / 1000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
