# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to lab guests: UDP out of the lab's own network namespace."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from .shell import LabError

PORT = 7700
CLONE_NEWNET = 0x40000000


def enter_netns(name: str) -> None:
    """Move the calling thread (and only it) into a network namespace."""
    handle = os.open(Path("/run/netns") / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, CLONE_NEWNET):
            raise LabError(f"network namespace {name}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(handle)


def netns_socket(name: str) -> socket.socket:
    """A UDP socket that lives in the namespace, made by a short-lived thread so that the caller stays where it is."""
    made: list[socket.socket | Exception] = []

    def make() -> None:
        try:
            enter_netns(name)
            made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        except (OSError, LabError) as error:
            made.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    result = made[0]
    if isinstance(result, Exception):
        raise LabError(f"cannot open a socket in namespace {name}: {result}") from result
    return result


def ask(netns: str, address: str, command: str, timeout: float = 5.0) -> dict[str, Any] | None:
    """Send a command to a guest and return its answer; None when it does not answer in time.

    Commands are sent once for a change and repeated only for `status`, which changes nothing.
    """
    deadline = time.monotonic() + timeout
    with netns_socket(netns) as sock:
        sock.settimeout(0.25 if command == "status" else timeout)
        sent = False
        while time.monotonic() < deadline:
            try:
                if not sent or command == "status":
                    sock.sendto(command.encode(), (address, PORT))
                    sent = True
                answer = json.loads(sock.recv(4096))
            except (TimeoutError, OSError):
                time.sleep(0.02)
                continue
            if answer.get("k") != "beat":
                return dict(answer)
    return None
