# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check that no gate looks away must itself see."""

from __future__ import annotations

import pathlib

import pytest

from tests.tools import skips


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".ansible-lint", "profile: production\nskip_list:\n  - yaml\n"),
        (".ansible-lint", "warn_list: [name]\n"),
        (".yamllint", "rules:\n  line-length: disable\n"),
        (".yamllint", "ignore: |\n  roles/\n"),
        ("pyproject.toml", '[tool.ruff.lint]\nignore = ["E501"]\n'),
        ("pyproject.toml", "[[tool.mypy.overrides]]\nignore_errors = true\n"),
        ("tests/sanity/ignore-2.21.txt", "plugins/a.py pylint:x\n"),
        ("mypy.ini", ""),
        (".ansible-lint-ignore", ""),
        ("plugins/a.py", "import os  # noqa\n"),
        ("plugins/a.py", "x = 1  # type: ignore\n"),
        ("plugins/a.py", "x = 1  # pylint: disable=x\n"),
        ("roles/a/tasks/main.yml", "# yamllint disable\n"),
        ("tests/unit/test_a.py", "@pytest.mark.skip\n"),
        ("run", "# shellcheck disable=SC1091\n"),
    ],
)
def test_looking_away_is_found(tmp_path: pathlib.Path, file: str, text: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    assert [line.split(":")[0] for line in skips.find(tmp_path)] == [file]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("plugins/a.py", "import os  # noqa: F401\nx = 1  # type: ignore[misc]\n"),
        ("tests/sanity/ignore-2.21.txt", ""),
        (".yamllint", "rules:\n  document-start: disable\n"),
    ],
)
def test_what_names_its_reason_is_let_pass(tmp_path: pathlib.Path, file: str, text: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    assert skips.find(tmp_path) == []
