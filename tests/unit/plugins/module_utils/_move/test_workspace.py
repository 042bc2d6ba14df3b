# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace, silence


@pytest.mark.parametrize(
    ("heard", "now", "seconds"),
    [
        ("100.50 7.00\n", "161.00 9.00\n", 60.5),
        ("", "161.00 9.00\n", 0),
        ("10", "", 0),
        ("1x0 7", "161.00 9.00\n", 0),
    ],
)
def test_for_how_long_a_controller_was_silent(heard: str, now: str, seconds: float) -> None:
    assert silence(heard, now) == seconds


def test_why_a_move_is_to_end(tmp_path: pathlib.Path) -> None:
    workspace = Workspace(state=str(tmp_path / "state"), run=str(tmp_path / "run"))
    assert workspace.wish_to_end("p1") == ""
    workspace.expect_controller("p1")
    assert workspace.wish_to_end("p1") == ""
    pathlib.Path(workspace.alive_path("p1")).write_text("-1000.0 0.0\n", encoding="utf-8")
    assert "nothing was heard of the controller for" in workspace.wish_to_end("p1")
    pathlib.Path(workspace.abort_path("p1")).touch()
    assert workspace.wish_to_end("p1") == "the controller asked for it"
    workspace.forget_wishes("p1")
    assert workspace.wish_to_end("p1") == ""
