# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A move from its first look to its last record, with libvirt failing at every point: the undo, the journal, the error."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import CreatedImage, Journal, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move import transfer
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import DESTINATION, SOURCE, Context
from ansible_collections.virtops.kvm.plugins.module_utils._move.runner import run
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.fake import (
    ARRIVED,
    IMAGES,
    MEMORY,
    MIRROR,
    RUNNING,
    FakeGateway,
    U,
    context_for,
)

SILENT = Sighting("b", reachable=False, error="no route to host")
PAUSED = dataclasses.replace(RUNNING, state="paused", reason="migration")


def journal(context: Context) -> Journal:
    record = context.workspace.read_journal(U)
    assert record is not None
    return record


def fail(code: str = "LIBVIRT_OPERATION_FAILED") -> t.NoReturn:
    raise KvmError(code, "Moving failed: libvirt says: no.", libvirt_code=9)


def refused(context: Context) -> KvmError:
    with pytest.raises(KvmError) as caught:
        run(context, "192.0.2.2")
    return caught.value


def old_journal(stage: str, **more: t.Any) -> Journal:
    return Journal(
        "m", "web", U, "a", FakeGateway.destination_uri, "b", "live_block", stage, 1.0, 1.0, state="running", **more
    )


def test_the_main_road(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    context = context_for(gateway, tmp_path)
    report = run(context, "192.0.2.2")
    assert report.outcome == "moved"
    assert report.move.downtime_ms == 42
    # It begins when the call begins, so that the stages, which count the wait for a turn, fill what is between.
    assert report.move.started + report.move.seconds <= context.clock.now() + context.clock.offset + 0.01
    assert report.move.started <= journal(context).started
    assert gateway.params["migrate_disks"] == ["vda", "vdb"]
    assert "persistent_xml" in gateway.params
    assert gateway.images == {f"{IMAGES}/web.qcow2": ("qcow2", 96 << 20), f"{IMAGES}/web.raw": ("raw", 32 << 20)}
    order = [word.split()[0] for word in gateway.log]
    assert order.index("claim") < order.index("migrate") < order.index("autostart") < order.index("unclaim")
    record = journal(context)
    assert record.stage == "done"
    assert record.created_images == ()
    assert "geheim" not in json.dumps(dataclasses.asdict(record))
    shown = json.loads((tmp_path / "run/progress/p1.json").read_text(encoding="utf-8"))
    assert shown["finished"] is True


def test_check_mode_announces_the_same_changes_and_touches_nothing(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    announced = run(context_for(gateway, tmp_path), "192.0.2.2", check_mode=True)
    assert gateway.log == []
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "run").exists()
    assert "geheim" not in json.dumps(announced.diff)
    done = run(context_for(gateway, tmp_path), "192.0.2.2")
    assert [change.action for change in announced.changes] == ["move", "create", "create", "set"]
    assert done.changes == announced.changes


def test_findings_stop_it_before_anything_is_made(tmp_path: pathlib.Path) -> None:
    one = Finding("MEMORY_SHORT", BLOCKER, "b", "Too little memory.", remedy="Add some.")
    two = Finding("CORDONED", BLOCKER, "b", "Cordoned.")
    gateway = FakeGateway()
    assert refused(context_for(gateway, tmp_path, [one])).error_code == "MEMORY_SHORT"
    error = refused(context_for(gateway, tmp_path, [one, two]))
    assert error.error_code == "PREFLIGHT_FAILED"
    assert len(error.details["findings"]) == 2
    assert gateway.images == {}
    assert "migrate" not in gateway.log
    assert gateway.log.count("claim") == gateway.log.count("unclaim")


def test_an_image_of_somebody_else_is_neither_overwritten_nor_removed(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.images[f"{IMAGES}/web.raw"] = ("raw", 5)
    context = context_for(gateway, tmp_path)
    assert refused(context).error_code == "IMAGE_EXISTS"
    assert gateway.images == {f"{IMAGES}/web.raw": ("raw", 5)}
    assert journal(context).stage == "undone"


def test_a_stale_copy_of_an_earlier_move_is_replaced(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.images[f"{IMAGES}/web.raw"] = ("raw", 5)
    gateway.leftovers = {f"{IMAGES}/web.raw"}
    report = run(context_for(gateway, tmp_path), "192.0.2.2")
    assert [change.action for change in report.changes] == ["move", "create", "replace", "set"]
    assert gateway.images[f"{IMAGES}/web.raw"] == ("raw", 32 << 20)


def test_a_race_for_an_image_is_lost_cleanly(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.create_error = KvmError("IMAGE_EXISTS", "Somebody was quicker.")
    context = context_for(gateway, tmp_path)
    assert refused(context).error_code == "IMAGE_EXISTS"
    assert [word for word in gateway.log if word.startswith("remove")] == [f"remove {IMAGES}/web.qcow2"]


def test_no_space_while_preparing(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.create_error = KvmError("LIBVIRT_SYSTEM_ERROR", "No space left.")
    context = context_for(gateway, tmp_path)
    error = refused(context)
    assert error.error_code == "MOVE_FAILED"
    assert gateway.images == {}
    assert journal(context).stage == "undone"
    assert gateway.log[-1] == "unclaim"


@pytest.mark.parametrize("stats", [MIRROR, MEMORY])
def test_a_failed_transfer_is_undone(tmp_path: pathlib.Path, stats: dict[str, t.Any]) -> None:
    gateway = FakeGateway()
    gateway.stats = stats
    gateway.during = lambda unused: fail()
    context = context_for(gateway, tmp_path)
    error = refused(context)
    assert error.error_code == "MOVE_FAILED"
    assert error.details["domain_state"] == "running"
    assert sorted(error.details["removed"]) == [f"{IMAGES}/web.qcow2", f"{IMAGES}/web.raw"]
    assert gateway.images == {}
    record = journal(context)
    assert (record.stage, record.error_code, record.persistent_xml) == ("undone", "MOVE_FAILED", "")
    gateway.during = FakeGateway.arrive
    assert run(context_for(gateway, tmp_path), "192.0.2.2").outcome == "moved"


def test_a_full_destination_is_named_as_the_cause(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.full = True
    gateway.during = lambda unused: fail()
    error = refused(context_for(gateway, tmp_path))
    assert error.error_code == "DISK_SPACE_SHORT"
    assert f"no space left at {IMAGES}" in error.message


def test_a_job_that_somebody_aborted_is_called_so(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()

    def canceled(own: FakeGateway) -> None:
        raise KvmError(
            "LIBVIRT_OPERATION_FAILED", "operation aborted: migration out: canceled by client", libvirt_code=9
        )

    gateway.during = canceled
    assert refused(context_for(gateway, tmp_path)).error_code == "MOVE_ABORTED"


@pytest.mark.parametrize(
    ("said", "code", "remedy"),
    [
        ("'object-add': Unable to access credentials /etc/pki/qemu/ca-cert.pem", "TLS_UNAVAILABLE", "'tls' out"),
        (
            "'migrate-set-capabilities': Postcopy is not supported: Userfaultfd",
            "OPTION_UNSUPPORTED",
            "/dev/userfaultfd",
        ),
    ],
)
def test_what_qemu_lacks_is_told_with_its_remedy(tmp_path: pathlib.Path, said: str, code: str, remedy: str) -> None:
    gateway = FakeGateway()

    def lacking(own: FakeGateway) -> None:
        raise KvmError("LIBVIRT_ERROR", f"Moving failed: libvirt says: {said}.", libvirt_code=1)

    gateway.during = lacking
    error = refused(context_for(gateway, tmp_path))
    assert error.error_code == code
    assert remedy in error.message
    assert said in error.message
    assert gateway.images == {}


def test_source_left_paused_is_resumed_when_the_destination_is_proven_empty(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()

    def half(own: FakeGateway) -> None:
        own.seen[SOURCE] = PAUSED
        fail()

    gateway.during = half
    assert refused(context_for(gateway, tmp_path)).error_code == "MOVE_FAILED"
    assert "resume source" in gateway.log
    assert gateway.images == {}


@pytest.mark.parametrize("left", [PAUSED, RUNNING, Sighting("a")])
def test_nothing_is_touched_when_the_destination_is_silent_after_the_switch(
    tmp_path: pathlib.Path, left: Sighting
) -> None:
    gateway = FakeGateway()
    gateway.stats = MEMORY

    def lost(own: FakeGateway) -> None:
        transfer_was_seen(own)
        own.seen = {SOURCE: left, DESTINATION: SILENT}
        fail()

    context = context_for(gateway, tmp_path)

    def transfer_was_seen(own: FakeGateway) -> None:
        limit = 500
        while journal(context).stage != "switch" and limit:
            limit -= 1
            wait(0.02)

    gateway.during = lost
    error = refused(context)
    assert error.error_code == "OWNERSHIP_UNPROVEN"
    assert len(gateway.images) == 2
    assert not [
        word for word in gateway.log if word.startswith(("resume", "remove", "destroy", "undefine", "autostart"))
    ]
    assert journal(context).stage == "switch"
    gateway.seen[DESTINATION] = Sighting("b")
    gateway.seen[SOURCE] = RUNNING
    gateway.during, gateway.stats = FakeGateway.arrive, {}
    assert run(context_for(gateway, tmp_path), "192.0.2.2").outcome == "moved"


def wait(seconds: float) -> None:
    import time

    time.sleep(seconds)


def test_two_running_copies_are_an_alarm(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.seen[DESTINATION] = ARRIVED
    error = refused(context_for(gateway, tmp_path))
    assert error.error_code == "TWO_RUNNING_COPIES"
    assert gateway.log == []


def test_one_host_seen_twice_is_no_alarm(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.seen[DESTINATION] = ARRIVED
    gateway.host_uuid = "5d5d5f1e-0000-4000-8000-000000000001"
    error = refused(context_for(gateway, tmp_path))
    assert error.error_code == "SAME_HOST"
    assert gateway.host_uuid in error.message
    assert gateway.log == []


def test_success_counts_even_when_libvirt_reports_an_error(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()

    def confirm_failed(own: FakeGateway) -> None:
        own.seen = {SOURCE: PAUSED, DESTINATION: ARRIVED}
        fail()

    gateway.during = confirm_failed
    report = run(context_for(gateway, tmp_path), "192.0.2.2")
    assert report.outcome == "moved"
    assert gateway.log.index("destroy half") < gateway.log.index("undefine")
    assert report.warnings


def test_guest_that_died_is_said_so(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()

    def died(own: FakeGateway) -> None:
        own.seen[SOURCE] = dataclasses.replace(RUNNING, state="shutoff", reason="crashed")
        fail()

    gateway.during = died
    error = refused(context_for(gateway, tmp_path))
    assert error.error_code == "GUEST_DIED"
    assert gateway.images == {}


def test_abort_on_request(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.stats = MIRROR
    context = context_for(gateway, tmp_path)
    ended = []

    def until_aborted(own: FakeGateway) -> None:
        (tmp_path / "run/progress/p1.abort").touch()
        while not ended:
            wait(0.01)
        fail("MOVE_ABORTED")

    gateway.during = until_aborted
    gateway.on_abort = lambda: ended.append(True)
    error = refused(context)
    assert error.error_code == "MOVE_ABORTED"
    assert gateway.images == {}
    assert not (tmp_path / "run/progress/p1.abort").exists()


def test_a_move_that_needs_its_controller_ends_when_nothing_is_heard_of_it(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.stats = MIRROR
    context = context_for(gateway, tmp_path)
    context.workspace.expect_controller("p1")
    ended = []

    def until_aborted(own: FakeGateway) -> None:
        (tmp_path / "run/progress/p1.alive").write_text("-1000.0 0.0\n", encoding="utf-8")
        while not ended:
            wait(0.01)
        fail("MOVE_ABORTED")

    gateway.during = until_aborted
    gateway.on_abort = lambda: ended.append(True)
    error = refused(context)
    assert error.error_code == "MOVE_ABORTED"
    assert "nothing was heard of the controller" in error.message
    assert gateway.images == {}
    assert not (tmp_path / "run/progress/p1.alive").exists()


def test_timeout_aborts_and_a_call_that_never_returns_is_said_so(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = FakeGateway()
    gateway.stats = MIRROR
    ended: list[bool] = []

    def until_aborted(own: FakeGateway) -> None:
        while not ended:
            wait(0.01)
        fail("MOVE_ABORTED")

    gateway.during = until_aborted
    gateway.on_abort = lambda: ended.append(True)
    assert refused(context_for(gateway, tmp_path, timeout=0.05)).error_code == "MOVE_TIMEOUT"
    assert gateway.images == {}

    ended.clear()
    gateway.on_abort = lambda: None
    monkeypatch.setattr(transfer, "ABORT_GRACE", 0.1)
    context = context_for(gateway, tmp_path, timeout=0.05)
    error = refused(context)
    assert error.error_code == "MOVE_ABORTING_UNKNOWN"
    assert len(gateway.images) == 2
    assert journal(context).error_code == "MOVE_ABORTING_UNKNOWN"
    ended.append(True)


def test_already_there_changes_nothing(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.arrive()
    report = run(context_for(gateway, tmp_path), "192.0.2.2")
    assert (report.outcome, report.changes) == ("already_there", ())
    assert gateway.log == []


def test_a_killed_move_is_finished_by_the_next_run(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.arrive()
    context = context_for(gateway, tmp_path)
    context.workspace.write_journal(old_journal("switch", autostart=True, source_disks=(f"{IMAGES}/web.raw",)))
    report = run(context, "192.0.2.2")
    assert report.outcome == "already_there"
    assert [change.object for change in report.changes] == ["autostart b:web"]
    assert "autostart destination True" in gateway.log
    assert journal(context).stage == "done"
    assert run(context_for(gateway, tmp_path), "192.0.2.2").changes == ()


def test_a_running_migration_is_followed(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.seen[SOURCE] = dataclasses.replace(RUNNING, job="migration_out")
    context = context_for(gateway, tmp_path)
    context.workspace.write_journal(old_journal("transfer", autostart=True))
    looks: list[int] = []

    def stats(uuid: str) -> dict[str, t.Any]:
        looks.append(1)
        if len(looks) == 3:
            gateway.arrive()
        return MIRROR

    gateway.job_stats = stats  # type: ignore[method-assign]
    report = run(context, "192.0.2.2")
    assert report.outcome == "attached"
    assert "migrate" not in gateway.log
    assert "autostart destination True" in gateway.log
    assert report.changes


def test_what_an_interrupted_attempt_left_is_cleared_first(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    left = CreatedImage(f"{IMAGES}/old.qcow2", IMAGES, "qcow2", 5)
    gateway.images[left.path] = ("qcow2", 5)
    context = context_for(gateway, tmp_path)
    context.workspace.write_journal(old_journal("prepare", created_images=(left,)))
    assert run(context, "192.0.2.2").outcome == "moved"
    assert left.path not in gateway.images


def test_what_cannot_be_removed_stays_in_the_journal(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.during = lambda unused: fail()
    gateway.remove_error = KvmError("LIBVIRT_ERROR", "busy.")
    context = context_for(gateway, tmp_path)
    error = refused(context)
    assert len(error.details["left"]) == 2
    assert journal(context).stage == "undo"
    assert len(journal(context).created_images) == 2


def test_nobody_has_it(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.seen = {SOURCE: Sighting("a"), DESTINATION: Sighting("b")}
    assert refused(context_for(gateway, tmp_path)).error_code == "DOMAIN_NOT_FOUND"


def test_it_waits_for_its_place_and_can_be_aborted_there(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.ahead = [2, 2, 1]
    assert run(context_for(gateway, tmp_path), "192.0.2.2").outcome == "moved"
    gateway = FakeGateway()
    gateway.ahead = [5] * 1000
    context = context_for(gateway, tmp_path)
    context.stop.ask("by SIGTERM")
    assert refused(context).error_code == "MOVE_ABORTED"
    assert gateway.log == ["claim", "unclaim"]


def test_moves_to_a_port_come_one_after_the_other(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.stats = MEMORY
    gateway.ahead = [1, 1]
    context = context_for(gateway, tmp_path, source_slots=1, migration_port=49300)
    (slot,) = context.workspace.slots(1)
    seen: list[bool] = []

    def look(own: FakeGateway) -> None:
        for _unused in range(60):
            seen.append(slot.try_acquire())
            wait(0.01)
        own.arrive()

    gateway.during = look
    assert run(context, "192.0.2.2").outcome == "moved"
    assert gateway.params["migrate_uri"] == "tcp://192.0.2.2:49300"
    assert not gateway.ahead
    assert not any(seen)


@pytest.mark.parametrize("crowded", [False, True])
def test_a_move_that_ends_gives_way_unless_too_many_end(tmp_path: pathlib.Path, crowded: bool) -> None:
    gateway = FakeGateway()
    gateway.stats = MEMORY
    context = context_for(gateway, tmp_path, source_slots=1)
    (slot,), (ending,) = context.workspace.slots(1), context.workspace.slots(1, ending=True)
    if crowded:
        assert ending.try_acquire()
    seen: list[bool] = []

    def until_it_was_looked_at(own: FakeGateway) -> None:
        for _unused in range(60 if crowded else 3000):
            seen.append(slot.try_acquire())
            if seen[-1]:
                break
            wait(0.01)
        own.arrive()

    gateway.during = until_it_was_looked_at
    assert run(context, "192.0.2.2").outcome == "moved"
    assert seen[0] is False
    assert seen[-1] is not crowded
    assert gateway.log.count("unclaim") >= 1
    slot.release()
    assert slot.try_acquire()
    assert ending.try_acquire() is not crowded


def test_a_suspended_guest_runs_again_on_the_destination(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.stats = MEMORY
    context = context_for(gateway, tmp_path, timeout=0.05, timeout_action="suspend")

    def until_suspended(own: FakeGateway) -> None:
        while "suspend" not in own.log:
            wait(0.01)
        own.arrive()
        own.seen[DESTINATION] = dataclasses.replace(ARRIVED, state="paused", reason="user")

    gateway.during = until_suspended
    report = run(context, "192.0.2.2")
    assert "resume destination" in gateway.log
    assert report.warnings


def test_a_definition_that_arrived_otherwise_is_told(tmp_path: pathlib.Path) -> None:
    gateway = FakeGateway()
    gateway.arrived_xml = gateway.arrived_xml.replace("131072", "262144")
    report = run(context_for(gateway, tmp_path), "192.0.2.2")
    assert any("differs" in warning for warning in report.warnings)
