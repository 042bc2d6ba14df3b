# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies: what a rule may say, where a mistake in it is, and what it does to a plan."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import HostFacts, Plan
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions
from ansible_collections.virtops.kvm.plugins.module_utils._placement.planner import plan
from ansible_collections.virtops.kvm.plugins.module_utils._placement.rules import idle, parse, terms_of

Rules = t.Sequence[t.Mapping[str, t.Any]]


def planned(facts: t.Sequence[HostFacts], rules: Rules, **options: t.Any) -> Plan:
    """The plan that empties kvm1 by ``rules``."""
    parsed = parse(rules, [one.name for one in facts])
    terms = terms_of(parsed, [(one.name, domain) for one in facts for domain in one.domains])
    return plan(facts, dataclasses.replace(PlanOptions(sources=("kvm1",), terms=terms), **options))


def targets(result: Plan) -> dict[str, str]:
    """Domain -> destination."""
    return {move.domain: move.destination for move in result.moves}


@pytest.mark.parametrize(
    ("rule", "place", "sentence"),
    [
        ({"match": "name", "methd": "offline"}, "policies[1].methd", "did you mean method?"),
        ({"match": "name", "colour": "red"}, "policies[1].colour", "is unknown"),
        ({"skip": True}, "policies[1].match", "must be a JMESPath expression"),
        ({"match": " ", "skip": True}, "policies[1].match", "must be a JMESPath expression"),
        ({"match": "name =", "skip": True}, None, "'policies[1].match' cannot be used"),
        ({"match": "name == 'a'"}, "policies[1].match", "stands alone"),
        ({"match": "name", "method": "suspended"}, "policies[1].method", "must be one of auto"),
        ({"match": "name", "may_stop": "yes"}, "policies[1].may_stop", "must be true or false"),
        ({"match": "name", "max_stop": -1}, "policies[1].max_stop", "a number of seconds from 0"),
        ({"match": "name", "max_pause": 1.5}, "policies[1].max_pause", "a whole number of milliseconds"),
        ({"match": "name", "priority": True}, "policies[1].priority", "a whole number"),
        ({"match": "name", "order_group": float("nan")}, "policies[1].order_group", "a whole number"),
        ({"match": "name", "affinity": []}, "policies[1].affinity", "a name, or a list of names"),
        ({"match": "name", "pinned": ["kvm9"]}, "policies[1].pinned", "names kvm9; the hosts are kvm1, kvm2"),
        ("skip", "policies[1]", "is no rule"),
    ],
)
def test_a_mistake_is_told_with_its_place(rule: t.Any, place: str | None, sentence: str) -> None:
    good = {"match": "name == 'a'", "skip": True}
    with pytest.raises(InputError) as caught:
        parse([good, rule], ["kvm1", "kvm2"])
    assert sentence in caught.value.message
    assert caught.value.details.get("position") == place


def test_an_expression_that_cannot_be_answered_is_told_with_its_place(fleet: t.Any) -> None:
    rules = parse([{"match": "starts_with(vcpus, 'a')", "skip": True}], ["kvm1"])
    with pytest.raises(InputError, match=r"'policies\[0\].match' cannot be used"):
        terms_of(rules, [("kvm1", fleet.domain("a"))])


def test_later_rules_win_and_groups_add_up(fleet: t.Any) -> None:
    rules = parse(
        [
            {"match": "name", "priority": 1, "may_stop": True, "affinity": "all"},
            {"name": "a", "match": "name == 'a'", "priority": 5, "affinity": ["some", "all"]},
            {"match": "name == 'gone'", "skip": True},
        ],
        ["kvm1"],
    )
    terms = terms_of(rules, [("kvm1", fleet.domain("a")), ("kvm1", fleet.domain("b"))])
    one, other = terms[fleet.uuid("a")], terms[fleet.uuid("b")]
    assert (one.priority, one.may_stop, one.affinity, one.by) == (5, True, ("all", "some"), "rule 1 and rule 2 (a)")
    assert (other.priority, other.affinity) == (1, ("all",))
    assert idle(rules, terms) == ["rule 3"]


def test_skipped_domains_stay_and_pinned_ones_go_nowhere_else(fleet: t.Any) -> None:
    facts = [fleet.host("kvm1", [fleet.domain("a"), fleet.domain("b")]), fleet.host("kvm2"), fleet.host("kvm3")]
    result = planned(
        facts, [{"name": "no", "match": "name == 'a'", "skip": True}, {"match": "name == 'b'", "pinned": "kvm3"}]
    )
    assert [(one.domain, one.code, one.reason) for one in result.staying] == [
        ("a", "POLICY", "It stays by rule 1 (no) of the policies.")
    ]
    assert targets(result) == {"b": "kvm3"}
    assert "rule 2 of the policies holds" in result.moves[0].reason


def test_a_domain_that_is_pinned_where_it_does_not_fit_is_blocked_with_both_reasons(fleet: t.Any) -> None:
    facts = [fleet.host("kvm1", [fleet.domain("a", 8 * GIB)]), fleet.host("kvm2"), fleet.host("kvm3", memory_total=GIB)]
    (blocked,) = planned(facts, [{"match": "name", "pinned": ["kvm3"]}]).blocked
    assert "may only go to kvm3, by rule 1" in blocked.reasons["kvm2"][0]
    assert "memory" in blocked.reasons["kvm3"][0]


def test_may_stop_method_and_limits_of_rules_win(fleet: t.Any) -> None:
    stuck = fleet.domain("stuck", obstacles=("a job runs",), snapshots=("s",))
    live = fleet.domain("live")
    facts = [fleet.host("kvm1", [stuck, live]), fleet.host("kvm2")]
    rules: Rules = [
        {"match": "name == 'stuck'", "may_stop": True, "max_stop": 0},
        {"match": "name == 'live'", "method": "offline", "may_stop": True},
    ]
    moves = {move.domain: move for move in planned(facts, rules).moves}
    assert (moves["live"].method, moves["live"].may_stop) == ("offline", True)
    refused = planned(facts, [{"match": "name", "may_stop": False, "method": "offline"}], may_stop=(live.uuid,))
    assert not refused.moves


def test_order_groups_come_first_then_priorities(fleet: t.Any) -> None:
    domains = [fleet.domain(name, memory * GIB) for name, memory in (("a", 4), ("b", 1), ("c", 2), ("d", 3))]
    facts = [fleet.host("kvm1", domains), fleet.host("kvm2")]
    rules: Rules = [{"match": "name == 'a'", "order_group": 1}, {"match": "name == 'b'", "priority": 1}]
    assert [move.domain for move in planned(facts, rules).moves] == ["b", "d", "c", "a"]
    assert [move.max_downtime for move in planned(facts, [{"match": "name", "max_pause": 50}]).moves] == [50] * 4


def test_affinity_keeps_domains_together_even_where_spreading_were_better(fleet: t.Any) -> None:
    domains = [fleet.domain(name, 4 * GIB) for name in "abcd"]
    facts = [fleet.host("kvm1", domains), fleet.host("kvm2"), fleet.host("kvm3")]
    rules: Rules = [{"match": "contains(['a', 'b', 'c'], name)", "affinity": "web"}]
    found = targets(planned(facts, rules))
    assert found["a"] == found["b"] == found["c"] != found["d"]


def test_affinity_leads_to_where_a_member_runs(fleet: t.Any) -> None:
    there = fleet.domain("there", 20 * GIB)
    facts = [fleet.host("kvm1", [fleet.domain("a")]), fleet.host("kvm2"), fleet.host("kvm3", [there])]
    rules: Rules = [{"match": "name == 'a' || name == 'there'", "affinity": "pair"}]
    assert targets(planned(facts, rules)) == {"a": "kvm3"}


def test_a_group_that_fits_nowhere_whole_is_blocked_whole(fleet: t.Any) -> None:
    domains = [fleet.domain(name, 6 * GIB) for name in "ab"]
    hosts = [fleet.host(name, memory_total=10 * GIB) for name in ("kvm2", "kvm3")]
    result = planned([fleet.host("kvm1", domains), *hosts], [{"match": "name", "affinity": "pair"}])
    assert not result.moves
    assert [one.domain for one in result.blocked] == ["a", "b"]
    assert result.blocked[0].reasons["kvm2"] == (
        "It does not fit there together with 'b', as its affinity group asks.",
    )


def test_anti_affinity_of_rules_keeps_domains_apart_and_away_from_members(fleet: t.Any) -> None:
    domains = [fleet.domain("db1"), fleet.domain("db2")]
    hosts = [fleet.host("kvm2"), fleet.host("kvm3"), fleet.host("kvm4", [fleet.domain("db3")])]
    result = planned(
        [fleet.host("kvm1", domains), *hosts], [{"match": "starts_with(name, 'db')", "anti_affinity": "db"}]
    )
    assert set(targets(result).values()) == {"kvm2", "kvm3"}


def test_groups_that_contradict_each_other_are_told(fleet: t.Any) -> None:
    facts = [fleet.host("kvm1", [fleet.domain("a"), fleet.domain("b")]), fleet.host("kvm2")]
    result = planned(facts, [{"match": "name", "affinity": "x", "anti_affinity": "y"}])
    assert not result.moves
    assert "have to share a host" not in str(result.staying)
    assert len(result.blocked) == 2
