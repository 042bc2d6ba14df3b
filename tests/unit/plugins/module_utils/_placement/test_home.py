# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way home: wherever a domain is now, its ticket brings it where it belongs, or says why not."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import Plan, PlannedMove
from ansible_collections.virtops.kvm.plugins.module_utils._placement.home import plan_home
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions
from ansible_collections.virtops.kvm.plugins.module_utils._placement.rules import policies

OPTIONS = PlanOptions(sources=())


def ticket(fleet: t.Any, **homes: str) -> Plan:
    """A ticket that brings domains from kvm3 to the homes given by name."""
    moves = [
        PlannedMove(name, number, name, fleet.uuid(name), "kvm3", home, "live_block", "it came from there")
        for number, (name, home) in enumerate(homes.items(), start=1)
    ]
    return Plan(1, "", ("kvm3",), tuple(sorted(set(homes.values()))), tuple(moves))


def test_domains_go_home_from_wherever_they_are(fleet: t.Any) -> None:
    facts = [
        fleet.host("kvm1"),
        fleet.host("kvm2", [fleet.domain("wandered")]),
        fleet.host("kvm3", [fleet.domain("web01"), fleet.domain("stranger")]),
    ]
    planned = plan_home(ticket(fleet, web01="kvm1", wandered="kvm1"), facts, OPTIONS)
    assert [(move.domain, move.source, move.destination) for move in planned.moves] == [
        ("wandered", "kvm2", "kvm1"),
        ("web01", "kvm3", "kvm1"),
    ]
    assert planned.staying == planned.blocked == ()


def test_everybody_goes_to_its_own_home_even_when_another_host_has_more_room(fleet: t.Any) -> None:
    facts = [
        fleet.host("kvm1", memory_total=16 * GIB),
        fleet.host("kvm2", memory_total=512 * GIB),
        fleet.host("kvm3", [fleet.domain("a"), fleet.domain("b")]),
    ]
    planned = plan_home(ticket(fleet, a="kvm1", b="kvm2"), facts, OPTIONS)
    assert {move.domain: move.destination for move in planned.moves} == {"a": "kvm1", "b": "kvm2"}


def test_a_home_without_room_is_a_reason_and_no_other_host_takes_it(fleet: t.Any) -> None:
    facts = [
        fleet.host("kvm1", memory_total=2 * GIB),
        fleet.host("kvm2"),
        fleet.host("kvm3", [fleet.domain("a", memory=8 * GIB), fleet.domain("b")]),
    ]
    planned = plan_home(ticket(fleet, a="kvm1", b="kvm2"), facts, OPTIONS)
    assert [move.domain for move in planned.moves] == ["b"]
    assert [one.domain for one in planned.blocked] == ["a"]
    assert "Its home is kvm1." in planned.blocked[0].reasons["kvm2"]


@pytest.mark.parametrize(
    ("place", "state", "code"), [("kvm1", "running", "HOME"), ("kvm1", "shutoff", "HOME"), (None, "", "GONE")]
)
def test_what_need_not_or_cannot_move_is_said(fleet: t.Any, place: str | None, state: str, code: str) -> None:
    facts = [
        fleet.host(name, [fleet.domain("web01", state=state)] if name == place else []) for name in ("kvm1", "kvm3")
    ]
    planned = plan_home(ticket(fleet, web01="kvm1"), facts, OPTIONS)
    assert planned.moves == ()
    assert [(one.domain, one.code) for one in planned.staying] == [("web01", code)]


def test_what_is_shut_off_goes_home_offline_unless_it_shall_stay(fleet: t.Any) -> None:
    facts = [fleet.host("kvm1"), fleet.host("kvm3", [fleet.domain("web01", state="shutoff"), fleet.domain("other")])]
    planned = plan_home(ticket(fleet, web01="kvm1"), facts, OPTIONS)
    assert [(move.domain, move.method, move.destination) for move in planned.moves] == [("web01", "offline", "kvm1")]
    planned = plan_home(ticket(fleet, web01="kvm1"), facts, dataclasses.replace(OPTIONS, shut_off="stay"))
    assert planned.moves == ()
    assert [(one.domain, one.code) for one in planned.staying] == [("web01", "SHUTOFF")]


def test_what_runs_is_stopped_on_its_way_home_only_where_that_is_permitted_again(fleet: t.Any) -> None:
    facts = [fleet.host("kvm1"), fleet.host("kvm3", [fleet.domain("web01", snapshots=("before",))])]
    planned = plan_home(ticket(fleet, web01="kvm1"), facts, OPTIONS)
    assert [one.domain for one in planned.blocked] == ["web01"]
    permitted = dataclasses.replace(OPTIONS, may_stop=(fleet.uuid("web01"),))
    assert [move.method for move in plan_home(ticket(fleet, web01="kvm1"), facts, permitted).moves] == ["offline"]


def test_policies_hold_on_the_way_home_but_for_where_a_domain_goes(fleet: t.Any) -> None:
    away = [fleet.domain(name, snapshots=("s",) if name == "stuck" else ()) for name in ("a", "b", "stays", "stuck")]
    facts = [fleet.host("kvm1"), fleet.host("kvm3", away)]
    rules: list[dict[str, t.Any]] = [
        {"match": "name", "pinned": "kvm9", "affinity": "all", "anti_affinity": "none", "max_pause": 50},
        {"match": "name == 'b'", "method": "offline", "may_stop": True, "priority": 1},
        {"match": "name == 'stays'", "skip": True},
        {"match": "name == 'stuck'", "may_stop": True, "order_group": 1},
        {"match": "name == 'gone'", "skip": True},
    ]
    terms, warnings = policies(rules, facts, None)
    there = ticket(fleet, a="kvm1", b="kvm1", stays="kvm1", stuck="kvm1")
    planned = plan_home(there, facts, dataclasses.replace(OPTIONS, terms=terms))
    assert [(move.domain, move.method, move.max_downtime) for move in planned.moves] == [
        ("b", "offline", 50),
        ("a", "live_block", 50),
        ("stuck", "offline", 50),
    ]
    assert planned.blocked == ()
    assert [(one.domain, one.code) for one in planned.staying] == [("stays", "POLICY")]
    assert warnings == ("rule 5 of the policies matches no domain.",)
