# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How an agent that is shipped to another host listens and answers: JSON lines until the connection closes or falls silent."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import sys
import threading
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

#: The asking side says something every few seconds; when it does not, the link is down for good, or that side is.
SILENCE_SECONDS = 90.0

Value = t.Any
Request = dict[str, t.Any]
Verbs = t.Mapping[str, t.Callable[..., Value]]


class Agent(t.Protocol):
    """What is served."""

    def handle(self, request: Request) -> None:
        """Answer one request, now or later."""

    def close(self) -> None:
        """End everything that must not outlive the connection."""


class _Ended(Exception):
    """A signal asks us to end."""


def _end(number: int, unused_frame: t.Any) -> t.NoReturn:
    raise _Ended(number)


def hello() -> dict[str, t.Any]:
    """Who we are, as every agent tells it first."""
    connection = os.environ.get("SSH_CONNECTION", "").split()
    return {
        "host": socket.gethostname(),
        "user": os.getuid(),
        "pid": os.getpid(),
        "address": connection[2] if len(connection) == 4 else "",
    }


def answer(verbs: Verbs, request: Request) -> Request:
    """The answer to one request: what its verb returns, or how it failed."""
    number = request.get("id")
    try:
        return {"id": number, "value": verbs[request["verb"]](**request.get("args", {}))}
    except KvmError as exc:
        return {"id": number, "error": {"code": exc.error_code, "message": exc.message, "details": exc.details}}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        code = "DESTINATION_FULL" if isinstance(exc, OSError) and exc.errno in (28, 122) else "REMOTE_FAILED"
        text = f"{type(exc).__name__} on {socket.gethostname()}: {exc}"
        return {"id": number, "error": {"code": code, "message": text, "details": {}}}


def serve(make: t.Callable[[t.Callable[[Request], None]], Agent]) -> t.NoReturn:
    """Serve until the connection closes, falls silent, or a signal comes."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _end)
    # What anything prints by accident must not look like an answer.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    lock = threading.Lock()

    def say(words: Request) -> None:
        line = json.dumps(words, separators=(",", ":")).encode("ascii") + b"\n"
        with lock, contextlib.suppress(OSError, ValueError):
            out.write(line)
            out.flush()

    lines: queue.Queue[bytes] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            lines.put(line)
        lines.put(b"")

    threading.Thread(target=listen, daemon=True).start()
    agent = make(say)
    try:
        while True:
            line = lines.get(timeout=SILENCE_SECONDS)
            if not line:
                break
            agent.handle(json.loads(line))
    except (_Ended, queue.Empty):
        pass
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        agent.close()
        # Threads that still read must not keep us.
        os._exit(0)
