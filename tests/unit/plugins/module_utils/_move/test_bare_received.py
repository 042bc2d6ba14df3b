# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest process that becomes a domain while it runs: in which order, and what ends it before anything of the guest's stands still."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_ports, bare_received
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BareOptions, BarePlan
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.visible import Visible
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.bare_fake import FakeFar
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.fake import FakeClock

TREE = 'bus: main-system-bus\n  dev: pc, id "{name}"\n    size = {size}\n'
XML = (
    "<domain><os><kernel>/k</kernel></os><devices><disk><source file='/s/a'/></disk><disk/><interface><source bridge='br0'/></interface>"
    "<serial><source path='/log/c'/></serial></devices></domain>"
)
HERE = Visible("pc-i440fx-10.0", TREE.format(name="mine", size=1), (), {"base-memory": 64}, "10.0.2")
PLAN = BarePlan(
    ("qemu",), (), (), (), "", "running", "", HERE, 64, (), (), domain=XML, probe=("qemu", "-m", "64")
)  # fmt: skip
JOURNAL = BareJournal(
    "id", "key", "web", "uuid-1", "live_shared", "claim", 1.0, 1.0, "kvm1", "root@kvm2", "kvm2", source=("7", "1", "boot"),
    unit="virtops-guest-x.service", socket="/run/virtops-kvm/guests/id/qmp.sock", log="/var/log/x", domain="<domain/>",
)  # fmt: skip


class Far(FakeFar):
    """A destination whose libvirt makes a machine of this size, and tells of the domain what is said here."""

    def __init__(self, size: int = 1, real: int = 1, **arrived: str) -> None:
        self.size, self.real = size, real
        self.arrived = {"state": "paused", "reason": "", **arrived}
        self.orders: list[str] = []
        self.run = "paused"

    def facts(self, **wanted: t.Any) -> dict[str, t.Any]:
        return {"folders": [], "owners": {path: [0, 0] for path in wanted.get("owners", ())}}

    def call(self, verb: str, **arguments: t.Any) -> t.Any:
        if verb != "record":
            self.orders.append(verb)
        if verb == "domain_resume":
            self.run = "running"
        answers = {"start": ["9", "2", "boot2"], "kill": True, "free_ports": [49152], "domain_arrived": self.arrived}
        return TREE.format(name="other", size=self.real) if verb == "domain_tree" else answers.get(verb)

    def look(self, key: str, name: str, uuid: str) -> tuple[BareSighting, BareJournal | None]:
        return BareSighting(self.host, found=True, ours=True, state=self.run), None


class Monitor:
    """The source's."""

    def execute(self, command: str, arguments: t.Any = None) -> str:
        return HERE.tree


def context(folder: pathlib.Path, far: Far, monkeypatch: pytest.MonkeyPatch) -> BareContext:
    there = dataclasses.replace(HERE, tree=TREE.format(name="libvirt's", size=far.size))
    monkeypatch.setattr(bare_received.visible, "see", lambda ask: there)
    monkeypatch.setattr(bare_received, "way", lambda context: "192.0.2.2")
    made = BareContext(
        name="web", key="key", destination="root@kvm2", source_host="kvm1", far=far, clock=FakeClock(),
        workspace=Workspace(str(folder / "state"), str(folder / "run")), options=BareOptions(method="live_shared", target="libvirt"),
        mapping=GuestMapping(), stop=Stop(), begun=0.0, uuid="uuid-1",
    )  # fmt: skip
    made.journal, made.monitor, made.one_version = JOURNAL, t.cast("t.Any", Monitor()), True
    return made


def test_libvirt_waits_once_its_machine_is_proven_and_runs_when_it_is_told(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = Far()
    made = context(tmp_path, far, monkeypatch)
    ports = bare_received.prepare_domain(made, PLAN)
    assert ports == ("192.0.2.2", 49152, 0)
    assert far.orders == ["start", "kill", "free_ports", "domain_receive"]
    assert (made.record_now().there, made.record_now().owners) == ((), {"/k": [0, 0], "/log/c": [0, 0], "/s/a": [0, 0]})
    bare_received.domain_arrived(made)
    bare_received.verify_domain(made)
    assert far.orders[4:] == ["domain_arrived", "domain_tree", "domain_define", "domain_resume"]
    assert made.record_now().defined


def test_one_that_was_paused_stays_so(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = Far()
    made = context(tmp_path, far, monkeypatch)
    made.journal = dataclasses.replace(JOURNAL, state="paused")
    bare_received.verify_domain(made)
    assert far.orders == []
    made.journal = dataclasses.replace(JOURNAL, state="running")
    monkeypatch.setattr(far, "call", lambda verb, **unused: None)
    with pytest.raises(KvmError) as caught:
        bare_received.verify_domain(made)
    assert caught.value.error_code == "VERIFY_FAILED"


def test_another_machine_is_never_let_run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = Far(size=2)
    with pytest.raises(KvmError, match="size is 1 on the source and 2 on the destination") as caught:
        bare_received.prepare_domain(context(tmp_path, far, monkeypatch), PLAN)
    assert caught.value.error_code == "HARDWARE_DIFFERS"
    assert "domain_receive" not in far.orders
    far = Far(real=2)
    with pytest.raises(KvmError) as caught:
        bare_received.domain_arrived(context(tmp_path, far, monkeypatch))
    assert caught.value.error_code == "HARDWARE_DIFFERS"
    assert "domain_define" not in far.orders


def test_libvirt_s_words_are_told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = Far(state="", reason="load of migration failed")
    made = context(tmp_path, far, monkeypatch)
    with pytest.raises(KvmError, match="did not restore it: load of migration failed") as caught:
        bare_received.domain_arrived(made)
    assert caught.value.error_code == "ADOPTION_FAILED"

    def fails(code: str) -> t.Callable[..., t.NoReturn]:
        def transfer(*unused: t.Any) -> t.NoReturn:
            raise KvmError(code, "Broken pipe")

        return transfer

    for code, told in (("MIGRATION_FAILED", "ADOPTION_FAILED"), ("MOVE_ABORTED", "MOVE_ABORTED")):
        monkeypatch.setattr(bare_received, "transfer", fails(code))
        with pytest.raises(KvmError) as caught:
            bare_received.transfer_domain(made, PLAN, bare_ports.Ports("192.0.2.2", 49152, 0))
        assert caught.value.error_code == told


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"method": "live_block"}, "takes no disks in"),
        ({"method": "live_shared", "destination_arguments": ("-m", "64")}, "destination_arguments"),
        ({"method": "live_shared", "postcopy": True}, "post-copy"),
        ({"method": "live_shared", "parallel_connections": 2}, "parallel_connections"),
        ({"method": "live_shared", "compression": "xbzrle"}, "compression"),
    ],
)
def test_what_libvirt_cannot_take_in_is_refused(options: dict[str, t.Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        BareOptions(target="libvirt", **options)
    for method in ("live_shared", "offline"):
        BareOptions(target="libvirt", method=method)
    # What only memory has does not matter where none is sent.
    BareOptions(target="libvirt", method="offline", parallel_connections=2)
