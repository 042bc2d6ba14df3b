# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest process whose memory does not follow is paused where that is asked, and a pause of ours ends with the move, however that ends."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting, MovedDisk
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_decide as table
from ansible_collections.virtops.kvm.plugins.module_utils._move import (
    bare_record,
    bare_run,
    bare_survey,
    bare_transfer,
    bare_undo,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BareOptions
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_far import Unreachable
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_ports import Ports
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.bare_fake import FakeFar, plan
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.fake import FakeClock

DISK = MovedDisk("virtio0", "vd0", "#block1", "/img/a.qcow2", "/there/a.qcow2", "qcow2", 1 << 20)
JOURNAL = BareJournal(
    "id", "key", "web", "", "live_shared", "transfer", 1.0, 1.0, "kvm1", "root@kvm2", "kvm2", source=("7", "1", "boot"),
    unit="virtops-guest-x.service", socket="/run/virtops-kvm/guests/id/qmp.sock", log="/var/log/x",
)  # fmt: skip
PAUSED = dataclasses.replace(JOURNAL, suspended=True)


class Guest:
    """The source's monitor: its memory follows once the guest stands still, or never where it is ``endless``."""

    kind = "qmp"

    def __init__(self, *, endless: bool = False, state: str = "running", migration: str = "active") -> None:
        self.endless, self.state, self.migration = endless, state, migration
        self.sent = 0
        self.asked: list[str] = []
        self.suspended_before_stop: bool | None = None
        self.workspace: Workspace | None = None
        self.clock = FakeClock()

    def schema(self) -> Guest:
        return self

    def has_argument(self, *unused: str) -> bool:
        return False

    def execute(self, command: str, arguments: t.Any = None, **unused: t.Any) -> t.Any:
        self.asked.append(command)
        if command == "stop":
            assert self.workspace is not None
            record = self.workspace.read_guest("key")
            self.suspended_before_stop = record is not None and record.suspended
            self.state = "paused"
        if command == "cont":
            self.state = "running"
        if command == "query-migrate":
            self.sent += 1 << 20
            over = self.state == "paused" and not self.endless and self.migration == "active"
            status = "pre-switchover" if over else self.migration
            return {"status": status, "ram": {"total": 1 << 30, "transferred": self.sent, "remaining": 1 << 20}}
        if command == "query-status":
            return {"status": self.state}
        if command == "query-jobs":
            if self.migration:
                return []
            # A disk that is never copied.
            self.sent += 1
            one = {"id": "virtops-move-0", "status": "running", "total-progress": 1 << 30}
            return [{**one, "current-progress": self.sent}]
        return [] if command.startswith("query-") else {}

    def pause(self, seconds: float, events: t.Container[str] = ()) -> None:
        self.clock.sleep(seconds)

    def close(self) -> None:
        """Nothing to do."""


def context(folder: pathlib.Path, guest: Guest, **options: t.Any) -> BareContext:
    options = {"timeout": 30.0, "method": "live_shared", "timeout_action": "suspend", **options}
    made = BareContext(
        name="web", key="key", destination="root@kvm2", source_host="kvm1", far=FakeFar(), clock=FakeClock(),
        workspace=Workspace(str(folder / "state"), str(folder / "run")), options=BareOptions(**options), mapping=GuestMapping(),
        stop=Stop(), begun=0.0,
    )  # fmt: skip
    made.monitor, made.journal = t.cast("t.Any", guest), JOURNAL
    guest.workspace, guest.clock = made.workspace, t.cast("FakeClock", made.clock)
    return made


def test_it_is_paused_when_the_time_is_up_and_the_records_know_whose_pause_that_is(tmp_path: pathlib.Path) -> None:
    guest = Guest()
    made = context(tmp_path, guest)
    begun = made.clock.monotonic()
    bare_transfer.transfer(made, plan(made), Ports("192.0.2.2", 49152))
    assert made.clock.monotonic() - begun > 30
    assert guest.asked.count("stop") == 1
    assert guest.suspended_before_stop, "whoever kills us between the two leaves a record that tells it"
    assert made.warnings == ["The time limit was reached; the action 'suspend' was taken."]
    made.clock.sleep(2.5)
    made.runs_again()
    assert made.figures["downtime_ms"] >= 2500


def test_a_guest_that_its_user_paused_needs_no_pause_of_ours(tmp_path: pathlib.Path) -> None:
    guest = Guest(state="paused", endless=True)
    made = context(tmp_path, guest)
    made.journal = dataclasses.replace(JOURNAL, state="paused")
    with pytest.raises(KvmError, match="longer than 60 s"):
        bare_transfer.transfer(made, plan(made), Ports("192.0.2.2", 49152))
    assert "stop" not in guest.asked
    assert not made.record_now().suspended


def test_a_second_time_limit_and_disks_that_do_not_follow_end_the_move(tmp_path: pathlib.Path) -> None:
    guest = Guest(endless=True)
    made = context(tmp_path, guest)
    with pytest.raises(KvmError, match="the copy of its memory took longer than 60 s") as caught:
        bare_transfer.transfer(made, plan(made), Ports("192.0.2.2", 49152))
    assert caught.value.error_code == "MOVE_TIMEOUT"
    assert guest.asked.count("stop") == 1
    copies = Guest(migration="")
    made = context(tmp_path, copies, method="live_block")
    with pytest.raises(KvmError, match="the copy of its disks took longer than 30 s") as caught:
        bare_transfer.transfer(made, dataclasses.replace(plan(made), disks=(DISK,)), Ports("192.0.2.2", 49152, 49153))
    assert caught.value.error_code == "MOVE_TIMEOUT"
    assert "stop" not in copies.asked


@pytest.mark.parametrize(
    ("journal", "state", "goes_on"),
    [
        (PAUSED, "paused", True),
        (PAUSED, "finish-migrate", True),
        (PAUSED, "running", False),
        (JOURNAL, "paused", False),
        (dataclasses.replace(PAUSED, stage="done"), "paused", False),
        (dataclasses.replace(PAUSED, state="paused"), "paused", False),
    ],
)
def test_only_a_pause_of_ours_ends_when_the_move_is_taken_back(
    tmp_path: pathlib.Path, journal: BareJournal, state: str, goes_on: bool
) -> None:
    guest = Guest(state=state, migration="cancelled")
    made = context(tmp_path, guest)
    made.journal = journal
    bare_undo.take_back(made, BareSighting("kvm1", found=True, pid=7, start="1", state=state))
    assert ("cont" in guest.asked) == goes_on
    kept = made.workspace.read_guest("key")
    assert kept is not None
    assert not kept.suspended, "a pause that somebody makes from now on is not ours"


@pytest.mark.parametrize(
    ("journal", "migration", "action"),
    [
        (PAUSED, "failed", table.UNDO),
        (PAUSED, "cancelled", table.UNDO),
        (PAUSED, "", table.UNDO),
        (PAUSED, "active", table.UNDO),
        (PAUSED, "completed", table.REFUSE),
        (dataclasses.replace(PAUSED, stage="verify"), "failed", table.REFUSE),
        (JOURNAL, "failed", table.REFUSE),
        (None, "failed", table.REFUSE),
    ],
)
def test_where_the_destination_is_away_a_pause_of_ours_ends_all_the_same(
    journal: BareJournal | None, migration: str, action: str
) -> None:
    paused = BareSighting("kvm1", found=True, pid=7, state="paused", migration=migration)
    away = BareSighting("kvm2", reachable=False, error="no route")
    found = table.decide("web", paused, away, journal)
    assert (found.action, found.code) == (action, "HOST_UNREACHABLE" if action == table.REFUSE else "")


def test_the_next_run_lets_it_go_on_although_nobody_hears_the_destination(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = Guest(state="paused", migration="failed")
    made = context(tmp_path, guest)
    made.workspace.write_guest(PAUSED)
    made.far = Unreachable("kvm2", KvmError("HOST_UNREACHABLE", "no route"))

    def look(_context: BareContext) -> BareSighting:
        return BareSighting("kvm1", found=True, pid=7, start="1", state=guest.state, migration=guest.migration)

    for room in (bare_run, bare_undo):
        monkeypatch.setattr(room, "look_here", look)
    with pytest.raises(KvmError) as caught:
        bare_run.run(made, check_mode=False)
    assert caught.value.error_code == "HOST_UNREACHABLE"
    assert guest.state == "running"


def test_a_move_to_another_host_knows_that_it_ran(tmp_path: pathlib.Path) -> None:
    made = context(tmp_path, Guest())
    source = BareSighting("kvm1", state="paused")
    for journal, state in ((PAUSED, "running"), (JOURNAL, "paused"), (None, "paused")):
        made.journal = None if journal is None else dataclasses.replace(journal, destination="root@kvm3")
        assert bare_survey._state(made, "paused") == state
        wanted = dataclasses.replace(plan(made), state=state)
        assert bare_record.opened(made, source, wanted, None).suspended == (state == "running")
