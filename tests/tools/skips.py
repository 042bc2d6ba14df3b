# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds what would let a gate pass by looking away: skipped rules, ignored files, blanket suppressions."""

from __future__ import annotations

import pathlib
import re

_CONFIGURATIONS = {
    ".ansible-lint": r"^\s*(skip_list|warn_list|exclude_paths|mock_\w+|enable_list|use_default_rules|kinds)\s*:",
    ".yamllint": r"^\s*(ignore(-from-file)?\s*:|(?!document-start|comments-indentation)\S+\s*:\s*disable\b)",
    "galaxy.yml": r"^\s*-\s*(plugins|roles|playbooks|meta|tests/(?!output))",
    "pyproject.toml": r"^\s*(ignore|extend-ignore|per-file-ignores|exclude|extend-exclude|ignore_errors|disable_error_code)\s*=",
}
"""Per configuration file: what has no place in it."""

_STRAY_CONFIGURATIONS = (
    ".ansible-lint-ignore",
    ".flake8",
    ".mypy.ini",
    ".pylintrc",
    "mypy.ini",
    "pytest.ini",
    "ruff.toml",
    "setup.cfg",
    "tox.ini",
)
"""Files that would quietly take precedence over the settings in pyproject.toml."""

_MARKS = {
    "a blanket noqa; name the rule": r"#\s*noqa(?!\s*:\s*[A-Z]+[0-9]+)",
    "a blanket type: ignore; name the error": r"#\s*type:\s*ignore(?!\[)",
    "pylint is told to look away": r"#\s*pylint:\s*(disable|skip-file)",
    "mypy is told to look away": r"#\s*mypy:\s*(ignore-errors|disable)",
    "ruff is told to look away from a whole file": r"#\s*(ruff|flake8):\s*noqa",
    "the format is switched off for more than a statement": r"#\s*fmt:\s*off",
    "yamllint is told to look away": r"#\s*yamllint\s+disable",
    "shellcheck is told to look away": r"#\s*shellcheck\s+disable",
    "a test is skipped, or may fail": r"pytest\.mark\.(skip|skipif|xfail)\b",
}

_SOURCES = (".py", ".sh", ".yaml", ".yml")
_SPEAKS_OF_MARKS = ("tests/tools/skips.py", "tests/unit/tools/test_skips.py")


def find(collection: pathlib.Path) -> list[str]:
    """One line per finding: file, line and what is wrong with it."""
    stray = [name for name in _STRAY_CONFIGURATIONS if (collection / name).exists()]
    found = [f"{name}: settings belong into pyproject.toml" for name in stray]
    for name, pattern in _CONFIGURATIONS.items():
        found += _search(collection / name, name, {"something is skipped or ignored here": pattern})
    for file in sorted((collection / "tests" / "sanity").glob("ignore*.txt")):
        found += _search(file, f"tests/sanity/{file.name}", {"a fault is ignored here": r"\S"})
    for file in sorted(path for path in collection.rglob("*") if path.suffix in _SOURCES or path.name == "run"):
        relative = file.relative_to(collection).as_posix()
        if relative not in _SPEAKS_OF_MARKS and not relative.startswith("tests/output/"):
            found += _search(file, relative, _MARKS)
    return found


def _search(file: pathlib.Path, name: str, patterns: dict[str, str]) -> list[str]:
    if not file.is_file():
        return []
    lines = enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
    return [
        f"{name}:{number}: {reason}: {line.strip()}"
        for number, line in lines
        for reason, pattern in patterns.items()
        if re.search(pattern, line)
    ]
