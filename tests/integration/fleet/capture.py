# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening on the cable of a lab host: every frame is searched for words that must not travel in clear."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import typing as t

from tests.lab.shell import wait_for

if t.TYPE_CHECKING:
    from tests.lab.host import Host

#: Arguments: the words. Tells of itself once it listens, and of what it heard when it is ended.
_LISTEN = """
import json, select, signal, socket, sys
words = [word.encode() for word in sys.argv[1:]]
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
ear.setsockopt(socket.SOL_SOCKET, 33, 256 << 20)
ear.bind(("eth0", 0))
ear.setblocking(False)
heard, octets = dict.fromkeys(sys.argv[1:], 0), 0
print("listening", flush=True)
while not ended:
    if not select.select([ear], [], [], 0.2)[0]:
        continue
    while True:
        try:
            frame = ear.recv(1 << 17)
        except BlockingIOError:
            break
        octets += len(frame)
        for word in words:
            heard[word.decode()] += word in frame
print(json.dumps({"bytes": octets, "heard": heard}))
"""


class Heard(t.NamedTuple):
    """How much went over the cable, and how many frames had each word."""

    octets: int
    words: dict[str, int]


class Capture:
    """Listens while a ``with`` lasts; ``heard`` is there afterwards."""

    def __init__(self, host: Host, *words: str) -> None:
        self._line = ["nsenter", f"--net=/run/netns/{host.netns}", "--", sys.executable, "-c", _LISTEN, *words]
        self._process: subprocess.Popen[str] | None = None
        self.heard = Heard(0, {})

    def __enter__(self) -> Capture:
        self._process = subprocess.Popen(self._line, stdout=subprocess.PIPE, text=True)
        stdout = t.cast("t.IO[str]", self._process.stdout)
        wait_for("the cable to be listened to", lambda: stdout.readline() == "listening\n", 60)
        return self

    def __exit__(self, *unused: object) -> None:
        process = t.cast("subprocess.Popen[str]", self._process)
        process.send_signal(signal.SIGTERM)
        told = json.loads(process.communicate(timeout=60)[0])
        self.heard = Heard(told["bytes"], told["heard"])
