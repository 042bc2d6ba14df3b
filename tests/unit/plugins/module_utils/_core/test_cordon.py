# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of a cordon on disk."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.cordon import (
    Cordon,
    read_cordon,
    remove_cordon,
    write_cordon,
)
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError


def test_round_trip(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "new" / "cordon.json")
    assert read_cordon(path) is None
    write_cordon(Cordon("memory, büro", 12.5), path)
    assert read_cordon(path) == Cordon("memory, büro", 12.5)
    remove_cordon(path)
    remove_cordon(path)
    assert read_cordon(path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"'])
def test_a_damaged_mark_is_a_mark(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "cordon.json"
    path.write_text(text, encoding="utf-8")
    assert read_cordon(str(path)) == Cordon("unreadable record")


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(KvmError, match="cannot be written") as caught:
        write_cordon(Cordon(), str(tmp_path / "file" / "cordon.json"))
    assert caught.value.error_code == "STATE_UNWRITABLE"
