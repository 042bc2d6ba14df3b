# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every finding: what makes it fire, and what is close to that and does not."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._checks.preflight import check
from ansible_collections.virtops.kvm.plugins.module_utils._core.units import GIB
from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import CheckFacts, CpuComparison
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import ACCEPTABLE, CODES
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import (
    Cpu,
    Firmware,
    HostDevice,
    Job,
    Layer,
    Nic,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Network
from ansible_collections.virtops.kvm.plugins.module_utils._model.namesake import Namesake
from ansible_collections.virtops.kvm.plugins.module_utils._model.reach import Probe

UUID = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
NFS = "/srv/shared/web01.qcow2"


class Maker(t.Protocol):
    """What conftest's Case offers."""

    def facts(self, **changes: t.Any) -> CheckFacts:
        """conftest.Case.facts"""

    def disk(self, **fields: t.Any) -> t.Any:
        """conftest.Case.disk"""

    def shared_disk(self, **fields: t.Any) -> t.Any:
        """conftest.Case.shared_disk"""

    def cdrom(self, **fields: t.Any) -> t.Any:
        """conftest.Case.cdrom"""

    def image(self, **fields: t.Any) -> t.Any:
        """conftest.Case.image"""

    def pool(self, **fields: t.Any) -> t.Any:
        """conftest.Case.pool"""

    def shared_pool(self, **fields: t.Any) -> t.Any:
        """conftest.Case.shared_pool"""

    def found(self, facts: CheckFacts) -> list[tuple[str, str]]:
        """conftest.Case.found"""

    def only(self, facts: CheckFacts) -> t.Any:
        """conftest.Case.only"""


Row = tuple[str, t.Callable[[Maker], CheckFacts], list[str]]


def on_nfs(case: Maker, **fields: t.Any) -> CheckFacts:
    """The clean case with its disk on storage that both hosts share."""
    disk = fields.pop("disk", {})
    destination = fields.pop("destination", {})
    image = case.image(path=NFS, exists=True)
    return case.facts(domain={"disks": (case.shared_disk(**disk),)}, destination=destination, images=(image,), **fields)


def with_iso(case: Maker, exists: bool | None, **fields: t.Any) -> CheckFacts:
    """The clean case with an image in its cdrom drive."""
    iso = case.image(target="sda", path="/var/lib/libvirt/images/install.iso", exists=exists)
    return case.facts(domain={"disks": (case.disk(), case.cdrom(**fields))}, images=(case.image(), iso))


def with_probe(case: Maker, way: str, purpose: str, result: str, port: int = 49152) -> CheckFacts:
    return case.facts(probes=(Probe(way, purpose, "192.0.2.2", port, result),))


#: What it is about, the facts, the codes of all findings: "!" marks a blocker that may be accepted, "!!" one that may not.
ROWS: list[Row] = [
    ("nothing in the way", lambda c: c.facts(), []),
    ("nothing in the way on shared storage", on_nfs, []),
    ("paused is fine", lambda c: c.facts(domain={"state": "paused"}), []),
    # identity
    ("same name", lambda c: c.facts(same_name=Namesake("web01", OTHER, "shutoff")), ["!!NAME_CONFLICT"]),
    ("uuid of another", lambda c: c.facts(same_uuid=Namesake("old", UUID, "shutoff")), ["!!UUID_CONFLICT"]),
    (
        "inactive definition of itself",
        lambda c: c.facts(same_name=Namesake("web01", UUID, "shutoff"), same_uuid=Namesake("web01", UUID, "shutoff")),
        ["!UUID_CONFLICT"],
    ),
    (
        "runs on both",
        lambda c: c.facts(same_name=Namesake("web01", UUID, "running"), same_uuid=Namesake("web01", UUID, "running")),
        ["!!ALREADY_RUNNING_ON_DESTINATION"],
    ),
    (
        "paused on the other side counts as running",
        lambda c: c.facts(same_uuid=Namesake("web01", UUID, "paused")),
        ["!!ALREADY_RUNNING_ON_DESTINATION"],
    ),
    ("same host", lambda c: c.facts(destination={"uuid": "uuid of kvm1"}), ["!!SAME_HOST"]),
    ("two hosts whose UUIDs are unknown", lambda c: c.facts(source={"uuid": ""}, destination={"uuid": ""}), []),
    ("cordoned", lambda c: c.facts(destination={"cordoned": True, "cordon_reason": "fan"}), ["!CORDONED"]),
    ("cordoned source is what one evacuates", lambda c: c.facts(source={"cordoned": True}), []),
    # platform
    ("arch", lambda c: c.facts(domain={"arch": "aarch64"}), ["!!ARCH_MISMATCH"]),
    ("no kvm there", lambda c: c.facts(destination={"virt_types": ("qemu",)}), ["!!VIRT_TYPE_UNSUPPORTED"]),
    ("machine type", lambda c: c.facts(domain={"machine": "pc-q35-10.1"}), ["!!MACHINE_UNSUPPORTED"]),
    ("machine alias", lambda c: c.facts(domain={"machine": "q35"}), []),
    (
        "uefi missing",
        lambda c: c.facts(domain={"firmware": Firmware("efi")}, destination={"firmwares": ("bios",)}),
        ["!FIRMWARE_MISSING"],
    ),
    ("uefi there", lambda c: c.facts(domain={"firmware": Firmware("efi", loader="/usr/share/OVMF/x.fd")}), []),
    (
        "loader listed",
        lambda c: c.facts(domain={"firmware": Firmware("efi", "/o.fd")}, destination={"firmwares": ("efi", "/o.fd")}),
        [],
    ),
    (
        "another loader listed",
        lambda c: c.facts(domain={"firmware": Firmware("efi", "/o.fd")}, destination={"firmwares": ("efi", "/p.fd")}),
        ["!FIRMWARE_MISSING"],
    ),
    ("bios needs no uefi", lambda c: c.facts(destination={"firmwares": ("bios",)}), []),
    ("cpu by libvirt", lambda c: c.facts(cpu=CpuComparison("incompatible", "lacks avx512f")), ["!CPU_INCOMPATIBLE"]),
    ("cpu superset", lambda c: c.facts(cpu=CpuComparison("superset")), []),
    (
        "libvirt's word counts more than the list of models",
        lambda c: c.facts(cpu=CpuComparison("superset"), destination={"cpu_models": {"kvm": ("Broadwell",)}}),
        [],
    ),
    (
        "cpu by facts: model not offered",
        lambda c: c.facts(cpu=CpuComparison(), destination={"cpu_models": {"kvm": ("Broadwell",)}}),
        ["!CPU_INCOMPATIBLE"],
    ),
    (
        "cpu by facts: not even the source lists it",
        lambda c: c.facts(
            cpu=CpuComparison(), source={"cpu_models": {"kvm": ("A",)}}, destination={"cpu_models": {"kvm": ("B",)}}
        ),
        [],
    ),
    (
        "cpu by facts: other vendor",
        lambda c: c.facts(
            cpu=CpuComparison(), destination={"cpu_vendor": "AMD", "cpu_models": {}}, source={"cpu_models": {}}
        ),
        ["!CPU_INCOMPATIBLE"],
    ),
    (
        "cpu by facts: a generic model runs on any vendor",
        lambda c: c.facts(
            domain={"cpu": Cpu("custom", "qemu64")},
            cpu=CpuComparison(),
            source={"cpu_models": {}},
            destination={"cpu_vendor": "AMD", "cpu_models": {}},
        ),
        [],
    ),
    (
        "passed-through cpu on other hardware",
        lambda c: c.facts(domain={"cpu": Cpu("host-passthrough")}, destination={"cpu_model": "Icelake-Server"}),
        ["!CPU_INCOMPATIBLE"],
    ),
    ("passed-through cpu on equal hardware", lambda c: c.facts(domain={"cpu": Cpu("host-passthrough")}), []),
    ("older qemu", lambda c: c.facts(destination={"qemu_version": 7002000}), ["!QEMU_OLDER"]),
    ("older qemu release of the same version", lambda c: c.facts(destination={"qemu_version": 10000001}), []),
    ("older libvirt", lambda c: c.facts(destination={"libvirt_version": 9000000}), ["LIBVIRT_OLDER"]),
    ("newer both", lambda c: c.facts(destination={"libvirt_version": 12000000, "qemu_version": 11000000}), []),
    # memory
    ("memory short", lambda c: c.facts(destination={"memory_free": 4 * GIB}), ["!MEMORY_SHORT"]),
    ("memory promised to others", lambda c: c.facts(destination={"memory_domains": 60 * GIB}), ["!MEMORY_SHORT"]),
    ("memory short by the reserve", lambda c: c.facts(memory_reserve=59 * GIB), ["!MEMORY_SHORT"]),
    ("memory that the balloon may take", lambda c: c.facts(domain={"memory_max": 64 * GIB}), ["!MEMORY_SHORT"]),
    ("memory just enough", lambda c: c.facts(memory_reserve=58 * GIB), []),
    ("memory of an unknown host", lambda c: c.facts(destination={"memory_total": 0, "memory_free": 0}), []),
    (
        "huge pages short",
        lambda c: c.facts(domain={"hugepages": True, "hugepage_kib": 1048576}),
        ["!HUGEPAGES_SHORT"],
    ),
    ("huge pages enough", lambda c: c.facts(domain={"hugepages": True}, destination={"memory_free": 0}), []),
    # storage that is copied
    ("no pool", lambda c: c.facts(destination={"pools": ()}), ["!POOL_MISSING"]),
    ("pool inactive", lambda c: c.facts(destination={"pools": (c.pool(active=False),)}), ["!POOL_MISSING"]),
    ("space short", lambda c: c.facts(destination={"pools": (c.pool(available=GIB - 1),)}), ["!DISK_SPACE_SHORT"]),
    (
        "space short with the backing chain",
        lambda c: c.facts(
            domain={"disks": (c.disk(backing_chain=(Layer("/b", "qcow2", allocated=3 * GIB),)),)},
            destination={"pools": (c.pool(available=2 * GIB),)},
        ),
        ["!DISK_SPACE_SHORT"],
    ),
    ("space tight", lambda c: c.facts(destination={"pools": (c.pool(available=GIB),)}), ["DISK_SPACE_OVERCOMMIT"]),
    ("image exists", lambda c: c.facts(images=(c.image(exists=True, virtual_size=10 * GIB),)), ["!!IMAGE_EXISTS"]),
    (
        "image left by us",
        lambda c: c.facts(images=(c.image(exists=True, virtual_size=10 * GIB, made_by_us=True),)),
        [],
    ),
    (
        "image left by us in another size",
        lambda c: c.facts(images=(c.image(exists=True, virtual_size=GIB, made_by_us=True),)),
        ["!!DISK_SIZE_MISMATCH"],
    ),
    ("image of unknown presence", lambda c: c.facts(images=(c.image(exists=None),)), []),
    (
        "block device missing",
        lambda c: c.facts(
            domain={"disks": (c.disk(type="block", source="/dev/vg/a"),)},
            images=(c.image(type="block", path="/dev/vg/a", exists=None),),
        ),
        ["!!DISK_TYPE_UNSUPPORTED"],
    ),
    (
        "block device there",
        lambda c: c.facts(
            domain={"disks": (c.disk(type="block", source="/dev/vg/a"),)},
            images=(c.image(type="block", path="/dev/vg/a", exists=True, virtual_size=10 * GIB),),
        ),
        ["!IMAGE_EXISTS"],
    ),
    (
        "block device of another size",
        lambda c: c.facts(
            domain={"disks": (c.disk(type="block", source="/dev/vg/a"),)},
            images=(c.image(type="block", path="/dev/vg/a", exists=True, virtual_size=11 * GIB),),
        ),
        ["!!DISK_SIZE_MISMATCH", "!IMAGE_EXISTS"],
    ),
    # storage that stays
    ("shared asked, disk is local", lambda c: c.facts(method="live_shared"), ["!!METHOD_UNSUITABLE"]),
    (
        "local disk left out of the selection",
        lambda c: c.facts(
            domain={"disks": (c.disk(), c.disk(target="vdb", source="/var/lib/libvirt/images/b"))}, disks=("vda",)
        ),
        ["!!STORAGE_NOT_SHARED"],
    ),
    (
        "other storage there",
        lambda c: on_nfs(c, destination={"pools": (c.shared_pool(filesystem="nfs:x:/y"),)}, method="live_shared"),
        ["!!STORAGE_NOT_SHARED"],
    ),
    ("no pool there to compare", lambda c: on_nfs(c, destination={"pools": ()}), ["SHARED_UNPROVEN"]),
    (
        "nobody knows",
        lambda c: on_nfs(c, disk={"shared": None, "filesystem": None}, method="live_shared"),
        ["!SHARED_UNPROVEN"],
    ),
    (
        "shared image is not there",
        lambda c: c.facts(domain={"disks": (c.shared_disk(),)}, images=(c.image(path=NFS, exists=False),)),
        ["!!STORAGE_NOT_SHARED"],
    ),
    ("network disk", lambda c: c.facts(domain={"disks": (c.disk(type="network", source="rbd/x"),)}, images=()), []),
    ("copying what is shared", lambda c: on_nfs(c, method="live_block"), ["!!METHOD_UNSUITABLE"]),
    ("unsafe cache", lambda c: on_nfs(c, disk={"cache": "unsafe"}), ["!UNSAFE_CACHE"]),
    (
        "write-back cache with an old libvirt",
        lambda c: on_nfs(
            c,
            disk={"cache": "writeback"},
            source={"libvirt_version": 5006000},
            destination={"pools": (c.shared_pool(),)},
        ),
        ["!UNSAFE_CACHE"],
    ),
    ("write-back cache", lambda c: on_nfs(c, disk={"cache": "writeback"}), []),
    ("unsafe cache of a copied disk", lambda c: c.facts(domain={"disks": (c.disk(cache="unsafe"),)}), []),
    (
        "nvme",
        lambda c: c.facts(domain={"disks": (c.disk(type="nvme"),)}, images=()),
        ["!!DISK_TYPE_UNSUPPORTED", "!!STORAGE_NOT_SHARED"],
    ),
    ("qemu user", lambda c: on_nfs(c, destination={"qemu_uid": 107, "qemu_gid": 107}), ["QEMU_USER_DIFFERS"]),
    ("qemu user with copied disks", lambda c: c.facts(destination={"qemu_uid": 107, "qemu_gid": 107}), []),
    ("qemu user unknown", lambda c: on_nfs(c, destination={"qemu_uid": None, "qemu_gid": None}), []),
    # media
    ("iso missing, no policy", lambda c: with_iso(c, False), ["!!MEDIA_MISSING"]),
    ("iso missing, mandatory", lambda c: with_iso(c, False, startup_policy="mandatory"), ["!!MEDIA_MISSING"]),
    ("iso missing, requisite", lambda c: with_iso(c, False, startup_policy="requisite"), ["MEDIA_DROPPED"]),
    ("iso missing, optional", lambda c: with_iso(c, False, startup_policy="optional"), ["MEDIA_DROPPED"]),
    ("iso there", lambda c: with_iso(c, True), []),
    ("iso of unknown presence", lambda c: with_iso(c, None), ["MEDIA_MISSING"]),
    ("iso of unknown presence on shared storage", lambda c: with_iso(c, None, shared=True), []),
    ("empty drive", lambda c: c.facts(domain={"disks": (c.disk(), c.cdrom(source=None))}), []),
    # networks
    ("network missing", lambda c: c.facts(destination={"networks": ()}), ["!!NETWORK_MISSING"]),
    ("network mapped", lambda c: c.facts(destination={"networks": (Network("lan"),)}, networks={"default": "lan"}), []),
    ("network mapped to none", lambda c: c.facts(networks={"default": "lan"}), ["!!NETWORK_MISSING"]),
    (
        "network inactive",
        lambda c: c.facts(destination={"networks": (Network("default", active=False),)}),
        ["!!NETWORK_INACTIVE"],
    ),
    ("bridge missing", lambda c: c.facts(destination={"bridges": ()}), ["!!BRIDGE_MISSING"]),
    ("bridge mapped", lambda c: c.facts(destination={"bridges": ("br1",)}, bridges={"br0": "br1"}), []),
    # devices and records
    (
        "host device",
        lambda c: c.facts(domain={"host_devices": (HostDevice("pci", "0000:01:00.0"),)}),
        ["!!HOST_DEVICE"],
    ),
    ("migratable host device", lambda c: c.facts(domain={"host_devices": (HostDevice("mdev", "x", True),)}), []),
    (
        "passed-through interface",
        lambda c: c.facts(domain={"nics": (Nic("52:54:00:00:00:09", "hostdev"),)}),
        ["!!HOST_DEVICE"],
    ),
    ("file system", lambda c: c.facts(domain={"filesystems": ("/srv",)}), ["!FILESYSTEM_DEVICE"]),
    ("transient disk", lambda c: c.facts(domain={"disks": (c.disk(transient=True),)}), ["!!TRANSIENT_DISK"]),
    ("obstacles", lambda c: c.facts(domain={"obstacles": ("an ivshmem device",)}), ["!!METHOD_UNSUITABLE"]),
    ("snapshots", lambda c: c.facts(domain={"snapshots": ("before",)}), ["!!SNAPSHOTS_PRESENT"]),
    ("checkpoints", lambda c: c.facts(domain={"checkpoints": ("daily",)}), ["CHECKPOINTS_PRESENT"]),
    ("job", lambda c: c.facts(domain={"job": Job("unbounded", "backup")}), ["!!JOB_RUNNING"]),
    ("block job", lambda c: c.facts(domain={"block_jobs": ("vda: copy",)}), ["!!JOB_RUNNING"]),
    # stopped moves
    ("shut off", lambda c: c.facts(domain={"state": "shutoff"}), []),
    (
        "shut off, asked to move live",
        lambda c: c.facts(method="live_block", domain={"state": "shutoff"}),
        ["!!NOT_ACTIVE"],
    ),
    ("shut off, any stopped method", lambda c: c.facts(method="seeded", domain={"state": "shutoff"}), []),
    ("method of a later day", lambda c: c.facts(method="teleport"), ["!!METHOD_UNSUITABLE"]),
    ("stopping is not permitted", lambda c: c.facts(method="offline"), ["!MAY_NOT_STOP"]),
    ("suspending is not permitted", lambda c: c.facts(method="suspended"), ["!MAY_NOT_STOP"]),
    ("seeding ends in a stop", lambda c: c.facts(method="seeded"), ["!MAY_NOT_STOP"]),
    ("stopping is permitted", lambda c: c.facts(method="offline", may_stop=True), []),
    (
        "a paused guest cannot shut itself down",
        lambda c: c.facts(method="offline", may_stop=True, domain={"state": "paused"}),
        ["!!METHOD_UNSUITABLE"],
    ),
    ("paused, suspended", lambda c: c.facts(method="suspended", may_stop=True, domain={"state": "paused"}), []),
    (
        "a transient domain would be gone",
        lambda c: c.facts(method="suspended", may_stop=True, domain={"persistent": False}),
        ["!!METHOD_UNSUITABLE"],
    ),
    (
        "stopping cures",
        lambda c: c.facts(
            method="offline",
            may_stop=True,
            domain={
                "snapshots": ("before",),
                "checkpoints": ("daily",),
                "obstacles": ("an ivshmem device",),
                "disks": (c.disk(transient=True),),
            },
        ),
        [],
    ),
    (
        "saved memory is not cured of it",
        lambda c: c.facts(
            method="suspended",
            may_stop=True,
            domain={"obstacles": ("an ivshmem device",), "snapshots": ("before",)},
        ),
        ["!!METHOD_UNSUITABLE"],
    ),
    (
        "host device, stopped",
        lambda c: c.facts(
            method="offline", may_stop=True, domain={"host_devices": (HostDevice("pci", "0000:01:00.0"),)}
        ),
        ["!HOST_DEVICE"],
    ),
    (
        "shut off, no network there",
        lambda c: c.facts(domain={"state": "shutoff"}, destination={"networks": (Network("lan"),)}),
        ["NETWORK_MISSING"],
    ),
    # ways
    ("stream port blocked", lambda c: with_probe(c, "to_destination", "stream", "timeout"), ["!PORT_BLOCKED"]),
    ("stream port refused is open", lambda c: with_probe(c, "to_destination", "stream", "refused"), []),
    ("no way", lambda c: with_probe(c, "to_destination", "stream", "unreachable"), ["!PORT_BLOCKED"]),
    (
        "control port blocked",
        lambda c: with_probe(c, "to_destination", "control", "timeout", 22),
        ["!!CONTROL_UNREACHABLE"],
    ),
    ("way home blocked", lambda c: with_probe(c, "to_source", "stream", "timeout"), ["PORT_BLOCKED"]),
    (
        "control of the way home blocked",
        lambda c: with_probe(c, "to_source", "control", "timeout", 22),
        ["CONTROL_UNREACHABLE"],
    ),
    ("tls", lambda c: c.facts(tls=True, destination={"tls": False}), ["!!TLS_UNAVAILABLE"]),
    ("tls not asked for", lambda c: c.facts(destination={"tls": False}), []),
    ("clock ahead", lambda c: c.facts(clock_offset=90.0), ["CLOCK_SKEW"]),
    ("clock nearly right", lambda c: c.facts(clock_offset=-1.0), []),
    ("clock unsynchronised", lambda c: c.facts(destination={"time_synchronized": False}), ["CLOCK_SKEW"]),
    ("clock of unknown state", lambda c: c.facts(destination={"time_synchronized": None}), []),
]


def marked(facts: CheckFacts) -> list[str]:
    """The codes of all findings, marked as in ROWS."""
    found = {("" if one.severity != "blocker" else "!" if one.override else "!!") + one.code for one in check(facts)}
    return sorted(found, key=lambda text: text.lstrip("!"))


@pytest.mark.parametrize(("about", "make", "codes"), ROWS, ids=[row[0] for row in ROWS])
def test_findings(case: Maker, about: str, make: t.Callable[[Maker], CheckFacts], codes: list[str]) -> None:
    assert marked(make(case)) == codes


def test_every_code_has_a_row_where_it_fires() -> None:
    fired = {code.lstrip("!") for row in ROWS for code in row[2]}
    assert fired == set(CODES)


def test_the_override_is_what_the_table_of_acceptable_codes_says() -> None:
    acceptable = {code.lstrip("!") for row in ROWS for code in row[2] if code.startswith("!") and code[1] != "!"}
    assert acceptable == set(ACCEPTABLE) | {"MAY_NOT_STOP"}


@pytest.mark.parametrize(("about", "make", "codes"), ROWS, ids=[row[0] for row in ROWS])
def test_messages_name_domain_and_hosts_and_end_as_sentences(
    case: Maker, about: str, make: t.Callable[[Maker], CheckFacts], codes: list[str]
) -> None:
    for finding in check(make(case)):
        assert "'web01'" in finding.message
        assert finding.message.endswith(".")
        assert ".." not in finding.message
        assert finding.remedy.endswith(".")
        if finding.code not in ("NOT_ACTIVE", "METHOD_UNSUITABLE"):
            assert "kvm1" in finding.message
            assert "kvm2" in finding.message


def test_an_accepted_blocker_is_a_warning_that_says_so(case: Maker) -> None:
    finding = case.only(case.facts(destination={"cordoned": True}, accept=("CORDONED",)))
    assert finding.severity == "warning"
    assert "This was accepted" in finding.message


def test_what_may_not_be_accepted_stays_a_blocker(case: Maker) -> None:
    facts = case.facts(
        images=(case.image(exists=True),),
        same_uuid=Namesake("old", UUID, "shutoff"),
        accept=("IMAGE_EXISTS", "UUID_CONFLICT"),
    )
    assert case.found(facts) == [("blocker", "IMAGE_EXISTS"), ("blocker", "UUID_CONFLICT")]


def test_pools_on_one_file_system_share_its_space(case: Maker) -> None:
    disks = (case.disk(), case.disk(target="vdb", source="/data/b.qcow2"))
    pools = (case.pool(available=int(1.5 * GIB)), case.pool(name="data", path="/data", available=int(1.5 * GIB)))
    images = (case.image(), case.image(target="vdb", path="/data/b.qcow2"))
    facts = case.facts(domain={"disks": disks}, destination={"pools": pools}, images=images)
    assert case.found(facts) == [("blocker", "DISK_SPACE_SHORT")]


def test_space_is_looked_for_where_the_mapping_leads(case: Maker) -> None:
    pools = (case.pool(available=0), case.pool(name="data", path="/data", filesystem="local:kvm2:8:2"))
    facts = case.facts(destination={"pools": pools}, images=(case.image(path="/data/web01.qcow2"),))
    assert case.found(facts) == []


def test_blocked_ports_of_one_address_are_one_finding(case: Maker) -> None:
    probes = tuple(Probe("to_destination", "stream", "192.0.2.2", port, "timeout") for port in (49153, 49152))
    assert case.only(case.facts(probes=probes)).evidence["ports"] == [49152, 49153]
