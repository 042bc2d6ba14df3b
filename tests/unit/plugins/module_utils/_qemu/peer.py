# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The other end of a real socket, played by a thread: it says what a test tells it to, as slowly or as badly as that asks."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import threading
import typing as t

GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 13, "minor": 0, "major": 10}, "package": "Debian"}, '
    b'"capabilities": ["oob"]}}\r\n'
)
BANNER = b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) "


class Peer:
    """What a script does with one client."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        self.heard: list[t.Any] = []

    def say(self, data: bytes) -> None:
        self._connection.sendall(data)

    def line(self) -> bytes:
        """One line of the client's; empty when it is gone."""
        line = self._lines.readline()
        self.heard.append(line)
        return line

    def command(self) -> dict[str, t.Any]:
        """One command of the client's."""
        message: dict[str, t.Any] = json.loads(self.line())
        return message

    def answer(self, value: t.Any = None) -> dict[str, t.Any]:
        """Hear one command and return ``value``."""
        message = self.command()
        self.tell({"return": {} if value is None else value, "id": message["id"]})
        return message

    def tell(self, message: t.Any) -> None:
        self.say(json.dumps(message).encode() + b"\r\n")

    def event(self, name: str, **data: t.Any) -> None:
        self.tell({"event": name, "data": data, "timestamp": {"seconds": 5, "microseconds": 250000}})

    def greet(self) -> None:
        """As far as any session goes."""
        self.say(GREETING)
        self.answer()

    def close(self) -> None:
        self._lines.close()
        self._connection.close()

    def hang(self) -> None:
        """Do nothing more until the client goes."""
        while self._connection.recv(1 << 16):
            pass


@contextlib.contextmanager
def serving(folder: pathlib.Path, script: t.Callable[[Peer], None]) -> t.Iterator[str]:
    """The address of a socket where ``script`` receives one client. What the script raises, the test sees."""
    path = str(folder / "monitor")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(1)
    raised: list[BaseException] = []

    def serve() -> None:
        connection, _where = listener.accept()
        peer = Peer(connection)
        try:
            script(peer)
        except (AssertionError, ValueError, KeyError, OSError) as exc:
            raised.append(exc)
        finally:
            peer.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield path
        thread.join(20)
        assert not thread.is_alive(), "the script did not end"
        assert raised == []
    finally:
        listener.close()
