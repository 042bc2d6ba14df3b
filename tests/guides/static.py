# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what a guide names exists: playbooks, modules and their options, roles and their variables, the verbs of ./run."""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import pathlib
import re
import shlex
import typing as t

import yaml

from tests.guides.blocks import Block
from tests.tools.__main__ import HELP

COLLECTION = pathlib.Path(__file__).resolve().parents[2]
#: Programs of others, which nobody needs to look at here.
OTHERS = ("ansible-builder", "ansible-galaxy", "cat", "export", "ls", "virsh")
_OURS = "virtops.kvm."
_PLAYED = ("ansible.builtin.import_playbook", "ansible.builtin.import_role", "ansible.builtin.include_role")


def faults(block: Block, files: t.Collection[str] = ()) -> list[str]:
    """What of a block does not exist. ``files`` are those that other blocks of its page make."""
    if block.how.endswith("prints"):
        return []
    if block.language == "yaml":
        found = _of_yaml(yaml.safe_load(block.text))
    elif block.language == "console":
        found = [fault for line in block.commands for fault in _of_command(line, files)]
    else:
        found = [f"nothing looks at {block.language or 'no language'}"]
    return [f"{block.place}: {fault}" for fault in found]


def _of_command(line: str, files: t.Collection[str]) -> list[str]:
    words = shlex.split(line, comments=True)
    if words[0] == "./run":
        verbs = re.findall(r"^  (\w+)", HELP, re.MULTILINE)
        return [] if words[1] in verbs else [f"./run has no verb '{words[1]}'"]
    if words[0] == "ansible-doc":
        return [
            f"there is no {name}" for name in words[1:] if name.startswith(_OURS) and not _exists(name[len(_OURS) :])
        ]
    if words[0] == "ansible":
        return _of_module(
            words[words.index("-m") + 1], shlex.split(words[words.index("-a") + 1]) if "-a" in words else []
        )
    if words[0] == "ansible-playbook":
        return _of_playbook(words[1:], files)
    return [] if words[0] in OTHERS else [f"nobody looks at the program '{words[0]}'"]


def _of_playbook(words: list[str], files: t.Collection[str]) -> list[str]:
    values, names = [], []
    rest = iter(words)
    for word in rest:
        if word in ("-e", "--extra-vars"):
            values.append(next(rest))
        elif word in ("-i", "--inventory", "--forks"):
            next(rest)
        elif not word.startswith("-"):
            names.append(word)
    if len(names) != 1:
        return [f"one playbook is wanted, not {names}"]
    if names[0] in files:
        return []
    path = COLLECTION / "playbooks" / f"{names[0].removeprefix(_OURS)}.yml"
    if not names[0].startswith(_OURS) or not path.exists():
        return [f"there is no playbook '{names[0]}'"]
    known = variables(*roles_of(path))
    return [
        f"{names[0]} has no variable '{name}'" for value in values for name in _named(value, files) if name not in known
    ]


def _named(value: str, files: t.Collection[str]) -> list[str]:
    """The variables that one -e sets."""
    if value.startswith("@"):
        return [] if value[1:] in files else [f"(the file {value[1:]}, which no block makes)"]
    if value.startswith("{"):
        return list(json.loads(value))
    return [value.partition("=")[0]]


def roles_of(playbook: pathlib.Path) -> list[str]:
    return sorted(set(re.findall(r"name: virtops\.kvm\.(\w+)", playbook.read_text(encoding="utf-8"))))


def variables(*roles: str) -> set[str]:
    """All variables of these roles."""
    found: set[str] = set()
    for role in roles:
        specs = yaml.safe_load(
            (COLLECTION / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
        )
        for entry in specs["argument_specs"].values():
            found |= set(entry.get("options") or {})
    return found


@functools.cache
def all_variables() -> set[str]:
    """Those of all roles, and those that playbooks read from their files."""
    found = variables(*(path.name for path in (COLLECTION / "roles").iterdir() if path.is_dir()))
    for path in (COLLECTION / "playbooks" / "vars").glob("*.yml"):
        found |= set(yaml.safe_load(path.read_text(encoding="utf-8")))
    return found


def _exists(name: str) -> bool:
    return any(
        (COLLECTION / place).exists()
        for place in (f"plugins/modules/{name}.py", f"roles/{name}", f"playbooks/{name}.yml")
    )


@functools.cache
def options_of(module: str) -> set[str]:
    """The options that the documentation of one of our modules lists, with those of its fragments."""
    texts = _documentation(COLLECTION / "plugins" / "modules" / f"{module}.py")
    docs = yaml.safe_load(texts["DOCUMENTATION"])
    found = set(docs.get("options") or {})
    for name in docs.get("extends_documentation_fragment") or []:
        file, _dot, part = name.removeprefix(_OURS).partition(".")
        fragment = _documentation(COLLECTION / "plugins" / "doc_fragments" / f"{file}.py")
        found |= set((yaml.safe_load(fragment[part.upper() or "DOCUMENTATION"]) or {}).get("options") or {})
    return found


def _documentation(path: pathlib.Path) -> dict[str, str]:
    """The strings that a file gives names to, in upper case."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with contextlib.suppress(ValueError):
                value = ast.literal_eval(node.value)
                if isinstance(value, str):
                    found[node.targets[0].id] = value
    return found


def _of_module(name: str, options: t.Iterable[str]) -> list[str]:
    if not name.startswith(_OURS):
        return []
    module = name[len(_OURS) :]
    if not (COLLECTION / "plugins" / "modules" / f"{module}.py").exists():
        return [f"there is no module '{name}'"]
    wanted = [option.partition("=")[0] for option in options]
    return [f"{name} has no option '{option}'" for option in wanted if option not in options_of(module)]


def _of_yaml(data: t.Any) -> list[str]:
    """Faults of a playbook, of tasks, of variables, or of an inventory."""
    if isinstance(data, list):
        return [fault for item in data for fault in _of_yaml(item)]
    if not isinstance(data, dict):
        return []
    found = []
    for key, value in ((str(key), value) for key, value in data.items()):
        if key.startswith(_OURS):
            found += _of_module(key, value or {})
        elif key in _PLAYED:
            name = value if isinstance(value, str) else value["name"]
            found += [f"there is no {name}"] if name.startswith(_OURS) and not _exists(name[len(_OURS) :]) else []
        elif key.partition("_")[0] in {name.partition("_")[0] for name in all_variables()} and "_" in key:
            found += [] if key in all_variables() else [f"no role has the variable '{key}'"]
        else:
            found += _of_yaml(value)
    return found
