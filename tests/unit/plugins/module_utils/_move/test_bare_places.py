# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose turn it is among moves of domains and of guest processes: they take the same slots and the same places, and give them back."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sshtarget import SshTarget
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_places, bare_stream
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_agent import Agent
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BareOptions
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.bare_fake import FakeFar
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.fake import FakeClock


class Line:
    """The claims of a destination: ``ahead`` are before us, one fewer at each look."""

    def __init__(self, ahead: int = 0, *, has_secrets: bool = True) -> None:
        self.before, self.has_secrets = ahead, has_secrets
        self.log: list[str] = []

    def __call__(self, connection: object, owner: str, host: str, clock: object) -> Line:
        self.log.append(f"{owner} of {host}")
        return self

    def take(self) -> bool:
        return self.has_secrets

    def ahead(self) -> int:
        self.before -= 1
        return self.before + 1

    def beat(self) -> None:
        """It lives."""

    def release(self) -> None:
        self.log.append("released")


class Opening:
    """A connection to libvirt; ``refuses`` is what is wrong with it."""

    refuses = ""
    uris: t.ClassVar[list[str]] = []

    def __init__(self, uri: str) -> None:
        self.uris.append(uri)

    def connection(self) -> t.ContextManager[object]:
        if self.refuses:
            raise KvmError(self.refuses, "It does not want to.")
        return contextlib.nullcontext()


class Far(FakeFar):
    """A destination with or without libvirt, whose own end gives a place at the ``turn``-th look."""

    def __init__(self, *, libvirt: bool, turn: int = 1) -> None:
        self.libvirt, self.turn = libvirt, turn

    def call(self, verb: str, **arguments: t.Any) -> t.Any:
        if verb == "place":
            self.turn -= 1
            return self.turn <= 0
        return self.libvirt


class Monitor:
    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    """An empty line on the destination."""
    found = Line()
    monkeypatch.setattr(bare_places, "start_event_loop", lambda: None)
    monkeypatch.setattr(bare_places, "RemoteClaim", found)
    monkeypatch.setattr(bare_places, "Opening", Opening)
    monkeypatch.setattr(Opening, "refuses", "")
    Opening.uris.clear()
    return found


def context(folder: pathlib.Path, far: Far, **options: t.Any) -> BareContext:
    made = BareContext(
        name="web", key="key", destination="root@kvm2", source_host="kvm1", far=far, clock=FakeClock(),
        workspace=Workspace(str(folder / "state"), str(folder / "run")), options=BareOptions(**options), mapping=GuestMapping(),
        stop=Stop(), begun=0.0,
    )  # fmt: skip
    made.monitor = t.cast("t.Any", Monitor())
    return made


def test_it_takes_what_moves_of_domains_take_and_gives_it_back(tmp_path: pathlib.Path, line: Line) -> None:
    made = context(tmp_path, Far(libvirt=True), source_slots=1)
    others = made.workspace.slots(1)[0]
    with bare_places.places(made) as waited:
        assert not waited
        assert not others.try_acquire(), "a move of a domain would wait now"
        assert line.log == ["guest-key of kvm1"]
    assert others.try_acquire()
    assert line.log[-1] == "released"
    assert Opening.uris == ["qemu+ssh://root@kvm2/system?no_tty=1"]
    assert made.monitor is not None
    others.release()


def test_while_it_waits_the_guests_monitor_is_free(tmp_path: pathlib.Path, line: Line) -> None:
    line.before = 3
    made = context(tmp_path, Far(libvirt=True), destination_slots=2, libvirt_uri="qemu+tls://kvm2/system")
    monitor = t.cast("Monitor", made.monitor)
    with bare_places.places(made) as waited:
        assert waited
        assert monitor.closed
        assert made.monitor is None
    assert Opening.uris == ["qemu+tls://kvm2/system"]


def test_a_wish_to_end_is_heard_while_it_waits(tmp_path: pathlib.Path, line: Line) -> None:
    made = context(tmp_path, Far(libvirt=True), source_slots=1)
    held = made.workspace.slots(1)[0]
    assert held.try_acquire()
    made.stop.ask("the controller asked for it")
    with pytest.raises(KvmError, match="during the wait for a slot") as caught, bare_places.places(made):
        raise AssertionError("it must not begin")
    assert caught.value.error_code == "MOVE_ABORTED"
    held.release()


def test_without_libvirt_there_the_other_end_counts(tmp_path: pathlib.Path, line: Line) -> None:
    made = context(tmp_path, Far(libvirt=False, turn=3))
    with bare_places.places(made) as waited:
        assert waited
    assert made.warnings == []
    assert line.log == []
    for options in ({"destination_slots": 0}, {"destination_slots": 0, "source_slots": 0}):
        unlimited = context(tmp_path, Far(libvirt=True, turn=99), **options)
        with bare_places.places(unlimited) as waited:
            assert not waited


@pytest.mark.parametrize("code", ["MISSING_LIBRARY", "HOST_UNREACHABLE"])
def test_what_cannot_be_counted_is_told(
    tmp_path: pathlib.Path, line: Line, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(Opening, "refuses", code)
    made = context(tmp_path, Far(libvirt=True, turn=2))
    with bare_places.places(made) as waited:
        assert waited
    assert made.warnings == [
        "Moves of domains to kvm2 do not count for the limit of 2 moves to it, for libvirt there cannot be asked: It does not want to."
    ]
    monkeypatch.setattr(Opening, "refuses", "")
    line.has_secrets = False
    made = context(tmp_path, Far(libvirt=True))
    with bare_places.places(made):
        assert "no secrets driver" in made.warnings[0]


def test_the_other_end_has_so_many_places_and_no_more(tmp_path: pathlib.Path) -> None:
    answers: list[dict[str, t.Any]] = []
    agents = [Agent(answers.append, str(tmp_path), str(tmp_path)) for _unused in range(3)]

    def place(agent: Agent) -> t.Any:
        agent.handle({"id": 0, "verb": "place", "args": {"count": 2}})
        return answers.pop()["value"]

    assert [place(agent) for agent in (*agents, agents[0])] == [True, True, False, True]
    agents[0].close()
    assert place(agents[2])


def test_the_way_to_libvirt_there_is_that_of_ssh() -> None:
    for text, uri in (
        ("root@kvm2", "qemu+ssh://root@kvm2/system?no_tty=1"),
        ("ssh://[2001:db8::2]:2222", "qemu+ssh://[2001:db8::2]:2222/system?no_tty=1"),
        ("ssh://root@kvm2?keyfile=/k+1&no_verify=1", "qemu+ssh://root@kvm2/system?no_tty=1&no_verify=1&keyfile=%2Fk+1"),
    ):
        assert SshTarget.parse(text).libvirt_uri == uri


# ---- what both QEMUs are told ----


class Qemu:
    """A monitor that knows these capabilities and notes what it is told."""

    def __init__(self, *known: str, refuses: str = "-") -> None:
        self.known, self.refuses = known, refuses
        self.told: dict[str, t.Any] = {}

    def execute(self, asked: str, arguments: t.Any = None, **unused: t.Any) -> t.Any:
        if asked == "query-migrate-capabilities":
            return [{"capability": name} for name in self.known]
        if asked == "migrate-set-capabilities":
            self.told.update({one["capability"]: one["state"] for one in arguments["capabilities"]})
            return None
        if self.refuses in arguments.values():
            raise KvmError("MONITOR_REFUSED", "invalid parameter value")
        self.told.update(arguments)
        return None


ALL = ("multifd", "xbzrle", "pause-before-switchover", "auto-converge", "late-block-activate", "events")


def told(folder: pathlib.Path, here: Qemu, there: Qemu, **options: t.Any) -> None:
    made = context(folder, Far(libvirt=False), **options)
    made.monitor = t.cast("t.Any", here)
    made.far.ask = lambda path, asked, arguments=None, timeout=0.0: there.execute(asked, arguments)  # type: ignore[method-assign]
    made.journal = t.cast("t.Any", type("Record", (), {"socket": "/s"}))
    bare_stream.tell_there(made)
    bare_stream.tell_here(made, "")


def test_both_ends_are_told_the_same_of_compression(tmp_path: pathlib.Path) -> None:
    here, there = Qemu(*ALL), Qemu(*ALL)
    told(tmp_path, here, there, compression="zstd", parallel_connections=4)
    for one in (here, there):
        assert (one.told["multifd"], one.told["multifd-channels"], one.told["multifd-compression"]) == (True, 4, "zstd")
        assert not one.told["xbzrle"]
    told(tmp_path, here, there, parallel_connections=2)
    assert here.told["multifd-compression"] == there.told["multifd-compression"] == "none"
    told(tmp_path, here, there, compression="xbzrle")
    assert here.told["xbzrle"] and there.told["xbzrle"] and not here.told["multifd"]  # noqa: PT018


def test_what_a_qemu_lacks_is_refused_by_name(tmp_path: pathlib.Path) -> None:
    for here, there, word, options in (
        (Qemu(*ALL), Qemu("multifd"), "xbzrle", {"compression": "xbzrle"}),
        (Qemu(*ALL), Qemu(*ALL, refuses="zstd"), "zstd", {"compression": "zstd", "parallel_connections": 2}),
    ):
        with pytest.raises(KvmError, match=word) as caught:
            told(tmp_path, here, there, **options)
        assert caught.value.error_code == "OPTION_UNSUPPORTED"
    for wrong in ({"compression": "zlib"}, {"compression": "xbzrle", "parallel_connections": 2}, {"source_slots": -1}):
        with pytest.raises(InputError):
            BareOptions(**wrong)
