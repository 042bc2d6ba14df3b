# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runs of the modules that read and mark a host, against gateways that are fakes."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.cordon import Cordon
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.reachability import Peer
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Disk, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host
from ansible_collections.virtops.kvm.plugins.modules import domain_info, host_cordon, host_info

DOMAINS = [
    Domain("db", "u1", "running", memory=1 << 30, disks=(Disk("vda", "file", shared=False),)),
    Domain("web", "u2", "shutoff", disks=(Disk("vda", "file", shared=True),)),
]


class FakeDomains:
    """Two domains."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, t.Any]] = []

    def read(self, uri: str, names: t.Sequence[str] | None) -> list[Domain]:
        self.asked.append((uri, names))
        return DOMAINS


def read(gateway: t.Any, **params: t.Any) -> list[t.Any]:
    """What domain_info returns as domains."""
    options = {"uri": "qemu:///system", "names": [], "select": None, **params}
    result = domain_info.run(options, False, gateway)
    assert not result.changes
    domains: list[t.Any] = to_data(result.values)["domains"]
    return domains


def test_domain_info_reads_all_or_the_named() -> None:
    gateway = FakeDomains()
    assert [domain["name"] for domain in read(gateway)] == ["db", "web"]
    read(gateway, names=["db"], uri="qemu+ssh://kvm2/system")
    assert gateway.asked == [("qemu:///system", None), ("qemu+ssh://kvm2/system", ["db"])]


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("[?state == 'running'].name", ["db"]),
        ("[?disks[?shared == `false`]].name", ["db"]),
        ("length(@)", [2]),
        ("[0].title", []),
        ("{names: [].name}", [{"names": ["db", "web"]}]),
    ],
)
def test_domain_info_selects(select: str, expected: list[t.Any]) -> None:
    pytest.importorskip("jmespath")
    assert read(FakeDomains(), select=select) == expected


@pytest.mark.parametrize("select", ["[?state ==", "[?", "nonsense(@)"])
def test_domain_info_refuses_a_broken_expression_before_it_reads(select: str) -> None:
    pytest.importorskip("jmespath")
    gateway = FakeDomains()
    with pytest.raises(InputError) as caught:
        read(gateway, select=select)
    assert caught.value.details["option"] == "select"
    assert gateway.asked == []


class FakeHost:
    """A host that remembers the peers it was to probe."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []

    def read(self, uri: str, peers: t.Sequence[Peer]) -> Host:
        self.peers = list(peers)
        return Host("kvm1", "u", uri=uri)


def test_host_info_hands_the_peers_on() -> None:
    gateway = FakeHost()
    peers = [{"name": "kvm2", "address": "192.0.2.2", "ports": [22, 49152]}]
    result = host_info.run({"uri": "qemu:///system", "peers": peers}, True, t.cast("t.Any", gateway))
    assert gateway.peers == [Peer("kvm2", "192.0.2.2", (22, 49152))]
    assert (result.values["host"].hostname, result.changes) == ("kvm1", ())


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_host_info_refuses_what_is_no_port(port: int) -> None:
    peers = [{"name": "kvm2", "address": "a", "ports": [port]}]
    with pytest.raises(InputError, match=f"{port} is no TCP port"):
        host_info.run({"uri": "qemu:///system", "peers": peers}, False, t.cast("t.Any", FakeHost()))


class FakeMark:
    """A host's mark in memory; ``frozen`` lets nobody change it."""

    def __init__(self, mark: Cordon | None = None, *, frozen: bool = False) -> None:
        self.mark, self.frozen = mark, frozen

    def read(self) -> Cordon | None:
        return self.mark

    def write(self, cordon: Cordon) -> None:
        assert not self.frozen
        self.mark = cordon

    def remove(self) -> None:
        assert not self.frozen
        self.mark = None

    def now(self) -> float:
        return 9.0


def cordon(gateway: FakeMark, state: str, reason: str | None = None, *, check_mode: bool = False) -> t.Any:
    """The result of host_cordon."""
    return host_cordon.run({"state": state, "reason": reason}, check_mode, t.cast("t.Any", gateway))


def test_host_cordon_is_idempotent() -> None:
    gateway = FakeMark()
    assert cordon(gateway, "present", "fan").changes
    assert gateway.mark == Cordon("fan", 9.0)
    assert not cordon(gateway, "present", "fan").changes
    assert cordon(gateway, "present").values == {"cordoned": True, "reason": "fan", "since": 9.0}
    assert cordon(gateway, "absent").changes
    assert not cordon(gateway, "absent").changes
    assert gateway.mark is None


@pytest.mark.parametrize(("mark", "state"), [(None, "present"), (Cordon("disk", 1.0), "absent")])
def test_host_cordon_predicts_in_check_mode_and_touches_nothing(mark: Cordon | None, state: str) -> None:
    gateway = FakeMark(mark, frozen=True)
    predicted = cordon(gateway, state, "fan", check_mode=True)
    assert predicted.changes
    assert predicted.values["cordoned"] is (state == "present")
