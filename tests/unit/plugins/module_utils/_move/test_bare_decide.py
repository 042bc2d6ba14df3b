# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of a guest process's move: never two running copies, whatever both hosts show."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_decide as table

JOURNAL = BareJournal("id", "key", "web", "", "live_block", "transfer", 1.0, 1.0, "kvm1", "root@kvm2", "kvm2")
NONE = BareSighting("kvm1")
RUNS = BareSighting("kvm1", found=True, pid=7, state="running")
MIRRORS = RUNS
SENDS = BareSighting("kvm1", found=True, pid=7, state="running", migration="active")
STANDS = BareSighting("kvm1", found=True, pid=7, state="finish-migrate", migration="pre-switchover")
HANDED = BareSighting("kvm1", found=True, pid=7, state="postmigrate", migration="completed")
HUNG = BareSighting("kvm1", found=True, pid=7, error="it does not answer.")
POSTCOPY = BareSighting("kvm1", found=True, pid=7, state="finish-migrate", migration="postcopy-paused")
FOLLOWS = BareSighting("kvm1", found=True, pid=7, state="postmigrate", migration="postcopy-active")

EMPTY = BareSighting("kvm2")
AWAY = BareSighting("kvm2", reachable=False, error="no route")
WAITS = BareSighting("kvm2", found=True, pid=9, state="inmigrate", ours=True)
HAS_ALL = BareSighting("kvm2", found=True, pid=9, state="paused", migration="completed", ours=True)
ARRIVED = BareSighting("kvm2", found=True, pid=9, state="running", migration="completed", ours=True)
DEAD = BareSighting("kvm2", gone=True)
MUTE = BareSighting("kvm2", found=True, pid=9, ours=True, error="it does not answer.")
OTHER = BareSighting("kvm2", found=True, pid=9, state="running")
TORN = BareSighting("kvm2", found=True, pid=9, state="running", migration="postcopy-paused", ours=True)


def journal(stage: str) -> BareJournal | None:
    return None if stage == "-" else dataclasses.replace(JOURNAL, stage=stage)


@pytest.mark.parametrize(
    ("source", "there", "stage", "action", "code"),
    [
        # Nothing has happened, or all is over.
        (RUNS, EMPTY, "-", table.MOVE, ""),
        (RUNS, DEAD, "done", table.MOVE, ""),
        (RUNS, EMPTY, "undone", table.MOVE, ""),
        (NONE, ARRIVED, "done", table.ALREADY_THERE, ""),
        (NONE, OTHER, "-", table.ALREADY_THERE, ""),
        (NONE, EMPTY, "-", table.REFUSE, "GUEST_NOT_FOUND"),
        (NONE, EMPTY, "done", table.REFUSE, "GUEST_NOT_FOUND"),
        # Before the handover: back.
        (RUNS, EMPTY, "claim", table.UNDO, ""),
        (RUNS, WAITS, "prepare", table.UNDO, ""),
        (MIRRORS, WAITS, "transfer", table.UNDO, ""),
        (SENDS, WAITS, "transfer", table.UNDO, ""),
        (STANDS, WAITS, "switch", table.UNDO, ""),
        (STANDS, DEAD, "switch", table.UNDO, ""),
        (STANDS, AWAY, "switch", table.UNDO, ""),
        (SENDS, AWAY, "transfer", table.UNDO, ""),
        (RUNS, MUTE, "transfer", table.UNDO, ""),
        (NONE, WAITS, "transfer", table.UNDO, "GUEST_DIED"),
        (NONE, DEAD, "transfer", table.UNDO, "GUEST_DIED"),
        # After it: forward, where the destination has all.
        (HANDED, HAS_ALL, "switch", table.FINISH, ""),
        (HANDED, HAS_ALL, "verify", table.FINISH, ""),
        (HANDED, ARRIVED, "verify", table.RELEASE, ""),
        (HANDED, ARRIVED, "release", table.RELEASE, ""),
        (NONE, HAS_ALL, "switch", table.FINISH, ""),
        (NONE, ARRIVED, "release", table.RELEASE, ""),
        # The source goes on only when the destination is proven dead.
        (HANDED, DEAD, "switch", table.RESUME, ""),
        (HANDED, DEAD, "verify", table.RESUME, ""),
        (HANDED, EMPTY, "-", table.REFUSE, "OWNERSHIP_UNPROVEN"),
        (HANDED, AWAY, "switch", table.REFUSE, "OWNERSHIP_UNPROVEN"),
        (HANDED, AWAY, "-", table.REFUSE, "OWNERSHIP_UNPROVEN"),
        (NONE, AWAY, "verify", table.REFUSE, "OWNERSHIP_UNPROVEN"),
        (HANDED, MUTE, "verify", table.REFUSE, "OWNERSHIP_UNPROVEN"),
        (RUNS, AWAY, "-", table.REFUSE, "HOST_UNREACHABLE"),
        (RUNS, AWAY, "switch", table.REFUSE, "HOST_UNREACHABLE"),
        # Never twice.
        (RUNS, ARRIVED, "verify", table.REFUSE, "TWO_RUNNING_COPIES"),
        (RUNS, ARRIVED, "done", table.REFUSE, "TWO_RUNNING_COPIES"),
        (RUNS, OTHER, "-", table.REFUSE, "TWO_RUNNING_COPIES"),
        (HANDED, OTHER, "switch", table.REFUSE, "GUEST_EXISTS"),
        (RUNS, HAS_ALL, "switch", table.UNDO, ""),
        (RUNS, HAS_ALL, "verify", table.REFUSE, "TWO_RUNNING_COPIES"),
        # What cannot be asked is left alone.
        (HUNG, EMPTY, "-", table.REFUSE, "MONITOR_UNUSABLE"),
        # After post-copy neither side may end: forward, or not at all.
        (POSTCOPY, ARRIVED, "switch", table.REFUSE, "POSTCOPY_FAILED"),
        (POSTCOPY, TORN, "release", table.REFUSE, "POSTCOPY_FAILED"),
        (POSTCOPY, DEAD, "release", table.REFUSE, "POSTCOPY_FAILED"),
        (POSTCOPY, AWAY, "release", table.REFUSE, "POSTCOPY_FAILED"),
        (POSTCOPY, MUTE, "release", table.REFUSE, "POSTCOPY_FAILED"),
        (FOLLOWS, ARRIVED, "release", table.REFUSE, "POSTCOPY_RUNNING"),
        (FOLLOWS, TORN, "release", table.REFUSE, "POSTCOPY_RUNNING"),
        (FOLLOWS, AWAY, "release", table.REFUSE, "POSTCOPY_FAILED"),
        (NONE, TORN, "release", table.REFUSE, "POSTCOPY_FAILED"),
    ],
)
def test_the_table(source: BareSighting, there: BareSighting, stage: str, action: str, code: str) -> None:
    found = table.decide("web", source, there, journal(stage))
    assert (found.action, found.code) == (action, code), found
    assert bool(found.message) == bool(code)


@pytest.mark.parametrize(
    "stage", ["-", "claim", "prepare", "transfer", "switch", "verify", "release", "done", "undone"]
)
@pytest.mark.parametrize("source", [RUNS, SENDS, STANDS, HANDED, HUNG, POSTCOPY, FOLLOWS, NONE])
@pytest.mark.parametrize("there", [EMPTY, AWAY, WAITS, HAS_ALL, ARRIVED, DEAD, MUTE, OTHER, TORN])
def test_no_row_lets_two_copies_run(source: BareSighting, there: BareSighting, stage: str) -> None:
    found = table.decide("web", source, there, journal(stage))
    if found.action == table.RESUME:
        assert there.gone
    if "postcopy" in source.migration + there.migration:
        assert found.action == table.REFUSE
    if found.action == table.FINISH:
        assert there.ours
        assert there.state == "paused"
        assert source.state in ("postmigrate", "finish-migrate", "")
    if found.action == table.UNDO and there.found:
        # What UNDO ends never ran.
        assert there.ours
        assert there.state != "running"
    if found.action == table.MOVE:
        assert source.state == "running"
        assert not there.found


@pytest.mark.parametrize(
    ("stage", "action"), [("switch", table.RESUME), ("verify", table.REFUSE), ("release", table.REFUSE)]
)
def test_memory_that_shared_disks_may_have_overtaken_does_not_go_on(stage: str, action: str) -> None:
    shared = dataclasses.replace(JOURNAL, method="live_shared", stage=stage)
    found = table.decide("web", HANDED, DEAD, shared)
    assert (found.action, found.code) == (action, "GUEST_DIED" if action == table.REFUSE else "")


ONE, TWO = "0badcafe-0000-4000-8000-000000000001", "0badcafe-0000-4000-8000-000000000002"


@pytest.mark.parametrize(
    ("here", "there", "code"),
    [
        (("web", ONE), ("web", TWO), "NAME_CONFLICT"),
        (("web", ONE), ("old", ONE), "UUID_CONFLICT"),
        (("web", ONE), ("web", ONE), "TWO_RUNNING_COPIES"),
        (("web", ONE), ("web", ""), "TWO_RUNNING_COPIES"),
        (("web", ""), ("web", ""), "TWO_RUNNING_COPIES"),
    ],
)
def test_another_guest_of_that_name_or_uuid_is_no_second_copy(
    here: tuple[str, str], there: tuple[str, str], code: str
) -> None:
    source, other = (
        dataclasses.replace(RUNS, name=here[0], uuid=here[1]),
        dataclasses.replace(OTHER, name=there[0], uuid=there[1]),
    )
    found = table.decide("web", source, other, None)
    assert (found.action, found.code) == (table.REFUSE, code)
    assert ("by hand at once" in found.message) == (code == "TWO_RUNNING_COPIES")


OFF_THERE = BareSighting("kvm2", found=True, pid=9, state="prelaunch", ours=True)
RUNS_THERE = BareSighting("kvm2", found=True, pid=9, state="running", ours=True)
SHUT_DOWN = BareSighting("kvm1", found=True, pid=7, state="shutdown")
OFFLINE = dataclasses.replace(JOURNAL, method="offline", stopped=True)


@pytest.mark.parametrize(
    ("source", "there", "stage", "action", "code"),
    [
        # It was asked to shut down, and did not, or not yet.
        (RUNS, EMPTY, "stop", table.UNDO, ""),
        (RUNS, EMPTY, "transfer", table.UNDO, ""),
        (RUNS, AWAY, "stop", table.REFUSE, "HOST_UNREACHABLE"),
        # It did, and its process stayed.
        (SHUT_DOWN, EMPTY, "stop", table.MOVE, ""),
        # It is off: the record is all that there is.
        (NONE, EMPTY, "stop", table.CONTINUE, ""),
        (NONE, EMPTY, "transfer", table.CONTINUE, ""),
        (NONE, DEAD, "switch", table.CONTINUE, ""),
        (NONE, OFF_THERE, "switch", table.CONTINUE, ""),
        (NONE, AWAY, "transfer", table.REFUSE, "HOST_UNREACHABLE"),
        # It was told to run there: the copies are the newer ones.
        (NONE, OFF_THERE, "verify", table.FINISH, ""),
        (NONE, DEAD, "verify", table.FINISH, ""),
        (NONE, RUNS_THERE, "verify", table.RELEASE, ""),
        (NONE, RUNS_THERE, "release", table.RELEASE, ""),
        (NONE, AWAY, "verify", table.REFUSE, "OWNERSHIP_UNPROVEN"),
        # Somebody started it by hand meanwhile.
        (RUNS, OFF_THERE, "switch", table.UNDO, ""),
        (RUNS, RUNS_THERE, "verify", table.REFUSE, "TWO_RUNNING_COPIES"),
        (RUNS, DEAD, "verify", table.REFUSE, "OWNERSHIP_UNPROVEN"),
        (RUNS, OFF_THERE, "release", table.REFUSE, "OWNERSHIP_UNPROVEN"),
        (NONE, OTHER, "transfer", table.REFUSE, "GUEST_EXISTS"),
        (HUNG, EMPTY, "stop", table.REFUSE, "MONITOR_UNUSABLE"),
        (NONE, RUNS_THERE, "done", table.ALREADY_THERE, ""),
    ],
)
def test_the_table_of_offline_moves(
    source: BareSighting, there: BareSighting, stage: str, action: str, code: str
) -> None:
    found = table.decide("web", source, there, dataclasses.replace(OFFLINE, stage=stage))
    assert (found.action, found.code) == (action, code), found


def test_a_guest_that_was_off_when_it_moved_is_there_although_nothing_runs() -> None:
    moved = dataclasses.replace(OFFLINE, stage="done", state="shutdown")
    assert table.decide("web", NONE, EMPTY, moved).action == table.ALREADY_THERE


@pytest.mark.parametrize("stage", ["claim", "prepare", "stop", "transfer", "switch", "verify", "release"])
@pytest.mark.parametrize("source", [RUNS, SHUT_DOWN, HUNG, NONE])
@pytest.mark.parametrize("there", [EMPTY, AWAY, OFF_THERE, RUNS_THERE, DEAD, MUTE, OTHER])
def test_no_row_of_offline_moves_lets_two_copies_run(source: BareSighting, there: BareSighting, stage: str) -> None:
    found = table.decide("web", source, there, dataclasses.replace(OFFLINE, stage=stage))
    if found.action in (table.CONTINUE, table.FINISH, table.RELEASE):
        assert not source.found
        assert there.reachable
    if found.action == table.CONTINUE:
        assert stage not in ("verify", "release")
    if found.action == table.UNDO:
        # What is removed never ran.
        assert there.state in ("", "prelaunch")
        assert stage not in ("verify", "release")
    if found.action == table.MOVE:
        assert source.state == "shutdown"


def test_a_guest_that_only_a_unit_describes_moves_also_where_it_once_was() -> None:
    described = BareSighting("kvm1", described=True)
    moved = dataclasses.replace(OFFLINE, stage="done", state="shutdown")
    assert table.decide("web", described, EMPTY, None).action == table.MOVE
    assert table.decide("web", described, EMPTY, moved).action == table.MOVE
    assert table.decide("web", described, EMPTY, dataclasses.replace(moved, stage="transfer")).action == table.CONTINUE
    assert table.decide("web", described, RUNS_THERE, None).action == table.ALREADY_THERE
