# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holds together what describes the collection in several places: metadata, modules, requirements, the entry points."""

from __future__ import annotations

import ast
import fnmatch
import pathlib
import re
import typing as t

import pytest
import yaml

COLLECTION = pathlib.Path(__file__).resolve().parents[2]
ATTRIBUTES = ("check_mode", "diff_mode", "idempotent")
FRAGMENTS = {"virtops.kvm._attributes", "virtops.kvm._actiongroup_kvm"}
INFO_FRAGMENT = "virtops.kvm._attributes.info_module"


def load(name: str) -> t.Any:
    return yaml.safe_load((COLLECTION / name).read_text(encoding="utf-8"))


def requirements(name: str) -> list[str]:
    lines = (COLLECTION / name).read_text(encoding="utf-8").splitlines()
    return sorted(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def documentation(module: pathlib.Path) -> dict[str, t.Any]:
    """The DOCUMENTATION of a module, read without importing it; empty when there is none."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "DOCUMENTATION"
        ):
            loaded = yaml.safe_load(ast.literal_eval(node.value))
            return loaded if isinstance(loaded, dict) else {}
    return {}


def faults_of_module(module: pathlib.Path) -> list[str]:
    """What a module's documentation fails to promise."""
    docs = documentation(module)
    fragments = set(docs.get("extends_documentation_fragment") or [])
    faults = [f"{module.stem} lacks the fragment {name}" for name in sorted(FRAGMENTS - fragments)]
    if "version_added" not in docs:
        faults.append(f"{module.stem} does not say version_added")
    only_reads = INFO_FRAGMENT in fragments
    if module.stem.endswith("_info") and not only_reads:
        faults.append(f"{module.stem} lacks the fragment {INFO_FRAGMENT}")
    elif not only_reads:
        for name in ATTRIBUTES:
            attribute = (docs.get("attributes") or {}).get(name) or {}
            if "support" not in attribute:
                faults.append(f"{module.stem} does not say its support of {name}")
            elif attribute["support"] != "full" and not attribute.get("details"):
                faults.append(f"{module.stem} does not say why its support of {name} is not full")
    return faults


def modules() -> list[pathlib.Path]:
    return sorted((COLLECTION / "plugins" / "modules").glob("*.py"))


def test_the_action_group_lists_every_module_and_nothing_else() -> None:
    assert load("meta/runtime.yml")["action_groups"] == {"kvm": [module.stem for module in modules()]}


def test_every_module_documents_its_attributes() -> None:
    assert [fault for module in modules() for fault in faults_of_module(module)] == []


def test_every_action_plugin_belongs_to_a_module() -> None:
    actions = {path.stem for path in (COLLECTION / "plugins" / "action").glob("*.py") if not path.stem.startswith("_")}
    assert actions - {module.stem for module in modules()} == set()


GOOD = """\
DOCUMENTATION = r'''
module: thing
version_added: 0.1.0
extends_documentation_fragment: [virtops.kvm._attributes, virtops.kvm._actiongroup_kvm]
attributes:
  check_mode: {support: full}
  diff_mode: {support: none, details: [It prints nothing.]}
  idempotent: {support: full}
'''
"""


@pytest.mark.parametrize(
    ("name", "old", "new", "faults"),
    [
        ("thing", "", "", []),
        ("thing", ", virtops.kvm._actiongroup_kvm", "", ["thing lacks the fragment virtops.kvm._actiongroup_kvm"]),
        ("thing", "virtops.kvm._attributes,", "", ["thing lacks the fragment virtops.kvm._attributes"]),
        ("thing", "version_added: 0.1.0\n", "", ["thing does not say version_added"]),
        ("thing", "  check_mode: {support: full}\n", "", ["thing does not say its support of check_mode"]),
        (
            "thing",
            ", details: [It prints nothing.]",
            "",
            ["thing does not say why its support of diff_mode is not full"],
        ),
        ("thing_info", "", "", [f"thing_info lacks the fragment {INFO_FRAGMENT}"]),
    ],
)
def test_a_module_without_its_promises_is_found(
    tmp_path: pathlib.Path, name: str, old: str, new: str, faults: list[str]
) -> None:
    module = tmp_path / f"{name}.py"
    module.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    assert faults_of_module(module) == faults


def test_the_oldest_ansible_core_is_the_one_that_the_oldest_lane_tests() -> None:
    lowest = re.fullmatch(r">=(\d+\.\d+)\.0", load("meta/runtime.yml")["requires_ansible"])
    assert lowest is not None
    pins = requirements("tests/tools/requirements-oldest.txt")
    assert any(pin.startswith(f"ansible-core=={lowest.group(1)}.") for pin in pins)


def test_galaxy_metadata() -> None:
    galaxy = load("galaxy.yml")
    assert (galaxy["namespace"], galaxy["name"], galaxy["license"]) == ("virtops", "kvm", ["GPL-3.0-or-later"])
    assert galaxy["build_ignore"] == sorted(galaxy["build_ignore"])
    assert galaxy["dependencies"] == {}, "a dependency must also come into the environment that ./run makes"


def test_the_artifact_has_all_that_the_collection_needs_and_nothing_that_git_ignores() -> None:
    ignored = load("galaxy.yml")["build_ignore"]
    for name in ("plugins", "roles", "playbooks", "meta", "LICENSES", "README.md", "COPYING", "tests"):
        assert not any(fnmatch.fnmatch(name, pattern) for pattern in ignored), name
    made_here = [line.strip("/") for line in requirements(".gitignore") if line.startswith(("/", "."))]
    assert made_here
    for name in made_here:
        assert any(fnmatch.fnmatch(name, pattern) for pattern in ignored), f"{name} would be in the artifact"


def test_the_execution_environment_needs_jmespath_and_ping_alone() -> None:
    environment = load("meta/execution-environment.yml")
    assert environment["dependencies"] == {"python": "meta/ee-requirements.txt", "system": "meta/ee-bindep.txt"}
    assert requirements("meta/ee-requirements.txt") == ["jmespath"]
    assert [line.split()[0] for line in requirements("meta/ee-bindep.txt")] == ["iputils", "iputils-ping"]


def test_what_unit_tests_need_is_pinned() -> None:
    wanted = requirements("tests/unit/requirements.txt")
    pinned = {pin.split("==")[0] for pin in requirements("tests/tools/requirements-tests.txt")}
    assert wanted
    assert set(wanted) <= pinned


def test_every_tool_is_pinned() -> None:
    files = sorted((COLLECTION / "tests" / "tools").glob("requirements-*.txt"))
    assert files
    for file in files:
        for pin in requirements(str(file.relative_to(COLLECTION))):
            assert re.fullmatch(r"[A-Za-z0-9-]+==[0-9.]+(; python_version [<>=]+ \"[0-9.]+\")?", pin), (
                f"{file.name}: {pin}"
            )


@pytest.mark.parametrize("name", ["run", ".ci/run"])
def test_the_entry_points_are_strict_programs(name: str) -> None:
    path = COLLECTION / name
    assert path.stat().st_mode & 0o111
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines


def test_ci_runs_the_tests_and_nothing_else() -> None:
    lines = (COLLECTION / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith("#") and line != "set -euo pipefail"]
    assert commands == ['exec "$(dirname "${BASH_SOURCE[0]}")/../run" test']
