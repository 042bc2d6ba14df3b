# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state file: recorded before made, removable afterwards."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.lab.shell import LabError, kill_recorded, start_time
from tests.lab.state import State, alive, kill_process, read_pid_file, tear_down


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    state = State(tmp_path / "state.json")
    state.record("directory", "/a")
    state.record("directory", "/a")
    state.set_facts(suite="trixie")
    again = State.load(state.path)
    assert again.resources == [{"kind": "directory", "name": "/a"}]
    assert again.facts == {"suite": "trixie"}


def test_no_file_is_an_empty_lab(tmp_path: Path) -> None:
    assert State.load(tmp_path / "none.json").resources == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(LabError, match="not a state file"):
        State.load(path)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="unknown kind"):
        State(tmp_path / "state.json").record("galaxy", "x")


def test_tear_down_removes_what_exists_and_forgives_what_does_not(tmp_path: Path) -> None:
    state = State(tmp_path / "run" / "state.json")
    made = tmp_path / "data"
    made.mkdir()
    (made / "file").touch()
    state.record("directory", str(tmp_path / "run"))
    state.record("directory", str(made))
    state.record("directory", str(tmp_path / "never-made"))
    state.record("process", str(tmp_path / "run" / "never-started.stat"))
    assert tear_down(state) == []
    assert list(tmp_path.iterdir()) == []


def test_only_the_recorded_process_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "one.stat"
    process = subprocess.Popen(
        ["sh", "-c", f'cat /proc/$$/stat > "{file}.new"; mv "{file}.new" "{file}"; exec sleep 600']
    )
    while alive(file) is None:
        assert process.poll() is None
    recorded = read_pid_file(file)
    assert recorded == (process.pid, start_time(process.pid))
    assert kill_recorded(process.pid, recorded[1] + 1) is False  # a recycled pid
    assert process.poll() is None
    kill_process(file)
    assert process.wait(60) == -9
    assert alive(file) is None
    assert not file.exists()


def test_a_process_of_our_own_has_a_start_time() -> None:
    assert (start_time(os.getpid()) or 0) > 0
    assert start_time(2**22 + 1) is None
