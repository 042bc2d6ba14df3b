# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves with a stopped guest against a libvirt and a carrier that fail anywhere: home again, or there; never both, never neither."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Piece, Sighting, SnapshotRecord
from ansible_collections.virtops.kvm.plugins.module_utils._move.cold_seed import MOST_PASSES, enough
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import DESTINATION, SOURCE
from ansible_collections.virtops.kvm.plugins.module_utils._move.runner import run

from .._disk.qcow2_sample import at, sample
from .cold_fake import OFF, ColdFake, FakeCarrier, Killed, cold_context
from .fake import MIB, RUNNING, FakeClaim, U

AUTOSTARTED = dataclasses.replace(RUNNING, autostart=True)


@pytest.fixture
def gateway(tmp_path: pathlib.Path) -> ColdFake:
    made = ColdFake(tmp_path)
    made.seen[SOURCE] = AUTOSTARTED
    return made


@pytest.fixture
def carrier() -> FakeCarrier:
    return FakeCarrier()


def journal(folder: pathlib.Path) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads((folder / "state" / "moves" / f"{U}.json").read_text()))


def home(gateway: ColdFake, state: str = "running") -> None:
    assert gateway.seen[SOURCE].state == state
    assert gateway.seen[SOURCE].autostart
    assert not gateway.seen[DESTINATION].found


def there(gateway: ColdFake, state: str = "running") -> None:
    assert not gateway.seen[SOURCE].found
    assert gateway.seen[DESTINATION].state == state
    assert gateway.seen[DESTINATION].autostart


def finals(carrier: FakeCarrier) -> list[str]:
    return [path for path in carrier.files if ".moving" not in path]


def test_offline_in_order(gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path) -> None:
    gateway.records = (SnapshotRecord("<domainsnapshot><name>s</name></domainsnapshot>", True),)
    report = run(cold_context(gateway, carrier, tmp_path), "")
    there(gateway)
    steps = [step for step in gateway.log if step not in ("claim", "unclaim")]
    assert steps[:2] == ["autostart source False", "shutdown"]
    assert steps.index("define") < steps.index("snapshot current") < steps.index("start destination")
    assert steps.index("start destination") < steps.index("forget source")
    assert carrier.log[:2] == ["copy disk", "copy disk"]
    assert sorted(finals(carrier)) == [f"{tmp_path}/web.qcow2", f"{tmp_path}/web.raw"]
    assert report.move.stopped_seconds is not None
    assert report.move.sent_bytes == 20
    assert [proof.disk for proof in report.move.proofs] == ["vda", "vdb"]
    assert journal(tmp_path)["stage"] == "done"
    assert journal(tmp_path)["persistent_xml"] == ""


def test_a_second_run_changes_nothing(gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path) -> None:
    run(cold_context(gateway, carrier, tmp_path), "")
    again = run(cold_context(gateway, carrier, tmp_path), "")
    assert again.outcome == "already_there"
    assert again.changes == ()


def test_check_mode_announces_what_then_happens(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    announced = run(cold_context(gateway, carrier, tmp_path, source_disks="rename"), "", check_mode=True)
    assert gateway.log == []
    assert carrier.log == []
    assert not (tmp_path / "state").exists()
    assert [file["path"] for file in announced.files] == [f"{tmp_path}/web.qcow2", f"{tmp_path}/web.raw"]
    done = run(cold_context(gateway, carrier, tmp_path, source_disks="rename"), "")
    assert done.changes == announced.changes
    assert (tmp_path / "web.raw.migrated").exists()


def test_shut_off_stays_shut_off(gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path) -> None:
    gateway.seen[SOURCE] = dataclasses.replace(OFF, autostart=True)
    report = run(cold_context(gateway, carrier, tmp_path), "")
    there(gateway, "shutoff")
    assert not any(step.startswith(("start", "shutdown")) for step in gateway.log)
    assert report.move.stopped_seconds is None


def test_suspended(gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path) -> None:
    report = run(cold_context(gateway, carrier, tmp_path, method="suspended"), "")
    there(gateway)
    assert "shutdown" not in gateway.log
    assert gateway.log.index("save") < gateway.log.index("restore")
    assert report.move.memory_bytes == 10
    assert not any("moving" in path for path in carrier.files), "saved memory is secret"


def test_saved_memory_travels_and_stays_saved(gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path) -> None:
    gateway.save(U)
    gateway.seen[SOURCE] = dataclasses.replace(OFF, autostart=True, reason="saved")
    run(cold_context(gateway, carrier, tmp_path), "")
    assert gateway.log.index("restore") < gateway.log.index("keep")
    there(gateway, "shutoff")


def test_seeded_passes_until_little_is_sent(gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path) -> None:
    run(cold_context(gateway, carrier, tmp_path, method="seeded"), "")
    there(gateway)
    assert carrier.log.count("seed vda") == 2
    assert carrier.log.index("copy disk") > max(i for i, step in enumerate(carrier.log) if step.startswith("seed"))


def test_seeded_proves_again_what_changed(gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path) -> None:
    context = cold_context(gateway, carrier, tmp_path, method="seeded")
    (tmp_path / "web.qcow2").write_bytes(sample({number: at(8 + number) for number in range(32)}, [], name=b"theirs"))
    os.utime(tmp_path / "web.raw", (1, 1))
    tracked: list[str] = []

    def written(piece: Piece) -> None:
        tracked.append(gateway.tracking)

    carrier.during = written
    announced = run(context, "", check_mode=True)
    assert [file["delta"] for file in announced.files] == ["bitmap", "hashes"]
    report = run(cold_context(gateway, carrier, tmp_path, method="seeded"), "")
    # No bitmap of ours was left in the image of vda, and vdb has an old time.
    assert [file["delta"] for file in report.files] == ["hashes", "time"]
    assert any("hashes of the whole disk" in text for text in report.move.warnings)
    assert carrier.known["vda"] is None
    assert gateway.log.count("track vda") == 2
    assert gateway.log.index("shutdown") < len(gateway.log) - gateway.log[::-1].index("untrack") - 1
    assert tracked == ["", ""]
    known = carrier.known["vdb"]
    assert known is not None
    assert known.blocks == {0: b"digest"}


@pytest.mark.parametrize("step", ["seed", "copy", "shutdown"])
def test_nothing_notes_what_is_written_after_a_failure(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path, step: str
) -> None:
    context = cold_context(gateway, carrier, tmp_path, method="seeded")
    (tmp_path / "web.qcow2").write_bytes(sample({}, [], name=b"theirs"))
    (gateway if step == "shutdown" else carrier).fail[step] = KvmError("CONNECTION_LOST", "no route.")
    with pytest.raises(KvmError):
        run(context, "")
    assert "track vda" in gateway.log
    assert gateway.tracking == ""
    home(gateway)


def test_what_a_killed_run_left_goes_with_the_next(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    context = cold_context(gateway, carrier, tmp_path, method="seeded")
    (tmp_path / "web.qcow2").write_bytes(sample({}, [], name=b"theirs"))
    carrier.fail["seed"] = Killed()
    with pytest.raises(Killed):
        run(context, "")
    assert gateway.tracking.startswith("virtops-seed-")
    document = journal(tmp_path)
    assert document["stage"] == "prepare"
    elsewhere = {**document, "destination_uri": "qemu+ssh://c/system"}
    (tmp_path / "state" / "moves" / f"{U}.json").write_text(json.dumps(elsewhere))
    run(cold_context(gateway, carrier, tmp_path, method="offline"), "")
    assert gateway.tracking == ""
    there(gateway)


def test_a_domain_without_checkpoints_is_seeded_by_hashes(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    context = cold_context(gateway, carrier, tmp_path, method="seeded")
    (tmp_path / "web.qcow2").write_bytes(sample({}, [], name=b"theirs"))
    gateway.fail["track"] = KvmError("LIBVIRT_84", "cannot create checkpoint while snapshot exists.")
    report = run(context, "")
    assert next(file["delta"] for file in report.files) == "hashes"
    assert any("while snapshot exists" in text for text in report.move.warnings)
    there(gateway)


def test_another_definition_after_the_stop_is_another_domain(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    """Such as after an external snapshot: the copies are of disks that the domain does not write to any more."""
    first, documents = gateway.xml, []

    def definition(side: str, name: str, *, saved: bool) -> str:
        documents.append(side)
        return first if "shutdown" not in gateway.log else first.replace("web.raw", "web.raw.snapshot")

    gateway.definition = definition  # type: ignore[method-assign]
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path, method="seeded"), "")
    assert caught.value.error_code == "DEFINITION_CHANGED"
    assert "web.raw.snapshot" in caught.value.message
    assert documents
    home(gateway)


@pytest.mark.parametrize(
    ("sent", "before", "wanted"),
    [
        (MIB, None, True),
        (100 * MIB, None, False),
        (100 * MIB, 200 * MIB, False),
        (190 * MIB, 200 * MIB, True),
        (0, 0, True),
    ],
)
def test_enough(sent: int, before: int | None, wanted: bool) -> None:
    assert enough(sent, before) is wanted
    assert MOST_PASSES > 1


FAILURES = ["shutdown", "copy", "adopt", "define", "start destination"]


@pytest.mark.parametrize("where", FAILURES)
def test_a_failure_before_it_runs_there_brings_it_home_and_the_next_run_succeeds(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path, where: str
) -> None:
    broken = carrier if where in ("copy", "adopt") else gateway
    broken.fail[where] = KvmError("BROKEN", "it broke.")
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path), "")
    assert caught.value.error_code == "BROKEN"
    home(gateway)
    assert finals(carrier) == []
    assert journal(tmp_path)["stage"] == "undone"
    assert journal(tmp_path)["persistent_xml"] == ""
    run(cold_context(gateway, carrier, tmp_path), "")
    there(gateway)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), AttributeError("no attribute 'close'")])
def test_even_a_mistake_of_ours_brings_it_home(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path, error: Exception
) -> None:
    carrier.fail["copy"] = error
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path), "")
    assert caught.value.error_code == "MOVE_FAILED"
    home(gateway)


@pytest.mark.parametrize("where", ["save", "copy", "define", "restore"])
def test_a_failed_suspended_move_continues_at_home(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path, where: str
) -> None:
    (carrier if where == "copy" else gateway).fail[where] = KvmError("BROKEN", "it broke.")
    with pytest.raises(KvmError):
        run(cold_context(gateway, carrier, tmp_path, method="suspended"), "")
    home(gateway)
    assert finals(carrier) == []
    (tmp_path / "web.save").unlink(missing_ok=True)
    run(cold_context(gateway, carrier, tmp_path, method="suspended"), "")
    there(gateway)


@pytest.mark.parametrize("where", [*FAILURES, "forget source", "autostart destination True"])
def test_after_sigkill_a_re_run_ends_with_it_running_there(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path, where: str
) -> None:
    (carrier if where in ("copy", "adopt") else gateway).fail[where] = Killed()
    with pytest.raises(Killed):
        run(cold_context(gateway, carrier, tmp_path), "")
    report = run(cold_context(gateway, carrier, tmp_path), "")
    there(gateway)
    assert report.outcome in ("moved", "already_there")
    assert report.changes
    assert journal(tmp_path)["stage"] == "done"
    assert sorted(finals(carrier)) == [f"{tmp_path}/web.qcow2", f"{tmp_path}/web.raw"]


def test_a_re_run_after_sigkill_that_may_not_move_starts_it_at_home(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    carrier.fail["copy"] = Killed()
    with pytest.raises(Killed):
        run(cold_context(gateway, carrier, tmp_path), "")
    assert not gateway.seen[SOURCE].active
    carrier.free = 0
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path), "")
    assert caught.value.error_code == "DISK_SPACE_SHORT"
    home(gateway)


def test_a_silent_destination_before_the_switch_lets_it_go_on_at_home(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    carrier.fail["copy"] = Killed()
    with pytest.raises(Killed):
        run(cold_context(gateway, carrier, tmp_path), "")
    gateway.seen[DESTINATION] = Sighting("b", reachable=False, error="no route")
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path), "")
    assert caught.value.error_code == "HOST_UNREACHABLE"
    assert gateway.seen[SOURCE].active


def test_a_destination_that_goes_silent_in_the_switch_forbids_a_start_at_home(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    gateway.lost_in_start = True
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path), "")
    assert caught.value.error_code == "OWNERSHIP_UNPROVEN"
    assert not gateway.seen[SOURCE].active
    with pytest.raises(KvmError) as again:
        run(cold_context(gateway, carrier, tmp_path), "")
    assert again.value.error_code == "OWNERSHIP_UNPROVEN"
    assert not gateway.seen[SOURCE].active


def test_a_destination_that_goes_silent_after_the_start_is_not_called_empty(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    gateway.lost_after_start = True
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path), "")
    assert caught.value.error_code == "OWNERSHIP_UNPROVEN"
    assert "no route" in caught.value.message
    assert not gateway.seen[SOURCE].active
    assert gateway.seen[SOURCE].found


def test_the_other_side_knows_which_place_to_give_back(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    run(cold_context(gateway, carrier, tmp_path), "")
    assert carrier.place == FakeClaim.place


def test_a_start_on_the_source_meanwhile_ends_the_move(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    def started(piece: Piece) -> None:
        gateway.seen[SOURCE] = dataclasses.replace(gateway.seen[SOURCE], state="running", reason="booted")

    carrier.during = started
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path), "")
    assert caught.value.error_code == "DOMAIN_STARTED"
    home(gateway)
    assert "start source" not in gateway.log


def test_a_write_to_an_image_meanwhile_ends_the_move(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    carrier.during = lambda piece: t.cast(None, (tmp_path / "web.raw").write_bytes(b"something else"))
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path), "")
    assert caught.value.error_code == "SOURCE_CHANGED"
    home(gateway)


def test_a_guest_that_does_not_shut_down_is_left_running(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    gateway.shuts_down = False
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path, shutdown_timeout=60), "")
    assert caught.value.error_code == "SHUTDOWN_TIMEOUT"
    home(gateway)
    assert gateway.log.count("shutdown") > 1
    assert "destroy" not in gateway.log
    run(cold_context(gateway, carrier, tmp_path, shutdown_timeout=60, shutdown_action="destroy"), "")
    there(gateway)


def test_an_abort_brings_it_home(gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path) -> None:
    context = cold_context(gateway, carrier, tmp_path)
    carrier.during = lambda piece: context.stop.ask("by SIGINT")
    with pytest.raises(KvmError) as caught:
        run(context, "")
    assert caught.value.error_code == "MOVE_ABORTED"
    home(gateway)


@pytest.mark.parametrize("during", ["copy", "shutdown"])
def test_a_controller_that_is_not_heard_of_any_more_brings_it_home(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path, during: str
) -> None:
    context = cold_context(gateway, carrier, tmp_path)
    context.workspace.expect_controller("p1")
    long_ago = tmp_path / "run/progress/p1.alive"
    if during == "copy":
        carrier.during = lambda piece: long_ago.write_text("-1000.0 0.0\n", encoding="utf-8")
    else:
        long_ago.write_text("-1000.0 0.0\n", encoding="utf-8")
    with pytest.raises(KvmError, match="nothing was heard of the controller") as caught:
        run(context, "")
    assert caught.value.error_code == "MOVE_ABORTED"
    home(gateway)
    assert not long_ago.exists()


def test_the_journal_tells_how_files_went_so_that_others_can_go_on(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    run(cold_context(gateway, carrier, tmp_path, transfer_host="root@there"), "")
    assert journal(tmp_path)["transfer_host"] == "root@there"


def test_an_image_in_the_way_is_told_before_the_stop(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    carrier.files[f"{tmp_path}/web.raw"] = b"somebody's"
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path), "")
    assert caught.value.error_code == "IMAGE_EXISTS"
    home(gateway)
    assert "shutdown" not in gateway.log
    assert carrier.files[f"{tmp_path}/web.raw"] == b"somebody's"


def test_a_move_to_elsewhere_remembers_that_it_ran(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    carrier.fail["copy"] = Killed()
    with pytest.raises(Killed):
        run(cold_context(gateway, carrier, tmp_path), "")
    gateway.destination_uri = "qemu+ssh://c/system"
    run(cold_context(gateway, carrier, tmp_path), "")
    there(gateway)


def test_a_move_to_elsewhere_is_refused_where_it_may_run_already(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    gateway.fail["start destination"] = Killed()
    with pytest.raises(Killed):
        run(cold_context(gateway, carrier, tmp_path), "")
    gateway.destination_uri = "qemu+ssh://c/system"
    gateway.seen[DESTINATION] = Sighting("c")
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path), "")
    assert caught.value.error_code == "OWNERSHIP_UNPROVEN"
    assert not gateway.seen[SOURCE].active


def test_started_again_here_after_the_switch_leaves_the_destination_to_a_person(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    gateway.fail["forget source"] = Killed()
    with pytest.raises(Killed):
        run(cold_context(gateway, carrier, tmp_path), "")
    before = dict(carrier.files)
    gateway.seen[DESTINATION] = dataclasses.replace(gateway.seen[DESTINATION], state="shutoff", reason="shutdown")
    gateway.seen[SOURCE] = dataclasses.replace(gateway.seen[SOURCE], state="running", reason="booted")
    with pytest.raises(KvmError) as caught:
        run(cold_context(gateway, carrier, tmp_path), "")
    assert caught.value.error_code in ("IMAGE_EXISTS", "PREFLIGHT_FAILED")
    assert carrier.files == before
    assert gateway.seen[DESTINATION].found
    assert gateway.seen[SOURCE].state == "running"


def test_a_guest_that_ends_in_the_moment_it_is_asked_to_is_moved(
    gateway: ColdFake, carrier: FakeCarrier, tmp_path: pathlib.Path
) -> None:
    gateway.ends_when_asked = True
    run(cold_context(gateway, carrier, tmp_path), "")
    there(gateway)
