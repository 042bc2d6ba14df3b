# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan for listed domains: who is meant, who may be stopped, which part of the mapping is whose."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import success
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.modules.migration_plan import argument_spec, run
from ansible_collections.virtops.kvm.tests.unit.plugins.modules.test_evacuation_plan import GIB, domain, host


def fleet(**there: t.Any) -> list[dict[str, t.Any]]:
    web = domain("web01")
    web["nics"] = [{"mac": "52:54:00:00:00:02", "type": "network", "source": "front"}]
    return [
        host("kvm1", web, domain("off", state="shutoff")),
        host("kvm3", domain("db01", state="shutoff")),
        host("kvm2", domain("mail"), **{"networks": [{"name": "default"}, {"name": "front"}], **there}),
    ]


def planned(**params: t.Any) -> dict[str, t.Any]:
    """What a play would see; parameters that are not given have their default."""
    defaults = {name: option.get("default") for name, option in argument_spec().items()}
    given = {"facts": fleet(), "destination": "kvm2", **params}
    result = success(run({**defaults, **given}, False, None), with_diff=True, info=True)
    return t.cast("dict[str, t.Any]", json.loads(json.dumps(result)))


def refused(**params: t.Any) -> KvmError:
    with pytest.raises(KvmError) as caught:
        planned(**params)
    return caught.value


def ways(result: dict[str, t.Any]) -> list[tuple[str, str, str]]:
    return sorted((move["domain"], move["source"], move["method"]) for move in result["plan"]["moves"])


def test_listed_and_selected_domains_move_from_wherever_they_are() -> None:
    result = planned(domains=["db01"], select="[?name=='off'].name")
    assert ways(result) == [("db01", "kvm3", "offline"), ("off", "kvm1", "offline")]
    assert result["plan"]["staying"] == []


def test_what_is_there_already_stays_and_what_nobody_has_is_an_error() -> None:
    result = planned(domains=["mail", "off"])
    assert ways(result) == [("off", "kvm1", "offline")]
    assert [(one["domain"], one["code"]) for one in result["plan"]["staying"]] == [("mail", "ALREADY_THERE")]
    error = refused(domains=["web02"])
    assert error.error_code == "DOMAIN_NOT_FOUND"
    assert "did you mean 'web01'" in error.message


def test_an_old_definition_of_what_runs_there_is_not_moved() -> None:
    facts = fleet()
    facts[0]["domains"].append(domain("mail", state="shutoff"))
    result = planned(facts=facts, domains=["mail"])
    assert ways(result) == []
    assert [one["code"] for one in result["plan"]["staying"]] == ["ALREADY_THERE"]


@pytest.mark.parametrize("method", ["offline", "suspended", "seeded"])
def test_a_running_domain_is_stopped_only_with_permission(method: str) -> None:
    result = planned(domains=["web01"], method=method)
    assert "is not permitted" in result["plan"]["blocked"][0]["reasons"]["kvm2"][0]
    (move,) = planned(domains=["web01"], method=method, may_stop=True)["plan"]["moves"]
    assert (move["method"], move["runs"], move["may_stop"]) == (method, True, True)
    assert move["memory_bytes"] == (GIB if method == "suspended" else 0)


def test_auto_moves_what_runs_live() -> None:
    assert ways(planned(domains=["web01", "off"], method="auto")) == [
        ("off", "kvm1", "offline"),
        ("web01", "kvm1", "live_block"),
    ]


def test_a_cordoned_destination_takes_nothing_unless_that_is_accepted() -> None:
    facts = fleet(cordoned=True, cordon_reason="fan")
    assert "cordoned (fan)" in planned(facts=facts, domains=["off"])["plan"]["blocked"][0]["reasons"]["kvm2"][0]
    assert planned(facts=facts, domains=["off"], accept=["CORDONED"])["moves_count"] == 1


def test_each_move_gets_its_part_of_the_mapping() -> None:
    mapping = {"networks": {"front": "dmz"}, "paths": {"/var/lib/libvirt/images": "/srv"}}
    facts = fleet(networks=[{"name": "default"}, {"name": "dmz"}])
    moves = planned(facts=facts, domains=["web01", "off"], may_stop=True, mapping=mapping)["plan"]["moves"]
    assert {move["domain"]: move["mapping"] for move in moves} == {
        "web01": mapping,
        "off": {"paths": mapping["paths"]},
    }


def test_space_is_counted_where_the_mapping_puts_the_images() -> None:
    pools = [
        {"name": "default", "type": "dir", "path": "/var/lib/libvirt/images", "available": 100 * GIB},
        {"name": "srv", "type": "dir", "path": "/srv", "available": 1024},
    ]
    mapping = {"paths": {"/var/lib/libvirt/images": "/srv"}}
    assert planned(facts=fleet(pools=pools), domains=["off"])["moves_count"] == 1
    result = planned(facts=fleet(pools=pools), domains=["off"], mapping=mapping)
    assert "disk space (pool srv)" in result["plan"]["blocked"][0]["reasons"]["kvm2"][0]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "Neither domains nor select"),
        ({"domains": ["off"], "link_rate": 0}, "greater than 0"),
        ({"domains": ["off"], "mapping": {"networks": {"nowhere": "x"}}}, "concerns none of the domains"),
        ({"domains": ["off", "db01"], "mapping": {"disks": {"vda": "/srv/a"}}}, "one path to disk vda of"),
        ({"domains": ["off"], "mapping": {"paths": {"relative": "/srv"}}}, "not an absolute path"),
        ({"domains": ["off"], "select": "[?"}, "JMESPath"),
        ({"domains": ["off"], "destination": "kvm9"}, "kvm9"),
    ],
)
def test_what_cannot_be_meant_is_refused(params: dict[str, t.Any], sentence: str) -> None:
    assert sentence in refused(**params).message


def by_rules(*rules: dict[str, t.Any], **params: t.Any) -> dict[str, t.Any]:
    """A plan for web01, which runs, and off, which does not, by rules."""
    return planned(domains=["web01", "off"], policies=list(rules), **params)


def why_not(result: dict[str, t.Any]) -> str:
    """The one sentence about the one domain that does not move."""
    (blocked,) = result["plan"]["blocked"]
    ((sentence,),) = blocked["reasons"].values()
    return t.cast("str", sentence)


def test_rules_say_order_pause_and_who_stays() -> None:
    first = {"match": "name == 'off'", "priority": 1}
    result = by_rules(first, {"match": "name", "max_pause": 40}, method="auto")
    assert [(move["domain"], move["max_downtime"]) for move in result["plan"]["moves"]] == [("off", 40), ("web01", 40)]
    result = by_rules({"name": "calm", "match": "name == 'web01'", "skip": True, "method": "offline"}, method="auto")
    assert [(one["domain"], one["code"]) for one in result["plan"]["staying"]] == [("web01", "POLICY")]
    assert result["plan"]["blocked"] == []


@pytest.mark.parametrize(
    ("method", "said", "follows"),
    [
        ("auto", "live_block", "live_block"),
        ("auto", "offline", "offline"),
        ("offline", "auto", "offline"),
        ("offline", "seeded", "seeded"),
        ("suspended", "suspended", "suspended"),
        ("live_block", "auto", "live_block"),
    ],
)
def test_a_rules_method_holds_where_the_run_leaves_it_open(method: str, said: str, follows: str) -> None:
    rule: dict[str, t.Any] = {"match": "name", "priority": 1}
    rule.update({} if said == "suspended" else {"method": said})
    result = by_rules(rule, method=method, may_stop=True)
    assert ways(result) == [("off", "kvm1", "offline"), ("web01", "kvm1", follows)]


@pytest.mark.parametrize(
    ("method", "said"), [("live_shared", "live_block"), ("live_shared", "offline"), ("suspended", "offline")]
)
def test_a_rules_method_that_contradicts_the_run_keeps_the_running_domain(method: str, said: str) -> None:
    result = by_rules({"name": "ours", "match": "name", "method": said}, method=method, may_stop=True)
    assert ways(result) == [("off", "kvm1", "offline")]
    assert why_not(result) == (
        f"This run moves by {method}, and rule 1 (ours) of the policies asks for {said}: move it by that method, or change the rule."
    )


def test_a_rule_may_forbid_a_stop_and_does_not_permit_one() -> None:
    result = by_rules({"match": "name", "may_stop": False}, may_stop=True)
    assert ways(result) == [("off", "kvm1", "offline")]
    assert "not permitted" in why_not(result)
    assert "not permitted" in why_not(by_rules({"match": "name", "may_stop": True}))
    result = by_rules({"match": "name", "may_stop": True, "method": "offline"}, method="auto")
    assert why_not(result) == "Rule 1 of the policies asks for offline, which stops it, and this run may not stop it."


def test_hosts_that_may_not_take_a_domain_are_told_whoever_else_may() -> None:
    pinned = by_rules({"match": "name", "pinned": ["kvm7", "kvm8"]}, method="auto")
    assert [one["reasons"]["kvm2"][0] for one in pinned["plan"]["blocked"]] == [
        "It may only go to kvm7 or kvm8, by rule 1 of the policies."
    ] * 2
    apart = by_rules({"match": "name == 'mail' || name == 'web01'", "anti_affinity": "one"}, method="auto")
    assert why_not(apart) == "A member of its anti-affinity group (one) runs there."


def test_a_mistake_in_a_rule_is_told_with_its_place() -> None:
    assert refused(domains=["off"], policies=[{"match": "name", "skp": True}]).details["position"] == "policies[0].skp"
