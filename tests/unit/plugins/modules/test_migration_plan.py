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
