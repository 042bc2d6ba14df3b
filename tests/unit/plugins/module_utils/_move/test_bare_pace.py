# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest process's move does beside each other or in another order, so that it is quick; and that nothing is lost by that."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.remote import Remote
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_places, bare_run, bare_switch
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_agent import Agent
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BareOptions
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_far import FarHost
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.bare_fake import FakeFar, plan, running
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.fake import FakeClock

JOURNAL = BareJournal(
    "id", "key", "web", "", "live_block", "transfer", 1.0, 1.0, "kvm1", "root@kvm2", "kvm2", source=("7", "1", "boot"),
    unit="virtops-guest-x.service", socket="/run/virtops-kvm/guests/id/qmp.sock", log="/var/log/x",
)  # fmt: skip


class Far(FakeFar):
    """A destination that notes what it is told, in one list with the source."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def call(self, verb: str, **arguments: t.Any) -> t.Any:
        self.told.append(f"record {arguments['record']['stage']}" if verb == "record" else verb)
        return {"settled": True} if verb == "settled" else True

    def ask(self, path: str, asked: str, arguments: t.Any = None, timeout: float = 15.0) -> t.Any:
        self.told.append(f"there {asked}")
        return {"status": "running"}


class Guest:
    """The source's monitor, which notes what it is told."""

    kind = "qmp"

    def __init__(self, told: list[str]) -> None:
        self.told = told
        self.handed_over = False

    def execute(self, command: str, arguments: t.Any = None, **unused: t.Any) -> t.Any:
        if not command.startswith("query-"):
            self.told.append(command)
        self.handed_over = self.handed_over or command == "migrate-continue"
        return {"status": "completed" if self.handed_over else "pre-switchover", "downtime": 42}

    def pause(self, seconds: float, events: t.Container[str] = ()) -> None:
        """Nothing to wait for."""


class Mirrors:
    """Mirrors that end when they are told to."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def finish(self) -> None:
        self.told.append("mirrors end")

    def finished(self) -> bool:
        return "mirrors end" in self.told


def context(folder: pathlib.Path, far: t.Any) -> BareContext:
    made = BareContext(
        name="web", key="key", destination="root@kvm2", source_host="kvm1", far=far, clock=FakeClock(),
        workspace=Workspace(str(folder / "state"), str(folder / "run")), options=BareOptions(), mapping=GuestMapping(), stop=Stop(),
        begun=0.0,
    )  # fmt: skip
    made.journal = JOURNAL
    return made


def test_the_records_know_of_the_handover_and_of_the_going_on_before_either(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    made = context(tmp_path, Far(told))
    made.monitor = t.cast("t.Any", Guest(told))
    write = made.workspace.write_guest

    def noted(_workspace: Workspace, journal: BareJournal) -> None:
        told.append(f"own record {journal.stage}")
        write(journal)

    monkeypatch.setattr(Workspace, "write_guest", noted)
    bare_switch.switch(made, t.cast("t.Any", Mirrors(told)))
    bare_switch.verify(made)
    assert told == [
        "mirrors end", "record switch", "own record switch", "migrate-continue", "settled", "there nbd-server-stop", "record verify",
        "own record verify", "there cont", "settled", "there query-status", "there query-status", "there query-status",
        "there query-status",
    ]  # fmt: skip


class Lost(FakeFar):
    """A destination whose link is gone."""

    def later(self, verb: str, **arguments: t.Any) -> t.Callable[[], t.Any]:
        def raises() -> t.Any:
            raise KvmError("CONNECTION_LOST", "gone")

        return raises


def test_what_the_destination_does_not_hear_is_in_our_own_record_all_the_same(tmp_path: pathlib.Path) -> None:
    made = context(tmp_path, Lost())
    with pytest.raises(KvmError, match="gone"):
        made.record(stage="done")
    kept = made.workspace.read_guest("key")
    assert kept is not None
    assert kept.stage == "done"


def test_a_destination_that_never_answers_is_waited_for_by_those_who_ask_it_only(tmp_path: pathlib.Path) -> None:
    gives_up = tmp_path / "gives-up"
    words = ["sh", "-c", 'while ! test -e "$0"; do sleep 0.02; done; echo no route >&2; exit 255', str(gives_up)]
    remote = Remote(words, "kvm2", None, lambda: ())
    gives_up.touch()
    for _twice in range(2):
        with pytest.raises(KvmError, match="no route") as caught:
            remote.ready()
        assert caught.value.error_code == "HOST_UNREACHABLE"


def test_a_destination_that_is_away_is_so_for_every_question(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        host = "kvm2"

        def ready(self) -> t.Any:
            raise KvmError("HOST_UNREACHABLE", "no route")

        def answer(self, future: t.Any, timeout: float) -> t.Any:
            return future.result(timeout)

    monkeypatch.setattr(Remote, "begin", lambda *unused: Away())
    far = FarHost("root@kvm2", "there")
    assert far.host == "there"
    assert far.look("key", "web", "") == (BareSighting("there", reachable=False, error="no route"), None)
    asked = far.later("emulator", program="qemu")
    for question in (asked, far.facts, lambda: far.call("claim", key="key"), lambda: far.address):
        with pytest.raises(KvmError, match="no route"):
            question()
    assert not far.again()


class Monitor:
    """The monitor of a guest that arrives at the third look."""

    looks = 0

    def execute(self, command: str, **unused: t.Any) -> t.Any:
        if command == "query-status":
            self.looks += 1
            return {"status": "paused" if self.looks > 2 else "inmigrate"}
        return {"status": "completed"} if self.looks > 2 else {}

    def pause(self, seconds: float, events: t.Container[str]) -> None:
        assert "MIGRATION" in events


def test_the_other_end_waits_for_the_guest_itself(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[dict[str, t.Any]] = []
    agent, monitor = Agent(answers.append, str(tmp_path), str(tmp_path)), Monitor()
    monkeypatch.setattr(agent, "_clock", FakeClock())
    monkeypatch.setattr(agent, "_monitor", lambda path: monitor)
    agent.handle(
        {"id": 1, "verb": "settled", "args": {"path": "p", "states": ["paused"], "migrations": ["completed", ""]}}
    )
    assert answers.pop()["value"] == {"settled": True, "status": "paused", "migration": "completed"}
    monkeypatch.setattr(monitor, "pause", lambda seconds, events: agent._clock.sleep(seconds))
    agent.handle({"id": 2, "verb": "settled", "args": {"path": "p", "states": ["running"]}})
    assert answers.pop()["value"] == {"settled": False, "status": "paused", "migration": ""}


@pytest.mark.parametrize("waits", [False, True])
def test_who_waited_for_its_turn_looks_at_everything_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    told: list[str] = []
    made = context(tmp_path, Far(told))
    made.journal, made.options = None, BareOptions(destination_slots=0, source_slots=1)
    monkeypatch.setattr(bare_run, "look_here", lambda context: running())
    held = made.workspace.slots(1)[0]
    if waits:
        assert held.try_acquire()
        monkeypatch.setattr(made.clock, "sleep", lambda seconds: held.release())

    def survey(context: BareContext, pid: int, *, probe: bool) -> t.Any:
        told.append("survey")
        return plan(context)

    monkeypatch.setattr(bare_run, "survey", survey)
    monkeypatch.setattr(bare_run._Run, "_live", lambda self, plan: told.append("moves") or ())
    bare_run.run(made, check_mode=False)
    assert [word for word in told if word in ("survey", "moves")] == ["survey"] * (1 + waits) + ["moves"]


def test_libvirt_there_is_connected_to_ahead_and_asked_only_where_there_is_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(bare_places, "start_event_loop", lambda: None)
    monkeypatch.setattr(bare_places, "Opening", opened.append)
    made = context(tmp_path, Far([]))
    made.options = BareOptions(destination_slots=0)
    bare_places.connect_ahead(made)
    assert opened == []
    made.options = BareOptions()
    bare_places.connect_ahead(made)
    assert opened == ["qemu+ssh://root@kvm2/system?no_tty=1"]
    monkeypatch.setattr(bare_places, "_claim", lambda *unused: 1 / 0)
    monkeypatch.setattr(made.far, "call", lambda verb, **unused: verb != "has_libvirt")
    with bare_places.places(made) as waited:
        assert not waited
