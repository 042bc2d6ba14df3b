# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's own records say, and that nothing is ended or removed on their word alone."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.statefile import write_json
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import SnapshotRecord
from ansible_collections.virtops.kvm.plugins.module_utils._move import repair_act
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_record import key_of
from ansible_collections.virtops.kvm.plugins.module_utils._move.repair_act import end_arrival, remove_copy
from ansible_collections.virtops.kvm.plugins.module_utils._move.repair_read import Records
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace

from .repair_sample import JOURNAL, RECORD, U

ARRIVAL = dataclasses.replace(RECORD, name="no such guest", key=key_of("no such guest"))


@pytest.fixture
def workspace(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    made = Workspace(str(tmp_path / "state"), str(tmp_path / "run"))
    monkeypatch.setattr(repair_act, "Workspace", lambda: made)
    monkeypatch.setattr(repair_act, "has_libvirt", lambda: False)
    return made


def arrive(workspace: Workspace, **more: object) -> pathlib.Path:
    """The record of a move to here, of a process that has ended."""
    record = dataclasses.replace(ARRIVAL, **more)  # type: ignore[arg-type]
    path = pathlib.Path(workspace.state, "moves", f"incoming-{record.key}.json")
    write_json(str(path), to_data(record))
    return path


def test_records_are_read_and_their_documents_stay(workspace: Workspace) -> None:
    secret = dataclasses.replace(JOURNAL, persistent_xml="<passwd/>", snapshots=(SnapshotRecord("<passwd/>"),))
    workspace.write_journal(secret)
    workspace.write_guest(dataclasses.replace(RECORD, key="gone", stage="done"))
    workspace.write_guest(dataclasses.replace(ARRIVAL, argv=("secret",), home=("secret",), domain="<passwd/>"))
    arrive(workspace)
    pathlib.Path(workspace.state, "moves", "damaged.json").write_text("{", encoding="utf-8")
    records = Records(workspace, "kvm1")
    (move,) = records.moves()
    assert (move.journal.uuid, move.driven) == (U, False)
    assert "passwd" not in str(move)
    (guest,) = records.guest_moves()
    assert (guest.journal.name, guest.here.found) == ("no such guest", False)
    assert "secret" not in str(guest)
    assert "passwd" not in str(guest)
    (arrival,) = records.arrivals()
    assert (arrival.here.found, arrival.here.gone) == (False, True)
    assert len(records.unreadable) == 1
    lock = workspace.lock(U)
    assert lock.try_acquire()
    assert records.moves()[0].driven
    lock.release()


def test_a_host_without_records_has_none(workspace: Workspace) -> None:
    records = Records(workspace, "kvm1")
    assert (records.moves(), records.guest_moves(), records.arrivals(), records.unreadable) == ([], [], [], [])


def test_what_a_dead_half_made_goes_once(workspace: Workspace, tmp_path: pathlib.Path) -> None:
    image = tmp_path / "a.raw"
    image.write_bytes(b"x")
    record = arrive(workspace, images=(str(image),))
    before = record.read_text(encoding="utf-8")
    assert end_arrival(ARRIVAL.name, "kvm2", pretend=True)
    assert (image.exists(), record.read_text(encoding="utf-8")) == (True, before)
    assert end_arrival(ARRIVAL.name, "kvm2", pretend=False)
    assert not image.exists()
    assert not end_arrival(ARRIVAL.name, "kvm2", pretend=False)
    assert not end_arrival("another", "kvm2", pretend=False)


def test_what_somebody_has_open_or_may_have_run_stays(workspace: Workspace, tmp_path: pathlib.Path) -> None:
    image = tmp_path / "a.raw"
    with open(image, "wb"):
        arrive(workspace, images=(str(image),))
        assert refused() == "IMAGE_IN_USE"
    arrive(workspace, images=(str(image),), stage="verify")
    assert refused() == "OWNERSHIP_UNPROVEN"
    lock = workspace.lock(f"incoming-{ARRIVAL.key}")
    assert lock.try_acquire()
    arrive(workspace, images=(str(image),))
    assert refused() == "MOVE_RUNNING"
    lock.release()
    assert image.exists()


def refused() -> str:
    with pytest.raises(KvmError) as caught:
        end_arrival(ARRIVAL.name, "kvm2", pretend=False)
    return caught.value.error_code


def test_a_copy_of_a_half_done_move_stays(workspace: Workspace, tmp_path: pathlib.Path) -> None:
    copy = tmp_path / f"web.moving-{U[:8]}"
    copy.write_bytes(b"x")
    workspace.write_journal(JOURNAL)
    with pytest.raises(KvmError) as caught:
        remove_copy(str(copy), U, pretend=False)
    assert caught.value.error_code == "MOVE_RUNNING"
    workspace.write_journal(dataclasses.replace(JOURNAL, stage="undone"))
    assert remove_copy(str(copy), U, pretend=True)
    assert copy.exists()
    assert remove_copy(str(copy), U, pretend=False)
    assert not copy.exists()
