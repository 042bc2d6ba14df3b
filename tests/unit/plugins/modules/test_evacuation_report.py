# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data, to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.plan import Plan
from ansible_collections.virtops.kvm.plugins.modules import evacuation_report
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._report import samples


def params(directory: pathlib.Path | None, *moves: t.Any, results: t.Any = None, **more: t.Any) -> dict[str, t.Any]:
    plan = to_data(samples.plan(*moves))
    values = {"plan": plan, "results": results or {}, "after": None, "name": "run", "kind": "evacuate"}
    return {**values, "directory": str(directory) if directory else None, **more}


class Frozen(evacuation_report.Files):
    """Files that may be read only."""

    def write(self, path: str, text: str) -> None:
        raise AssertionError(f"{path} was written")


def test_writes_once_and_changes_nothing_the_second_time(tmp_path: pathlib.Path) -> None:
    wanted = params(tmp_path / "new" / "run", samples.move("a"), results={"a": samples.moved("a")})
    first = evacuation_report.run(wanted, False, evacuation_report.Files())
    assert sorted(path.name for path in (tmp_path / "new" / "run").iterdir()) == sorted(
        evacuation_report.FILES.values()
    )
    assert len(first.changes) == 4
    assert evacuation_report.run(wanted, False, Frozen()).changes == ()
    data = json.loads((tmp_path / "new" / "run" / "report.json").read_text(encoding="utf-8"))
    assert data["report"]["summary"]["moved"] == 1
    ticket = from_data(Plan, json.loads((tmp_path / "new" / "run" / "return-ticket.json").read_text(encoding="utf-8")))
    assert [(move.source, move.destination) for move in ticket.moves] == [("kvm2", "kvm1")]


def test_check_mode_announces_and_writes_nothing(tmp_path: pathlib.Path) -> None:
    wanted = params(tmp_path / "run", samples.move("a"), results={"a": {"changed": True, "outcome": "moved"}})
    result = evacuation_report.run(wanted, True, Frozen())
    assert result.changes
    assert result.values["status"] == "planned"
    assert not (tmp_path / "run").exists()


def test_an_empty_plan_touches_no_file(tmp_path: pathlib.Path) -> None:
    for path in ("report.json", "return-ticket.json"):
        (tmp_path / path).write_text("kept", encoding="utf-8")
    result = evacuation_report.run(params(tmp_path), False, Frozen())
    assert result.changes == ()
    assert result.values["files"] == {}
    assert result.values["sound"] is True


def test_without_a_directory_it_only_tells(tmp_path: pathlib.Path) -> None:
    result = evacuation_report.run(params(None, samples.move("a"), results={"a": samples.failed()}), False, Frozen())
    assert result.values["unfinished"] == ["a"]
    assert "a (MOVE_FAILED)" in result.values["verdict"]


def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    wanted = params(tmp_path / "file" / "run", samples.move("a"), results={"a": samples.moved("a")})
    with pytest.raises(KvmError) as caught:
        evacuation_report.run(wanted, False, evacuation_report.Files())
    assert caught.value.error_code == "REPORT_UNWRITABLE"


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"plan": {"version": 1}}, "plan"),
        ({"plan": {"version": 1, "fingerprint": "", "sources": [], "destinations": [], "moves": ["x"]}}, "plan"),
        ({"results": {"a": "x"}}, "results"),
        ({"after": [{"name": "kvm1", "domains": [{"name": "a"}]}]}, "after"),
    ],
)
def test_data_that_nobody_returned_is_refused(change: dict[str, t.Any], option: str) -> None:
    wanted = {**params(None, samples.move("a")), **change}
    with pytest.raises(InputError) as caught:
        evacuation_report.run(wanted, False, Frozen())
    assert caught.value.details["option"] == option
