# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the destination of a guest process's move lacks or has in the way: devices, memory, domains, ports, and being another host."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import MovedDisk
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_facts, bare_host, bare_postcopy, bare_stages
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BareOptions
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_far import refuse_one_host
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_needs import lacks
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import domainfiles
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.derive import Derived
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.bare_fake import FakeFar
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.fake import FakeClock

GIB = 1 << 30
UUID = "0badcafe-0000-4000-8000-000000000001"


class Host(FakeFar):
    """A destination that has all, and what a test adds."""

    def __init__(self, **more: t.Any) -> None:
        self.more = more

    def facts(self, **wanted: t.Any) -> dict[str, t.Any]:
        return {
            "missing": [], "folders": [], "existing": [], "stamps": {}, "leftover": [],
            "devices": {}, "interfaces": [], "user": True, "domain": {}, "domains": [], "free": {}, "memory": {},
            "hugepages": {"free": {}, "folders": {}}, **self.more,
        }  # fmt: skip


def context(tmp_path: pathlib.Path, far: FakeFar, **options: t.Any) -> BareContext:
    workspace = Workspace(str(tmp_path), str(tmp_path))
    return BareContext(
        "web", "key", "root@kvm2", "kvm1", far, workspace, FakeClock(), BareOptions(**options), GuestMapping(), Stop(), 0.0, uuid=UUID,
    )  # fmt: skip


def found(
    tmp_path: pathlib.Path, far: FakeFar, memory: int = 0, argv: tuple[str, ...] = (), **options: t.Any
) -> list[str]:
    disk = MovedDisk("virtio0", "", "n", "/srv/web.raw", "/dev/vg/web", "raw", 1000)
    asked = context(tmp_path, far, **options)
    qemu = {"program": "/usr/bin/qemu", "machines": ["pc"]}
    findings = lacks(
        asked,
        Derived(("qemu", *argv)),
        [disk] if "devices" in far.facts() else [],
        [],
        [],
        "",
        "pc",
        memory,
        lambda: qemu,
    )
    return [f"{one.code} {one.severity}" for one in findings]


@pytest.mark.parametrize(
    ("size", "used", "options", "codes"),
    [
        (-1, "", {}, ["FILE_MISSING blocker"]),
        (999, "", {"accept": ("IMAGE_EXISTS",)}, ["DISK_SIZE_MISMATCH blocker"]),
        (1001, "", {}, ["DISK_SIZE_MISMATCH blocker"]),
        (1001, "", {"method": "offline"}, ["IMAGE_EXISTS blocker"]),
        (999, "", {"method": "offline"}, ["DISK_SIZE_MISMATCH blocker"]),
        (1000, "vdb: mounted on /srv (ext4)", {"accept": ("IMAGE_EXISTS",)}, ["IMAGE_EXISTS blocker"]),
        (1000, "", {}, ["IMAGE_EXISTS blocker"]),
        (1000, "", {"accept": ("IMAGE_EXISTS",)}, ["IMAGE_EXISTS warning"]),
    ],
)
def test_a_device_has_to_be_there_and_fit_and_be_nobodys(
    tmp_path: pathlib.Path, size: int, used: str, options: dict[str, t.Any], codes: list[str]
) -> None:
    far = Host(devices={"/dev/vg/web": {"size": size, "used": used}})
    assert found(tmp_path, far, **options) == codes


@pytest.mark.parametrize(
    ("available", "argv", "options", "codes"),
    [
        (3 * GIB, (), {}, []),
        (2 * GIB, (), {}, ["MEMORY_SHORT blocker"]),
        (2 * GIB, (), {"accept": ("MEMORY_SHORT",)}, ["MEMORY_SHORT warning"]),
        (0, ("-m", "2G", "-mem-path", "/srv/memory"), {}, []),
        (0, ("-m", "2G", "-mem-path", "/dev/hugepages"), {}, []),
        (0, ("-m", "2G", "-mem-path", "/dev/hugepages1G"), {}, ["HUGEPAGES_SHORT blocker"]),
        (
            0,
            ("-m", "2G", "-mem-path", "/dev/hugepages1G"),
            {"accept": ("HUGEPAGES_SHORT",)},
            ["HUGEPAGES_SHORT warning"],
        ),
        (2 * GIB, ("-object", "memory-backend-memfd,id=m,size=2G,hugetlb=on"), {}, []),
        (2 * GIB, ("-object", "memory-backend-memfd,id=m,size=4098M,hugetlb=on"), {}, ["HUGEPAGES_SHORT blocker"]),
    ],
)
def test_the_guests_memory_has_to_be_there_beside_the_hosts_own(
    tmp_path: pathlib.Path, available: int, argv: tuple[str, ...], options: dict[str, t.Any], codes: list[str]
) -> None:
    far = Host(
        devices={"/dev/vg/web": {"size": 1000, "used": ""}},
        memory={"total": 8 * GIB, "available": available, "hugepage": 2 << 20},
        hugepages={
            "free": {"2048": 2048, "1048576": 1},
            "folders": {"/srv/memory": None, "/dev/hugepages": 2048, "/dev/hugepages1G": 1 << 20},
        },
    )
    accept = ("IMAGE_EXISTS", *options.get("accept", ()))
    assert [one for one in found(tmp_path, far, 2 * GIB, argv, accept=accept) if "IMAGE" not in one] == codes


@pytest.mark.parametrize(
    ("name", "uuid", "code"), [("web", "x", "NAME_CONFLICT"), ("old", UUID.upper(), "UUID_CONFLICT")]
)
def test_a_domain_that_is_off_there_is_in_the_way(tmp_path: pathlib.Path, name: str, uuid: str, code: str) -> None:
    (tmp_path / "one.xml").write_text(f"<domain><name>{name}</name><uuid>{uuid}</uuid></domain>")
    (tmp_path / "two.xml").write_text("<domain><name>other</name><uuid>y</uuid></domain>")
    (tmp_path / "bad.xml").write_text("<dom")
    domains = [[one.name, one.uuid] for one in domainfiles.defined(f"{tmp_path}/*.xml") if one.is_of("web", UUID)]
    far = Host(devices={"/dev/vg/web": {"size": 1000, "used": ""}}, domains=domains)
    assert found(tmp_path, far, accept=("IMAGE_EXISTS",)) == ["IMAGE_EXISTS warning", f"{code} blocker"]


def test_what_the_kernel_says_of_memory_and_of_devices(tmp_path: pathlib.Path) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\nHugePages_Total: 0\n")
    assert bare_facts.memory(str(told)) == {"total": 2 << 20, "available": 1 << 20}
    told.write_text("MemTotal:  2048 kB\nMemAvailable: 1024 kB\nHugepagesize:    2048 kB\n")
    assert bare_facts.memory(str(told))["hugepage"] == 2 << 20
    told.write_text("MemTotal:  2048 kB\n")
    assert bare_facts.memory(str(told)) == bare_facts.memory(str(tmp_path / "none")) == {}
    assert bare_facts.block_device(str(told))["size"] == bare_facts.block_device(str(tmp_path / "none"))["size"] == -1


def test_one_host_is_not_taken_for_two() -> None:
    class Same(FakeFar):
        place = bare_host.place()

        def facts(self, **wanted: t.Any) -> dict[str, t.Any]:
            return {"place": self.place}

    far = Same()
    with pytest.raises(KvmError, match="this same host") as caught:
        refuse_one_host("web", "kvm1", far)
    assert caught.value.error_code == "SAME_HOST"
    for index in range(len(far.place)):
        other = Same()
        other.place = [*far.place[:index], "another", *far.place[index + 1 :]]
        refuse_one_host("web", "kvm1", other)


@pytest.mark.parametrize("result", ["refused", "open", "timeout", "unreachable"])
def test_a_firewall_is_noticed_before_qemu_hangs_on_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, result: str
) -> None:
    class Listens(FakeFar):
        def call(self, verb: str, **arguments: t.Any) -> t.Any:
            return [49152]

    monkeypatch.setattr(bare_stages, "probe", lambda address, port: result)
    asked = context(tmp_path, Listens(), migration_address="192.0.2.2")
    if result in ("refused", "open"):
        assert bare_stages.way(asked) == "192.0.2.2"
        return
    with pytest.raises(KvmError) as caught:
        bare_stages.way(asked)
    assert (caught.value.error_code, caught.value.details["ports"]) == ("PORT_BLOCKED", [49152])


class Follows:
    """The source of a post-copy: the answers to query-migrate, the last of them for ever."""

    def __init__(self, *answers: tuple[str, int]) -> None:
        self.answers = list(answers)

    def execute(self, command: str, *unused: t.Any, **unused_options: t.Any) -> dict[str, t.Any]:
        state, moved = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return {"status": state, "ram": {"transferred": moved}}


@pytest.mark.parametrize(
    ("answers", "word"),
    [
        ((("postcopy-active", 1), ("postcopy-active", 2), ("completed", 3)), ""),
        ((("postcopy-active", 1),), "has stood still for 60 s"),
        ((("postcopy-active", 1), ("postcopy-paused", 1)), "is postcopy-paused"),
    ],
)
def test_memory_that_does_not_follow_is_told_and_nothing_is_ended(
    tmp_path: pathlib.Path, answers: tuple[tuple[str, int], ...], word: str
) -> None:
    asked = context(tmp_path, FakeFar())
    asked.monitor = t.cast("t.Any", Follows(*answers))
    if not word:
        bare_postcopy.wait_for_memory(asked)
        return
    with pytest.raises(KvmError, match=word) as caught:
        bare_postcopy.wait_for_memory(asked)
    assert caught.value.error_code == "POSTCOPY_FAILED"
