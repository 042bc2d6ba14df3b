# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How ready small fleets are: the matrix, the classes, the groups, the baseline."""

from __future__ import annotations

import dataclasses
import random
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_classes import cpu_digest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Cpu, Disk, HostDevice, Nic
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Machines, Network, Reachability
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import Control
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._checks.fleet_sample import (
    NAMES,
    POOL,
    cell,
    codes,
    domain,
    judged,
    member,
    whys,
)


def test_hosts_that_are_alike_take_all_of_each_other() -> None:
    ready = judged(member("kvm1", domain("a"), domain("b")), member("kvm2", domain("c")), member("kvm3"))
    assert ready.findings == ()
    assert ready.drift == ()
    assert ready.reasons == ()
    assert [[one.state for one in row] for row in ready.matrix] == [
        ["self", "all", "all"],
        ["all", "self", "all"],
        ["open", "open", "self"],
    ]
    assert (cell(ready, "kvm1", "kvm2").as_is, ready.summary.pairs_open, ready.summary.emptiable) == (2, 6, 3)
    assert [(one.id, one.count, one.hosts, one.takers) for one in ready.classes] == [
        ("c1", 3, {"kvm1": 2, "kvm2": 1}, 2)
    ]
    assert ready.classes[0].title == "running, pc-q35-10.0, Haswell, up to 2.0 GiB, local disks, on lab"
    assert ready.groups == (NAMES,)
    assert ready.baseline.model == "Haswell"


@pytest.mark.parametrize(
    ("fields", "state", "code"),
    [
        ({"cpu": Cpu("custom", "Skylake-Server", "<cpu/>")}, "none", "CPU_INCOMPATIBLE"),
        ({"cpu": Cpu("host-passthrough")}, "all_by_stop", "CPU_INCOMPATIBLE"),
        ({"machine": "pc-q35-11.0"}, "none", "MACHINE_UNSUPPORTED"),
        ({"virt_type": "hvf"}, "none", "VIRT_TYPE_UNSUPPORTED"),
        ({"arch": "aarch64"}, "none", "ARCH_MISMATCH"),
        ({"nics": (Nic("m", "network", "dmz"),)}, "none", "NETWORK_MISSING"),
        ({"nics": (Nic("m", "bridge", "br7"),)}, "none", "BRIDGE_MISSING"),
        ({"host_devices": (HostDevice("pci", "0000:01:00.0"),)}, "none", "HOST_DEVICE"),
        ({"filesystems": ("/srv",)}, "none", "FILESYSTEM_DEVICE"),
        ({"snapshots": ("before",)}, "all_by_stop", "SNAPSHOTS_PRESENT"),
        ({"obstacles": ("a shared memory device",)}, "all_by_stop", "METHOD_UNSUITABLE"),
        ({"memory_max": 100 * GIB}, "none", "MEMORY_SHORT"),
        ({"hugepages": True, "hugepage_kib": 2048}, "none", "HUGEPAGES_SHORT"),
        ({"disks": (Disk("vda", "file", source="/elsewhere/a.qcow2", shared=False),)}, "all_by_stop", "POOL_MISSING"),
        ({"state": "shutoff", "nics": (Nic("m", "network", "dmz"),)}, "all", ""),
        ({"state": "shutoff", "snapshots": ("before",)}, "all", ""),
        ({"state": "shutoff", "persistent": False}, "none", "METHOD_UNSUITABLE"),
    ],
)
def test_what_a_class_needs_decides(fields: dict[str, t.Any], state: str, code: str) -> None:
    there = member("kvm2", cpu_model="Broadwell")
    ready = judged(
        member("kvm1", domain("a", **fields), cpu_models={"kvm": ("Haswell", "Skylake-Server")}), there, member("kvm3")
    )
    assert cell(ready, "kvm1", "kvm2").state == state
    assert whys(ready, "kvm1", "kvm2") == ([code] if code else [])
    for reason in ready.reasons:
        assert "kvm" not in reason.text or "pc-" in reason.text or "type 'hvf'" in reason.text, reason.text
        assert "'a'" not in reason.text
        assert reason.remedy


def test_only_newer_hosts_have_newer_machines() -> None:
    old = {
        "qemu_version": 7002000,
        "machines": (Machines("kvm", ("pc-q35-7.2", "q35"), {"q35": "pc-q35-7.2"}),),
    }
    both = (Machines("kvm", ("pc-q35-10.0", "pc-q35-7.2", "q35"), {"q35": "pc-q35-10.0"}),)
    ready = judged(
        member("kvm1", domain("a", machine="pc-q35-7.2"), **old),
        member("kvm2", domain("b"), domain("c", machine="pc-q35-7.2"), machines=both),
    )
    assert (cell(ready, "kvm1", "kvm2").state, cell(ready, "kvm2", "kvm1").state) == ("all", "some")
    assert sorted(set(whys(ready, "kvm2", "kvm1"))) == ["MACHINE_UNSUPPORTED", "QEMU_OLDER"]
    assert (cell(ready, "kvm2", "kvm1").by_stop, cell(ready, "kvm2", "kvm1").refused) == (1, 1)
    assert ready.stuck == ("kvm2/b",)
    assert ("DOMAINS_STUCK", "kvm2") in codes(ready)
    assert (ready.summary.emptiable, ready.summary.stuck) == (1, 1)
    assert {one.subject for one in ready.drift} == {"QEMU", "machine type 'q35' means"}


def test_a_port_that_is_shut_costs_the_live_moves_alone() -> None:
    shut = (Reachability("kvm2", "kvm2", 49215, "timeout"), Reachability("kvm3", "kvm3", 49215, "refused"))
    ready = judged(
        member("kvm1", domain("a"), domain("b", state="shutoff"), reachability=shut), member("kvm2"), member("kvm3")
    )
    found = cell(ready, "kvm1", "kvm2")
    assert (found.state, found.as_is, found.by_stop) == ("all_by_stop", 1, 1)
    assert cell(ready, "kvm1", "kvm3").state == "all"
    assert cell(ready, "kvm3", "kvm2").state == "open"
    (finding,) = ready.findings
    assert (finding.code, finding.object, finding.severity) == ("PORT_BLOCKED", "kvm2", "blocker")
    assert finding.evidence["sources"] == ["kvm1"]
    assert "virtops.kvm.configure_hosts, which opens the migration ports" in finding.remedy
    assert "49215/tcp" in finding.message


def test_a_host_whose_libvirt_cannot_be_opened_takes_nothing() -> None:
    refused = (
        Control("kvm2", "qemu+tls://kvm2/system", False, "The certificate has expired."),
        Control("kvm3", "x", True),
    )
    ready = judged(member("kvm1", domain("a"), controls=refused), member("kvm2"), member("kvm3"))
    assert cell(ready, "kvm1", "kvm2").state == "none"
    (finding,) = ready.findings
    assert (finding.code, finding.object) == ("CONTROL_UNREACHABLE", "kvm2")
    assert "The certificate has expired" in finding.message


def test_without_a_login_the_control_port_tells() -> None:
    ports = tuple(Reachability("kvm2", "kvm2", port, "timeout" if port == 22 else "refused") for port in (22, 49215))
    ready = judged(member("kvm1", controls=(), reachability=ports), member("kvm2"))
    assert whys(ready, "kvm1", "kvm2") == ["CONTROL_UNREACHABLE"]
    assert cell(ready, "kvm1", "kvm2").state == "none"


def test_a_cordoned_host_takes_nothing_and_its_own_may_leave() -> None:
    ready = judged(member("kvm1", domain("a")), member("kvm2", domain("b"), cordoned=True, cordon_reason="new fan"))
    assert (cell(ready, "kvm1", "kvm2").state, cell(ready, "kvm2", "kvm1").state) == ("none", "all")
    assert [(one.code, one.severity) for one in ready.findings if one.code == "CORDONED"] == [("CORDONED", "warning")]


def test_a_host_that_was_not_read_is_an_error() -> None:
    ready = judged(member("kvm1"), unread=("kvm9",))
    assert codes(ready) == [("HOST_UNREAD", "kvm9")]
    assert ready.summary.unread == 1


def test_libvirts_own_word_on_a_cpu_counts() -> None:
    guest = domain("a", cpu=Cpu("custom", "Haswell", "<cpu><model>Haswell</model><feature name='avx512f'/></cpu>"))
    answers = {cpu_digest(guest): "incompatible"}
    ready = judged(
        member("kvm1", guest), member("kvm2", cpus=answers), member("kvm3", cpus={cpu_digest(guest): "superset"})
    )
    assert [cell(ready, "kvm1", name).state for name in ("kvm2", "kvm3")] == ["none", "all"]
    assert whys(ready, "kvm1", "kvm2") == ["CPU_INCOMPATIBLE"]
    assert ready.baseline.domains == ("kvm1/a",)
    by_libvirt = judged(member("kvm1", guest), baseline={"model": "Nehalem", "xml": "<cpu/>"}).baseline
    assert (by_libvirt.model, by_libvirt.by_libvirt, by_libvirt.xml) == ("Nehalem", True, "<cpu/>")


def test_domains_of_one_class_are_judged_together() -> None:
    many = [domain(f"vm{number}", memory_max=GIB + number) for number in range(200)]
    ready = judged(member("kvm1", *many), member("kvm2"))
    assert [(one.count, one.needs["memory_up_to"]) for one in ready.classes] == [(200, 2 * GIB)]
    assert len(ready.classes[0].domains) == 200


def test_the_same_facts_in_any_order_give_the_same_answer() -> None:
    dice = random.Random(3)
    fleet = [
        member(
            name,
            *(
                domain(
                    f"{name}-{number}", memory_max=dice.choice((1, 4)) * GIB, state=dice.choice(("running", "shutoff"))
                )
                for number in range(6)
            ),
            cpu_model=dice.choice(("Haswell", "Nehalem")),
        )
        for name in NAMES
    ]
    mixed = [
        dataclasses.replace(one, domains=tuple(dice.sample(one.domains, len(one.domains)))) for one in reversed(fleet)
    ]
    first, second = judged(*fleet), judged(*mixed)
    assert (first.matrix, first.reasons, first.drift, first.groups) == (
        second.matrix,
        second.reasons,
        second.drift,
        second.groups,
    )
    assert [(one.id, one.title, one.count) for one in first.classes] == [
        (one.id, one.title, one.count) for one in second.classes
    ]


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(InputError, match="kvm1"):
        judged(member("kvm1"), member("kvm1"))


def test_nobody_and_one_alone() -> None:
    assert judged().matrix == ()
    alone = judged(member("kvm1", domain("a")))
    assert [[one.state for one in row] for row in alone.matrix] == [["self"]]
    assert (alone.stuck, alone.drift) == ((), ())


def test_drift_tells_who_differs_and_leaves_alone_what_is_each_hosts_own() -> None:
    ready = judged(
        member("kvm1", settings={"qemu.conf: user": "root", "qemu.conf: migration_address": "192.0.2.1"}),
        member("kvm2", settings={"qemu.conf: migration_address": "192.0.2.2"}, bridges=("br0", "br1")),
        member("kvm3", pools=(dataclasses.replace(POOL, active=False),), networks=(Network("lab"),)),
    )
    found = {(one.area, one.subject): [(item.value, item.hosts) for item in one.variants] for one in ready.drift}
    assert found[("settings", "qemu.conf: user")] == [("default", ("kvm2", "kvm3")), ("root", ("kvm1",))]
    assert ("settings", "qemu.conf: migration_address") not in found
    assert found[("bridges", "br1")] == [("missing", ("kvm1", "kvm3")), ("present", ("kvm2",))]
    assert found[("pools", "shared")][1] == ("missing", ("kvm3",))
    assert found[("pools", "default")][1][0].endswith("inactive")
    assert found[("networks", "lab")][1] == ("isolated, active, does not start with the host", ("kvm3",))
