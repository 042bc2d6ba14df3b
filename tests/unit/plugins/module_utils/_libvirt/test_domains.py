# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading all domains, from a daemon that is a fake: what is asked, what is made of the answers, what may go wrong."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt import binding
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.domains import (
    read_domains,
    sized_by_stats,
    unknown_domain,
)
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.states import (
    job_operation_name,
    job_type_name,
    reason_name,
    state_name,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Job

XML = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory>1024</memory><devices>
<disk type='file'><driver type='qcow2'/><source file='/img/{name}'/><target dev='vda'/></disk>
<disk type='file' device='cdrom'><target dev='sda'/></disk>
<disk type='volume'><driver type='raw'/><source pool='fast' volume='data'/><target dev='vdb'/></disk>
</devices></domain>"""

INACTIVE = 2
FLAGS = {"PERSISTENT": 64, "AUTOSTART": 1024, "MANAGEDSAVE": 256, "HAS_SNAPSHOT": 4096, "HAS_CHECKPOINT": 16384}


class FakeError(Exception):
    """A libvirtError with a number."""

    def __init__(self, code: int, text: str = "failed") -> None:
        super().__init__(text)
        self.code = code

    def get_error_code(self) -> int:
        return self.code


class FakeDomain:
    """A domain; ``gone`` makes every question fail as libvirt does for one that has vanished."""

    def __init__(self, name: str, number: int, *, state: int = 5, reason: int = 1, **more: t.Any) -> None:
        self._name, self.state, self.reason = name, state, reason
        self.uuid = f"00000000-0000-0000-0000-{number:012d}"
        self.member_of: tuple[str, ...] = more.get("member_of", ("PERSISTENT",))
        self.job: t.Any = more.get("job", {"type": 0})
        self.block_job: dict[str, t.Any] = more.get("block_job", {})
        self.gone: int = more.get("gone", 0)
        self.cpu: dict[int, str] = more.get("cpu", {})

    def name(self) -> str:
        return self._name

    def UUIDString(self) -> str:
        return self.uuid.upper()

    def XMLDesc(self, flags: int) -> str:
        if self.gone:
            raise FakeError(self.gone)
        text = XML.format(name=self._name, uuid=self.uuid)
        return text.replace("<devices>", self.cpu.get(flags, "") + "<devices>")

    def snapshotListNames(self, flags: int) -> list[str]:
        return ["before", "after"]

    def listAllCheckpoints(self, flags: int) -> list[t.Any]:
        return [types.SimpleNamespace(getName=lambda: "c1")]

    def jobStats(self, flags: int) -> dict[str, t.Any]:
        if isinstance(self.job, int):
            raise FakeError(self.job)
        return self.job

    def blockJobInfo(self, target: str, flags: int) -> dict[str, t.Any]:
        return self.block_job if target == "vda" else {}


class FakeConnect:
    """A daemon on another host, so that no file of this one is looked at; counts what it is asked."""

    def __init__(self, domains: list[FakeDomain]) -> None:
        self.domains = domains
        self.calls = 0

    def getAllDomainStats(self, stats: int, flags: int) -> list[tuple[FakeDomain, dict[str, t.Any]]]:
        self.calls += 1
        return [(domain, {"state.state": domain.state, "state.reason": domain.reason}) for domain in self.domains]

    def domainListGetStats(
        self, domains: list[FakeDomain], stats: int, flags: int
    ) -> list[tuple[FakeDomain, dict[str, t.Any]]]:
        self.calls += 1
        values = {
            "block.count": 1,
            "block.0.name": "vda",
            "block.0.capacity": 1000,
            "block.0.allocation": 70,
            "block.0.physical": 80,
        }
        return [(domain, values) for domain in domains]

    def listAllDomains(self, flags: int) -> list[FakeDomain]:
        self.calls += 1
        (wanted,) = [name for name, number in FLAGS.items() if number == flags]
        return [domain for domain in self.domains if wanted in domain.member_of]

    def storagePoolLookupByName(self, name: str) -> t.Any:
        self.calls += 1
        volume = types.SimpleNamespace(path=lambda: f"/pools/{name}/data")
        return types.SimpleNamespace(storageVolLookupByName=lambda volume_name: volume)


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = {f"VIR_CONNECT_LIST_DOMAINS_{name}": number for name, number in FLAGS.items()}
    fake = types.SimpleNamespace(
        libvirtError=FakeError,
        VIR_DOMAIN_STATS_STATE=1,
        VIR_DOMAIN_STATS_BLOCK=32,
        VIR_DOMAIN_XML_INACTIVE=INACTIVE,
        **constants,
    )
    monkeypatch.setattr(binding, "libvirt", fake)


def connect(*domains: FakeDomain) -> Connection:
    """A connection to a fake daemon with ``domains``."""
    return Connection(FakeConnect(list(domains)), "qemu+ssh://root@kvm2/system")


def test_domains_come_in_the_order_of_their_names_with_all_facts() -> None:
    web = FakeDomain("web", 2, state=1, reason=1, member_of=("PERSISTENT", "AUTOSTART", "HAS_SNAPSHOT"))
    db = FakeDomain("db", 1, member_of=("PERSISTENT", "MANAGEDSAVE", "HAS_CHECKPOINT"))
    scratch = FakeDomain("scratch", 3, state=3, reason=5, member_of=())
    first, second, third = read_domains(connect(web, db, scratch))
    assert [first.name, second.name, third.name] == ["db", "scratch", "web"]
    assert (first.state, first.state_reason, first.managed_save, first.autostart) == (
        "shutoff",
        "shutdown",
        True,
        False,
    )
    assert (first.checkpoints, first.snapshots, first.job) == (("c1",), (), None)
    assert (second.state, second.state_reason, second.persistent) == ("paused", "ioerror", False)
    assert (third.state, third.state_reason, third.autostart) == ("running", "booted", True)
    assert third.snapshots == ("before", "after")


def test_the_number_of_calls_does_not_grow_with_the_domains() -> None:
    few, many = connect(FakeDomain("a", 1)), connect(*(FakeDomain(f"d{number}", number) for number in range(50)))
    read_domains(few)
    read_domains(many)
    assert few.handle.calls == many.handle.calls


@pytest.mark.parametrize(("state", "allocated"), [(1, 80), (5, 70)])
def test_sizes_on_another_host_come_from_its_daemon(state: int, allocated: int) -> None:
    (domain,) = read_domains(connect(FakeDomain("a", 1, state=state)))
    disk, cdrom, volume = domain.disks
    assert (disk.virtual_size, disk.allocated, disk.shared, disk.filesystem) == (1000, allocated, None, None)
    assert cdrom.virtual_size is None
    assert (volume.type, volume.source, volume.pool) == ("volume", "/pools/fast/data", "fast")


def test_names_and_uuids_select() -> None:
    one, two, three = (FakeDomain(name, number) for number, name in enumerate(["one", "two", "three"], start=1))
    found = read_domains(connect(one, two, three), ["two", one.uuid.upper(), "two"])
    assert [domain.name for domain in found] == ["one", "two"]
    assert read_domains(connect(one), []) == []


def test_an_unknown_name_is_an_error_that_names_what_comes_close() -> None:
    with pytest.raises(KvmError, match="Did you mean 'web01'") as caught:
        read_domains(connect(FakeDomain("web01", 1), FakeDomain("db", 2)), ["web1"])
    assert caught.value.error_code == "DOMAIN_NOT_FOUND"
    assert caught.value.details["close_matches"] == ["web01"]


@pytest.mark.parametrize(
    ("name", "near"), [("WEB01", ["web01"]), ("web", ["web01"]), ("entirely different", []), ("", [])]
)
def test_close_matches(name: str, near: list[str]) -> None:
    assert unknown_domain(name, ["web01", "db"], "qemu:///system").details["close_matches"] == near


def test_a_domain_that_vanishes_meanwhile_is_left_out() -> None:
    found = read_domains(connect(FakeDomain("stays", 1), FakeDomain("goes", 2, gone=42)))
    assert [domain.name for domain in found] == ["stays"]


def test_any_other_failure_names_the_domain() -> None:
    with pytest.raises(KvmError, match="Cannot read the domain 'a'") as caught:
        read_domains(connect(FakeDomain("a", 1, gone=38)))
    assert caught.value.error_code == "LIBVIRT_SYSTEM_ERROR"


@pytest.mark.parametrize(
    ("state", "reason", "job", "expected"),
    [
        (1, 1, {"type": 0}, None),
        (1, 1, {"type": 2, "operation": 5}, Job("unbounded", "migration_out")),
        (1, 1, {"type": 1, "operation": 9}, Job("bounded", "backup")),
        (3, 2, 55, Job("unbounded", "migration_in")),
        (3, 2, 84, Job("unbounded", "migration_in")),
        (3, 11, 55, Job("unbounded", "migration_in")),
        (1, 1, 55, None),
        (1, 1, 3, None),
        (5, 1, {"type": 2, "operation": 5}, None),
    ],
)
def test_jobs(state: int, reason: int, job: t.Any, expected: Job | None) -> None:
    (domain,) = read_domains(connect(FakeDomain("a", 1, state=state, reason=reason, job=job)))
    assert domain.job == expected


def test_block_jobs() -> None:
    (domain,) = read_domains(connect(FakeDomain("a", 1, state=1, block_job={"type": 2, "cur": 1, "end": 2})))
    assert domain.block_jobs == ("vda: copy",)


def test_statistics_fill_only_what_is_unknown() -> None:
    values = {
        "block.count": 2,
        "block.0.name": "vdx",
        "block.1.name": "vda",
        "block.1.capacity": 9,
        "block.1.physical": 8,
    }
    disk = Disk("vda", "file", source="/a", virtual_size=5)
    sized = sized_by_stats(disk, values, active=True)
    assert (sized.virtual_size, sized.allocated) == (5, 8)
    assert sized_by_stats(Disk("vdz", "file"), values, active=True) == Disk("vdz", "file")
    assert sized_by_stats(disk, {}, active=True) == disk


def test_numbers_as_words() -> None:
    assert (state_name(1), state_name(5), state_name(99)) == ("running", "shutoff", "unknown_99")
    assert (reason_name("paused", 13), reason_name("blocked", 0)) == ("postcopy_failed", "unknown")
    assert (reason_name("running", 6), reason_name("running", 40)) == ("migration_canceled", "unknown_40")
    assert (job_type_name(0), job_operation_name(5), job_operation_name(4)) == ("none", "migration_out", "migration_in")


NAMED = "<cpu mode='custom' match='exact' check='full'><model>Nehalem</model></cpu>"


@pytest.mark.parametrize(
    ("state", "running", "defined", "expected"),
    [
        (1, NAMED, "<cpu mode='host-model'/>", "host-model"),
        (1, NAMED, NAMED, None),
        (1, "<cpu mode='host-passthrough'/>", "<cpu mode='host-passthrough'/>", None),
        (5, "<cpu mode='host-model'/>", "", None),
    ],
)
def test_the_cpu_of_the_definition_is_told_where_the_guest_runs_with_another(
    state: int, running: str, defined: str, expected: str | None
) -> None:
    (found,) = read_domains(connect(FakeDomain("web", 1, state=state, cpu={0: running, INACTIVE: defined})))
    assert (found.cpu_defined.mode if found.cpu_defined else None) == expected
