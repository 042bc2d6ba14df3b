# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""migration_check_info on real hosts: every cause is real, is found, and is gone when the cause is gone."""

from __future__ import annotations

import contextlib
import typing as t

import pytest

from tests.integration.ansible_runs import run_module
from tests.integration.conftest import sweep

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.guest.guest import Guest
    from tests.lab.host import Host

OTHER = (
    "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>"
    "<memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>"
)
FOREIGN_UUID = "5b0c6f2e-0d54-4c0c-9c39-1f0a7c1d2e33"
#: A model with features that emulation does not have.
TOO_NEW = "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>SapphireRapids</model></cpu>"
Cause = t.Callable[["Lab", "Guest"], t.ContextManager[t.Any]]


@pytest.fixture(scope="module")
def guest(lab: Lab) -> t.Iterator[Guest]:
    """One running guest on the first host, with more data than a full disk takes; nothing here moves it."""
    sweep(lab)
    yield lab.create_guest(lab.hosts[0].name, "qcow2", fill_mib=40)
    sweep(lab)


def check(lab: Lab, name: str, *arguments: str, **more: t.Any) -> dict[str, t.Any]:
    """The result of migration_check_info from the first host to the second."""
    source, destination = (host.name for host in lab.hosts[:2])
    options = {"name": name, "destination": lab.host(destination).uri, "destination_label": destination, **more}
    result = run_module(lab.inventory, source, "migration_check_info", options, *arguments)
    assert not result["changed"]
    return result


def blocking(result: dict[str, t.Any]) -> set[str]:
    """The codes of the blockers."""
    assert not result.get("failed"), result
    found = {finding["code"] for finding in result["findings"] if finding["severity"] == "blocker"}
    assert result["blocked"] == bool(found)
    return found


def there(lab: Lab) -> Host:
    return lab.hosts[1]


@contextlib.contextmanager
def namesake(lab: Lab, name: str, uuid: str) -> t.Iterator[None]:
    """Another domain on the destination."""
    there(lab).run(["virsh", "-q", "define", "/dev/stdin"], input=OTHER.format(name=name, uuid=uuid))
    try:
        yield
    finally:
        there(lab).virsh("undefine", uuid)


@contextlib.contextmanager
def network_down(lab: Lab, guest: Guest) -> t.Iterator[None]:
    """The guest's network exists there, and is not active."""
    there(lab).virsh("net-destroy", "lab")
    try:
        yield
    finally:
        there(lab).virsh("net-start", "lab")


@contextlib.contextmanager
def network_gone(lab: Lab, guest: Guest) -> t.Iterator[None]:
    """The guest's network is not defined there."""
    definition = there(lab).virsh("net-dumpxml", "lab")
    there(lab).virsh("net-destroy", "lab")
    there(lab).virsh("net-undefine", "lab")
    try:
        yield
    finally:
        there(lab).run(["virsh", "-q", "net-define", "/dev/stdin"], input=definition)
        there(lab).virsh("net-start", "lab")
        there(lab).virsh("net-autostart", "lab")


@contextlib.contextmanager
def ports_closed(lab: Lab, guest: Guest) -> t.Iterator[None]:
    """A firewall on the destination drops what arrives at the migration ports."""
    lab.fault.close(there(lab).name)
    try:
        yield
    finally:
        lab.fault.open(there(lab).name)


@contextlib.contextmanager
def control_closed(lab: Lab, guest: Guest) -> t.Iterator[None]:
    """A firewall on the destination drops what arrives for ssh."""
    lab.fault.close(there(lab).name, "22")
    try:
        yield
    finally:
        lab.fault.open(there(lab).name)


@contextlib.contextmanager
def disk_full(lab: Lab, guest: Guest) -> t.Iterator[None]:
    """Hardly any space is left in the destination's pool."""
    lab.fault.fill(there(lab).name)
    try:
        yield
    finally:
        lab.fault.unfill(there(lab).name)


@contextlib.contextmanager
def image_there(lab: Lab, guest: Guest) -> t.Iterator[None]:
    """Somebody's file has the name of the guest's image; libvirt does not know it yet."""
    path = guest.disks[0]
    there(lab).run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"])
    try:
        yield
    finally:
        there(lab).run(["rm", path])


@contextlib.contextmanager
def snapshot(lab: Lab, guest: Guest) -> t.Iterator[None]:
    """The guest has a snapshot."""
    here = lab.hosts[0]
    here.virsh("snapshot-create-as", guest.uuid, "before")
    try:
        yield
    finally:
        here.virsh("snapshot-delete", guest.uuid, "before")


CAUSES: dict[str, tuple[Cause, set[str]]] = {
    "name": (lambda lab, guest: namesake(lab, guest.name, FOREIGN_UUID), {"NAME_CONFLICT"}),
    "uuid": (lambda lab, guest: namesake(lab, "somebody-else", guest.uuid), {"UUID_CONFLICT"}),
    "own definition": (lambda lab, guest: namesake(lab, guest.name, guest.uuid), {"UUID_CONFLICT"}),
    "network down": (network_down, {"NETWORK_INACTIVE"}),
    "network gone": (network_gone, {"NETWORK_MISSING"}),
    "ports closed": (ports_closed, {"PORT_BLOCKED"}),
    "control closed": (control_closed, {"CONTROL_UNREACHABLE"}),
    "disk full": (disk_full, {"DISK_SPACE_SHORT"}),
    "image there": (image_there, {"IMAGE_EXISTS"}),
    "snapshot": (snapshot, {"SNAPSHOTS_PRESENT"}),
}


def test_nothing_stands_in_the_way(lab: Lab, guest: Guest) -> None:
    result = check(lab, guest.name)
    # A container has no clock of its own to synchronise, which is worth a notice.
    assert {(one["severity"], one["code"]) for one in result["findings"]} <= {("info", "CLOCK_SKEW")}
    assert (result["method"], result["disks"]) == ("live_block", ["vda"])
    assert "vda" in result["method_reason"]


def test_what_the_destination_knows_of_itself_completes_the_facts(lab: Lab, guest: Guest) -> None:
    facts = run_module(lab.inventory, there(lab).name, "host_info", {})["host"]
    assert blocking(check(lab, guest.uuid, destination_facts=facts)) == set()
    facts["cordoned"] = True
    assert blocking(check(lab, guest.uuid, destination_facts=facts)) == {"CORDONED"}
    accepted = check(lab, guest.uuid, destination_facts=facts, accept=["CORDONED"])
    assert not accepted["blocked"]
    assert "This was accepted" in accepted["findings"][0]["message"]


@pytest.mark.parametrize("cause", CAUSES)
def test_causes(lab: Lab, guest: Guest, cause: str) -> None:
    make, codes = CAUSES[cause]
    with make(lab, guest):
        result = check(lab, guest.name)
        assert blocking(result) == codes
        for finding in result["findings"]:
            assert guest.name in finding["message"]
            assert there(lab).name in finding["message"]
            assert finding["remedy"]
    assert guest.running_on() == [lab.hosts[0].name]
    pools = there(lab).virsh("pool-list", "--all", "--name").split()
    assert pools == ["default"]


def test_the_same_host(lab: Lab, guest: Guest) -> None:
    here = lab.hosts[0]
    result = check(lab, guest.name, destination=here.uri, destination_label="kvm1-again")
    assert "SAME_HOST" in blocking(result)


@pytest.mark.parametrize(
    ("policy", "code", "severity"),
    [
        (None, "MEDIA_MISSING", "blocker"),
        ("mandatory", "MEDIA_MISSING", "blocker"),
        ("requisite", "MEDIA_DROPPED", "warning"),
        ("optional", "MEDIA_DROPPED", "warning"),
    ],
)
def test_missing_media(lab: Lab, guest: Guest, policy: str | None, code: str, severity: str) -> None:
    reader = lab.create_guest(lab.hosts[0].name, "iso", start="shutoff", startup_policy=policy)
    try:
        result = check(lab, reader.name, method="live_block")
        found = [one for one in result["findings"] if one["code"].startswith("MEDIA")]
        assert [(one["code"], one["severity"]) for one in found] == [(code, severity)]
    finally:
        reader.remove()


def test_a_cpu_that_the_destination_cannot_provide(lab: Lab, guest: Guest) -> None:
    modern = lab.create_guest(lab.hosts[0].name, "qcow2", start="shutoff", cpu=TOO_NEW)
    try:
        assert blocking(check(lab, modern.name, method="live_block")) == {"NOT_ACTIVE", "CPU_INCOMPATIBLE"}
        assert blocking(check(lab, modern.name, method="live_block", accept=["CPU_INCOMPATIBLE"])) == {"NOT_ACTIVE"}
        # Shut off it may lie there; that it cannot start is told.
        lying = check(lab, modern.name)
        assert (lying["method"], blocking(lying)) == ("offline", set())
        assert "CPU_INCOMPATIBLE" in {finding["code"] for finding in lying["findings"]}
    finally:
        modern.remove()


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        ({"name": "nobody"}, "DOMAIN_NOT_FOUND", "nobody"),
        ({"destination": "kvm2"}, "INVALID_OPTION", "no libvirt URI"),
        ({"disks": ["vdz"]}, "INVALID_OPTION", "vdz"),
        ({"mapping": {"disks": {"vdz": "/srv/x"}}}, "INVALID_OPTION", "vdz"),
        ({"mapping": {"paths": {"/srv": "../x"}}}, "INVALID_OPTION", "absolute"),
        ({"accept": ["NAME_CONFLICT"]}, "INVALID_OPTION", "may not be accepted"),
    ],
)
def test_bad_input(lab: Lab, guest: Guest, options: dict[str, t.Any], code: str, word: str) -> None:
    result = check(lab, **{"name": guest.name, **options})
    assert result["failed"]
    assert result["error_code"] == code
    assert word in result["msg"]
