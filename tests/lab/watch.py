# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher: one process in the lab's network that listens to many guests and keeps a JSON file up to date.

Started by `Watcher` (tests, demo) or by `lab guest NAME watch`; it can be killed at any time, the file stays good.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from .beats import Stream
from .shell import LabError, write_json
from .wire import PORT, enter_netns

SUBSCRIBE_EVERY = 0.2
WRITE_EVERY = 0.5
SO_TIMESTAMPNS = 35


def receive(sock: socket.socket) -> tuple[bytes, str, float] | None:
    """One datagram, where from, and when the kernel got it (so our own delays do not count)."""
    try:
        data, extra, _flags, source = sock.recvmsg(4096, 256, socket.MSG_DONTWAIT)
    except (BlockingIOError, ConnectionRefusedError, OSError):
        return None
    arrived = time.time()
    for level, kind, value in extra:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("@ll", value[:16])
            arrived = seconds + nanoseconds / 1e9
    return data, source[0], arrived


class Listener:
    """Subscribes to guests and feeds their streams."""

    def __init__(self, targets: Path, output: Path) -> None:
        self.targets, self.output = targets, output
        self.names: dict[str, str] = {}
        self.streams: dict[str, Stream] = {}
        self.began = time.time()
        self.stamp = 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.setblocking(False)
        self.read_targets()

    def read_targets(self) -> None:
        """Name -> address; read again when the file changes, so that guests can be added while we run."""
        stamp = self.targets.stat().st_mtime_ns
        if stamp != self.stamp:
            self.stamp = stamp
            self.names = json.loads(self.targets.read_text(encoding="utf-8"))
            for address in self.names.values():
                self.streams.setdefault(address, Stream(address))

    def tell(self, text: bytes) -> None:
        for address in self.names.values():
            try:
                self.sock.sendto(text, (address, PORT))
            except OSError:
                continue  # not reachable now; it may come

    def take(self) -> None:
        while (got := receive(self.sock)) is not None:
            data, source, arrived = got
            stream = self.streams.get(source)
            try:
                beat = json.loads(data)
            except ValueError:
                continue
            if stream is not None and beat.get("k") == "beat":
                stream.feed(beat, arrived)

    def report(self) -> dict[str, Any]:
        now = time.time()
        guests = {name: self.streams[address].report(now) for name, address in self.names.items()}
        return {"began": self.began, "now": now, "pid": os.getpid(), "guests": guests}

    def run(self, seconds: float | None) -> None:
        stop: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _frame: stop.append(got))
        told = written = 0.0
        while not stop and (seconds is None or time.time() < self.began + seconds):
            now = time.monotonic()
            if now - told >= SUBSCRIBE_EVERY:
                self.read_targets()
                self.tell(b"sub")
                told = now
            if now - written >= WRITE_EVERY:
                write_json(self.output, self.report())
                written = now
            try:
                select.select([self.sock], [], [], 0.1)
            except InterruptedError:
                continue
            self.take()
        self.take()
        write_json(self.output, self.report())
        self.tell(b"unsub")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab.watch")
    parser.add_argument("--netns", required=True)
    parser.add_argument("--targets", type=Path, required=True, help="JSON file: guest name -> address")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float)
    options = parser.parse_args(arguments)
    try:
        enter_netns(options.netns)
        Listener(options.targets, options.output).run(options.seconds)
    except (LabError, OSError) as error:
        print(f"watch: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
