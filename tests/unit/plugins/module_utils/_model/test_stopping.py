# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stopping a guest cures, what it does not, and what a domain that is shut off needs only once it starts."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, hard_blocker
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Cpu, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, WARNING
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host
from ansible_collections.virtops.kvm.plugins.module_utils._model.pair import Pair
from ansible_collections.virtops.kvm.plugins.module_utils._model.stopping import as_stopped

NAMED = Cpu("custom", "Skylake-Server")


def outcome(code: str, method: str, evidence: dict[str, t.Any] | None = None, **domain: t.Any) -> str | None:
    """The severity that is left of a blocker ``code`` for a move by ``method``; None where it is cured."""
    there = Host("kvm2", "2", cpu_models={"kvm": ("Nehalem",)})
    pair = Pair(Domain("web", "u", **{"state": "running", **domain}), Host("kvm1", "1"), there, "kvm1", "kvm2")
    left = as_stopped(pair, method, blocker(code, "web", f"{pair.move}: it is so.", "", **(evidence or {})))
    return left.severity if left else None


@pytest.mark.parametrize(
    ("code", "booting", "suspended", "shut_off"),
    [
        ("SNAPSHOTS_PRESENT", None, None, None),
        ("PORT_BLOCKED", None, None, None),
        ("POOL_MISSING", None, None, None),
        ("UNSAFE_CACHE", None, None, None),
        ("QEMU_OLDER", None, BLOCKER, None),
        ("TRANSIENT_DISK", None, BLOCKER, None),
        ("MEMORY_SHORT", BLOCKER, BLOCKER, WARNING),
        ("NETWORK_MISSING", BLOCKER, BLOCKER, WARNING),
        ("HOST_DEVICE", BLOCKER, BLOCKER, WARNING),
        ("MACHINE_UNSUPPORTED", BLOCKER, BLOCKER, BLOCKER),
        ("DISK_SPACE_SHORT", BLOCKER, BLOCKER, BLOCKER),
        ("CORDONED", BLOCKER, BLOCKER, BLOCKER),
        ("JOB_RUNNING", BLOCKER, BLOCKER, BLOCKER),
        ("METHOD_UNSUITABLE", BLOCKER, BLOCKER, BLOCKER),
    ],
)
def test_what_stopping_cures(code: str, booting: str | None, suspended: str | None, shut_off: str | None) -> None:
    assert outcome(code, "offline") == outcome(code, "seeded") == booting
    assert outcome(code, "suspended") == suspended
    assert outcome(code, "offline", state="shutoff") == shut_off


def test_what_qemu_refuses_to_migrate_does_not_matter_to_a_guest_that_boots() -> None:
    evidence = {"obstacles": ["video with 3D acceleration on the host"]}
    assert outcome("METHOD_UNSUITABLE", "offline", evidence) is None
    assert outcome("METHOD_UNSUITABLE", "suspended", evidence) == BLOCKER


@pytest.mark.parametrize(
    ("cpu", "defined", "expected"),
    [
        (NAMED, None, BLOCKER),
        (NAMED, Cpu("host-model"), None),
        (Cpu("host-passthrough"), None, None),
        (Cpu("custom", "qemu64"), None, None),
        (NAMED, Cpu("custom", "Nehalem"), None),
    ],
)
def test_the_cpu_of_the_definition_decides(cpu: Cpu, defined: Cpu | None, expected: str | None) -> None:
    assert outcome("CPU_INCOMPATIBLE", "seeded", cpu=cpu, cpu_defined=defined) == expected
    assert outcome("CPU_INCOMPATIBLE", "suspended", cpu=cpu, cpu_defined=defined) == BLOCKER


def test_a_domain_that_is_shut_off_moves_to_a_host_without_its_cpu_with_a_warning() -> None:
    assert outcome("CPU_INCOMPATIBLE", "offline", state="shutoff", cpu=NAMED) == WARNING
    assert outcome("QEMU_OLDER", "offline", state="shutoff", managed_save=True) == BLOCKER


def test_the_warning_says_what_keeps_it_from_starting() -> None:
    pair = Pair(Domain("web", "u", "shutoff"), Host("kvm1", "1"), Host("kvm2", "2"), "kvm1", "kvm2")
    found = as_stopped(pair, "offline", blocker("MEMORY_SHORT", "kvm2", f"{pair.move}: it needs 2 GiB.", ""))
    assert found is not None
    assert found.message == (
        "Moving domain 'web' from kvm1 to kvm2: as things are it cannot be started there: it needs 2 GiB."
    )
    assert found.override is None


def test_a_device_of_the_host_may_be_accepted_where_the_guest_boots_anew() -> None:
    pair = Pair(Domain("web", "u", "running"), Host("kvm1", "1"), Host("kvm2", "2"), "kvm1", "kvm2")
    held = hard_blocker("HOST_DEVICE", "web", f"{pair.move}: it holds a device.", "")
    left = [as_stopped(pair, method, held) for method in ("offline", "suspended")]
    assert [finding.override for finding in left if finding] == ["accept", None]
