# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guest processes beside domains: planned, listed, reported, brought home; and told apart where that matters."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import success
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB
from ansible_collections.virtops.kvm.plugins.modules import (
    evacuation_plan,
    evacuation_report,
    migration_plan,
    restore_plan,
)
from ansible_collections.virtops.kvm.tests.unit.plugins.modules.test_evacuation_plan import IMAGES, domain, host

Facts = dict[str, t.Any]
QMP = {"kind": "qmp", "address": "unix:/run/web02.sock", "state": "answers", "reason": ""}


def process(name: str = "web02", **fields: t.Any) -> Facts:
    """A guest process as qemu_guest_info tells it."""
    disk = {"device": "vd0", "drive": "drive0", "source": f"{IMAGES}/{name}.raw", "virtual_size": GIB, "allocated": GIB}
    defaults = {
        "process": {"pid": 7, "program": "/usr/bin/qemu-system-x86_64", "words": ["qemu-system-x86_64"]},
        "told_by": "qmp",
        "name": name,
        "uuid": f"uuid of {name}",
        "status": "running",
        "machine": "pc",
        "accelerator": "kvm",
        "memory": 2 * GIB,
        "vcpus": 2,
        "disks": [{**disk, "shared": False}],
        "nics": [{"mac": "52:54:00:00:00:03", "backend": "tap", "interface": "tap7"}],
        "monitors": [QMP],
    }
    return {**defaults, **fields}


def fleet(*guests: Facts, there: t.Sequence[Facts] = (), **fields: t.Any) -> list[Facts]:
    """kvm1 with a domain and ``guests``, kvm2 with the guest processes ``there``."""
    return [
        {**host("kvm1", domain("web01")), "guests": list(guests)},
        {**host("kvm2", **fields), "guests": list(there)},
    ]


def ran(module: t.Any, **params: t.Any) -> t.Any:
    """What a play would see; parameters that are not given have their default."""
    defaults = {name: option.get("default") for name, option in module.argument_spec().items()}
    result = success(module.run({**defaults, **params}, False, None), with_diff=False, info=False)
    return json.loads(json.dumps(result))


def evacuated(facts: list[Facts], **params: t.Any) -> t.Any:
    return ran(evacuation_plan, facts=facts, sources=["kvm1"], on_blocker="skip", **params)


def moves(result: t.Any) -> dict[str, tuple[str, str]]:
    return {move["domain"]: (move["kind"], move["method"]) for move in result["plan"]["moves"]}


def why(result: t.Any, name: str = "web02") -> list[str]:
    """The sentences that keep ``name`` where it is, on whatever host."""
    (blocked,) = (one for one in result["plan"]["blocked"] if one["domain"] == name)
    assert blocked["kind"] == "process"
    return [sentence for sentences in blocked["reasons"].values() for sentence in sentences]


def test_guest_processes_are_planned_beside_domains() -> None:
    result = evacuated(fleet(process()))
    assert moves(result) == {"web01": ("domain", "live_block"), "web02": ("process", "live_block")}
    (move,) = (one for one in result["plan"]["moves"] if one["domain"] == "web02")
    assert (move["uuid"], move["disk_bytes"], move["memory_bytes"]) == ("uuid of web02", GIB, 2 * GIB)
    assert any(
        "web02" in line and "guest process, it is running and drive0 lies on" in line for line in result["table"]
    )
    (before, _there) = result["plan"]["before"]
    assert before["domains"] == ["web01", "web02"]
    assert before["memory_bytes"] == 3 * GIB


def test_a_name_stands_for_a_uuid_that_is_missing() -> None:
    (move,) = evacuated(fleet(process(uuid="")), exclude=["web01"])["plan"]["moves"]
    assert (move["domain"], move["uuid"]) == ("web02", "web02")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"told_by": "argv", "status": None, "monitors": []}, "It has no monitor on a socket"),
        (
            {"told_by": "argv", "status": None, "monitors": [{**QMP, "state": "busy", "reason": "Somebody speaks."}]},
            "Its monitor cannot be used (unix:/run/web02.sock is busy: Somebody speaks)",
        ),
        (
            {"told_by": "hmp"},
            "It has only a human monitor, which does not tell whether the copy of a disk (drive0) failed",
        ),
        ({"blockers": ["VirtFS is in use."]}, "QEMU says that it cannot be migrated: VirtFS is in use."),
        ({"jobs": [{"id": "drive0", "type": "backup"}]}, "QEMU is busy with it (backup drive0)."),
        ({"status": "inmigrate"}, "It waits for a guest that comes by a migration"),
        ({"status": "postmigrate"}, "run qemu_migration for it again"),
        ({"status": "io-error"}, "It is in the state 'io-error'"),
        ({"name": "", "uuid": ""}, "It has neither a name (-name) nor a UUID (-uuid)"),
    ],
)
def test_what_keeps_one_from_moving_is_told_before_anything_starts(fields: Facts, words: str) -> None:
    result = evacuated(fleet(process(**fields)))
    name = "pid 7" if fields.get("name") == "" else "web02"
    assert words in why(result, name)[0]
    assert moves(result) == {"web01": ("domain", "live_block")}
    with pytest.raises(KvmError) as caught:
        ran(evacuation_plan, facts=fleet(process(**fields)), sources=["kvm1"])
    assert caught.value.error_code == "PLAN_BLOCKED"


def test_two_of_one_name_are_not_told_apart() -> None:
    twin = process(uuid="another", process={"pid": 8, "program": "kvm", "words": []})
    blocked = evacuated(fleet(process(), twin))["plan"]["blocked"]
    assert len(blocked) == 2
    assert all("Another QEMU process of its host" in str(one["reasons"]) for one in blocked)


def test_room_for_them_is_looked_for_and_theirs_is_taken() -> None:
    big = process(memory=14 * GIB)
    assert any("of memory left" in one for one in why(evacuated(fleet(big))))
    there = process("big", memory=14 * GIB)
    assert any("of memory left" in one for one in why(evacuated(fleet(process(), there=[there]), exclude=["web01"])))
    full = [{"name": "default", "type": "dir", "path": IMAGES, "available": GIB // 2}]
    assert any("disk space" in one for one in why(evacuated(fleet(process(), pools=full))))
    result = evacuated(fleet(process(disks=[{**process()["disks"][0], "source": "/srv/a.raw"}])), exclude=["web01"])
    assert result["plan"]["moves"][0]["warnings"] == [
        "How much space /srv has there is not known: it is no active storage pool."
    ]


def test_what_is_on_shared_storage_stays_there() -> None:
    pools = [{"name": "nfs", "type": "dir", "path": "/srv", "shared": True, "filesystem": "nfs:192.0.2.1:/srv"}]
    place = {"source": "/srv/a.raw", "shared": True, "filesystem": "nfs:192.0.2.1:/srv"}
    facts = fleet(process(disks=[{**process()["disks"][0], **place}]), pools=pools)
    assert moves(evacuated(facts, exclude=["web01"])) == {"web02": ("process", "live_shared")}
    # Where no disk is copied, a human monitor does.
    facts[0]["guests"][0]["told_by"] = "hmp"
    assert moves(evacuated(facts, exclude=["web01"])) == {"web02": ("process", "live_shared")}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"blockers": ["VirtFS is in use."]}, "QEMU says that it cannot be migrated: VirtFS is in use"),
        ({"told_by": "hmp"}, "It has only a human monitor"),
    ],
)
def test_what_stopping_cures_is_moved_offline_where_that_is_permitted(fields: Facts, words: str) -> None:
    facts = fleet(process(**fields))
    kept = why(evacuated(facts))
    assert words in kept[0]
    assert "see option may_stop" in kept[-1]
    rule = {"match": "kind == 'process'", "may_stop": True, "max_stop": 5}
    for permitted in (evacuated(facts, may_stop="[?kind == 'process']"), evacuated(facts, policies=[rule])):
        (move,) = (one for one in permitted["plan"]["moves"] if one["domain"] == "web02")
        assert (move["method"], move["may_stop"], move["runs"], move["memory_bytes"]) == ("offline", True, True, 0)
        assert move["stop_seconds"] > 30
        assert move["reason"].startswith(f"offline: guest process, it cannot move live ({words}")
        assert permitted["summary"]["stopped"] == 1
    # It is never seeded, however long that takes; the plan says so.
    assert any(
        "It may be stopped for 5.0 s" in text or "It may be stopped for 5 s" in text for text in move["warnings"]
    )


def test_a_stop_is_neither_chosen_without_need_nor_made_without_leave() -> None:
    assert moves(evacuated(fleet(process()), may_stop="[]"))["web02"] == ("process", "live_block")
    offline = {"match": "kind == 'process'", "method": "offline"}
    refused = evacuated(fleet(process()), policies=[offline])
    assert any("method offline would shut it down, which is not permitted" in one for one in why(refused))
    permitted = evacuated(fleet(process()), policies=[{**offline, "may_stop": True}])
    assert moves(permitted)["web02"] == ("process", "offline")
    listed = {"facts": fleet(process()), "domains": ["web02"], "destination": "kvm2"}
    assert any("not permitted" in one for one in why(ran(migration_plan, **listed)))
    assert moves(ran(migration_plan, **listed, may_stop=True)) == {"web02": ("process", "offline")}
    ruled = ran(migration_plan, **listed, method="auto", policies=[{**offline, "may_stop": True}])
    assert why(ruled) == ["Rule 1 of the policies asks for offline, which stops it, and this run may not stop it."]
    for method in ("seeded", "suspended"):
        other = why(ran(migration_plan, **listed, may_stop=True, method=method))
        assert any(f"Method {method} is for domains of libvirt" in one for one in other)
    paused = {**listed, "facts": fleet(process(status="paused"))}
    assert any(
        "it is paused, so it cannot shut itself down" in one
        for one in why(ran(migration_plan, **paused, may_stop=True))
    )


def off(name: str = "still", **fields: t.Any) -> Facts:
    """A guest of qemu_guest that has no process."""
    unit = {
        "pid": 0,
        "program": "/usr/bin/qemu-system-x86_64",
        "words": ["kvm"],
        "unit": f"virtops-kvm-guest-{name}.service",
    }
    return process(name, told_by="argv", status="stopped", monitors=[], process=unit, **fields)


def test_one_that_is_off_is_a_domain_that_is_shut_off() -> None:
    facts = fleet(off())
    result = evacuated(facts)
    (move,) = (one for one in result["plan"]["moves"] if one["domain"] == "still")
    assert (move["kind"], move["method"], move["runs"], move["may_stop"], move["stop_seconds"]) == (
        "process", "offline", False, False, None,
    )  # fmt: skip
    assert "guest process, it is shutoff" in move["reason"]
    (before, _there) = result["plan"]["before"]
    assert before["domains"] == ["web01"]
    (stays,) = (one for one in evacuated(facts, shut_off="stay")["plan"]["staying"] if one["domain"] == "still")
    assert (stays["kind"], stays["code"]) == ("process", "SHUTOFF")
    (old,) = (
        one for one in evacuated(fleet(off(), there=[process("still")]))["plan"]["staying"] if one["domain"] == "still"
    )
    assert (old["code"], old["reason"]) == (
        "RUNS_ELSEWHERE",
        "It runs on kvm2; what is here is an old unit, which can be removed.",
    )

    ticket = {**result["plan"], "moves": [{**move, "source": "kvm2", "destination": "kvm1"}]}
    home = ran(restore_plan, ticket=ticket, facts=[host("kvm1"), {**host("kvm2"), "guests": [off()]}])
    assert moves(home) == {"still": ("process", "offline")}
    staying = ran(restore_plan, ticket=ticket, facts=facts)["plan"]["staying"]
    assert [(one["domain"], one["code"]) for one in staying] == [("still", "HOME")]


def test_options_choose_them_by_their_facts() -> None:
    facts = fleet(process(), process("db02", process={"pid": 8, "program": "kvm", "words": []}))
    assert set(moves(evacuated(facts, select="[?kind == 'process']"))) == {"web02", "db02"}
    assert set(moves(evacuated(facts, exclude=["web02"]))) == {"web01", "db02"}
    with pytest.raises(KvmError) as caught:
        ran(migration_plan, facts=facts, domains=["web03"], destination="kvm2")
    assert "no domain and no guest process 'web03'" in caught.value.message


def test_a_plan_rests_on_them() -> None:
    saved = evacuated(fleet(process()))["plan"]
    assert ran(evacuation_plan, facts=fleet(process()), saved_plan=saved)["plan"] == saved
    busy = process(blockers=["VirtFS"])
    for changed, words in (
        (fleet(), "guest process 'web02' on kvm1 is gone"),
        (fleet(process(), process("new")), "guest process 'new' on kvm1 is new"),
        (fleet(busy), "guest process 'web02' on kvm1 changed"),
        (fleet(process(), there=[process("new")]), "the domains on kvm2 changed"),
    ):
        with pytest.raises(KvmError) as caught:
            ran(evacuation_plan, facts=changed, saved_plan=saved)
        assert caught.value.error_code == "PLAN_STALE"
        assert words in caught.value.message


def test_each_of_a_list_gets_its_part_of_the_mapping() -> None:
    mapping = {
        "disks": {"vda": "/srv/a.qcow2", "drive0": "/srv/b.raw"},
        "networks": {"default": "front"},
        "bridges": {"br0": "br1"},
        "taps": {"tap7": "tap8"},
        "ports": {"5901": 5902},
        "paths": {IMAGES: "/srv"},
    }
    facts = fleet(
        process(),
        networks=[{"name": "front"}],
        pools=[{"name": "srv", "type": "dir", "path": "/srv", "available": 9 * GIB}],
    )
    listed = {"facts": facts, "domains": ["web01", "web02"], "destination": "kvm2", "method": "auto"}
    planned = ran(migration_plan, mapping=mapping, **listed)["plan"]["moves"]
    assert {move["domain"]: move["mapping"] for move in planned} == {
        "web01": {"disks": {"vda": "/srv/a.qcow2"}, "networks": {"default": "front"}, "paths": {IMAGES: "/srv"}},
        "web02": {
            "disks": {"drive0": "/srv/b.raw"},
            "bridges": {"br0": "br1"},
            "taps": {"tap7": "tap8"},
            "ports": {"5901": 5902},
            "paths": {IMAGES: "/srv"},
        },
    }
    for wrong in ({"taps": {"tap7": "no such name"}}, {"disks": {"vdz": "/srv/c"}}, {"what": {}}):
        with pytest.raises(KvmError):
            ran(migration_plan, mapping=wrong, **listed)
    with pytest.raises(KvmError) as caught:
        ran(migration_plan, mapping={"taps": {"tap7": "tap8"}}, **{**listed, "domains": ["web01"]})
    assert "'taps' concerns none" in caught.value.message


def test_a_report_tells_of_both_and_the_ticket_brings_both_home() -> None:
    plan = evacuated(fleet(process()))["plan"]
    told = {"guest": "web02", "method": "live_block", "source_host": "kvm1", "destination_host": "kvm2"}
    told = {**told, "started": 100.0, "seconds": 4.0, "downtime_ms": 80, "disk_bytes": None, "memory_bytes": 7}
    measured = {**told, "domain": "web01", "uuid": "uuid of web01", "method_reason": "", "disk_bytes": 5}
    results = {
        "web01": {"changed": True, "outcome": "moved", "move": measured},
        "web02": {"changed": True, "outcome": "moved", "move": {**told, "monitor": "/run/x"}},
    }
    after = [
        {"name": "kvm1", "domains": [], "guests": []},
        {"name": "kvm2", "domains": [domain("web01")], "guests": [process(told_by="argv", status=None)]},
    ]
    told_all = {"plan": plan, "results": results, "name": "run", "directory": None}
    files = evacuation_report.Files()
    defaults = {name: option.get("default") for name, option in evacuation_report.argument_spec().items()}

    def report(**more: t.Any) -> t.Any:
        return evacuation_report.run({**defaults, **told_all, **more}, False, files).values

    done = report(after=after)
    assert (done["status"], done["problems"]) == ("complete", [])
    assert "2 VMs moved to kvm2 (2)" in done["lines"][0]
    ticket = done["ticket"]
    assert {move["domain"]: move["kind"] for move in ticket["moves"]} == {"web01": "domain", "web02": "process"}

    left = [{**after[0], "guests": [process(), process("late")]}, {**after[1], "guests": []}]
    assert [line.split(",")[0] for line in report(after=left)["problems"]] == [
        "web02 is reported as moved",
        "late runs on kvm1 and was not there when the moves were planned; evacuate again.",
    ]
    twice = [{**after[0], "guests": [process()]}, after[1]]
    assert "web02 is active on kvm1 and kvm2 at the same time" in report(after=twice)["problems"][0]

    facts = [host("kvm1"), {**host("kvm2", domain("web01")), "guests": [process()]}]
    home = ran(restore_plan, ticket=ticket, facts=facts)
    assert {move["domain"]: (move["kind"], move["destination"]) for move in home["plan"]["moves"]} == {
        "web01": ("domain", "kvm1"),
        "web02": ("process", "kvm1"),
    }
    staying = ran(restore_plan, ticket=ticket, facts=fleet(process()))["plan"]["staying"]
    assert [(one["domain"], one["kind"], one["code"]) for one in staying] == [
        ("web01", "domain", "HOME"),
        ("web02", "process", "HOME"),
    ]
