# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner: everybody gets a host or reasons, plans are valid, and the same facts give the same plan."""

from __future__ import annotations

import dataclasses
import random
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB, MIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import HostDevice, Nic
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Machines, Network, Reachability
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import HostFacts, Plan
from ansible_collections.virtops.kvm.plugins.module_utils._model.room import default_reserve
from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import PlanOptions, Reserve
from ansible_collections.virtops.kvm.plugins.module_utils._placement.planner import ANY_HOST, plan

KVM1 = PlanOptions(sources=("kvm1",))


def targets(result: Plan) -> dict[str, str]:
    return {move.domain: move.destination for move in result.moves}


def reasons(result: Plan, host: str) -> str:
    assert [one.domain for one in result.blocked] == ["web01"], result
    return " ".join(result.blocked[0].reasons[host])


def loads(facts: t.Sequence[HostFacts], result: Plan) -> dict[str, dict[str, float]]:
    """What each destination holds when the plan is done, worked out anew from facts and moves alone."""
    moved = {move.uuid: move.destination for move in result.moves}
    held: dict[str, dict[str, float]] = {
        one.name: {"memory": one.host.memory_domains, "vcpus": one.host.vcpus_domains, "disk": 0.0} for one in facts
    }
    for one in facts:
        for domain in one.domains:
            if domain.uuid in moved:
                load = held[moved[domain.uuid]]
                load["memory"] += domain.memory_max if domain.active else 0
                load["vcpus"] += domain.vcpus if domain.active else 0
                load["disk"] += sum(disk.allocated or 0 for disk in domain.disks if disk.shared is not True)
    return held


def check_valid(facts: t.Sequence[HostFacts], options: PlanOptions, result: Plan) -> None:
    """No host takes more than it has, and every domain of the sources has one outcome."""
    held = loads(facts, result)
    for one in facts:
        if one.name in {move.destination for move in result.moves}:
            room = one.host.memory_total - options.memory_reserve.of(one.host)
            assert held[one.name]["memory"] <= room
            assert held[one.name]["vcpus"] <= one.host.cpus * options.cpu_overcommit
            assert held[one.name]["disk"] <= one.host.pools[0].available
    outcomes = sorted(
        [move.uuid for move in result.moves]
        + [one.uuid for one in result.blocked]
        + [one.uuid for one in result.staying]
    )
    assert outcomes == sorted(domain.uuid for one in facts if one.name in options.sources for domain in one.domains)


def test_every_domain_has_one_outcome(fleet: t.Any) -> None:
    domains = [
        fleet.domain("web01"),
        fleet.domain("paused", state="paused"),
        fleet.domain("off", state="shutoff"),
        fleet.domain("kept"),
        fleet.domain("snap", snapshots=("before",)),
        fleet.domain("pci", host_devices=(HostDevice("pci", "0000:01:00.0"),)),
    ]
    facts = [fleet.host("kvm1", domains), fleet.host("kvm2")]
    options = dataclasses.replace(KVM1, exclude=("kept",), shut_off="stay")
    result = plan(facts, options)
    check_valid(facts, options, result)
    assert targets(result) == {"web01": "kvm2", "paused": "kvm2"}
    assert {(one.domain, one.code) for one in result.staying} == {("off", "SHUTOFF"), ("kept", "EXCLUDED")}
    assert {one.domain: list(one.reasons) for one in result.blocked} == {"snap": [ANY_HOST], "pci": [ANY_HOST]}


def test_only_selected_domains_move(fleet: t.Any) -> None:
    facts = [fleet.host("kvm1", [fleet.domain("a"), fleet.domain("b")]), fleet.host("kvm2")]
    result = plan(facts, dataclasses.replace(KVM1, selected=(fleet.uuid("a"),)))
    assert targets(result) == {"a": "kvm2"}
    assert [one.code for one in result.staying] == ["NOT_SELECTED"]


WHY = [
    ("memory", {"memory_total": 4 * GIB, "memory_free": 2 * GIB}, {}, "of memory left"),
    ("vcpus", {"vcpus_domains": 64}, {}, "virtual CPUs left"),
    ("huge pages", {}, {"hugepages": True, "hugepage_kib": 2048}, "huge pages of 2048 KiB"),
    ("pool", {"pools": ()}, {}, "no active storage pool at /var/lib/libvirt/images"),
    ("network", {"networks": ()}, {}, "no libvirt network 'default'"),
    ("network down", {"networks": (Network("default", active=False),)}, {}, "is not active"),
    ("bridge", {"bridges": ()}, {}, "no bridge 'br0'"),
    ("virt type", {"virt_types": ("qemu",)}, {}, "no virtualisation of type 'kvm'"),
    ("machine", {"machines": (Machines("kvm", ("pc",)),)}, {}, "does not know the machine type"),
    ("arch", {"arch": "aarch64"}, {}, "is aarch64"),
    ("cordon", {"cordoned": True, "cordon_reason": "fan"}, {}, "cordoned (fan)"),
    ("older", {"qemu_version": 7002000}, {}, "older than the source's"),
]


@pytest.mark.parametrize(("about", "host", "domain", "sentence"), WHY, ids=[row[0] for row in WHY])
def test_a_domain_that_fits_nowhere_has_reasons_per_host(
    fleet: t.Any, about: str, host: dict[str, t.Any], domain: dict[str, t.Any], sentence: str
) -> None:
    nics = (Nic("52:54:00:00:00:01", "network", "default"), Nic("52:54:00:00:00:02", "bridge", "br0"))
    facts = [fleet.host("kvm1", [fleet.domain("web01", nics=nics, **domain)]), fleet.host("kvm2", **host)]
    assert sentence in reasons(plan(facts, KVM1), "kvm2")


@pytest.mark.parametrize("kind", ["domain", "process"])
def test_domains_and_guest_processes_go_where_free_huge_pages_of_their_size_are(fleet: t.Any, kind: str) -> None:
    """Plain memory is nowhere, and is not asked for."""
    pages = {"2048": 1024, "1048576": 0}
    sizes = {"a": None, "b": 2048, "c": 1 << 20}
    guests = [fleet.domain(name, hugepages=True, hugepage_kib=size, kind=kind) for name, size in sizes.items()]
    free = {"memory_free": 0, "hugepage_default_kib": 2048}
    facts = [
        fleet.host("kvm1", guests),
        fleet.host("kvm2", hugepages=pages, **free),
        fleet.host("kvm3", hugepages=pages, **free),
        fleet.host("kvm4", hugepages={"2048": 1023, "1048576": 2}, **free),
        fleet.host("kvm5", memory_total=64 * GIB),
    ]
    result = plan(facts, KVM1)
    assert {targets(result)["a"], targets(result)["b"]} == {"kvm2", "kvm3"}
    assert targets(result)["c"] == "kvm4"
    few = plan([facts[0], facts[1]], KVM1)
    assert len(targets(few)) == 1
    assert any("huge pages of 1048576 KiB" in reason for one in few.blocked for reason in one.reasons["kvm2"])


def test_a_host_with_the_uuid_of_the_source_is_none(fleet: t.Any) -> None:
    source = fleet.host("kvm1", [fleet.domain("web01")])
    twin = fleet.host("kvm2", uuid=source.host.uuid)
    assert "host UUID" in reasons(plan([source, twin], KVM1), "kvm2")


def test_namesakes_keep_a_domain_away(fleet: t.Any) -> None:
    other = fleet.domain("web01", uuid=fleet.uuid("another"), state="shutoff")
    facts = [fleet.host("kvm1", [fleet.domain("web01")]), fleet.host("kvm2", [other]), fleet.host("kvm3")]
    assert targets(plan(facts, KVM1)) == {"web01": "kvm3"}
    assert "Another domain of that name" in reasons(plan(facts[:2], KVM1), "kvm2")


def test_two_domains_of_one_name_go_to_different_hosts(fleet: t.Any) -> None:
    twins = [fleet.domain("web01", uuid=fleet.uuid(name)) for name in ("one", "two")]
    facts = [
        fleet.host("kvm1", [twins[0]]),
        fleet.host("kvm2", [twins[1]]),
        fleet.host("kvm3"),
        fleet.host("kvm4"),
    ]
    options = PlanOptions(sources=("kvm1", "kvm2"))
    result = plan(facts, options)
    assert {move.destination for move in result.moves} == {"kvm3", "kvm4"}
    assert [move.id for move in result.moves] == ["web01@kvm1", "web01@kvm2"]
    assert len(plan(facts[:3], options).blocked) == 1


def test_a_domain_that_runs_twice_is_not_touched(fleet: t.Any) -> None:
    facts = [
        fleet.host("kvm1", [fleet.domain("web01")]),
        fleet.host("kvm2", [fleet.domain("web01")]),
        fleet.host("kvm3"),
    ]
    result = plan(facts, PlanOptions(sources=("kvm1", "kvm2")))
    assert not result.moves
    assert all("at once" in one.reasons[ANY_HOST][0] for one in result.blocked)
    assert "same name and UUID is running" in reasons(plan(facts[:2], KVM1), "kvm2")


def test_blocked_ways_are_reasons_and_blocked_ways_home_are_warnings(fleet: t.Any) -> None:
    there = Reachability("kvm2", "192.0.2.2", 49152, "timeout")
    back = Reachability("kvm1", "192.0.2.1", 49152, "timeout")
    source = fleet.host("kvm1", [fleet.domain("web01")], reachability=(there,))
    assert "gets no answer" in reasons(plan([source, fleet.host("kvm2")], KVM1), "kvm2")
    source = fleet.host("kvm1", [fleet.domain("web01")])
    result = plan([source, fleet.host("kvm2", reachability=(back,))], KVM1)
    assert "the way home is shut" in result.moves[0].warnings[0]


def test_anti_affinity(fleet: t.Any) -> None:
    group = ("db01", "db02", "db03")
    facts = [
        fleet.host("kvm1", [fleet.domain("db01"), fleet.domain("db02")]),
        fleet.host("kvm2", [fleet.domain("db03")]),
        fleet.host("kvm3"),
        fleet.host("kvm4"),
    ]
    options = dataclasses.replace(KVM1, anti_affinity=(group,))
    assert set(targets(plan(facts, options)).values()) == {"kvm3", "kvm4"}
    tight = plan(facts[:3], options)
    assert len(tight.moves) == 1
    assert "runs there" in tight.blocked[0].reasons["kvm2"][0]
    assert "planned to go there" in tight.blocked[0].reasons["kvm3"][0]


def test_the_disks_decide_the_method(fleet: t.Any) -> None:
    shared = fleet.disk("vda", "/srv/shared/a.qcow2", shared=True, filesystem="nfs:nas:/export")
    pool = fleet.pool(name="shared", path="/srv/shared", shared=True, filesystem="nfs:nas:/export")
    facts = [
        fleet.host("kvm1", [fleet.domain("a", disks=(shared,)), fleet.domain("b")]),
        fleet.host("kvm2", pools=(fleet.pool(), pool)),
    ]
    result = plan(facts, KVM1)
    assert {move.domain: (move.method, move.disk_bytes) for move in result.moves} == {
        "a": ("live_shared", 0),
        "b": ("live_block", GIB),
    }


def test_a_host_that_shares_the_storage_is_preferred(fleet: t.Any) -> None:
    shared = fleet.disk("vda", "/srv/shared/a.qcow2", shared=True, filesystem="nfs:nas:/export")
    far = fleet.pool(name="shared", path="/srv/shared", filesystem="local:kvm2:1")
    near = dataclasses.replace(far, shared=True, filesystem="nfs:nas:/export")
    facts = [
        fleet.host("kvm1", [fleet.domain("a", disks=(shared,))]),
        fleet.host("kvm2", pools=(far,)),
        fleet.host("kvm3", [fleet.domain("x", 8 * GIB)], pools=(near,)),
    ]
    assert targets(plan(facts, KVM1)) == {"a": "kvm3"}


def test_disk_space_is_taken_once(fleet: t.Any) -> None:
    domains = [
        fleet.domain(f"vm{number}", disks=(fleet.disk("vda", f"{fleet.IMAGES}/{number}", allocated=3 * GIB),))
        for number in range(3)
    ]
    result = plan([fleet.host("kvm1", domains), fleet.host("kvm2", pools=(fleet.pool(available=7 * GIB),))], KVM1)
    assert len(result.moves) == 2
    assert "The planned moves take the rest." in result.blocked[0].reasons["kvm2"][0]


def test_moves_are_balanced(fleet: t.Any) -> None:
    domains = [fleet.domain(f"vm{number}") for number in range(6)]
    facts = [fleet.host("kvm1", domains), *(fleet.host(name) for name in ("kvm2", "kvm3", "kvm4"))]
    result = plan(facts, KVM1)
    assert sorted(len(one.domains) for one in result.after) == [0, 2, 2, 2]


def test_before_and_after(fleet: t.Any) -> None:
    facts = [fleet.host("kvm1", [fleet.domain("a"), fleet.domain("off", state="shutoff")]), fleet.host("kvm2")]
    result = plan(facts, KVM1)
    assert [(one.host, one.domains, one.memory_bytes, one.vcpus) for one in result.before] == [
        ("kvm1", ("a",), 2 * GIB, 1),
        ("kvm2", (), 0, 0),
    ]
    assert [(one.host, one.domains) for one in result.after] == [("kvm1", ()), ("kvm2", ("a",))]


@pytest.mark.parametrize(
    ("order", "expected"),
    [("memory", ["large", "small"]), ("small", ["small", "large"]), ("name", ["large", "small"])],
)
def test_order(fleet: t.Any, order: str, expected: list[str]) -> None:
    facts = [fleet.host("kvm1", [fleet.domain("small", GIB), fleet.domain("large", 8 * GIB)]), fleet.host("kvm2")]
    result = plan(facts, dataclasses.replace(KVM1, order=order))
    assert [move.domain for move in result.moves] == expected
    assert [move.order for move in result.moves] == [1, 2]


def test_the_first_moves_go_to_different_hosts(fleet: t.Any) -> None:
    domains = [fleet.domain(f"vm{number}", (number + 1) * GIB) for number in range(6)]
    facts = [fleet.host("kvm1", domains), *(fleet.host(name) for name in ("kvm2", "kvm3", "kvm4"))]
    assert len({move.destination for move in plan(facts, KVM1).moves[:3]}) == 3


def test_estimates(fleet: t.Any) -> None:
    facts = [fleet.host("kvm1", [fleet.domain("a", 2 * GIB)]), fleet.host("kvm2")]
    slow = plan(facts, dataclasses.replace(KVM1, link_rate=10.0 * MIB)).moves[0]
    assert (slow.disk_bytes, slow.memory_bytes) == (GIB, 2 * GIB)
    assert slow.seconds > plan(facts, KVM1).moves[0].seconds > 3 * GIB / (110 * MIB)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web 01", "web 01"),
        ("prüfung", "prüfung"),
        ("a:b", "a_b"),
        ("kvm2", "kvm2@kvm1"),
        ("all", "all@kvm1"),
        ("x[1:3]", "x_1_3_"),
    ],
)
def test_inventory_names_of_moves_clash_with_nothing(fleet: t.Any, name: str, expected: str) -> None:
    result = plan([fleet.host("kvm1", [fleet.domain(name)]), fleet.host("kvm2")], KVM1)
    assert [move.id for move in result.moves] == [expected]


WRONG: list[tuple[str, PlanOptions, str, str]] = [
    ("unknown source", PlanOptions(sources=("kvm9",)), "UNKNOWN_HOST", "sources names kvm9"),
    ("unknown destination", PlanOptions(sources=("kvm1",), destinations=("kvm9",)), "UNKNOWN_HOST", "destinations"),
    ("no source", PlanOptions(sources=()), "INVALID_OPTION", "sources is empty"),
    ("source alone", PlanOptions(sources=("kvm1",), destinations=("kvm1",)), "NO_DESTINATION", "No host is left"),
    ("all are sources", PlanOptions(sources=("kvm1", "kvm2")), "NO_DESTINATION", "No host is left"),
]


@pytest.mark.parametrize(("about", "options", "code", "sentence"), WRONG, ids=[row[0] for row in WRONG])
def test_wrong_hosts(fleet: t.Any, about: str, options: PlanOptions, code: str, sentence: str) -> None:
    with pytest.raises(KvmError) as caught:
        plan([fleet.host("kvm1", [fleet.domain("a")]), fleet.host("kvm2")], options)
    assert caught.value.error_code == code
    assert sentence in caught.value.message


def test_a_source_among_the_destinations_is_taken_out(fleet: t.Any) -> None:
    facts = [fleet.host("kvm1", [fleet.domain("a")]), fleet.host("kvm2"), fleet.host("kvm3")]
    result = plan(facts, PlanOptions(sources=("kvm1",), destinations=("kvm1", "kvm3")))
    assert result.destinations == ("kvm3",)
    assert targets(result) == {"a": "kvm3"}


def test_hosts_with_two_entries_are_refused(fleet: t.Any) -> None:
    with pytest.raises(InputError, match="more than one entry for kvm2"):
        plan([fleet.host("kvm1"), fleet.host("kvm2"), fleet.host("kvm2")], KVM1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4096", 4 * GIB),
        ("4 GiB", 4 * GIB),
        ("512MiB", 512 * MIB),
        ("10%", 6 * GIB + 429496729),
        (None, None),
        ("", None),
    ],
)
def test_reserve(fleet: t.Any, text: str | None, expected: int | None) -> None:
    host = fleet.host("kvm1").host
    assert Reserve.parse(text).of(host) == (default_reserve(host) if expected is None else expected)


@pytest.mark.parametrize("text", ["-1", "4 GB", "half", "100%", "1e3"])
def test_reserve_refuses(text: str) -> None:
    with pytest.raises(InputError):
        Reserve.parse(text)


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_the_facts_does_not_matter(fleet: t.Any, seed: int) -> None:
    facts = fleet.large(12, 8, 0.75, seed)
    options = PlanOptions(sources=("host0000", "host0003"), anti_affinity=(("vm0000-00", "vm0000-01", "vm0003-02"),))
    assert plan(fleet.shuffled(facts, seed), options) == plan(facts, options)


@pytest.mark.parametrize("seed", range(4))
def test_what_changes_by_itself_does_not_change_the_plan(fleet: t.Any, seed: int) -> None:
    facts = fleet.large(12, 8, 0.6, seed)
    dice = random.Random(seed)

    def later(one: HostFacts) -> HostFacts:
        host = one.host
        pools = tuple(dataclasses.replace(pool, available=pool.available - dice.randrange(GIB)) for pool in host.pools)
        free = host.memory_free - dice.randrange(GIB)
        return dataclasses.replace(one, host=dataclasses.replace(host, pools=pools, memory_free=free, time=9.0))

    options = PlanOptions(sources=("host0000", "host0003"))
    assert plan([later(one) for one in facts], options) == plan(facts, options)


def test_a_block_device_has_to_be_there_already(fleet: t.Any) -> None:
    disk = fleet.disk("vda", "/dev/vg/web01", type="block", shared=None, filesystem=None)
    result = plan([fleet.host("kvm1", [fleet.domain("web01", disks=(disk,))]), fleet.host("kvm2")], KVM1)
    assert result.moves[0].method == "live_block"
    assert "/dev/vg/web01 of exactly its size" in result.moves[0].warnings[0]


@pytest.mark.parametrize(("fill", "sources"), [(0.7, 1), (0.85, 2), (0.9, 1)])
def test_random_fleets(fleet: t.Any, fill: float, sources: int) -> None:
    facts = fleet.large(60, 12, fill, 7)
    options = PlanOptions(sources=tuple(one.name for one in facts[:sources]))
    check_valid(facts, options, plan(facts, options))


def test_a_thousand_hosts(fleet: t.Any) -> None:
    facts = fleet.large(1000, 20, 0.8, 1)
    options = PlanOptions(sources=(facts[0].name,))
    result = plan(facts, options)
    check_valid(facts, options, result)
    assert not result.blocked


def planted(fleet: t.Any, bins: int, seed: int) -> list[HostFacts]:
    """Destinations whose free memory and vCPUs can take the source's domains exactly, up to 5 % each: cut into pieces."""
    dice = random.Random(seed)
    domains, hosts = [], []
    for number in range(bins):
        memory, vcpus = dice.randint(16, 48), dice.randint(12, 40)
        pieces = dice.randint(2, 5)
        cuts = [sorted(dice.sample(range(1, size), pieces - 1)) for size in (memory, vcpus)]
        for index in range(pieces):
            low = [0, *cuts[0]][index], [0, *cuts[1]][index]
            high = [*cuts[0], memory][index], [*cuts[1], vcpus][index]
            size = (high[0] - low[0]) * GIB
            domains.append(fleet.domain(f"vm{number}-{index}", size, vcpus=high[1] - low[1]))
        free = int(memory * GIB / 0.95)
        total = 256 * GIB
        hosts.append(
            fleet.host(
                f"host{number}",
                memory_total=total,
                memory_free=free,
                memory_domains=total - free,
                cpus=100,
                vcpus_domains=400 - int(vcpus / 0.95),
            )
        )
    dice.shuffle(domains)
    return [fleet.host("source", domains, memory_total=8192 * GIB, cpus=1000), *hosts]


@pytest.mark.parametrize("seed", range(12))
def test_planted_placements_are_found(fleet: t.Any, seed: int) -> None:
    facts = planted(fleet, 8, seed)
    options = PlanOptions(sources=("source",), memory_reserve=Reserve(bytes=0))
    result = plan(facts, options)
    check_valid(facts, options, result)
    placed = len(result.moves)
    assert placed >= 0.95 * (placed + len(result.blocked))
