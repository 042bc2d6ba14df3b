# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which command lines the tests on real NFS run: read from how they start playbooks, as the guide cannot be walked on other hosts."""

from __future__ import annotations

import ast
import functools
import pathlib
import shlex

FLEET = pathlib.Path(__file__).resolve().parents[1] / "integration" / "nfs" / "fleet.py"
#: What the words of a command line may say beside a playbook and its variables.
_MORE = ("--check", "--diff")


def is_run(line: str) -> bool:
    """Whether the tests run this playbook with just these variables."""
    words = shlex.split(line)
    if words[0] != "ansible-playbook":
        return False
    playbook, named = "", set()
    rest = iter(words[1:])
    for word in rest:
        if word == "-e":
            named.add(next(rest).partition("=")[0])
        elif word == "-i":
            next(rest)
        elif not word.startswith("-"):
            playbook = word.removeprefix("virtops.kvm.")
        elif word not in _MORE:
            return False
    return started().get(playbook) == named


@functools.cache
def started() -> dict[str, set[str]]:
    """The variables that the tests always give to each playbook."""
    found = {}
    for node in ast.parse(FLEET.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        playbooks = [text for text in _strings(node) if text.startswith("playbooks/")]
        given = [one for one in ast.walk(node) if isinstance(one, ast.Dict) and None in one.keys]
        if len(playbooks) == 1 and given:
            name = pathlib.PurePath(playbooks[0]).stem
            found[name] = {str(key.value) for key in given[0].keys if isinstance(key, ast.Constant)}
    return found


def _strings(node: ast.AST) -> list[str]:
    return [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
