# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every row of the table that keeps a domain from running twice."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Sighting
from ansible_collections.virtops.kvm.plugins.module_utils._move.decide import after_attempt, decide

U = "11111111-2222-3333-4444-555555555555"


def here(state: str = "running", reason: str = "booted", **more: t.Any) -> Sighting:
    return Sighting("a", found=True, uuid=U, name="web", state=state, reason=reason, persistent=True, **more)


def there(state: str = "running", reason: str = "migrated", **more: t.Any) -> Sighting:
    return Sighting("b", found=True, uuid=U, name="web", state=state, reason=reason, persistent=True, **more)


NOT_HERE, NOT_THERE = Sighting("a"), Sighting("b")
SILENT = Sighting("b", reachable=False, error="no route to host")


def journal(stage: str, state: str = "running") -> Journal:
    return Journal("m", "web", U, "a", "qemu+ssh://b/system", "b", "live_block", stage, 1.0, 1.0, state=state)


CASES: list[tuple[str, Sighting, Sighting, Journal | None, str, str]] = [
    ("to do", here(), NOT_THERE, None, "move", ""),
    ("to do, paused by its user", here("paused", "user"), NOT_THERE, None, "move", ""),
    ("shut off: the preflight says so", here("shutoff", "shutdown"), NOT_THERE, None, "move", ""),
    ("done", NOT_HERE, there(), journal("done"), "already_there", ""),
    ("it always was there", NOT_HERE, there("running", "booted"), None, "already_there", ""),
    ("there and paused", NOT_HERE, there("paused", "user"), None, "already_there", ""),
    ("moved, the module died before release", NOT_HERE, there(), journal("switch"), "finish", ""),
    ("both defined, moved by libvirt", here("shutoff", "migrated"), there(), None, "finish", ""),
    ("both defined, moved by our journal", here("shutoff", "unknown"), there(), journal("release"), "finish", ""),
    ("both defined, no proof", here("shutoff", "shutdown"), there(), None, "already_there", ""),
    ("the source's half is left", here("paused", "migration"), there(), journal("switch"), "finish", ""),
    ("both run", here(), there(), None, "refuse", "TWO_RUNNING_COPIES"),
    ("both run, one paused by its user", here("paused", "user"), there(), None, "refuse", "TWO_RUNNING_COPIES"),
    ("on its way", here(job="migration_out"), there("paused", "migration"), None, "attach", ""),
    ("on its way, destination silent", here(job="migration_out"), SILENT, None, "attach", ""),
    ("arriving, source done", NOT_HERE, there("paused", "migration"), None, "wait", ""),
    ("both paused by the move", here("paused", "migration"), there("paused", "migration"), None, "wait", ""),
    ("an orphan arrives", here(), there("paused", "migration"), None, "wait", ""),
    ("left paused by a move that failed", here("paused", "migration"), NOT_THERE, None, "resume_source", ""),
    ("nowhere", NOT_HERE, NOT_THERE, None, "refuse", "DOMAIN_NOT_FOUND"),
    (
        "moved and shut off there",
        NOT_HERE,
        there("shutoff", "shutdown"),
        journal("done"),
        "refuse",
        "DOMAIN_NOT_RUNNING",
    ),
    ("destination silent, nothing begun", here(), SILENT, None, "refuse", "HOST_UNREACHABLE"),
    ("destination silent, move done long ago", here(), SILENT, journal("done"), "refuse", "HOST_UNREACHABLE"),
    ("destination silent in the switch", here(), SILENT, journal("switch"), "refuse", "OWNERSHIP_UNPROVEN"),
    (
        "destination silent, source half paused",
        here("paused", "migration"),
        SILENT,
        None,
        "refuse",
        "OWNERSHIP_UNPROVEN",
    ),
    ("destination silent, source moved", here("shutoff", "migrated"), SILENT, None, "refuse", "OWNERSHIP_UNPROVEN"),
    (
        "post-copy broke",
        here("paused", "postcopy_failed"),
        there("running", "postcopy_failed"),
        None,
        "refuse",
        "POSTCOPY_FAILED",
    ),
    (
        "post-copy broke, destination gone",
        here("paused", "postcopy_failed"),
        NOT_THERE,
        None,
        "refuse",
        "POSTCOPY_FAILED",
    ),
]


@pytest.mark.parametrize(
    ("what", "source", "destination", "record", "action", "code"), CASES, ids=[case[0] for case in CASES]
)
def test_decide(
    what: str, source: Sighting, destination: Sighting, record: Journal | None, action: str, code: str
) -> None:
    decision = decide("web", source, destination, record)
    assert (decision.action, decision.code) == (action, code), decision
    assert bool(decision.message) == (action == "refuse")


def test_a_namesake_is_left_to_the_preflight() -> None:
    other = Sighting("b", found=True, uuid="9" * 8, name="web", state="running")
    assert decide("web", here(), other, None).action == "move"


@pytest.mark.parametrize(
    ("source", "destination", "leftover"),
    [
        (here("shutoff", "migrated"), there(), "definition"),
        (here("paused", "migration"), there(), "paused"),
        (NOT_HERE, there(), ""),
    ],
)
def test_finish_says_what_is_left(source: Sighting, destination: Sighting, leftover: str) -> None:
    assert decide("web", source, destination, journal("switch")).leftover == leftover


AFTER: list[tuple[str, Sighting, Sighting, str, str, str]] = [
    ("moved", NOT_HERE, there(), "switch", "finish", ""),
    ("moved, job long over", here("shutoff", "migrated"), there(), "transfer", "finish", ""),
    ("failed in the mirror", here(), NOT_THERE, "transfer", "move", ""),
    ("failed in the switch, source went on", here("running", "migration_canceled"), NOT_THERE, "switch", "move", ""),
    ("failed, source left paused", here("paused", "migration"), NOT_THERE, "switch", "resume_source", ""),
    ("mirror broke, destination silent", here(), SILENT, "transfer", "move", ""),
    ("switch broke, destination silent", here(), SILENT, "switch", "refuse", "OWNERSHIP_UNPROVEN"),
    (
        "source paused, destination silent",
        here("paused", "migration"),
        SILENT,
        "transfer",
        "refuse",
        "OWNERSHIP_UNPROVEN",
    ),
    ("source gone, destination silent", NOT_HERE, SILENT, "switch", "refuse", "OWNERSHIP_UNPROVEN"),
    ("finish lost, both run", here(), there(), "switch", "refuse", "TWO_RUNNING_COPIES"),
    ("nowhere", NOT_HERE, NOT_THERE, "switch", "refuse", "DOMAIN_LOST"),
    ("the guest died on the source", here("shutoff", "crashed"), NOT_THERE, "transfer", "move", ""),
    ("still ending", here(job="migration_out"), NOT_THERE, "transfer", "wait", ""),
]


@pytest.mark.parametrize(
    ("what", "source", "destination", "stage", "action", "code"), AFTER, ids=[case[0] for case in AFTER]
)
def test_after_attempt(what: str, source: Sighting, destination: Sighting, stage: str, action: str, code: str) -> None:
    decision = after_attempt("web", source, destination, journal(stage))
    assert (decision.action, decision.code) == (action, code), decision


def cold(stage: str, **more: t.Any) -> Journal:
    """The journal of a move that stops the guest."""
    return Journal(
        "m",
        "web",
        U,
        "a",
        "qemu+ssh://b/system",
        "b",
        "offline",
        stage,
        1.0,
        1.0,
        state="running",
        arrival="running",
        **more,
    )


OFF_HERE, OFF_THERE = here("shutoff", "shutdown"), there("shutoff", "unknown")

STOPPED: list[tuple[str, Sighting, Sighting, Journal | None, str, str, str]] = [
    ("shut off, to do", OFF_HERE, NOT_THERE, None, "auto", "move", ""),
    ("defined on both, ours or not: the preflight says", OFF_HERE, OFF_THERE, None, "offline", "move", ""),
    ("moved and shut off there", NOT_HERE, OFF_THERE, cold("done"), "offline", "already_there", ""),
    ("moved and shut off there, auto", NOT_HERE, OFF_THERE, None, "auto", "already_there", ""),
    ("a live move wants it to run", NOT_HERE, OFF_THERE, cold("done"), "live_block", "refuse", "DOMAIN_NOT_RUNNING"),
    ("moved and runs there", NOT_HERE, there(), cold("done"), "offline", "already_there", ""),
    ("killed while seeding", here(), NOT_THERE, cold("prepare"), "seeded", "move", ""),
    ("killed in the stop", OFF_HERE, NOT_THERE, cold("stop"), "offline", "move", ""),
    ("killed in the transfer", OFF_HERE, NOT_THERE, cold("transfer"), "offline", "move", ""),
    ("killed while taken back", OFF_HERE, OFF_THERE, cold("undo"), "offline", "move", ""),
    ("defined there, not started", OFF_HERE, OFF_THERE, cold("transfer", defined=True), "offline", "move", ""),
    ("started again here meanwhile", here(), NOT_THERE, cold("transfer"), "offline", "move", ""),
    ("started again here after all", here(), OFF_THERE, cold("switch"), "offline", "move", ""),
    ("killed in the switch, not up yet", OFF_HERE, OFF_THERE, cold("switch"), "offline", "continue", ""),
    ("killed in the switch, source forgotten", NOT_HERE, OFF_THERE, cold("switch"), "offline", "continue", ""),
    ("killed in the switch, runs there", OFF_HERE, there(), cold("switch"), "offline", "finish", ""),
    ("restoring there", OFF_HERE, there("paused", "migration"), cold("switch"), "suspended", "wait", ""),
    ("restored and paused there", OFF_HERE, there("paused", "user"), cold("switch"), "suspended", "finish", ""),
    ("killed in verify", OFF_HERE, there(), cold("verify"), "offline", "finish", ""),
    ("killed in release", NOT_HERE, there(), cold("release"), "offline", "finish", ""),
    ("stopped there before release", OFF_HERE, OFF_THERE, cold("release"), "offline", "finish", ""),
    ("both run", here(), there(), cold("switch"), "offline", "refuse", "TWO_RUNNING_COPIES"),
    (
        "started there by somebody",
        OFF_HERE,
        there(),
        cold("transfer"),
        "offline",
        "refuse",
        "ALREADY_RUNNING_ON_DESTINATION",
    ),
    ("vanished after the switch", OFF_HERE, NOT_THERE, cold("switch"), "offline", "refuse", "OWNERSHIP_UNPROVEN"),
    ("gone everywhere", NOT_HERE, NOT_THERE, cold("switch"), "offline", "refuse", "DOMAIN_NOT_FOUND"),
    (
        "destination silent before the switch",
        OFF_HERE,
        SILENT,
        cold("transfer"),
        "offline",
        "refuse",
        "HOST_UNREACHABLE",
    ),
    ("destination silent in the switch", OFF_HERE, SILENT, cold("switch"), "offline", "refuse", "OWNERSHIP_UNPROVEN"),
]


@pytest.mark.parametrize(
    ("what", "source", "destination", "record", "asked", "action", "code"), STOPPED, ids=[case[0] for case in STOPPED]
)
def test_decide_on_stopped_moves(
    what: str, source: Sighting, destination: Sighting, record: Journal | None, asked: str, action: str, code: str
) -> None:
    decision = decide("web", source, destination, record, asked)
    assert (decision.action, decision.code) == (action, code), decision
    assert bool(decision.message) == (action == "refuse")


def test_nothing_of_a_stopped_move_ever_starts_the_source_once_it_may_run_there() -> None:
    """Every combination of both sides, in every stage from the switch on: the source is neither moved nor resumed while it is off."""
    sides = (OFF_HERE, NOT_HERE)
    others = (there(), there("paused", "user"), there("paused", "migration"), OFF_THERE, NOT_THERE, SILENT)
    for stage in ("switch", "verify", "release"):
        for source in sides:
            for destination in others:
                decision = decide("web", source, destination, cold(stage), "offline")
                assert decision.action not in ("move", "resume_source"), (stage, source, destination, decision)
