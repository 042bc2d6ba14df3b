# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""migration_check_info: what it asks of the gateway, and what it makes of the answer."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.preflight import Request
from ansible_collections.virtops.kvm.plugins.module_utils._model.checkfacts import CheckFacts
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Domain, Nic
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host, Machines, Network, Pool
from ansible_collections.virtops.kvm.plugins.module_utils._model.reach import Probe
from ansible_collections.virtops.kvm.plugins.modules.migration_check_info import argument_spec, run

DISK = Disk("vda", "file", source="/images/web01", virtual_size=10, allocated=5, shared=False)
WEB01 = Domain("web01", "uuid", "running", disks=(DISK,), nics=(Nic("52:54:00:00:00:01", "network", "default"),))
KVM2 = Host(
    "kvm2",
    "two",
    virt_types=("kvm",),
    machines=(Machines("kvm", ("pc",)),),
    pools=(Pool("default", "dir", "/images", available=100),),
    networks=(Network("default"),),
)


@dataclasses.dataclass
class FakeGateway:
    """Two hosts between which nothing stands in the way."""

    probe: t.Optional[Probe] = None
    destination: Host = KVM2
    asked: t.Optional[Request] = None

    def domain(self, uri: str, name: str) -> Domain:
        return WEB01

    def way(self, destination: str) -> t.Optional[Probe]:
        return self.probe

    def facts(self, uri: str, destination: str, domain: Domain, request: Request) -> CheckFacts:
        self.asked = request
        here = Host("kvm1", "one")
        return CheckFacts(domain, here, self.destination, "kvm1", request.destination_name, accept=request.accept)


def checked(gateway: FakeGateway, **params: t.Any) -> dict[str, t.Any]:
    defaults = {name: option.get("default") for name, option in argument_spec().items()}
    given = {"name": "web01", "destination": "qemu+ssh://root@kvm2/system"}
    return run({**defaults, **given, **params}, False, t.cast("t.Any", gateway)).values


def test_nothing_in_the_way() -> None:
    assert checked(FakeGateway()) == {
        "findings": [],
        "blocked": False,
        "method": "live_block",
        "method_reason": "it is running and vda lies on storage of its host alone",
        "disks": ["vda"],
    }


def test_findings_are_data_with_blockers_first() -> None:
    older = dataclasses.replace(KVM2, cordoned=True, networks=())
    found = checked(FakeGateway(destination=older), accept=["CORDONED"])
    assert found["blocked"]
    assert [(one["severity"], one["code"]) for one in found["findings"]] == [
        ("blocker", "NETWORK_MISSING"),
        ("warning", "CORDONED"),
    ]


def test_the_destination_is_not_waited_for_when_its_port_does_not_answer() -> None:
    gateway = FakeGateway(Probe("to_destination", "control", "kvm2", 22, "timeout"))
    found = checked(gateway)
    assert [one["code"] for one in found["findings"]] == ["CONTROL_UNREACHABLE"]
    assert found["blocked"]
    assert gateway.asked is None


def test_a_port_where_nobody_listens_is_for_libvirt_to_explain() -> None:
    gateway = FakeGateway(Probe("to_destination", "control", "kvm2", 22, "refused"))
    assert not checked(gateway)["blocked"]


def test_the_request() -> None:
    gateway = FakeGateway()
    checked(
        gateway,
        destination_label="second",
        source_label="first",
        destination_address="192.0.2.2",
        disks=["vda"],
        mapping={"disks": {"vda": "/data/web01"}},
        destination_facts=to_data(KVM2),
        tls=True,
    )
    asked = gateway.asked
    assert asked is not None
    assert (asked.destination_name, asked.source_name, asked.address) == ("second", "first", "192.0.2.2")
    assert (asked.disks, asked.mapping.disks, asked.facts, asked.tls) == (("vda",), {"vda": "/data/web01"}, KVM2, True)


@pytest.mark.parametrize(
    ("params", "option"),
    [
        ({"destination": "kvm2"}, "destination"),
        ({"disks": ["vdb"]}, "disks"),
        ({"mapping": {"disk": {}}}, "mapping"),
        ({"mapping": {"disks": {"vdb": "/data/b"}}}, "mapping"),
        ({"mapping": {"networks": {"other": "lan"}}}, "mapping"),
        ({"mapping": {"paths": {"/images": "/data/../etc"}}}, "mapping"),
        ({"accept": ["SAME_HOST"]}, "accept"),
        ({"destination_facts": {"hostname": "kvm2"}}, "destination_facts"),
    ],
)
def test_bad_options(params: dict[str, t.Any], option: str) -> None:
    with pytest.raises(KvmError) as caught:
        checked(FakeGateway(), **params)
    assert (caught.value.error_code, caught.value.details["option"]) == ("INVALID_OPTION", option)
