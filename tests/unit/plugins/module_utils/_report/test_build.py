# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._report import build, outcome, ticket, words
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._report import samples


def report(plan: t.Any, results: dict[str, t.Any], after: t.Any = None, **more: t.Any) -> outcome.Report:
    return build.build(plan, results, after, name="run", **more)


@pytest.mark.parametrize(
    ("result", "state", "started"),
    [
        (samples.moved("a"), outcome.MOVED, True),
        (samples.moved("a", outcome="attached"), outcome.MOVED, True),
        (samples.moved("a", outcome="already_there", changed=False), outcome.ALREADY_THERE, True),
        (samples.failed(), outcome.FAILED, True),
        ({"unreachable": True, "msg": "no route"}, outcome.FAILED, True),
        ({}, outcome.NOT_STARTED, True),
        ({"skipped": True}, outcome.NOT_STARTED, True),
        ({"changed": True, "outcome": "moved"}, outcome.PLANNED, False),
        ({}, outcome.PLANNED, False),
        (samples.failed(), outcome.FAILED, False),
    ],
)
def test_every_result_has_one_state(result: dict[str, t.Any], state: str, started: bool) -> None:
    built = report(samples.plan(samples.move("a")), {"a": result}, started=started)
    assert built.outcomes[0].state == state


def test_sums_are_over_all_moves_and_time_is_from_first_begin_to_last_end() -> None:
    plan = samples.plan(samples.move("a"), samples.move("b"), samples.move("c"), staying=(samples.staying("d"),))
    results = {
        "a": samples.moved("a", seconds=10.0, pause=120),
        "b": samples.moved("b", started=samples.BEGIN + 5, seconds=20.0, pause=450),
        "c": samples.failed(),
    }
    summary = report(plan, results).summary
    assert (summary.planned, summary.moved, summary.failed, summary.staying) == (3, 2, 1, 1)
    assert summary.longest_pause_ms == 450
    assert summary.disk_bytes == 2 * samples.GIB
    assert (summary.started, summary.seconds) == (samples.BEGIN, 25.0)


@pytest.mark.parametrize(
    ("after", "problem"),
    [
        ({"kvm1": [], "kvm2": ["a"]}, None),
        ({"kvm1": ["a"], "kvm2": ["a"]}, "a is active on kvm1 and kvm2 at the same time"),
        ({"kvm1": ["a"], "kvm2": []}, "reported as moved, yet it runs on kvm1"),
        ({"kvm1": [], "kvm2": []}, "does not run there any more"),
        ({"kvm2": ["a"]}, "kvm1 could not be read again"),
    ],
)
def test_what_the_hosts_say_counts_more_than_what_the_moves_said(
    after: dict[str, list[str]], problem: str | None
) -> None:
    built = report(samples.plan(samples.move("a")), {"a": samples.moved("a")}, samples.after(**after))
    assert [problem in text for text in built.problems] == ([True] if problem else [])
    assert built.sound is (problem is None)
    assert built.status == (outcome.INCOMPLETE if problem else outcome.COMPLETE)
    assert bool(words.verdict(built)) is (problem is not None)


def test_a_failed_move_whose_domain_still_runs_at_home_is_no_further_problem() -> None:
    built = report(samples.plan(samples.move("a")), {"a": samples.failed()}, samples.after(kvm1=["a"], kvm2=[]))
    assert built.problems == ()
    assert "a (MOVE_FAILED)" in words.verdict(built)


def test_a_blocked_domain_leaves_the_host_not_evacuated_but_is_no_failure_of_the_run() -> None:
    plan = samples.plan(samples.move("a"), blocked=(samples.blocked("gpu"),))
    built = report(plan, {"a": samples.moved("a")}, samples.after(kvm1=["gpu"], kvm2=["a"]))
    assert built.status == outcome.INCOMPLETE
    assert built.sound


def test_placement_afterwards_is_what_the_hosts_run() -> None:
    built = report(samples.plan(samples.move("a")), {"a": samples.moved("a")}, samples.after(kvm1=[], kvm2=["a", "z"]))
    assert built.after_measured
    assert built.after[1].domains == ("a", "z")
    assert (built.after[1].memory_bytes, built.after[1].memory_total) == (2 * samples.GIB, 8 * samples.GIB)


def test_the_return_ticket_reverses_what_arrived_last_one_first() -> None:
    plan = samples.plan(samples.move("a"), samples.move("b", "kvm3", order=2), samples.move("c", order=3))
    built = report(plan, {"a": samples.moved("a"), "b": samples.moved("b"), "c": samples.failed()})
    back = ticket.return_ticket(plan, built)
    assert back is not None
    assert [(move.domain, move.source, move.destination, move.order) for move in back.moves] == [
        ("b", "kvm3", "kvm1", 1),
        ("a", "kvm2", "kvm1", 2),
    ]
    assert (back.sources, back.destinations, back.fingerprint) == (("kvm2", "kvm3"), ("kvm1",), "")


def test_nothing_moved_gives_no_ticket() -> None:
    plan = samples.plan(samples.move("a"))
    assert ticket.return_ticket(plan, report(plan, {"a": samples.failed()})) is None


def off(name: str, uuid: str = "") -> Domain:
    return Domain(name, uuid or f"uuid-{name}", "shutoff")


@pytest.mark.parametrize(
    ("source", "destination", "problem"),
    [
        ((), (off("a"),), None),
        ((), (), "is not known there any more"),
        ((off("a"),), (off("a"),), "still defined on kvm1"),
    ],
)
def test_what_was_shut_off_has_arrived_when_it_is_defined_there_and_nowhere_else(
    source: tuple[Domain, ...], destination: tuple[Domain, ...], problem: str | None
) -> None:
    hosts = [outcome.HostAfter("kvm1", source), outcome.HostAfter("kvm2", destination)]
    plan = samples.plan(samples.move("a", runs=False, method="offline"))
    built = report(plan, {"a": samples.moved("a", pause=None)}, hosts)
    assert [problem in text for text in built.problems] == ([True] if problem else [])


def test_a_guest_that_was_stopped_has_a_stop_and_no_pause() -> None:
    result = samples.moved("a", pause=None)
    result["move"] = {
        **result["move"],
        "stopped_seconds": 12.4,
        "proofs": [{"disk": "vda", "path": "/a", "size": 1, "digest": "d"}],
    }
    plan = samples.plan(samples.move("a", method="offline"), samples.move("b", runs=False, method="offline"))
    built = report(plan, {"a": result, "b": {**result, "move": {**result["move"], "domain": "b"}}})
    assert [(one.stopped_seconds, one.proven) for one in built.outcomes] == [(12.4, 1), (None, 1)]
    assert (built.summary.longest_stop_seconds, built.summary.longest_pause_ms) == (12.4, None)
    assert [words.standstill(one) for one in built.outcomes] == ["stopped 12 s", "-"]
    assert "longest stop 12 s" in " ".join(words.lines(built))


def test_check_mode_shows_every_file_with_its_size_and_the_free_space() -> None:
    gib = samples.GIB
    files = [
        {"kind": "disk", "disk": "vda", "source": "/img/a", "path": "/img/a", "size": 10 * gib, "allocated": gib},
        {"kind": "nvram", "disk": "", "source": "/nvram/a", "path": "/other/a", "size": 4096, "allocated": 4096},
    ]
    files[0]["free"] = 80 * gib
    result = {"changed": True, "outcome": "moved", "files": files}
    built = report(samples.plan(samples.move("a", method="offline")), {"a": result}, started=False)
    lines = words.lines(built)
    assert [line.split("  ")[0] for line in lines if "/img/a" in line or "/nvram/a" in line] == ["a", ""]
    assert any(
        "10.0 GiB" in line and "1.0 GiB" in line and "80.0 GiB" in line and "the same path" in line for line in lines
    )
    assert any("nvram" in line and "/other/a" in line for line in lines)
    assert "2 files, 1.0 GiB of data to copy." in lines
    assert not any(
        "/img/a" in line
        for line in words.lines(report(samples.plan(samples.move("a")), {"a": {**result, **samples.moved("a")}}))
    )


def test_the_ticket_permits_no_stop() -> None:
    plan = samples.plan(samples.move("a", method="offline", may_stop=True, stop_seconds=40.0))
    back = ticket.return_ticket(plan, report(plan, {"a": samples.moved("a", method="offline")}))
    assert back is not None
    assert (back.moves[0].may_stop, back.moves[0].stop_seconds, back.moves[0].method) == (False, None, "offline")
    assert back.options["kind"] == "evacuate"


@pytest.mark.parametrize(
    ("kind", "results", "sentence"),
    [
        ("evacuate", {"a": samples.moved("a")}, "kvm1 is evacuated"),
        ("evacuate", {"a": samples.failed()}, "kvm1 is not evacuated: 1 move failed"),
        ("restore", {"a": samples.moved("a")}, "1 domain came home to kvm2 and kvm3"),
        ("migrate", {"a": samples.moved("a")}, "1 domain moved from kvm1"),
        ("migrate", {"a": samples.failed()}, "0 domains moved from kvm1, 1 move failed"),
    ],
)
def test_the_headline_says_it(kind: str, results: dict[str, t.Any], sentence: str) -> None:
    assert words.headline(report(samples.plan(samples.move("a")), results, kind=kind)) == sentence


def test_an_empty_plan_has_nothing_to_do() -> None:
    assert words.lines(report(samples.plan(), {})) == ["Nothing to do for kvm1."]


def test_printed_lines_hold_no_control_characters() -> None:
    name = "web\x1b[2J\u202e01\n"
    built = report(samples.plan(samples.move(name)), {name: samples.failed(f"Cannot move '{name}'.")})
    printed = "".join([*words.lines(built), words.verdict(built)])
    assert not set("\x1b\u202e\n") & set(printed)
