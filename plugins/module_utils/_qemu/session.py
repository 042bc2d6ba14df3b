# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A QMP session with a running QEMU: commands with an end in time, events in their order. A hung peer cannot hang us."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import schema as schema_module
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import Address
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.stream import Conversation, Stream, open_greeted

GREETING_SECONDS = 10.0
COMMAND_SECONDS = 30.0
#: Events that nobody took are kept up to this number, then the oldest go.
_EVENTS = 10_000


@dataclasses.dataclass(frozen=True)
class Event:
    """One event; ``seconds`` is QEMU's own time for it, since the epoch."""

    name: str
    data: t.Mapping[str, t.Any]
    seconds: float


class Session(Conversation):
    """QMP with one QEMU, in one thread at a time. Made by ``connect``; close it, best as a context manager.

    A command that got no answer in time raises MONITOR_SILENT and leaves the session usable: its answer, should it come after all,
    is dropped, and a command that QEMU takes out of band may still get through.
    """

    kind = "qmp"

    def __init__(self, stream: Stream, greeting: t.Mapping[str, t.Any], *, timeout: float = COMMAND_SECONDS) -> None:
        super().__init__(stream)
        self._timeout = timeout
        self._count = 0
        self._events: collections.deque[Event] = collections.deque(maxlen=_EVENTS)
        self._schema: schema_module.Schema | None = None
        self.oob = False
        version = greeting["QMP"]["version"]
        numbers = version["qemu"]
        self.version: tuple[int, int, int] = (numbers["major"], numbers["minor"], numbers["micro"])
        #: What the distribution calls its build, such as ``Debian 1:10.0.2+ds-2``.
        self.package: str = version.get("package", "")
        self._offers_oob = "oob" in greeting["QMP"].get("capabilities", [])

    def negotiate(self, timeout: float) -> None:
        """Leave the state in which QEMU accepts nothing else; with out-of-band commands where it offers them."""
        arguments = {"enable": ["oob"]} if self._offers_oob else None
        self.execute("qmp_capabilities", arguments, timeout=timeout)
        self.oob = self._offers_oob

    # ---- commands ----

    def execute(
        self,
        command: str,
        arguments: t.Mapping[str, t.Any] | None = None,
        *,
        timeout: float | None = None,
        oob: bool = False,
    ) -> t.Any:
        """What QEMU returns for ``command``.

        Raises MONITOR_REFUSED with QEMU's ``class`` and ``desc`` in its details, MONITOR_SILENT after ``timeout`` seconds,
        MONITOR_GONE where QEMU ended. With ``oob`` QEMU takes the command at once, also while its main loop is held.
        """
        if oob and not self.oob:
            raise KvmError(
                "MONITOR_NO_OOB",
                f"The monitor {self.address} does not take commands out of band, as {command} was to be.",
                address=str(self.address),
                command=command,
            )
        self._count += 1
        end = self._end(timeout)
        message: dict[str, t.Any] = {"exec-oob" if oob else "execute": command, "id": self._count}
        if arguments is not None:
            message["arguments"] = arguments
        self._stream.send(json.dumps(message).encode("ascii") + b"\n", end, command)
        while True:
            answer = self._message(end, command)
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise refused(self.address, command, answer["error"])
                return answer.get("return")
            if "error" in answer and "id" not in answer:
                # QEMU could not even read what we sent, so it cannot name it.
                raise refused(self.address, command, answer["error"])

    def hmp(self, line: str, *, timeout: float | None = None) -> str:
        """What the human monitor prints for ``line``, its lines separated by newlines alone. It prints errors, too."""
        text: str = self.execute("human-monitor-command", {"command-line": line}, timeout=timeout)
        return text.replace("\r\n", "\n")

    def schema(self) -> schema_module.Schema:
        """What this QEMU knows: commands, their arguments, events. Asked once."""
        if self._schema is None:
            self._schema = schema_module.Schema(self.execute("query-qmp-schema"))
        return self._schema

    def has_command(self, name: str) -> bool:
        """Whether this QEMU has the command ``name``."""
        return self.schema().has_command(name)

    # ---- events ----

    @property
    def events(self) -> tuple[Event, ...]:
        """The events that came and were not taken yet, oldest first. What has arrived is read in, but nothing is waited for."""
        self._read_arrived()
        return tuple(self._events)

    def take_events(self) -> tuple[Event, ...]:
        """Like ``events``, and they are taken."""
        found = self.events
        self._events.clear()
        return found

    def wait_event(
        self,
        names: str | t.Container[str],
        timeout: float | None = None,
        matches: t.Callable[[Event], bool] = lambda event: True,
    ) -> Event:
        """Take the oldest event that has one of ``names`` and for which ``matches`` holds; wait for it where there is none yet.

        All others stay. Raises MONITOR_SILENT after ``timeout`` seconds, MONITOR_GONE where QEMU ended.
        """
        wanted = (names,) if isinstance(names, str) else names
        end = self._end(timeout)
        searched = 0
        while True:
            for at in range(searched, len(self._events)):
                event = self._events[at]
                if event.name in wanted and matches(event):
                    del self._events[at]
                    return event
            searched = len(self._events)
            if searched == _EVENTS:
                searched = 0
            self._message(end, "waiting for an event", any_kind=True)

    def pause(self, seconds: float, events: t.Container[str] = ()) -> None:
        """Wait so long, or until there is one of ``events``. All that came by then are taken; the next command says that QEMU is gone."""
        with contextlib.suppress(KvmError):
            self.wait_event(events, seconds)
        self._read_arrived()
        self._events.clear()

    def _read_arrived(self) -> None:
        try:
            while True:
                self._message(self._stream.clock.monotonic(), "reading events", any_kind=True)
        except KvmError as exc:
            # What came before the end of QEMU counts, too; the next command says that it is gone.
            if exc.error_code not in ("MONITOR_SILENT", "MONITOR_GONE"):
                raise

    # ---- messages ----

    def _end(self, timeout: float | None) -> float:
        return self._stream.clock.monotonic() + (self._timeout if timeout is None else timeout)

    def _message(self, end: float, what: str, any_kind: bool = False) -> dict[str, t.Any]:
        """The next answer; events before it are put away. With ``any_kind`` the next message, whatever it is."""
        while True:
            line = self._stream.line(end, what)
            if not line.strip():
                continue
            message = parse_message(self._stream, line, what)
            if "event" not in message:
                return message
            stamp = message.get("timestamp", {})
            seconds = stamp.get("seconds", 0) + stamp.get("microseconds", 0) / 1e6
            self._events.append(Event(message["event"], message.get("data", {}), seconds))
            if any_kind:
                return message


def connect(
    address: str | Address,
    *,
    timeout: float = GREETING_SECONDS,
    command_timeout: float = COMMAND_SECONDS,
    clock: Clock | None = None,
) -> Session:
    """A session with the QMP monitor at ``address``, ready for commands after at most ``timeout`` seconds.

    Raises MONITOR_GONE where nobody listens, MONITOR_BUSY where QEMU speaks with somebody else, MONITOR_SILENT where it does not greet,
    MONITOR_GARBLED where something else answers.
    """
    return open_greeted(
        address, timeout, clock, lambda stream, first, left: start(stream, first, left, command_timeout)
    )


def start(stream: Stream, first: bytes, timeout: float, command_timeout: float) -> Session:
    """The session on ``stream`` whose greeting is ``first``, ready for commands."""
    greeting = parse_message(stream, first, "the greeting")
    try:
        session = Session(stream, greeting, timeout=command_timeout)
    except (KeyError, TypeError, AttributeError) as exc:
        raise stream.garbled("the greeting", repr(str(greeting)[:80])) from exc
    session.negotiate(timeout)
    return session


def parse_message(stream: Stream, line: bytes, what: str) -> dict[str, t.Any]:
    """The JSON object in ``line``."""
    try:
        message = json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise stream.garbled(what, repr(line[:80].decode("utf-8", "replace")))
    return message


def refused(address: Address, command: str, error: t.Mapping[str, t.Any]) -> KvmError:
    """The error for a command that QEMU answered with an error."""
    kind, words = str(error.get("class", "")), str(error.get("desc", ""))
    return KvmError(
        "MONITOR_REFUSED",
        f"QEMU at {address} refused {command}: {words}",
        **{"address": str(address), "command": command, "class": kind, "desc": words},
    )
