# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each thing that interrupted work leaves is named, and only what is proven is acted on."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._model.repair import (
    HostState,
    SeenFile,
    SeenGuest,
    SeenGuestMove,
)

from .repair_sample import GUEST, IMAGE, JOURNAL, OFF, RUNS, WAITS, U, found, guest_moving, host, moving, one

PAUSED = dataclasses.replace(RUNS, state="paused", reason="migration")
GONE_AWAY = dataclasses.replace(OFF, reason="migrated")
ARRIVED = dataclasses.replace(RUNS, reason="migrated")
COPY = f"{IMAGE}.moving-{U[:8]}"
STAGED = SeenFile(COPY, 77, 4096, 1.0, staged_for=U[:8])


def test_a_fleet_without_interruptions_has_nothing() -> None:
    ended = moving("done")
    assert found(host(1, moves=ended), host(2, RUNS)) == []


@pytest.mark.parametrize(
    ("source", "there", "stage", "action", "cause"),
    [
        (RUNS, None, "transfer", "undo", ""),
        (PAUSED, None, "transfer", "undo", ""),
        (dataclasses.replace(RUNS, job="migration_out"), PAUSED, "transfer", "finish", ""),
        (PAUSED, ARRIVED, "switch", "finish", ""),
        (GONE_AWAY, ARRIVED, "switch", "finish", ""),
        (None, ARRIVED, "release", "finish", ""),
        (RUNS, RUNS, "switch", "leave", "TWO_RUNNING_COPIES"),
        (None, None, "transfer", "leave", "DOMAIN_NOT_FOUND"),
        (dataclasses.replace(PAUSED, reason="postcopy_failed"), PAUSED, "switch", "leave", "POSTCOPY_FAILED"),
    ],
)
def test_an_interrupted_move_is_what_the_movers_own_table_says(
    source: Sighting | None, there: Sighting | None, stage: str, action: str, cause: str
) -> None:
    ends = [[seen] if seen is not None else [] for seen in (source, there)]
    thing = one(host(1, *ends[0], moves=moving(stage)), host(2, *ends[1]))
    assert (thing.code, thing.host, thing.object) == ("MOVE_INTERRUPTED", "kvm1", "domain web")
    assert (thing.action, thing.cause) == (action, cause), thing
    assert thing.evidence["made_there"] == [IMAGE]
    if action == "leave":
        assert thing.task.kind == ""
    else:
        assert thing.task.kind == "move"
        assert thing.task.options["destination"] == JOURNAL.destination_uri
        assert thing.task.options["name"] == U


def test_a_stopped_move_before_its_switch_is_taken_back_and_starts_again() -> None:
    stopped = moving("transfer", method="offline", arrival="running", stopped=True)
    thing = one(host(1, OFF, moves=stopped), host(2))
    assert thing.action == "undo"
    assert "lets it run again" in thing.why


@pytest.mark.parametrize("stage", ["transfer", "switch"])
def test_a_stopped_move_goes_on_by_the_way_that_its_files_went(stage: str) -> None:
    there = host(2, *[OFF] * (stage == "switch"))
    for transfer_host in ("root@kvm2", ""):
        stopped = moving(stage, method="offline", arrival="running", stopped=True, transfer_host=transfer_host)
        options = one(host(1, OFF, moves=stopped), there).task.options
        assert options.get("transfer_host", "") == transfer_host
        assert ("transfer_host" in options) == bool(transfer_host)


def test_a_stopped_move_in_its_switch_goes_on_there() -> None:
    stopped = moving("switch", method="offline", arrival="running", stopped=True)
    thing = one(host(1, OFF, moves=stopped), host(2, OFF))
    assert (thing.action, "started on kvm2" in thing.why) == ("finish", True)


def test_a_move_that_is_driven_is_no_fault() -> None:
    thing = one(host(1, RUNS, moves=moving(driven=True)), host(2))
    assert (thing.code, thing.action, thing.severity) == ("MOVE_RUNNING", "leave", "info")


def test_the_other_end_has_to_be_read() -> None:
    alone = found(host(1, RUNS, moves=moving()), unread=["kvm2"])
    assert [(thing.code, thing.action) for thing in alone] == [("HOST_UNREAD", "leave"), ("MOVE_INTERRUPTED", "leave")]
    assert alone[1].cause == "HOST_UNREACHABLE"
    mute = HostState("kvm1", "kvm1.local", "", domains_error="no daemon.", moves=moving())
    codes = {thing.code: thing.action for thing in found(mute, host(2))}
    assert codes == {"HOST_UNREAD": "leave", "MOVE_INTERRUPTED": "leave"}


# -- guest processes -----------------------------------------------------------------------------------------------------


def test_a_guest_move_is_taken_back_finished_or_left() -> None:
    waiting = guest_moving(here=WAITS)
    thing = one(host(1, guest_moves=guest_moving()), host(2, arrivals=waiting))
    assert (thing.code, thing.action, thing.task.kind) == ("MOVE_INTERRUPTED", "undo", "guest_move")
    assert thing.task.options["destination"] == "root@192.0.2.2"
    handed = BareSighting("kvm1", found=True, pid=7, state="postmigrate", migration="completed")
    has_all = BareSighting("kvm2", found=True, pid=9, state="paused", migration="completed", ours=True)
    thing = one(host(1, guest_moves=guest_moving("switch", handed)), host(2, arrivals=guest_moving("switch", has_all)))
    assert thing.action == "finish"
    thing = one(host(1, guest_moves=guest_moving("switch", handed)), host(2))
    assert (thing.action, thing.cause, thing.severity) == ("leave", "OWNERSHIP_UNPROVEN", "blocker")
    assert one(host(1, guest_moves=guest_moving(driven=True)), host(2)).code == "MOVE_RUNNING"


def test_an_offline_move_of_a_guest_goes_on_or_lets_it_run_again() -> None:
    off = (dataclasses.replace(guest_moving()[0].journal, method="offline", stopped=True), BareSighting("kvm1"))
    thing = one(host(1, guest_moves=(SeenGuestMove(*off),)), host(2))
    assert (thing.action, thing.task.options["method"]) == ("finish", "offline")
    assert "starts there" in thing.why
    stands = dataclasses.replace(GUEST, state="shutdown")
    thing = one(host(1, guest_moves=(SeenGuestMove(off[0], stands),)), host(2))
    assert thing.action == "undo"


RUNNING_GUEST = SeenGuest(7, "old", "", "running")


@pytest.mark.parametrize(
    ("stage", "here", "elsewhere", "action"),
    [
        ("transfer", WAITS, True, "undo"),
        ("transfer", BareSighting("kvm2", gone=True), True, "undo"),
        ("transfer", WAITS, False, "leave"),
        ("verify", WAITS, True, "leave"),
        ("transfer", dataclasses.replace(WAITS, state="paused"), True, "leave"),
        ("transfer", dataclasses.replace(WAITS, state="", error="silent."), True, "leave"),
        ("transfer", dataclasses.replace(WAITS, ours=False), True, "leave"),
    ],
)
def test_a_half_of_a_guest_goes_only_where_it_never_ran(
    stage: str, here: BareSighting, *, elsewhere: bool, action: str
) -> None:
    guests = (RUNNING_GUEST,) if elsewhere else ()
    thing = one(host(1, guests=guests), host(2, arrivals=guest_moving(stage, here)))
    assert (thing.code, thing.host, thing.action) == ("INCOMING_STALE", "kvm2", action), thing
    assert thing.task.options == ({"guest": "old"} if action == "undo" else {})


def test_a_waiting_process_of_somebody_else_is_named_and_left() -> None:
    stranger = SeenGuest(5, "x", "", "inmigrate", "tcp:0:4444")
    thing = one(host(1, guests=(stranger, SeenGuest(6, "y", "", "running", "defer"))))
    assert (thing.code, thing.action, thing.object) == ("INCOMING_UNKNOWN", "leave", "process 5")


def test_a_guest_that_runs_twice_is_an_error() -> None:
    twice = SeenGuest(5, "x", U, "running")
    thing = one(host(1, guests=(twice,)), host(2, guests=(twice, SeenGuest(6, "y", "", "running"))))
    assert (thing.code, thing.action, thing.severity) == ("TWO_RUNNING_COPIES", "leave", "blocker")
    waits = SeenGuest(5, "x", U, "paused")
    assert found(host(1, guests=(twice,)), host(2, guests=(waits,))) == []


# -- domains that two hosts know -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "code", "action", "severity"),
    [
        (RUNS, RUNS, "TWO_RUNNING_COPIES", "leave", "blocker"),
        (OFF, OFF, "DEFINED_TWICE", "leave", "warning"),
        (OFF, RUNS, "DEFINED_TWICE", "leave", "warning"),
        (GONE_AWAY, RUNS, "DEFINED_TWICE", "finish", "warning"),
        (dataclasses.replace(RUNS, job="migration_out"), PAUSED, "MOVE_RUNNING", "leave", "info"),
        (RUNS, PAUSED, "INCOMING_UNKNOWN", "leave", "warning"),
    ],
)
def test_a_domain_that_two_hosts_know(first: Sighting, second: Sighting, code: str, action: str, severity: str) -> None:
    thing = one(host(1, first), host(2, second))
    assert (thing.code, thing.action, thing.severity) == (code, action, severity)
    if action == "finish":
        assert (thing.host, thing.task.kind) == ("kvm1", "move")
        assert thing.task.options["destination"].endswith("192.0.2.2/system")


def test_a_third_copy_is_not_hidden_by_a_move_between_two_others() -> None:
    codes = [thing.code for thing in found(host(1, RUNS, moves=moving()), host(2), host(3, RUNS))]
    assert sorted(codes) == ["MOVE_INTERRUPTED", "TWO_RUNNING_COPIES"]


# -- files ---------------------------------------------------------------------------------------------------------------


def test_a_copy_that_no_move_needs_goes() -> None:
    thing = one(host(1, RUNS), host(2, files=(STAGED,)))
    assert (thing.code, thing.host, thing.action) == ("COPY_ORPHANED", "kvm2", "undo")
    assert (thing.task.kind, thing.task.options) == ("copy", {"path": COPY, "uuid": U})
    assert one(host(1, RUNS, moves=moving("undone")), host(2, files=(STAGED,))).action == "undo"


@pytest.mark.parametrize(
    ("states", "more"),
    [
        ([host(1, RUNS), host(2, files=(dataclasses.replace(STAGED, opened=True),))], {}),
        ([host(1), host(2, files=(STAGED,))], {}),
        ([host(1, dataclasses.replace(RUNS, uuid=U[:-1] + "6"), RUNS), host(2, files=(STAGED,))], {}),
        ([host(1, RUNS), host(2, files=(STAGED,))], {"unread": ["kvm3"]}),
        ([host(1, RUNS), host(2, files=(STAGED,)), HostState("kvm3", domains_error="no daemon.")], {}),
        ([host(1, RUNS), host(2, files=(STAGED,))], {"copies": "keep"}),
    ],
)
def test_a_copy_stays_without_proof(states: list[HostState], more: dict[str, t.Any]) -> None:
    (thing,) = [thing for thing in found(*states, **more) if thing.code == "COPY_ORPHANED"]
    assert (thing.action, thing.task.kind) == ("leave", "")


def test_a_copy_of_a_half_done_move_is_that_moves_matter() -> None:
    half = moving("transfer", method="offline", arrival="running", stopped=True)
    assert one(host(1, OFF, moves=half), host(2, files=(STAGED,))).code == "MOVE_INTERRUPTED"


def test_a_file_on_shared_storage_is_one_thing() -> None:
    assert one(host(1, RUNS, files=(STAGED,)), host(2, files=(STAGED,))).host == "kvm1"


def test_old_and_unexplained_images_are_named_and_left() -> None:
    kept = SeenFile(IMAGE, 8, left_by=U)
    thing = one(host(1, files=(kept,)), host(2, RUNS))
    assert (thing.code, thing.action, thing.severity) == ("COPY_KEPT", "leave", "info")
    assert one(host(1, files=(kept,)), host(2)).severity == "warning"
    thing = one(host(1, files=(SeenFile(IMAGE, 8),)), host(2, RUNS))
    assert (thing.code, thing.action, thing.task.kind) == ("IMAGE_UNEXPLAINED", "leave", "")
    shared = SeenFile(IMAGE, 2)
    assert found(host(1, files=(shared, SeenFile("/srv/iso", 3))), host(2, RUNS)) == []
    assert [thing.code for thing in found(host(1, RUNS, moves=moving()), host(2, files=(SeenFile(IMAGE, 8),)))] == [
        "MOVE_INTERRUPTED"
    ]


# -- cordons and records ---------------------------------------------------------------------------------------------------


def test_a_cordon_without_a_run() -> None:
    cordoned = host(1, cordoned=True, cordon_reason="evacuation", cordon_since=1.0)
    thing = one(cordoned)
    assert (thing.code, thing.action, thing.severity) == ("CORDONED", "leave", "info")
    assert "1970-01-01T00:00:01Z (evacuation)" in thing.what
    assert (one(cordoned, uncordon=True).action, one(cordoned, uncordon=True).task.kind) == ("undo", "cordon")
    busy = host(1, RUNS, cordoned=True, moves=moving(driven=True))
    assert [thing.code for thing in found(busy, host(2), uncordon=True)] == ["MOVE_RUNNING"]


def test_a_damaged_record_is_named() -> None:
    thing = one(host(1, unreadable=("The record x is damaged.",)))
    assert (thing.code, thing.what, thing.action) == ("RECORD_UNREADABLE", "The record x is damaged.", "leave")


def test_what_is_acted_on_comes_first_then_the_worst() -> None:
    other = dataclasses.replace(RUNS, uuid="2" * 36, name="two")
    states = [host(1, RUNS, other, moves=moving(), cordoned=True), host(2, other)]
    assert [thing.code for thing in found(*states)] == ["MOVE_INTERRUPTED", "TWO_RUNNING_COPIES", "CORDONED"]
    assert GUEST.found
