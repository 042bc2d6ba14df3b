# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module repair_plan: facts as Ansible hands them on, the report, and what it says of a run."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.modules.repair_plan import argument_spec, run
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._move.repair_sample import (
    RUNS,
    host,
    moving,
)


class Files:
    """A directory in memory."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def read(self, path: str) -> str | None:
        return self.texts.get(path)

    def write(self, path: str, text: str) -> None:
        self.texts[path] = text


def plan(files: Files, *states: t.Any, check_mode: bool = False, **more: t.Any) -> t.Any:
    given = {name: rule.get("default") for name, rule in argument_spec().items()}
    facts = json.loads(json.dumps([to_data(state) for state in states]))
    return run({**given, "facts": facts, **more}, check_mode, t.cast("t.Any", files))


INTERRUPTED = (host(1, RUNS, moves=moving()), host(2))


def test_it_says_what_is_to_be_done_and_writes_it() -> None:
    files = Files()
    told = plan(files, *INTERRUPTED, directory="/srv/report", check_mode=True)
    assert (len(told.changes), files.texts) == (2, {})
    result = plan(files, *INTERRUPTED, directory="/srv/report")
    assert result.msg == "On 2 hosts: 1 to take back."
    (thing,) = result.values["things"]
    assert thing["id"] == "MOVE_INTERRUPTED kvm1 domain web"
    assert thing["task"]["kind"] == "move"
    assert not result.values["sound"]
    assert "to take back: MOVE_INTERRUPTED (kvm1)" in "\n".join(result.values["lines"])
    assert json.loads(files.texts["/srv/report/repair.json"])["things"] == [thing]
    assert "made\\_there" in files.texts["/srv/report/repair.md"]
    assert plan(files, *INTERRUPTED, directory="/srv/report").changes == ()


def test_what_was_done_is_told_with_what_is_left() -> None:
    before = plan(Files(), *INTERRUPTED).values["things"]
    done = [{"id": before[0]["id"], "failed": False, "said": "It was taken back.", "error_code": "", "changed": True}]
    result = plan(Files(), host(1, RUNS, moves=moving("undone")), host(2), before=before, done=done)
    assert result.values["sound"]
    assert result.values["summary"]["done"] == 1
    assert result.msg == "On 2 hosts: 1 put right."
    assert "  = It was taken back." in result.values["lines"]
    failed = [{**done[0], "failed": True, "error_code": "UNDO_INCOMPLETE", "said": "No."}]
    result = plan(Files(), *INTERRUPTED, before=before, done=failed)
    assert not result.values["sound"]
    assert "UNDO_INCOMPLETE (domain web on kvm1)" in result.values["verdict"]


def test_names_cannot_forge_output() -> None:
    forged = host(1, unreadable=("a\nERROR <b>|`",))
    files = Files()
    result = plan(files, forged, directory="/srv")
    assert all("\n" not in line for line in result.values["lines"])
    assert "<b>" not in files.texts["/srv/repair.md"]


def test_facts_of_anything_else_are_refused() -> None:
    with pytest.raises(InputError):
        plan(Files(), facts=[{"host": "kvm1"}])
