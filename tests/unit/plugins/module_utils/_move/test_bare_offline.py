# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The offline move of a guest process, step by step: what is in the records before it is done, and what never happens unasked."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal, BareSighting, MovedDisk
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_needs, bare_offline, bare_still
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BareOptions
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_host import stamp
from ansible_collections.virtops.kvm.plugins.module_utils._move.wish import Stop
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.mapping import GuestMapping
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.unit import Unit
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.bare_fake import FakeFar
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.fake import FakeClock

DISK = MovedDisk("virtio0", "vd0", "#block1", "/img/a.qcow2", "/there/a.qcow2", "qcow2", 1 << 20)
JOURNAL = BareJournal(
    "id", "key", "web", "", "offline", "prepare", 1.0, 1.0, "kvm1", "root@kvm2", "kvm2", source=("7", "1", "boot"),
    unit="virtops-guest-x.service", socket="/run/virtops-kvm/guests/id/qmp.sock", log="/var/log/x", disks=(DISK,),
    argv=("qemu", "-m", "64"), home=("qemu", "-m", "64"),
)  # fmt: skip


class Far(FakeFar):
    """A destination that notes what it is told."""

    def __init__(self, *existing: str) -> None:
        self.existing = existing
        self.calls: list[tuple[str, dict[str, t.Any]]] = []

    def call(self, verb: str, **arguments: t.Any) -> t.Any:
        self.calls.append((verb, arguments))
        return {"start": ["9", "2", "boot2"], "settled": {"settled": True}}.get(verb, True)

    def look(self, key: str, name: str, uuid: str) -> tuple[BareSighting, BareJournal | None]:
        started = any(verb == "start" for verb, _arguments in self.calls)
        return BareSighting(self.host, found=started, ours=started, state="prelaunch" if started else ""), None

    def facts(self, **wanted: t.Any) -> dict[str, t.Any]:
        there = [path for path in wanted.get("images", ()) if path in self.existing]
        return {"existing": there, "stamps": {path: stamp(path) for path in there}, "missing": []}

    def ask(self, path: str, asked: str, arguments: t.Any = None, timeout: float = 15.0) -> t.Any:
        return {"status": "running"}


class Guest:
    """The source's monitor; the guest shuts down after the button was pressed so often, never with 0."""

    def __init__(self, presses: int = 1, *, stays: bool = True) -> None:
        self.left, self.stays = presses, stays
        self.asked: list[str] = []
        self.ended = False

    def has_command(self, name: str) -> bool:
        return self.stays

    def execute(self, command: str, arguments: t.Any = None, **unused: t.Any) -> t.Any:
        self.asked.append(command)
        if command == "system_powerdown":
            self.left -= 1
        if command == "quit" or (self.left == 0 and not self.stays):
            self.ended = True
        if self.ended:
            raise KvmError("MONITOR_GONE", "gone")
        return {"status": "shutdown" if self.left == 0 else "running"}

    def close(self) -> None:
        """Nothing to do."""


def context(folder: pathlib.Path, guest: Guest, far: Far, **options: t.Any) -> BareContext:
    made = BareContext(
        name="web", key="key", destination="root@kvm2", source_host="kvm1", far=far, clock=FakeClock(),
        workspace=Workspace(str(folder / "state"), str(folder / "run")), options=BareOptions(method="offline", may_stop=True, **options),
        mapping=GuestMapping(), stop=Stop(), begun=0.0,
    )  # fmt: skip
    made.monitor = t.cast("t.Any", guest)
    made.journal = JOURNAL
    return made


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was copied; no program runs, and the source's process lives until its monitor ended."""
    found: list[str] = []

    class Result:
        sent_bytes = 5

    def copy(job: t.Any, remote: t.Any, **unused: t.Any) -> Result:
        found.append(f"replaces {job.destination}" if job.replace else job.destination)
        return Result()

    class Remote:
        def __enter__(self) -> object:
            return self

        def __exit__(self, *unused: object) -> None:
            """Nothing to do."""

    monkeypatch.setattr(bare_offline, "copy_disk", copy)
    monkeypatch.setattr(bare_offline.Remote, "connect", lambda *unused: Remote())
    monkeypatch.setattr(bare_offline, "jobs_of", lambda job, keep: [job])
    monkeypatch.setattr(bare_offline.processes, "argv_of", lambda pid: ["qemu"])
    return found


def alive(monkeypatch: pytest.MonkeyPatch, guest: Guest) -> None:
    monkeypatch.setattr(bare_offline.processes, "is_alive", lambda pid, start: not guest.ended)


@pytest.mark.parametrize("stays", [True, False])
def test_it_shuts_down_is_copied_and_runs_there(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, copied: list[str], stays: bool
) -> None:
    guest, far = Guest(2, stays=stays), Far()
    alive(monkeypatch, guest)
    made = context(tmp_path, guest, far)
    assert bare_offline.carry_out(made) == ()
    assert guest.asked.count("system_powerdown") == 2, "it is pressed again where it was overlooked"
    assert guest.ended
    assert guest.asked.count("set-action") == stays
    assert copied == [DISK.path]
    assert [list(arguments["argv"][:3]) for verb, arguments in far.calls if verb == "start"] == [["qemu", "-m", "64"]]
    stages = [arguments["record"]["stage"] for verb, arguments in far.calls if verb == "record"]
    order = [stage for number, stage in enumerate(stages) if stage not in stages[:number]]
    assert order == ["stop", "transfer", "switch", "verify", "release", "done"]
    record = made.record_now()
    assert (record.stage, record.stopped, record.there) == ("done", True, ("9", "2", "boot2"))
    assert record.images[0] == DISK.path
    assert record.images[1].startswith(f"{DISK.path}.partial-")
    assert made.figures["disk_bytes"] == 5


def test_one_that_does_not_listen_is_ended_only_where_that_is_asked(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, copied: list[str]
) -> None:
    guest, far = Guest(-1), Far()
    alive(monkeypatch, guest)
    made = context(tmp_path, guest, far, shutdown_timeout=50)
    with pytest.raises(KvmError, match="within 50 s") as caught:
        bare_offline.carry_out(made)
    assert caught.value.error_code == "SHUTDOWN_TIMEOUT"
    assert not guest.ended
    assert not copied
    assert guest.asked.count("system_powerdown") == 3
    bare_offline.carry_out(context(tmp_path, guest, far, shutdown_timeout=0, shutdown_action="destroy"))
    assert guest.ended
    assert copied


def test_a_wish_to_end_is_heard_while_it_shuts_down(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, copied: list[str]
) -> None:
    guest, far = Guest(-1), Far()
    alive(monkeypatch, guest)
    made = context(tmp_path, guest, far)
    made.stop.ask("somebody pressed Ctrl-C")
    with pytest.raises(KvmError) as caught:
        bare_offline.carry_out(made)
    assert caught.value.error_code == "MOVE_ABORTED"
    assert not guest.ended


def test_a_controller_that_is_not_heard_of_any_more_ends_it_while_it_shuts_down(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, copied: list[str]
) -> None:
    guest, far = Guest(-1), Far()
    alive(monkeypatch, guest)
    made = context(tmp_path, guest, far)
    made.progress_id = "p1"
    made.workspace.expect_controller("p1")
    (tmp_path / "run/progress/p1.alive").write_text("-1000.0 0.0\n", encoding="utf-8")
    with pytest.raises(KvmError, match="nothing was heard of the controller") as caught:
        bare_offline.carry_out(made)
    assert caught.value.error_code == "MOVE_ABORTED"
    assert not guest.ended


def test_what_came_in_the_way_since_is_nobody_s_to_remove(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, copied: list[str]
) -> None:
    guest, far = Guest(), Far(DISK.path)
    alive(monkeypatch, guest)
    made = context(tmp_path, guest, far)
    with pytest.raises(KvmError) as caught:
        bare_offline.carry_out(made)
    assert caught.value.error_code == "IMAGE_EXISTS"
    assert made.record_now().images == ()
    # What this very move made before it was killed is compared, and replaced where it is not the same any more.
    made.journal = dataclasses.replace(made.record_now(), images=(DISK.path,))
    assert bare_offline.carry_on(made) == ()
    assert copied == [f"replaces {DISK.path}"]


@pytest.mark.parametrize("unit", ["", "web.service"])
def test_it_comes_home_as_it_was_started(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    made, pids, done = context(tmp_path, Guest(), Far()), [], []

    def start(*words: t.Any) -> None:
        done.append(words)
        pids.append(8)

    monkeypatch.setattr(bare_offline.processes, "guests", lambda name: pids)
    monkeypatch.setattr(bare_offline, "_asked", lambda unit, what: "loaded")
    monkeypatch.setattr(bare_offline, "_systemctl", start)
    monkeypatch.setattr(bare_offline, "launch", start)
    monkeypatch.setattr(bare_offline, "has_spoken", lambda log: True)
    made.journal = dataclasses.replace(JOURNAL, source_unit=unit)
    assert bare_offline.bring_home(made) == ""
    assert not done, "nobody had asked it to shut down"
    made.journal = dataclasses.replace(made.journal, stopped=True, disabled=bool(unit))
    assert bare_offline.bring_home(made) == ""
    if unit:
        assert done == [("enable", "--quiet", unit), ("start", unit)]
    else:
        ours = "unix:/run/virtops-kvm/guests/id-back/qmp.sock"
        assert done[0][0] == "virtops-guest-x-back.service"
        assert done[0][1] == ["qemu", "-m", "64", "-qmp", f"{ours},server=on,wait=off"]
        assert made.monitor_address == ours
    assert not made.record_now().stopped


def test_a_disk_on_shared_storage_stays_and_is_told_by_its_stamp_where_nothing_may_be_made(
    tmp_path: pathlib.Path,
) -> None:
    for name in ("same", "other"):
        (tmp_path / name).write_bytes(b"1")
    same, other = (
        dataclasses.replace(DISK, source=str(tmp_path / name), path=str(tmp_path / name)) for name in ("same", "other")
    )
    elsewhere = dataclasses.replace(other, path="/there/other")
    made = context(tmp_path, Guest(), Far(same.path))
    assert bare_needs.one_and_the_same(made, [same, other, elsewhere], probe=False) == [same]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"shutdown_timeout": -1}, "shutdown_timeout"),
        ({"method": "live_shared", "base": "shared"}, "base"),
        ({"tls_dir": "pki"}, "tls_dir"),
        ({"tls_dir": "/pki\n"}, "tls_dir"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, t.Any], named: str) -> None:
    with pytest.raises(InputError) as caught:
        BareOptions(**options)
    assert caught.value.details["option"] == named


@pytest.mark.parametrize(("stage", "word"), [("done", "moved from kvm1 to kvm3"), ("switch", "may have moved")])
def test_an_old_unit_of_a_guest_that_left_is_not_moved(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, stage: str, word: str
) -> None:
    made = context(tmp_path, Guest(), Far())
    away = dataclasses.replace(JOURNAL, stage=stage, destination_host="kvm3")
    made.workspace.write_guest(away)
    monkeypatch.setattr(bare_still, "unit_here", lambda name: Unit(name, "u", "qemu", ("kvm",)))
    with pytest.raises(KvmError, match=word) as caught:
        bare_still.survey_still(made, probe=True)
    assert caught.value.error_code == "GUEST_MOVED_AWAY"
    made.workspace.write_guest(dataclasses.replace(away, returned=True))
    monkeypatch.setattr(bare_still, "_machine", lambda argv: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bare_still.survey_still(made, probe=True)
