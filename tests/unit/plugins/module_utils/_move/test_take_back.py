# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""To settle a move is to finish it or to take it back, and never to begin one."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import CreatedImage, Journal
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_run
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BareOptions
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import DESTINATION, SOURCE, Context
from ansible_collections.virtops.kvm.plugins.module_utils._move.outcome import Report
from ansible_collections.virtops.kvm.plugins.module_utils._move.runner import run
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping

from .bare_fake import FakeFar, running
from .cold_fake import ColdFake, FakeCarrier, Killed, cold_context
from .fake import ARRIVED, IMAGES, MIRROR, RUNNING, FakeClock, FakeGateway, U, context_for
from .repair_sample import RECORD

IMAGE = f"{IMAGES}/web.qcow2"


def interrupted(folder: pathlib.Path, stage: str = "transfer") -> tuple[FakeGateway, Context]:
    """A move that was killed in this stage, and who settles it."""
    gateway = FakeGateway()
    gateway.images[IMAGE] = ("qcow2", 1)
    context = context_for(gateway, folder)
    context.settle_only = True
    made = () if stage in ("done", "undone") else (CreatedImage(IMAGE, IMAGES, "qcow2", 1),)
    context.workspace.write_journal(
        Journal("m", "web", U, "a", gateway.destination_uri, "b", "live_block", stage, 1.0, 1.0, made, state="running")
    )
    return gateway, context


def settle(context: Context, *, check_mode: bool = False) -> Report:
    return run(dataclasses.replace(context, journal=None, warnings=[]), "192.0.2.2", check_mode=check_mode)


def stage_of(context: Context) -> str:
    journal = context.workspace.read_journal(U)
    return journal.stage if journal is not None else ""


def test_what_the_move_made_goes_and_no_move_begins(tmp_path: pathlib.Path) -> None:
    gateway, context = interrupted(tmp_path)
    told = settle(context, check_mode=True)
    assert (told.outcome, gateway.images, stage_of(context)) == ("undone", {IMAGE: ("qcow2", 1)}, "transfer")
    report = settle(context)
    assert report.changes == told.changes
    assert [change.action for change in report.changes] == ["remove", "undo"]
    assert (gateway.images, stage_of(context), gateway.seen[SOURCE]) == ({}, "undone", RUNNING)
    again = settle(context)
    assert (again.outcome, again.changes) == ("undone", ())
    assert "migrate" not in gateway.log
    assert "claim" not in gateway.log


def test_a_source_that_the_migration_paused_runs_again(tmp_path: pathlib.Path) -> None:
    gateway, context = interrupted(tmp_path)
    gateway.seen[SOURCE] = dataclasses.replace(RUNNING, state="paused", reason="migration")
    assert [change.action for change in settle(context).changes] == ["remove", "undo", "resume"]
    assert gateway.seen[SOURCE].state == "running"


def test_what_cannot_be_removed_is_told_and_kept_for_the_next_run(tmp_path: pathlib.Path) -> None:
    gateway, context = interrupted(tmp_path)
    gateway.remove_error = KvmError("X", "read-only")
    with pytest.raises(KvmError) as caught:
        settle(context)
    assert (caught.value.error_code, caught.value.details["left"]) == ("UNDO_INCOMPLETE", [IMAGE])
    gateway.remove_error = None
    assert settle(context).changes
    assert gateway.images == {}


def test_a_move_that_arrived_is_finished(tmp_path: pathlib.Path) -> None:
    gateway, context = interrupted(tmp_path, "switch")
    gateway.seen = {
        SOURCE: dataclasses.replace(RUNNING, state="shutoff", reason="migrated"),
        DESTINATION: ARRIVED,
    }
    assert settle(context).outcome == "already_there"
    assert "undefine" in gateway.log
    assert (stage_of(context), gateway.images) == ("done", {IMAGE: ("qcow2", 1)})
    assert settle(context).changes == ()


@pytest.mark.parametrize("arrives", [True, False])
def test_a_migration_that_nobody_drives_is_followed_to_its_end(tmp_path: pathlib.Path, *, arrives: bool) -> None:
    gateway, context = interrupted(tmp_path)
    gateway.seen[SOURCE] = dataclasses.replace(RUNNING, job="migration_out")
    looks: list[str] = []
    real = gateway.job_stats

    def stats(uuid: str) -> dict[str, int]:
        looks.append(uuid)
        if len(looks) == 3:
            gateway.seen[SOURCE] = RUNNING
            if arrives:
                gateway.arrive()
        return {**real(uuid), **MIRROR}

    gateway.job_stats = stats  # type: ignore[method-assign]
    report = settle(context)
    assert report.outcome == ("attached" if arrives else "undone")
    assert report.changes
    assert stage_of(context) == ("done" if arrives else "undone")
    assert "migrate" not in gateway.log


def test_two_running_copies_are_left(tmp_path: pathlib.Path) -> None:
    gateway, context = interrupted(tmp_path, "switch")
    gateway.seen[DESTINATION] = dataclasses.replace(ARRIVED, reason="booted")
    with pytest.raises(KvmError) as caught:
        settle(context)
    assert caught.value.error_code == "TWO_RUNNING_COPIES"
    assert gateway.log == []


def test_a_journal_that_has_nothing_more_to_say_is_closed(tmp_path: pathlib.Path) -> None:
    gateway, context = interrupted(tmp_path, "claim")
    gateway.seen = {SOURCE: dataclasses.replace(RUNNING, state="shutoff", reason="shutdown"), DESTINATION: ARRIVED}
    assert [change.action for change in settle(context).changes] == ["close"]
    assert (stage_of(context), settle(context).changes) == ("done", ())
    assert gateway.seen[SOURCE].found


# -- moves that stop the guest -------------------------------------------------------------------------------------------


def test_a_stopped_move_is_taken_back_and_the_guest_runs_again(tmp_path: pathlib.Path) -> None:
    gateway, carrier = ColdFake(tmp_path), FakeCarrier()
    gateway.seen[SOURCE] = RUNNING
    carrier.fail["copy"] = Killed()
    with pytest.raises(Killed):
        run(cold_context(gateway, carrier, tmp_path), "")
    assert not gateway.seen[SOURCE].active
    carrier.fail.clear()
    context = cold_context(gateway, carrier, tmp_path)
    context.settle_only = True
    report = settle(context)
    assert report.outcome == "undone"
    assert report.changes[-1].action == "start"
    assert gateway.seen[SOURCE].state == "running"
    assert not gateway.seen[DESTINATION].found
    assert stage_of(context) == "undone"
    assert settle(context).changes == ()


def test_a_stopped_move_in_its_switch_is_finished(tmp_path: pathlib.Path) -> None:
    gateway, carrier = ColdFake(tmp_path), FakeCarrier()
    gateway.seen[SOURCE] = RUNNING
    gateway.fail["start destination"] = Killed()
    with pytest.raises(Killed):
        run(cold_context(gateway, carrier, tmp_path), "")
    gateway.fail.clear()
    context = cold_context(gateway, carrier, tmp_path)
    context.settle_only = True
    assert settle(context).changes
    assert gateway.seen[DESTINATION].state == "running"
    assert not gateway.seen[SOURCE].active
    assert stage_of(context) == "done"


def test_started_here_after_the_switch_leaves_what_is_there_to_a_person(tmp_path: pathlib.Path) -> None:
    gateway, carrier = ColdFake(tmp_path), FakeCarrier()
    gateway.seen[SOURCE] = RUNNING
    gateway.fail["forget source"] = Killed()
    with pytest.raises(Killed):
        run(cold_context(gateway, carrier, tmp_path), "")
    gateway.fail.clear()
    before = dict(carrier.files)
    gateway.seen[DESTINATION] = dataclasses.replace(gateway.seen[DESTINATION], state="shutoff", reason="shutdown")
    gateway.seen[SOURCE] = dataclasses.replace(gateway.seen[SOURCE], state="running", reason="booted")
    context = cold_context(gateway, carrier, tmp_path)
    context.settle_only = True
    report = settle(context)
    assert "was not touched" in report.warnings[0]
    assert carrier.files == before
    assert gateway.seen[SOURCE].state == "running"


# -- guest processes -----------------------------------------------------------------------------------------------------


class WaitingFar(FakeFar):
    """A destination whose half waits until it is undone."""

    def __init__(self, *, waits: bool) -> None:
        self.calls: list[str] = []
        self._waits = waits

    def look(self, key: str, name: str, uuid: str) -> tuple[BareSighting, None]:
        found = self._waits and "undo" not in self.calls
        return BareSighting(self.host, found=found, pid=9, state="inmigrate", ours=True), None

    def call(self, verb: str, **unused: object) -> object:
        self.calls.append(verb)
        return [] if verb == "undo" else True


@pytest.mark.parametrize("method", ["live_block", "offline"])
@pytest.mark.parametrize("check_mode", [True, False])
def test_a_guest_move_is_taken_back_and_none_begins(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, *, check_mode: bool, method: str
) -> None:
    far, workspace = WaitingFar(waits=method == "live_block"), Workspace(str(tmp_path / "state"), str(tmp_path / "run"))
    # For an offline move the guest has shut itself down, and its process stayed.
    here = running() if method == "live_block" else dataclasses.replace(running(), state="shutdown")
    monkeypatch.setattr(bare_run, "look_here", lambda context: here)
    monkeypatch.setattr(bare_run, "calm", lambda context: None)
    monkeypatch.setattr(bare_run, "take_back", lambda context, source: (far.call("kill"), far.call("undo"))[1])
    record = dataclasses.replace(RECORD, key="key", name="web", destination="root@kvm2", method=method)
    workspace.write_guest(dataclasses.replace(record, stopped=method == "offline"))
    context = BareContext(
        "web",
        "key",
        "root@kvm2",
        "kvm1",
        far,
        workspace,
        FakeClock(),
        BareOptions(),
        GuestMapping(),
        Stop(),
        0.0,
        settle_only=True,
    )
    report = bare_run.run(context, check_mode=check_mode)
    assert (report.outcome, [change.action for change in report.changes]) == ("undone", ["undo"])
    assert far.calls == ([] if check_mode else ["claim", "kill", "undo"])
