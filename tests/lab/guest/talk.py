# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A few words with the monitor of a bare QEMU, as a person with `nc -U` would have them; knows nothing of the collection."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..shell import LabError

PATIENCE = 60.0


def sockets(words: Sequence[str]) -> list[str]:
    """The unix sockets of all monitors in a command line; the kind of each shows when it greets."""
    found = []
    for option, value in zip(words, words[1:], strict=False):
        if option in ("-qmp", "-monitor", "-qmp-pretty") and value.startswith("unix:"):
            found.append(parts(value)[0][len("unix:") :])
        elif option == "-chardev" and value.startswith("socket,"):
            found += [word[len("path=") :] for word in parts(value) if word.startswith("path=")]
    return found


def parts(value: str) -> list[str]:
    """A list of QEMU's, where a comma inside a part is written twice."""
    return [part.replace("\0", ",") for part in value.replace(",,", "\0").split(",")]


class Talk:
    """One connection; everything ends after `patience` seconds."""

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self._end = time.monotonic() + patience
        self._socket = socket.socket(socket.AF_UNIX)
        self._seen = b""
        try:
            self._socket.settimeout(patience)
            self._socket.connect(str(path))
            self._read(rb"\n")
            self.qmp = self._seen.startswith(b"{")
            if self.qmp:
                self._seen = b""
                self.execute("qmp_capabilities")
            else:
                self._read(rb"\(qemu\) $")
        except OSError as error:
            self._socket.close()
            raise LabError(f"{path}: {error}") from error

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_details: object) -> None:
        self._socket.close()

    def _read(self, until: bytes) -> None:
        while not re.search(until, self._seen):
            self._socket.settimeout(max(0.01, self._end - time.monotonic()))
            data = self._socket.recv(1 << 16)
            if not data:
                raise OSError("the monitor is gone")
            self._seen += data

    def execute(self, command: str, **arguments: Any) -> Any:
        """A QMP command; arguments are as QMP has them, with _ for -."""
        given = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._socket.sendall(json.dumps({"execute": command, "arguments": given}).encode() + b"\n")
        while True:
            self._read(rb"\n")
            line, _newline, self._seen = self._seen.partition(b"\n")
            answer = json.loads(line)
            if "error" in answer:
                raise LabError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def hmp(self, line: str) -> str:
        if self.qmp:
            return str(self.execute("human-monitor-command", command_line=line)).replace("\r\n", "\n")
        self._seen = b""
        self._socket.sendall(line.encode() + b"\n")
        self._read(rb"\n\(qemu\) $")
        text = self._seen.partition(b"\n")[2].rpartition(b"(qemu) ")[0]
        return text.decode(errors="replace").replace("\r\n", "\n")

    def state(self) -> str:
        """The run state, such as running, paused, inmigrate."""
        if self.qmp:
            return str(self.execute("query-status")["status"])
        found = re.search(r"VM status: (\w+)(?: \(([\w-]+)\))?", self.hmp("info status"))
        return (found.group(2) or found.group(1)) if found else "unknown"
