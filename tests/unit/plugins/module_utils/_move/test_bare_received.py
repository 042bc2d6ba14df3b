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
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting, MovedDisk
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_ports, bare_received, bare_switch
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BareOptions, BarePlan
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import mirror
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
DISK = MovedDisk("drive0", "", "#block1", "/images/a", "/s/a", "qcow2", 1024)
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
        self.run, self.ends, self.image = "paused", True, "/s/a"

    def facts(self, **wanted: t.Any) -> dict[str, t.Any]:
        return {"folders": [], "existing": [], "owners": {path: [0, 0] for path in wanted.get("owners", ())}}

    def ask(self, path: str, asked: str, arguments: t.Any = None, timeout: float = 15.0) -> t.Any:
        self.orders.append(asked)
        return [{"device": "", "qdev": "/machine/x", "inserted": {"file": self.image, "node-name": "libvirt-1-format"}}]

    def call(self, verb: str, **arguments: t.Any) -> t.Any:
        if verb != "record":
            self.orders.append(verb)
        if verb == "domain_resume":
            self.run = "running"
        answers = {
            "start": ["9", "2", "boot2"],
            "end_process": self.ends,
            "free_ports": [49152],
            "domain_arrived": self.arrived,
        }
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
    assert far.orders == ["start", "end_process", "free_ports", "domain_receive"]
    assert made.record_now().owners == {"/k": [0, 0], "/log/c": [0, 0], "/s/a": [0, 0]}
    bare_received.domain_arrived(made)
    bare_received.verify_domain(made)
    assert far.orders[4:] == ["domain_arrived", "domain_tree", "domain_define", "domain_resume"]
    assert made.record_now().defined
    assert made.record_now().there == ()


def test_disks_are_written_by_a_process_that_has_them_open_before_libvirt_makes_them_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far, plan = Far(), dataclasses.replace(PLAN, disks=(DISK,))
    made = context(tmp_path, far, monkeypatch)
    assert bare_received.prepare_domain(made, plan) == ("192.0.2.2", 49152, 49152)
    assert far.orders == [
        "image", "start", "query-block", "free_ports", "nbd-server-start", "block-export-add", "free_ports", "domain_receive",
    ]  # fmt: skip
    assert (made.record_now().there, made.record_now().images) == (("9", "2", "boot2"), ("/s/a",))
    far = Far()
    far.image = "/s/b"
    with pytest.raises(KvmError, match="does not have the disk 'drive0'"):
        bare_received.prepare_domain(context(tmp_path, far, monkeypatch), plan)


class Copier:
    """The source's monitor: one mirror, which ends so."""

    def __init__(self, error: str = "") -> None:
        self.job = {"id": "virtops-move-0", "status": "ready"}
        self.error = error
        self.orders: list[str] = []

    def execute(self, command: str, arguments: t.Any = None) -> t.Any:
        self.orders += [command] if not command.startswith("query-") else []
        if command == "block-job-cancel":
            self.job.update(status="concluded", **({"error": self.error} if self.error else {}))
        answers: dict[str, t.Any] = {"query-jobs": [dict(self.job)], "query-named-block-nodes": []}
        return answers.get(command, {"status": "completed"})


def test_who_wrote_the_disks_is_gone_before_the_guest_is_handed_over(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def switched(copier: Copier, far: Far) -> None:
        made = context(tmp_path, far, monkeypatch)
        made.journal, made.monitor = dataclasses.replace(JOURNAL, disks=(DISK,)), t.cast("t.Any", copier)
        monkeypatch.setattr(bare_switch, "arrived", lambda unused: None)
        bare_switch.switch(made, mirror.Mirrors(t.cast("t.Any", copier), (DISK,), top=False, bandwidth=0))

    copier, far = Copier(), Far()
    copier.orders = far.orders
    switched(copier, far)
    assert far.orders[:3] == ["block-job-cancel", "end_process", "migrate-continue"]
    # What cannot be written, and one that does not end: nothing is handed over.
    copier, far = Copier("No space left on device"), Far()
    with pytest.raises(KvmError, match="No space left") as caught:
        switched(copier, far)
    assert (caught.value.error_code, far.orders) == ("MIRROR_FAILED", [])
    copier, far = Copier(), Far()
    far.ends = False
    with pytest.raises(KvmError, match="does not end"):
        switched(copier, far)
    assert copier.orders == ["block-job-cancel"]


def test_a_disk_is_found_by_its_drive_or_where_libvirt_named_it_by_its_image() -> None:
    blocks = [
        {"device": "drive0", "inserted": {"file": "/s/a", "node-name": "#block7"}},
        {"device": "", "qdev": "/machine/cd"},
    ]
    other = dataclasses.replace(DISK, device="", qdev="/machine/cd", path="/s/b")
    assert mirror.nodes_of(blocks, (DISK, other)) == ["#block7", ""]
    assert mirror.nodes_of(blocks, (dataclasses.replace(DISK, device="vd0"), other), by_path=True) == ["#block7", ""]


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
        ({"method": "live_block", "legacy_block": True}, "legacy_block"),
        ({"method": "live_shared", "destination_arguments": ("-m", "64")}, "destination_arguments"),
        ({"method": "live_shared", "postcopy": True}, "post-copy"),
        ({"method": "live_shared", "parallel_connections": 2}, "parallel_connections"),
        ({"method": "live_shared", "compression": "xbzrle"}, "compression"),
    ],
)
def test_what_libvirt_cannot_take_in_is_refused(options: dict[str, t.Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        BareOptions(target="libvirt", **options)
    for method in ("live_shared", "live_block", "offline"):
        BareOptions(target="libvirt", method=method)
    # What only memory has does not matter where none is sent.
    BareOptions(target="libvirt", method="offline", parallel_connections=2)
