# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A session with a human monitor over its socket: prompt and echo are taken off, and everything has an end in time."""

from __future__ import annotations

import re

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import Address
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.session import COMMAND_SECONDS, GREETING_SECONDS
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.stream import Conversation, Stream, open_greeted

_BANNER = re.compile(r"QEMU (\d+)\.(\d+)\.(\d+)\S* monitor\b")
_PROMPT = re.compile(rb"(?:\A|\n)\(qemu\) \Z")
#: QEMU's line editor takes no more bytes than this.
_LINE_BYTES = 4000
#: What the line editor would take for an order of its own; 0x9B starts one, too, and stands in the midst of some UTF-8 letters.
_ORDERS = re.compile(rb"[\x00-\x1f\x7f\x9b]")
_FAILURES = re.compile(r"(?:Error: |unknown command: |.*\bTry \"help )(.*)", re.DOTALL)


class HmpSession(Conversation):
    """HMP with one QEMU, in one thread at a time. Made by ``connect``; close it, best as a context manager.

    A command that was not answered in time raises MONITOR_SILENT; the next one first waits for what is still owed.
    """

    def __init__(self, stream: Stream, banner: str, *, timeout: float = COMMAND_SECONDS) -> None:
        match = _BANNER.search(banner)
        if match is None:
            raise stream.garbled("the greeting", repr(banner[:80]))
        super().__init__(stream)
        self._timeout = timeout
        self._owed = 1
        self.version: tuple[int, int, int] = (int(match.group(1)), int(match.group(2)), int(match.group(3)))

    def settle(self, timeout: float, what: str = "the prompt") -> None:
        """Read on to the prompt that is still to come, if any."""
        end = self._stream.clock.monotonic() + timeout
        while self._owed:
            self._answer(end, what)

    def hmp(self, line: str, *, timeout: float | None = None) -> str:
        """What the monitor prints for ``line``, its lines separated by newlines alone. It prints errors, too."""
        data = line.encode("utf-8")
        if len(data) > _LINE_BYTES or _ORDERS.search(data):
            raise KvmError(
                "MONITOR_LINE",
                f"The command {line[:60]!r} cannot be given to the human monitor {self.address}: it has a control character or a "
                f"letter that the monitor takes for one, or more than {_LINE_BYTES} bytes.",
                address=str(self.address),
            )
        end = self._stream.clock.monotonic() + (self._timeout if timeout is None else timeout)
        word = line.split(" ", 1)[0]
        while self._owed:
            self._answer(end, word)
        self._owed += 1
        self._stream.send(data + b"\n", end, word)
        # The first line is our own, as the line editor drew it, letter by letter.
        return self._answer(end, word).partition("\n")[2]

    def _answer(self, end: float, what: str) -> str:
        """Everything up to the prompt."""
        buffer = self._stream.buffer
        while True:
            match = _PROMPT.search(buffer, max(0, len(buffer) - 8))
            if match:
                text = bytes(buffer[: match.start() + (match.group()[:1] == b"\n")])
                buffer.clear()
                self._owed -= 1
                return text.decode("utf-8", "replace").replace("\r\n", "\n")
            self._stream.receive(end, what)


def failure(text: str) -> str:
    """The words of the error in what the human monitor printed; empty where there is none."""
    match = _FAILURES.match(text.strip())
    return " ".join(text.split()).removeprefix("Error: ") if match else ""


def connect(
    address: str | Address,
    *,
    timeout: float = GREETING_SECONDS,
    command_timeout: float = COMMAND_SECONDS,
    clock: Clock | None = None,
) -> HmpSession:
    """A session with the human monitor at ``address``, ready for commands after at most ``timeout`` seconds; errors as of QMP's."""
    return open_greeted(
        address, timeout, clock, lambda stream, first, left: start(stream, first, left, command_timeout)
    )


def start(stream: Stream, first: bytes, timeout: float, command_timeout: float) -> HmpSession:
    """The session on ``stream`` whose greeting is ``first``, ready for commands."""
    session = HmpSession(stream, first.decode("utf-8", "replace"), timeout=command_timeout)
    session.settle(timeout)
    return session
