# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runs of the modules that read, ask and judge a fleet, against gateways that are fakes."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_classes import cpu_digest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.reachability import Peer
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import Member
from ansible_collections.virtops.kvm.plugins.modules import cpu_baseline_info, fleet_member_info, fleet_readiness
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._checks.fleet_sample import NOW, domain, member


class Gateway(fleet_readiness.Gateway):
    """The controller, at a fixed time."""

    def now(self) -> float:
        return NOW


class Frozen(Gateway):
    """Files that may be read only."""

    def write(self, path: str, text: str) -> None:
        raise AssertionError(f"{path} was written")


def params(directory: pathlib.Path | None = None, **more: t.Any) -> dict[str, t.Any]:
    facts = [to_data(one) for one in (member("kvm1", domain("a")), member("kvm2", uuid="x"), member("kvm3", uuid="x"))]
    spec = {name: option.get("default") for name, option in fleet_readiness.argument_spec().items()}
    return {**spec, "facts": facts, "directory": str(directory) if directory else None, **more}


def test_the_report_is_written_once(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "new"
    predicted = fleet_readiness.run(params(folder), True, Frozen())
    assert len(predicted.changes) == 3
    assert not folder.exists()
    first = fleet_readiness.run(params(folder), False, Gateway())
    assert first.changes == predicted.changes
    assert sorted(path.name for path in folder.iterdir()) == sorted(fleet_readiness.FILES.values())
    assert fleet_readiness.run(params(folder), False, Frozen()).changes == ()
    data = json.loads((folder / "readiness.json").read_text(encoding="utf-8"))
    assert data["hosts"] == ["kvm1", "kvm2", "kvm3"]
    assert data["matrix"][1][2]["state"] == "none"


def test_the_answer() -> None:
    result = fleet_readiness.run(params(), False, Frozen())
    values = to_data(result.values)
    assert (values["sound"], values["summary"]["errors"], values["files"]) == (False, 1, {})
    assert values["states"]["kvm1"] == ["self", "all", "all"]
    assert [one["code"] for one in values["findings"]] == ["HOST_UUID_DUPLICATE"]
    assert "HOST_UUID_DUPLICATE (kvm2, kvm3)" in values["verdict"]
    assert result.changes == ()


@pytest.mark.parametrize("facts", [[{}], [{"name": "kvm1"}], [{"name": "kvm1", "host": {"hostname": "x"}}]])
def test_facts_that_nobody_returned_are_refused(facts: list[t.Any]) -> None:
    with pytest.raises(InputError, match="fleet_member_info"):
        fleet_readiness.run(params(facts=facts), False, Frozen())


class Host:
    """One host; notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[t.Any] = []

    def read(self, name: str, uri: str, peers: t.Sequence[Peer], controls: t.Mapping[str, str]) -> Member:
        self.asked.append((name, uri, list(peers), dict(controls)))
        return member(name, domain("a"), domain("b"), domain("c", state="shutoff"))

    def ask(self, *words: t.Any) -> tuple[dict[str, str], dict[str, str]]:
        self.asked.append(words)
        return {"model": "Haswell", "xml": "<cpu/>"}, {"one": "superset"}


def test_a_member_is_read_with_its_ways_to_the_others() -> None:
    host = Host()
    peers = [
        {"name": "kvm1", "address": "192.0.2.1", "ports": [49215], "uri": "x"},
        {"name": "kvm2", "address": "192.0.2.2", "ports": [49214, 49215], "uri": "qemu+tls://kvm2/system"},
        {"name": "kvm3", "address": "192.0.2.3", "ports": [], "uri": ""},
    ]
    result = fleet_member_info.run(
        {"uri": "qemu:///system", "name": "kvm1", "peers": peers}, False, t.cast("t.Any", host)
    )
    assert host.asked == [
        (
            "kvm1",
            "qemu:///system",
            [Peer("kvm2", "192.0.2.2", (49214, 49215)), Peer("kvm3", "192.0.2.3", ())],
            {"kvm2": "qemu+tls://kvm2/system"},
        )
    ]
    # Guests with the same CPU need one question.
    digest = cpu_digest(domain("a"))
    assert to_data(result.values)["cpus"] == {digest: {"arch": "x86_64", "virt_type": "kvm", "xml": "<cpu/>"}}
    assert result.changes == ()


def test_a_peer_needs_real_ports() -> None:
    peers = [{"name": "kvm2", "address": "a", "ports": [0], "uri": ""}]
    with pytest.raises(InputError, match="no TCP port"):
        fleet_member_info.run({"uri": "", "name": "kvm1", "peers": peers}, False, t.cast("t.Any", Host()))


def test_libvirt_is_asked_of_each_cpu_once() -> None:
    host = Host()
    asked = {"uri": "u", "host_cpus": ["<b/>", "<a/>", "<b/>", " "], "arch": "x86_64", "virt_type": "kvm"}
    guests = {"one": {"arch": "x86_64", "virt_type": "kvm", "xml": "<cpu/>"}}
    result = cpu_baseline_info.run({**asked, "guest_cpus": guests}, True, t.cast("t.Any", host))
    assert host.asked == [("u", "x86_64", "kvm", ["<a/>", "<b/>"], guests)]
    assert result.values == {"baseline": {"model": "Haswell", "xml": "<cpu/>"}, "comparisons": {"one": "superset"}}
    for wrong in ("text", {"arch": "x"}, {"arch": "x", "virt_type": "y", "xml": None}):
        with pytest.raises(InputError, match="guest_cpus"):
            cpu_baseline_info.run({**asked, "guest_cpus": {"one": wrong}}, True, t.cast("t.Any", host))
