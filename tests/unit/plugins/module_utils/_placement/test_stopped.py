# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stopped methods in a plan: what is shut off moves, and what runs is stopped only where it must be and may be."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB, MIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Cpu
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Reachability
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import Plan, PlannedMove
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import needs_of
from ansible_collections.virtops.kvm.plugins.module_utils._placement.estimates import estimate
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions
from ansible_collections.virtops.kvm.plugins.module_utils._placement.planner import ANY_HOST, plan
from ansible_collections.virtops.kvm.plugins.module_utils._placement.policy import MAY_STOP_HINT
from ansible_collections.virtops.kvm.plugins.module_utils._placement.table import table_of

KVM1 = PlanOptions(sources=("kvm1",))


def only(result: Plan) -> PlannedMove:
    assert len(result.moves) == 1, result
    return result.moves[0]


def empties(fleet: t.Any, *domains: t.Any, there: dict[str, t.Any] | None = None, **options: t.Any) -> Plan:
    """The plan that moves ``domains`` from kvm1 to kvm2; ``may_stop`` holds names here."""
    may_stop = tuple(fleet.uuid(name) for name in options.pop("may_stop", ()))
    facts = [fleet.host("kvm1", domains), fleet.host("kvm2", **(there or {}))]
    return plan(facts, dataclasses.replace(KVM1, may_stop=may_stop, **options))


def test_what_is_shut_off_moves_offline_and_takes_no_memory(fleet: t.Any) -> None:
    off = fleet.domain("off", 32 * GIB, state="shutoff")
    result = empties(fleet, off, fleet.domain("on", 32 * GIB), there={"memory_total": 40 * GIB})
    moves = {move.domain: move for move in result.moves}
    assert (moves["on"].method, moves["off"].method) == ("live_block", "offline")
    assert (moves["off"].runs, moves["off"].may_stop, moves["off"].stop_seconds) == (False, False, None)
    assert (moves["off"].disk_bytes, moves["off"].memory_bytes) == (GIB, 0)
    assert "cannot be started there: It has" in moves["off"].warnings[0]
    assert [one.domains for one in result.after] == [(), ("on",)]


def test_what_is_shut_off_stays_where_that_is_asked(fleet: t.Any) -> None:
    result = empties(fleet, fleet.domain("off", state="shutoff"), shut_off="stay")
    assert [(one.code, one.reason) for one in result.staying] == [
        ("SHUTOFF", "It is shutoff, and option shut_off says that such domains stay.")
    ]


def test_an_old_definition_of_what_runs_elsewhere_stays(fleet: t.Any) -> None:
    facts = [fleet.host("kvm1", [fleet.domain("a", state="shutoff")]), fleet.host("kvm2", [fleet.domain("a")])]
    result = plan(facts, KVM1)
    assert not result.moves
    assert [one.code for one in result.staying] == ["RUNS_ELSEWHERE"]


def test_a_domain_with_two_inactive_definitions_is_not_touched(fleet: t.Any) -> None:
    copies = [fleet.host(name, [fleet.domain("a", state="shutoff")]) for name in ("kvm1", "kvm2")]
    result = plan([*copies, fleet.host("kvm3")], PlanOptions(sources=("kvm1", "kvm2")))
    assert not result.moves
    assert {one.reasons[ANY_HOST][0] for one in result.blocked} == {
        "It is defined on kvm1 and kvm2: undefine the wrong copy first."
    }


def test_copies_of_what_is_shut_off_need_space_as_others_do(fleet: t.Any) -> None:
    domains = [
        fleet.domain(f"off{number}", state="shutoff", disks=(fleet.disk("vda", f"{fleet.IMAGES}/{number}"),))
        for number in range(3)
    ]
    result = empties(fleet, *domains, there={"pools": (fleet.pool(available=int(2.5 * GIB)),)})
    assert len(result.moves) == 2
    assert "disk space" in result.blocked[0].reasons["kvm2"][0]


def test_shared_disks_of_what_is_shut_off_need_no_space(fleet: t.Any) -> None:
    shared = fleet.disk("vda", "/srv/shared/a.qcow2", shared=True, filesystem="nfs:nas:/export", allocated=500 * GIB)
    pool = fleet.pool(path="/srv/shared", shared=True, filesystem="nfs:nas:/export", available=GIB)
    move = only(empties(fleet, fleet.domain("a", state="shutoff", disks=(shared,)), there={"pools": (pool,)}))
    assert (move.method, move.disk_bytes) == ("offline", 0)


def test_what_is_shut_off_is_spread_as_if_it_ran(fleet: t.Any) -> None:
    domains = [fleet.domain(f"off{number}", state="shutoff") for number in range(6)]
    facts = [fleet.host("kvm1", domains), *(fleet.host(name) for name in ("kvm2", "kvm3", "kvm4"))]
    moves = plan(facts, KVM1).moves
    assert sorted([move.destination for move in moves].count(name) for name in ("kvm2", "kvm3", "kvm4")) == [2, 2, 2]


NAMED = Cpu("custom", "Skylake-Server")
BLOCKED_PORT = {"reachability": (Reachability("kvm2", "192.0.2.2", 49152, "timeout"),)}
#: What it is, the domain, the destination, a part of why it cannot move live, and whether stopping it helps.
OBSTACLES: list[tuple[str, dict[str, t.Any], dict[str, t.Any], str, bool]] = [
    ("snapshots", {"snapshots": ("before",)}, {}, "snapshot", True),
    ("3D", {"obstacles": ("video with 3D acceleration on the host",)}, {}, "3D", True),
    ("older QEMU", {}, {"qemu_version": 7002000}, "older than the source's", True),
    ("its CPU", {"cpu": NAMED, "cpu_defined": Cpu("host-model")}, {}, "does not offer the CPU model", True),
    ("a CPU that is not there", {"cpu": NAMED}, {}, "does not offer the CPU model", False),
    ("no memory", {}, {"memory_total": 2 * GIB, "memory_free": GIB}, "of memory left", False),
    ("another architecture", {}, {"arch": "aarch64"}, "is aarch64", False),
]


@pytest.mark.parametrize(
    ("about", "domain", "there", "sentence", "helps"), OBSTACLES, ids=[row[0] for row in OBSTACLES]
)
def test_a_running_domain_is_stopped_only_where_that_helps_and_is_permitted(
    fleet: t.Any, about: str, domain: dict[str, t.Any], there: dict[str, t.Any], sentence: str, helps: bool
) -> None:
    models = {"kvm": ("Nehalem",)}
    source = fleet.host("kvm1", [fleet.domain("web01", **domain)], cpu_models={"kvm": ("Skylake-Server",)})
    facts = [source, fleet.host("kvm2", **{"cpu_models": models, **there})]
    forbidden = plan(facts, KVM1).blocked[0].reasons
    told = " ".join(" ".join(sentences) for sentences in forbidden.values())
    assert (MAY_STOP_HINT in told) == helps
    permitted = plan(facts, dataclasses.replace(KVM1, may_stop=(fleet.uuid("web01"),)))
    if helps:
        move = only(permitted)
        assert (move.method, move.runs, move.may_stop) == ("offline", True, True)
        assert sentence in move.reason
        assert move.memory_bytes == 0
        assert move.stop_seconds is not None
        assert sentence in told
    else:
        assert sentence in " ".join(" ".join(sentences) for sentences in permitted.blocked[0].reasons.values())


def test_live_is_preferred_although_it_may_be_stopped(fleet: t.Any) -> None:
    move = only(empties(fleet, fleet.domain("web01"), may_stop=("web01",)))
    assert (move.method, move.may_stop) == ("live_block", False)


def test_one_host_that_takes_it_live_is_not_passed_over(fleet: t.Any) -> None:
    facts = [fleet.host("kvm1", [fleet.domain("a", 8 * GIB)]), fleet.host("kvm2", qemu_version=7002000)]
    facts.append(fleet.host("kvm3", [fleet.domain("x", 16 * GIB)]))
    options = dataclasses.replace(KVM1, may_stop=(fleet.uuid("a"),))
    assert (only(plan(facts, options)).destination, only(plan(facts, options)).method) == ("kvm3", "live_block")
    assert only(plan(facts[:2], options)).method == "offline"
    facts[2] = fleet.host("kvm3", memory_total=10 * GIB)
    facts[0] = fleet.host("kvm1", [fleet.domain("a", 8 * GIB), fleet.domain("b", 8 * GIB)])
    both = plan(facts, dataclasses.replace(KVM1, may_stop=(fleet.uuid("a"), fleet.uuid("b"))))
    assert sorted((move.method, move.destination) for move in both.moves) == [
        ("live_block", "kvm3"),
        ("offline", "kvm2"),
    ]


@pytest.mark.parametrize(
    ("max_stop", "disk", "method", "warned"),
    [
        (0.0, 100 * GIB, "offline", False),
        (60.0, GIB, "offline", False),
        (600.0, 100 * GIB, "seeded", False),
        (60.0, 100 * GIB, "seeded", True),
        (5.0, 0, "offline", True),
    ],
)
def test_the_longest_stop_decides_how_it_is_stopped(
    fleet: t.Any, max_stop: float, disk: int, method: str, warned: bool
) -> None:
    disks = (fleet.disk("vda", f"{fleet.IMAGES}/a", allocated=disk, virtual_size=200 * GIB),)
    domain = fleet.domain("a", snapshots=("before",), disks=disks)
    move = only(empties(fleet, domain, may_stop=("a",), max_stop=max_stop))
    assert move.method == method
    assert any("It may be stopped for" in text for text in move.warnings) == warned


def test_estimates_of_the_methods() -> None:
    values: dict[str, t.Any] = {"disk_bytes": 10 * GIB, "memory_bytes": GIB, "link_rate": 110.0 * MIB}
    by_method = {name: estimate(name, runs=True, **values) for name in ("live_block", "offline", "seeded", "suspended")}
    assert by_method["live_block"].stopped is None
    seeded, offline = by_method["seeded"].stopped, by_method["offline"].stopped
    assert seeded is not None
    assert offline is not None
    assert seeded < offline < by_method["offline"].seconds
    assert estimate("offline", runs=False, **values).stopped is None


def test_the_table_tells_for_how_long_who_is_stopped(fleet: t.Any) -> None:
    snapped = fleet.domain("snapped", snapshots=("before",))
    lines = table_of(empties(fleet, snapped, fleet.domain("off", state="shutoff"), may_stop=("snapped",)))
    assert "stopped" in lines[0]
    assert any("snapped" in line and "about 43 s" in line for line in lines)
    assert "stopped" not in table_of(empties(fleet, fleet.domain("off", state="shutoff")))[0]


def test_the_permission_to_stop_is_part_of_the_fingerprint(fleet: t.Any) -> None:
    domain = fleet.domain("a")
    marks = {
        empties(fleet, domain).fingerprint,
        empties(fleet, domain, may_stop=("a",)).fingerprint,
        empties(fleet, domain, may_stop=("a",), max_stop=9.0).fingerprint,
        empties(fleet, domain, shut_off="stay").fingerprint,
    }
    assert len(marks) == 4


def test_what_leaves_a_block_device_for_a_file_needs_space_and_what_goes_onto_one_does_not(fleet: t.Any) -> None:
    size = {"virtual_size": 10 * GIB, "allocated": 10 * GIB}
    disks = [fleet.disk("vda", "/dev/vg/a", type="block", **size), fleet.disk("vdb", "/img/b", **size)]
    domain = fleet.domain("a", disks=disks)
    targets = ("vda", "vdb")
    assert [need.path for need in needs_of(domain, targets)] == ["/img/b"]
    assert [need.path for need in needs_of(domain, targets, {"vda": "/img/a", "vdb": "/dev/vg/b"})] == ["/img/a"]
