# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import getpass
import os
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.serving import Request
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_agent import Agent
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_far import record_data
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import STATE_DIR, Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import departed

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"


def left(workspace: Workspace, key: str, name: str, stage: str = "done", uuid: str = "") -> BareJournal:
    """The record of a move on its source."""
    disks = (f"/srv/{key}.raw",)
    journal = BareJournal(
        key, key, name, uuid, "live_block", stage, 1, 2, "kvm1", "root@192.0.2.2", "kvm2", source_disks=disks
    )
    workspace.write_guest(journal)
    return journal


def test_the_records_of_moves_tell_who_left(tmp_path: pathlib.Path) -> None:
    assert departed.STATE_DIR == STATE_DIR
    workspace = Workspace(state=str(tmp_path), run=str(tmp_path))
    assert departed.departures(str(tmp_path)) == []
    for number, stage in enumerate(("claim", "prepare", "transfer", "switch", "verify", "release", "done", "undone")):
        left(workspace, str(number), stage, stage)
    found = departed.departures(str(tmp_path))
    assert [(one.name, one.certain) for one in found] == [
        ("switch", False),
        ("verify", False),
        ("release", False),
        ("done", True),
    ]
    assert (found[3].host, found[3].images) == ("kvm2", ("/srv/6.raw",))


def test_a_record_that_nobody_can_read_is_no_permission(tmp_path: pathlib.Path) -> None:
    left(Workspace(state=str(tmp_path)), "1", "web")
    (tmp_path / "moves" / "guest-0.json").write_text("{", encoding="utf-8")
    with pytest.raises(KvmError) as caught:
        departed.departures(str(tmp_path))
    assert caught.value.error_code == "STATE_UNREADABLE"
    departed.came_back("web", "", str(tmp_path))
    (tmp_path / "moves" / "guest-0.json").unlink()
    assert departed.departures(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "uuid", "away"),
    [
        ("web", "", ["by uuid", UUID, "none"]),
        ("other", UUID, ["web", "none"]),
        ("other", UUID.upper(), ["web", "none"]),
        ("other", "", ["web", "by uuid", UUID, "none"]),
    ],
)
def test_who_comes_back_by_a_move_is_here(tmp_path: pathlib.Path, name: str, uuid: str, away: list[str]) -> None:
    workspace = Workspace(state=str(tmp_path))
    left(workspace, "1", "web")
    left(workspace, "2", "by uuid", uuid=UUID)
    left(workspace, "3", UUID)
    left(workspace, "4", "none")
    agent = Agent(lambda answer: None, str(tmp_path), str(tmp_path))
    for stage in ("claim", "switch", "verify", "release", "undone"):
        record = record_data(
            BareJournal("9", "9", name, uuid, "live_block", stage, 3, 4, "kvm2", "root@192.0.2.1", "kvm1")
        )
        agent.handle(call("record", key="9", record=record))
        assert len(departed.departures(str(tmp_path))) == 4
    agent.handle(call("record", key="9", record={**record, "stage": "done"}))
    assert [one.name for one in departed.departures(str(tmp_path))] == away
    # What was written stays as evidence, and a move that reads it understands it.
    kept = [workspace.read_guest(key) for key in "1234"]
    assert [one.stage for one in kept if one is not None] == ["done"] * 4
    assert sum(one.returned for one in kept if one is not None) == 4 - len(away)


def test_an_image_that_nobody_wrote_to_since_is_out_of_date(tmp_path: pathlib.Path) -> None:
    workspace, state = Workspace(state=str(tmp_path)), str(tmp_path)
    image, used = tmp_path / "a.raw", tmp_path / "b.raw"
    for path in (image, used):
        path.write_bytes(b"1")
    journal = left(workspace, "1", "web", uuid=UUID)
    stamps = {str(path): departed.stamp(str(path)) for path in (image, used, tmp_path / "none")}
    for stage in ("release", "undone"):
        workspace.write_guest(dataclasses.replace(journal, stage=stage, left=stamps))
        assert departed.leftovers("web", UUID, state) == []
    workspace.write_guest(dataclasses.replace(journal, left=stamps))
    used.write_bytes(b"12")
    assert departed.leftovers("other", UUID, state)[:1] == [str(image)]
    assert str(used) not in departed.leftovers("web", "", state)
    assert departed.leftovers("other", "", state) == []
    answers: list[Request] = []
    agent = Agent(answers.append, state, state)
    agent.handle(call("facts", images=[str(image), str(used)], name="web", uuid=UUID))
    agent.handle(call("facts", images=[str(image)]))
    assert [one["value"]["leftover"] for one in answers] == [[str(image), str(tmp_path / "none")], []]
    departed.came_back("web", UUID, state)
    assert departed.leftovers("web", UUID, state) == []


def test_a_folder_belongs_to_whom_qemu_runs_as(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, user, group: given.append((path, user)))
    agent = Agent(lambda answer: None, str(tmp_path), str(tmp_path))
    new, old = str(tmp_path / "a" / "b"), str(tmp_path / "old")
    os.mkdir(old)
    for path, owner in (
        (new, getpass.getuser()),
        (old, getpass.getuser()),
        (f"{new}/c", ""),
        (f"{new}/d", "nobody-here"),
    ):
        agent.handle(call("folder", path=path, owner=owner))
        assert os.path.isdir(path)
    assert given == [(new, os.getuid())]


def test_two_moves_to_one_host_get_ports_of_their_own(tmp_path: pathlib.Path) -> None:
    answers: list[Request] = []
    agents = [Agent(answers.append, str(tmp_path), str(tmp_path)) for _number in range(3)]
    for agent in agents[:2]:
        agent.handle(call("free_ports", address="127.0.0.1", count=2))
    assert len({port for one in answers for port in one["value"]}) == 4
    for agent in agents[:2]:
        agent.close()
    agents[2].handle(call("free_ports", address="127.0.0.1", count=2))
    assert answers[2]["value"] == answers[0]["value"]
    agents[2].close()


def call(verb: str, **arguments: t.Any) -> Request:
    """A request as it comes over the connection."""
    return {"id": 1, "verb": verb, "args": arguments}
