# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The destination of a guest process's move, as the source speaks with it: the agent by ssh, connected anew where the link broke."""

from __future__ import annotations

import concurrent.futures
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data, to_data
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_host

_CALL_SECONDS = 90.0
_LOST = ("CONNECTION_LOST", "HOST_UNREACHABLE")


def _program() -> t.Sequence[t.Any]:
    """What the agent is made of; loaded while ssh connects."""
    from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_shipped import SHIPPED

    return SHIPPED


class Far(t.Protocol):
    """What a move needs of the destination; ``FarHost`` is the real one."""

    host: str

    @property
    def address(self) -> str:
        """As what it was reached; empty where that is not known."""

    def look(self, key: str, name: str, uuid: str) -> tuple[BareSighting, BareJournal | None]:
        """What is there of the guest, and the record that this end keeps."""

    def facts(self, **wanted: t.Any) -> dict[str, t.Any]:
        """What the host has of what is named (see ``bare_facts``)."""

    def call(self, verb: str, **arguments: t.Any) -> t.Any:
        """Let the agent do something; raises what it raised."""

    def later(self, verb: str, **arguments: t.Any) -> t.Callable[[], t.Any]:
        """Let the agent begin with something, while something else is done here; what it gives waits for the answer, and raises."""

    def ask(self, path: str, asked: str, arguments: t.Any = None, timeout: float = 15.0) -> t.Any:
        """Ask the waiting guest's monitor."""

    def again(self) -> bool:
        """Make sure of the connection; false where the host cannot be reached."""

    def close(self) -> None:
        """Let the agent go."""


class FarHost:
    """The agent on a host that ssh reaches. It is connected to while something else is done: only who asks it waits.

    Where it never answers, every question raises HOST_UNREACHABLE.
    """

    def __init__(self, target: str, label: str = "") -> None:
        self._target = target
        self._label = label
        self._remote = self._connecting()
        self.host = label or self._remote.host
        self._claimed = ""

    def _connecting(self) -> Remote:
        return Remote.begin(self._target, self._label or None, _program)

    @property
    def address(self) -> str:
        """As what it was reached."""
        return self._remote.ready().address

    def look(self, key: str, name: str, uuid: str) -> tuple[BareSighting, BareJournal | None]:
        """What is there of the guest, and the record that this end keeps."""
        try:
            seen = self.call("look", key=key, name=name, uuid=uuid)
        except KvmError as exc:
            if exc.error_code not in _LOST:
                raise
            return BareSighting(self.host, reachable=False, error=exc.message), None
        record = None if seen["record"] is None else from_data(BareJournal, seen["record"])
        return sighting(self.host, seen), record

    def facts(self, **wanted: t.Any) -> dict[str, t.Any]:
        """What the host has of what is named: program, needs, places, images, interfaces, user."""
        found: dict[str, t.Any] = self.call("facts", **wanted)
        return found

    def call(self, verb: str, **arguments: t.Any) -> t.Any:
        """Let the agent do something; raises what it raised."""
        if verb == "claim":
            self._claimed = arguments["key"]
        return self._remote.ready().call(verb, timeout=_CALL_SECONDS, **arguments)

    def later(self, verb: str, **arguments: t.Any) -> t.Callable[[], t.Any]:
        """Let the agent begin with something; what it gives waits for the answer, and raises."""
        remote = self._remote
        answer: concurrent.futures.Future[t.Any] = concurrent.futures.Future()
        try:
            answer = remote.ready().send(verb, **arguments)
        except KvmError as error:
            answer.set_exception(error)
        return lambda: remote.answer(answer, _CALL_SECONDS)

    def ask(self, path: str, asked: str, arguments: t.Any = None, timeout: float = 15.0) -> t.Any:
        """Ask the waiting guest's monitor."""
        return self.call("ask", path=path, asked=asked, arguments=arguments, seconds=timeout)

    def again(self) -> bool:
        """Make sure of the connection; false where the host cannot be reached. One that never answered stays away."""
        try:
            remote = self._remote.ready()
        except KvmError:
            return False
        try:
            remote.call("tick", timeout=_CALL_SECONDS)
            return True
        except KvmError:
            remote.close(patience=0)
        try:
            self._remote = self._connecting().ready()
            return not self._claimed or bool(self.call("claim", key=self._claimed))
        except KvmError:
            return False

    def close(self) -> None:
        """Let the agent go."""
        self._remote.close()


class Unreachable:
    """A destination that nobody asks: the table still wants to know of the source."""

    address = ""

    def __init__(self, host: str, error: KvmError) -> None:
        self.host = host
        self._error = error

    def look(self, *unused: t.Any, **unused_options: t.Any) -> tuple[BareSighting, BareJournal | None]:
        """Nothing is known."""
        return BareSighting(self.host, reachable=False, error=self._error.message), None

    def facts(self, *unused: t.Any, **unused_options: t.Any) -> dict[str, t.Any]:
        """Raises why not."""
        raise self._error

    def call(self, *unused: t.Any, **unused_options: t.Any) -> t.Any:
        """Raises why not."""
        raise self._error

    def later(self, *unused: t.Any, **unused_options: t.Any) -> t.Callable[[], t.Any]:
        """What raises why not."""
        return self.call

    def ask(self, *unused: t.Any, **unused_options: t.Any) -> t.Any:
        """Raises why not."""
        raise self._error

    def again(self) -> bool:
        """It stays away."""
        return False

    def close(self) -> None:
        """Nothing to let go."""


def sighting(host: str, seen: t.Mapping[str, t.Any]) -> BareSighting:
    """The sighting that the agent's look amounts to: our process first, then any other."""
    ours, others = seen["ours"], seen["others"]
    gone = bool(ours) and not ours["alive"]
    if ours and ours["alive"]:
        return BareSighting(
            host, found=True, pid=ours["pid"], start=ours["start"], state=ours["state"], migration=ours["migration"], ours=True,
            error=ours["error"],
        )  # fmt: skip
    if others:
        first = others[0]
        return BareSighting(
            host, found=True, pid=first["pid"], start=first["start"], state=first["state"], gone=gone, name=first["name"],
            uuid=first["uuid"],
        )  # fmt: skip
    return BareSighting(host, gone=gone)


def record_data(journal: BareJournal) -> dict[str, t.Any]:
    """The record as the agent keeps it."""
    data: dict[str, t.Any] = to_data(journal)
    return data


def refuse_one_host(name: str, source: str, far: Far) -> None:
    """Raises SAME_HOST where the destination is this very host: the guest's own process would be taken for a second copy of it."""
    if far.facts().get("place") == bare_host.place():
        raise KvmError(
            "SAME_HOST",
            f"The guest '{name}' cannot move from {source} to {far.host}: the destination is this same host. Nothing was touched. Name "
            "another host as the destination, and run the task on the one that has the guest.",
            host=far.host,
        )
