# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""evacuation_plan: plain data in, plan and table out; a saved plan is only good for the facts it was made from."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import success
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB
from ansible_collections.virtops.kvm.plugins.modules.evacuation_plan import argument_spec, run

IMAGES = "/var/lib/libvirt/images"


def domain(name: str, **fields: t.Any) -> dict[str, t.Any]:
    disk = {"target": "vda", "type": "file", "source": f"{IMAGES}/{name}", "allocated": GIB, "virtual_size": 2 * GIB}
    defaults = {
        "name": name,
        "uuid": f"uuid of {name}",
        "state": "running",
        "machine": "pc",
        "memory": GIB,
        "memory_max": GIB,
        "disks": [{**disk, "shared": False}],
        "nics": [{"mac": "52:54:00:00:00:01", "type": "network", "source": "default"}],
    }
    return {**defaults, **fields}


def host(name: str, *domains: dict[str, t.Any], **fields: t.Any) -> dict[str, t.Any]:
    defaults = {
        "hostname": name,
        "uuid": f"uuid of {name}",
        "cpus": 8,
        "memory_total": 16 * GIB,
        "memory_free": 12 * GIB,
        "virt_types": ["kvm"],
        "machines": [{"virt_type": "kvm", "names": ["pc"]}],
        "pools": [{"name": "default", "type": "dir", "path": IMAGES, "available": 100 * GIB}],
        "networks": [{"name": "default"}],
    }
    return {"name": name, "host": {**defaults, **fields}, "domains": list(domains)}


def fleet() -> list[dict[str, t.Any]]:
    return [host("kvm1", domain("web01"), domain("db01"), domain("off", state="shutoff")), host("kvm2"), host("kvm3")]


def planned(**params: t.Any) -> dict[str, t.Any]:
    """What a play would see; parameters that are not given have their default."""
    defaults = {name: option.get("default") for name, option in argument_spec().items()}
    given = {"facts": fleet(), **params}
    if "saved_plan" not in params:
        given.setdefault("sources", ["kvm1"])
    result = success(run({**defaults, **given}, False, None), with_diff=True, info=False)
    return t.cast("dict[str, t.Any]", json.loads(json.dumps(result)))


def refused(**params: t.Any) -> KvmError:
    with pytest.raises(KvmError) as caught:
        planned(**params)
    return caught.value


def test_a_plan() -> None:
    result = planned()
    assert not result["changed"]
    assert (result["moves_count"], result["blocked_count"]) == (3, 0)
    sums = result["summary"]
    assert (sums["moves"], sums["staying"], sums["blocked"], sums["stopped"]) == (3, 0, 0, 0)
    assert sums["disk_bytes"] == 3 * GIB
    assert result["table"][-1] == sums["sentence"]
    assert {move["domain"]: (move["destination"], move["method"]) for move in result["plan"]["moves"]} == {
        "db01": ("kvm2", "live_block"),
        "web01": ("kvm3", "live_block"),
        "off": ("kvm2", "offline"),
    }
    staying = planned(shut_off="stay")["plan"]["staying"]
    assert [(one["domain"], one["code"]) for one in staying] == [("off", "SHUTOFF")]


def test_the_table_is_aligned_also_with_wide_names() -> None:
    facts = fleet()
    facts[0]["domains"].append(domain("データ 01"))
    lines = planned(facts=facts)["table"]
    assert lines[0].split() == ["#", "VM", "from", "->", "to", "method", "disk", "memory", "est.", "reason"]
    plain = [line for line in lines[:4] if "データ" not in line]
    assert len({line.index("kvm1 ->") for line in plain[1:]}) == 1
    assert lines[-1] == "4 to move (7.0 GiB, about 1 min 20 s one after another), 0 staying, 0 blocked."
    assert "Staying:" in planned(exclude=["off"])["table"]


def test_who_may_be_stopped_is_chosen_by_an_expression_and_the_plan_says_for_how_long() -> None:
    facts = fleet()
    facts[0]["domains"][0]["snapshots"] = facts[0]["domains"][1]["snapshots"] = ["before"]
    result = planned(facts=facts, may_stop="[?starts_with(name, 'web')]", max_stop=600, on_blocker="skip")
    assert [one["domain"] for one in result["plan"]["blocked"]] == ["db01"]
    assert any("may_stop" in line for line in result["table"])
    (web,) = (move for move in result["plan"]["moves"] if move["domain"] == "web01")
    assert (web["method"], web["runs"], web["may_stop"]) == ("offline", True, True)
    assert "stopped" in result["table"][0]
    assert refused(facts=facts, may_stop="[?", on_blocker="skip").details["option"] == "may_stop"
    assert "max_stop is -1" in refused(max_stop=-1).message
    assert planned(may_stop="['gone']")["moves_count"] == 3


def test_blocked_domains_fail_the_task_by_default_and_say_why() -> None:
    facts = [host("kvm1", domain("web01")), host("kvm2", networks=[]), host("kvm3", networks=[])]
    error = refused(facts=facts)
    assert error.error_code == "PLAN_BLOCKED"
    assert "'web01'" in error.message
    assert any(
        "kvm2, kvm3: The destination has no libvirt network 'default'." in line for line in error.details["table"]
    )
    assert planned(facts=facts, on_blocker="skip")["blocked_count"] == 1


@pytest.mark.parametrize(
    ("select", "moving"),
    [
        ("[?name=='web01']", ["web01"]),
        ("[?starts_with(name, 'db')].name", ["db01"]),
        ("[?host=='kvm1'].uuid", ["db01", "off", "web01"]),
        ("[?memory > `99999999999`]", []),
    ],
)
def test_select(select: str, moving: list[str]) -> None:
    assert sorted(move["domain"] for move in planned(select=select)["plan"]["moves"]) == moving


@pytest.mark.parametrize(
    ("params", "option", "sentence"),
    [
        ({"select": "["}, "select", "cannot be used"),
        ({"select": "length(@)"}, "select", "returns no list"),
        ({"select": "[].disks"}, "select", "returns no list"),
        ({"select": "['nobody']"}, "select", "names a domain"),
        ({"cpu_overcommit": 0.0}, "cpu_overcommit", "greater than 0"),
        ({"cpu_overcommit": float("nan")}, "cpu_overcommit", "greater than 0"),
        ({"link_rate": -1.0}, "link_rate", "greater than 0"),
        ({"memory_reserve": "much"}, "memory_reserve", "neither an amount"),
        ({"accept": ["EVERYTHING"]}, "accept", "no code of a finding"),
        ({"accept": ["NAME_CONFLICT"]}, "accept", "may not be accepted"),
        ({"facts": [{"name": "kvm1", "host": {}, "domains": []}]}, "facts", "survey it again"),
        ({"sources": []}, "sources", "is empty"),
    ],
)
def test_bad_options(params: dict[str, t.Any], option: str, sentence: str) -> None:
    error = refused(**params)
    assert (error.error_code, error.details["option"]) == ("INVALID_OPTION", option)
    assert sentence in error.message


def test_names_that_nobody_has_are_warned_of() -> None:
    defaults = {name: spec.get("default") for name, spec in argument_spec().items()}
    params = {
        **defaults,
        "facts": fleet(),
        "sources": ["kvm1"],
        "exclude": ["web1"],
        "anti_affinity": [["db01", "db02"]],
    }
    assert run(params, False, None).warnings == (
        "exclude names web1, which no surveyed host has.",
        "anti_affinity names db02, which no surveyed host has.",
    )


def test_a_saved_plan_is_returned_when_only_volatile_facts_changed() -> None:
    plan = planned(exclude=["web01"])["plan"]
    facts = fleet()
    for one in facts:
        one["host"]["memory_free"] -= GIB
        one["host"]["time"] = 1.0
        one["host"]["pools"][0]["available"] -= GIB
        one["host"]["cordoned"] = one["name"] == "kvm1"
    facts[0]["domains"][0]["disks"][0]["allocated"] += 4096
    facts[0]["domains"][0]["state"] = "paused"
    assert planned(facts=list(reversed(facts)), saved_plan=plan)["plan"] == plan
    assert planned(facts=facts, saved_plan=plan, sources=["kvm1"])["plan"] == plan


def new_domain(facts: list[dict[str, t.Any]]) -> None:
    facts[0]["domains"].append(domain("new"))


def larger(facts: list[dict[str, t.Any]]) -> None:
    facts[0]["domains"][0]["memory_max"] *= 2


def stopped(facts: list[dict[str, t.Any]]) -> None:
    facts[0]["domains"][0]["state"] = "shutoff"


def disk_added(facts: list[dict[str, t.Any]]) -> None:
    facts[0]["domains"][0]["disks"].append({"target": "vdb", "type": "file", "source": f"{IMAGES}/b"})


def moved_away(facts: list[dict[str, t.Any]]) -> None:
    facts[2]["domains"].append(facts[0]["domains"].pop(0))


def cordoned(facts: list[dict[str, t.Any]]) -> None:
    facts[1]["host"]["cordoned"] = True


def network_gone(facts: list[dict[str, t.Any]]) -> None:
    facts[1]["host"]["networks"] = []


def replaced(facts: list[dict[str, t.Any]]) -> None:
    facts[1]["host"]["uuid"] = "another machine"


def unsurveyed(facts: list[dict[str, t.Any]]) -> None:
    del facts[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (new_domain, "domain 'new' on kvm1 is new"),
        (larger, "domain 'web01' on kvm1 changed"),
        (stopped, "domain 'web01' on kvm1 changed"),
        (disk_added, "domain 'web01' on kvm1 changed"),
        (moved_away, "domain 'web01' on kvm1 is gone"),
        (cordoned, "host kvm2 changed"),
        (network_gone, "host kvm2 changed"),
        (replaced, "host kvm2 changed"),
        (unsurveyed, "host kvm3 was not surveyed"),
    ],
)
def test_a_saved_plan_is_refused_when_its_ground_changed(
    change: t.Callable[[list[dict[str, t.Any]]], None], said: str
) -> None:
    plan, facts = planned()["plan"], fleet()
    change(facts)
    error = refused(facts=facts, saved_plan=plan)
    assert error.error_code == "PLAN_STALE"
    assert said in error.message
    assert said in error.details["changes"]


def test_a_saved_plan_for_other_sources_is_refused() -> None:
    error = refused(saved_plan=planned()["plan"], sources=["kvm2"])
    assert error.error_code == "PLAN_STALE"
    assert "it empties kvm1 and you ask for kvm2" in error.message


def test_what_is_no_plan_is_refused() -> None:
    plan = planned()["plan"]
    broken: list[tuple[str, dict[str, t.Any]]] = []
    for name in ("version", "fingerprint", "options"):
        altered = copy.deepcopy(plan)
        altered[name] = {"version": 99, "fingerprint": "0" * 32, "options": {}}[name]
        broken.append((name, altered))
    for _name, altered in [
        *broken,
        ("empty", {"moves": []}),
        ("text", {"version": 1, "fingerprint": "", "options": "x"}),
    ]:
        error = refused(saved_plan=altered)
        assert (error.error_code, error.details["option"]) == ("INVALID_OPTION", "saved_plan")
