# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holds the import rules of the house: who may import whom, no cycles, one guarded door to each library."""

from __future__ import annotations

import ast
import pathlib
import re
import sys
import typing as t

import pytest

PLUGINS = pathlib.Path(__file__).resolve().parents[2] / "plugins"
PREFIX = "ansible_collections.virtops.kvm.plugins"

PURE = frozenset({"_model", "_core"})
GATEWAYS = frozenset({"_libvirt", "_qemu", "_disk", "_nfs", "_host"})
BELOW_MOVE = PURE | GATEWAYS | {"_xml", "_checks", "_placement"}
ALL = BELOW_MOVE | {"_move", "_ansible", "_report"}

MAY_IMPORT: dict[str, frozenset[str]] = {
    "_core": frozenset(),
    "_model": frozenset({"_core"}),
    "_xml": PURE,
    "_checks": PURE,
    "_placement": PURE,
    "_report": PURE,
    **{gateway: PURE | {"_xml"} for gateway in GATEWAYS},
    "_move": BELOW_MOVE,
    "_ansible": BELOW_MOVE,
    "modules": ALL,
    "action": ALL,
    "filter": ALL,
    "lookup": ALL,
    "doc_fragments": frozenset(),
}
"""Room -> the rooms below it. A room may always import its own files."""

SEES_ANSIBLE = frozenset({"_ansible", "modules", "action", "filter", "lookup"})
DOORS = ("libvirt", "lxml", "jmespath", "nbd")


class Import(t.NamedTuple):
    file: pathlib.PurePosixPath
    line: int
    target: str
    """The dotted name of what is imported, with the imported name where it is a module of the collection."""
    guarded: bool


def files_of(plugins: pathlib.Path) -> list[pathlib.Path]:
    return sorted(plugins.rglob("*.py"))


def room_of(file: pathlib.PurePath) -> str:
    """The room of a file, given relative to plugins/."""
    return file.parts[1] if file.parts[0] == "module_utils" else file.parts[0]


def module_name(file: pathlib.PurePath) -> str:
    return ".".join([PREFIX, *file.with_suffix("").parts])


def imports_of(plugins: pathlib.Path) -> list[Import]:
    """Every import in the tree, wherever it stands in its file."""
    files = [path.relative_to(plugins) for path in files_of(plugins)]
    known = {module_name(file) for file in files}
    found: list[Import] = []
    for file in files:
        tree = ast.parse((plugins / file).read_text(encoding="utf-8"))
        guarded = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.Try) and any(catches(handler, "ImportError") for handler in node.handlers)
            for statement in node.body
            for inner in ast.walk(statement)
        }
        for node in ast.walk(tree):
            for target in targets_of(node, file, known):
                found.append(Import(pathlib.PurePosixPath(file.as_posix()), line_of(node), target, id(node) in guarded))
    return found


def targets_of(node: ast.AST, file: pathlib.PurePath, known: set[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            here = module_name(file).split(".")[: -node.level]
            base = ".".join([*here, base] if base else here)
        names = [f"{base}.{alias.name}" for alias in node.names]
        if base in (PREFIX, f"{PREFIX}.module_utils"):
            return names
        modules = [name for name in names if name in known]
        return modules if len(modules) == len(names) else [*modules, base]
    if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
        called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if called in ("import_module", "__import__"):
            return ["<import at run time>"]
    return []


def line_of(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def catches(handler: ast.ExceptHandler, name: str) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(one, ast.Name) and one.id == name for one in caught)


def top(target: str) -> str:
    return target.split(".")[0]


def faults_of_direction(plugins: pathlib.Path) -> list[str]:
    """Imports that do not point down, and what comes from outside the collection into a room that must not see it."""
    faults = []
    for found in imports_of(plugins):
        room = room_of(found.file)
        where = f"{found.file}:{found.line}: {room}"
        if room not in MAY_IMPORT:
            faults.append(f"{where} is a room that plugins/README.md does not know")
        elif found.target.startswith(f"{PREFIX}."):
            other = room_of(pathlib.PurePosixPath(*found.target[len(PREFIX) + 1 :].split(".")))
            if other != room and other not in MAY_IMPORT[room]:
                faults.append(f"{where} imports {other}")
        elif top(found.target) == "ansible":
            if room not in SEES_ANSIBLE:
                faults.append(f"{where} imports ansible")
        elif top(found.target) not in sys.stdlib_module_names and top(found.target) not in DOORS:
            faults.append(f"{where} imports {found.target}")
    return faults


def faults_of_doors(plugins: pathlib.Path) -> list[str]:
    """A library that is imported in more than one file, or where an ImportError would go unhandled."""
    faults = []
    for library in DOORS:
        found = [one for one in imports_of(plugins) if top(one.target) == library]
        faults += [f"{one.file}:{one.line}: {library} is imported unguarded" for one in found if not one.guarded]
        files = sorted({str(one.file) for one in found})
        if len(files) > 1:
            faults.append(f"{library} is imported in {' and '.join(files)}")
    return faults


def cycles(plugins: pathlib.Path) -> list[str]:
    """Each cycle between files, once, from its first file."""
    names = {module_name(path.relative_to(plugins)): path.relative_to(plugins).as_posix() for path in files_of(plugins)}
    graph: dict[str, set[str]] = {file: set() for file in names.values()}
    for found in imports_of(plugins):
        if found.target in names:
            graph[str(found.file)].add(names[found.target])
    found_cycles: set[tuple[str, ...]] = set()

    def walk(path: list[str], done: set[str]) -> None:
        for following in sorted(graph[path[-1]]):
            if following in path:
                ring = path[path.index(following) :]
                first = ring.index(min(ring))
                found_cycles.add(tuple(ring[first:] + ring[:first]))
            elif following not in done:
                walk([*path, following], done)
        done.add(path[-1])

    finished: set[str] = set()
    for file in sorted(graph):
        if file not in finished:
            walk([file], finished)
    return [" -> ".join([*ring, ring[0]]) for ring in sorted(found_cycles)]


def catch_alls(plugins: pathlib.Path) -> list[str]:
    """Handlers that would swallow what nobody foresaw. Cleaning up after BaseException and raising it again is none."""
    return [
        f"{path.relative_to(plugins).as_posix()}:{node.lineno}"
        for path in files_of(plugins)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or catches(node, "Exception")
            or (catches(node, "BaseException") and not raises_again(node))
        )
    ]


def raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_the_tree_is_found() -> None:
    rooms = {room_of(path.relative_to(PLUGINS)) for path in files_of(PLUGINS)}
    assert {"_core", "_model", "_ansible"} <= rooms


def rooms_of_the_table() -> dict[str, str]:
    """Each room that plugins/README.md names -> what its last column says."""
    rows = [line.split("|") for line in (PLUGINS / "README.md").read_text(encoding="utf-8").splitlines() if "|" in line]
    return {name.rpartition("/")[2]: row[3] for row in rows for name in re.findall(r"`([\w/]+)`", row[1])}


def test_the_table_for_newcomers_is_what_is_held_here() -> None:
    told = rooms_of_the_table()
    # Kinds of plugins that the collection has none of need no row.
    there = {path.name for path in (*PLUGINS.iterdir(), *(PLUGINS / "module_utils").iterdir()) if path.is_dir()}
    assert set(told) == set(MAY_IMPORT) & there
    for room, column in told.items():
        named = set(re.findall(r"`(\w+)`", column))
        below = MAY_IMPORT[room]
        if column.strip() == "all":
            assert below == ALL
        elif "all above but" in column:
            assert below == set(list(told)[: list(told).index(room)]) - named, room
        else:
            assert below == named, room


def test_imports_point_down() -> None:
    assert faults_of_direction(PLUGINS) == []


def test_no_cycles() -> None:
    assert cycles(PLUGINS) == []


def test_each_library_has_one_guarded_door() -> None:
    assert faults_of_doors(PLUGINS) == []
    assert sorted({top(one.target) for one in imports_of(PLUGINS)} & set(DOORS)) == sorted(DOORS)


def test_no_catch_alls() -> None:
    assert catch_alls(PLUGINS) == []


def test_no_package_files() -> None:
    assert [path for path in files_of(PLUGINS) if path.name == "__init__.py"] == []


def test_the_table_of_rooms_has_no_way_up() -> None:
    for room, below in MAY_IMPORT.items():
        for other in below:
            assert room not in MAY_IMPORT[other], f"{room} and {other} may import each other"


def grow(root: pathlib.Path, files: dict[str, str]) -> pathlib.Path:
    """A small plugins tree; ``@`` in a source stands for the collection's module_utils."""
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.replace("@", f"{PREFIX}.module_utils"), encoding="utf-8")
    return root


GUARDED = "try:\n    import {0}\nexcept ImportError:\n    {0} = None\n"


@pytest.mark.parametrize(
    ("file", "source", "fault"),
    [
        ("module_utils/_core/a.py", "from @._model import b", "_core/a.py:1: _core imports _model"),
        ("module_utils/_model/a.py", "import ansible.module_utils.basic", "_model/a.py:1: _model imports ansible"),
        ("module_utils/_model/a.py", "import yaml", "_model/a.py:1: _model imports yaml"),
        ("module_utils/_checks/a.py", "from @._xml.b import c", "_checks/a.py:1: _checks imports _xml"),
        (
            "module_utils/_placement/a.py",
            "def f():\n    import @._libvirt.b",
            "_placement/a.py:2: _placement imports _libvirt",
        ),
        ("module_utils/_libvirt/a.py", "from .._qemu import b", "_libvirt/a.py:1: _libvirt imports _qemu"),
        ("module_utils/_xml/a.py", "from @ import _disk", "_xml/a.py:1: _xml imports _disk"),
        ("module_utils/_move/a.py", "from @._ansible.b import c", "_move/a.py:1: _move imports _ansible"),
        ("module_utils/_move/a.py", "from ansible.errors import X", "_move/a.py:1: _move imports ansible"),
        ("module_utils/_ansible/a.py", "from @._move.b import c", "_ansible/a.py:1: _ansible imports _move"),
        (
            "module_utils/_attic/a.py",
            "import os",
            "_attic/a.py:1: _attic is a room that plugins/README.md does not know",
        ),
        ("module_utils/_core/a.py", "import_module('libvirt')", "_core/a.py:1: _core imports <import at run time>"),
    ],
)
def test_an_import_that_points_up_is_found(tmp_path: pathlib.Path, file: str, source: str, fault: str) -> None:
    assert faults_of_direction(grow(tmp_path, {file: source})) == [f"module_utils/{fault}"]


def test_imports_that_point_down_are_no_fault(tmp_path: pathlib.Path) -> None:
    tree = grow(
        tmp_path,
        {
            "module_utils/_core/a.py": "import os\n" + GUARDED.format("jmespath"),
            "module_utils/_model/b.py": "from @._core import a\nfrom @._core.a import X",
            "module_utils/_move/c.py": "from @._model.b import Y\nfrom @._libvirt.d import Z",
            "module_utils/_libvirt/d.py": GUARDED.format("libvirt"),
            "modules/e.py": "from ansible.module_utils.basic import AnsibleModule\nfrom @._move.c import W",
        },
    )
    assert (faults_of_direction(tree), cycles(tree), faults_of_doors(tree)) == ([], [], [])


def test_a_cycle_is_found_across_files_and_forms_of_import(tmp_path: pathlib.Path) -> None:
    tree = grow(
        tmp_path,
        {
            "module_utils/_core/a.py": "from @._core import b",
            "module_utils/_core/b.py": "def late():\n    from .c import X",
            "module_utils/_core/c.py": "import @._core.a",
            "module_utils/_core/d.py": "from @._core.a import X",
        },
    )
    ring = ("a", "b", "c", "a")
    assert cycles(tree) == [" -> ".join(f"module_utils/_core/{name}.py" for name in ring)]


@pytest.mark.parametrize(
    ("files", "faults"),
    [
        ({"_core/a.py": "import jmespath"}, ["module_utils/_core/a.py:1: jmespath is imported unguarded"]),
        (
            {"_xml/a.py": "try:\n    from lxml import etree\nexcept ValueError:\n    pass"},
            ["module_utils/_xml/a.py:2: lxml is imported unguarded"],
        ),
        (
            {"_libvirt/a.py": GUARDED.format("libvirt"), "_libvirt/b.py": GUARDED.format("libvirt")},
            ["libvirt is imported in module_utils/_libvirt/a.py and module_utils/_libvirt/b.py"],
        ),
    ],
)
def test_a_second_or_open_door_is_found(tmp_path: pathlib.Path, files: dict[str, str], faults: list[str]) -> None:
    assert faults_of_doors(grow(tmp_path / "module_utils", files).parent) == faults


@pytest.mark.parametrize("caught", ["", " Exception", " BaseException as exc", " (KeyError, Exception)"])
def test_a_catch_all_is_found(tmp_path: pathlib.Path, caught: str) -> None:
    source = f"try:\n    pass\nexcept{caught}:\n    pass\n"
    assert catch_alls(grow(tmp_path, {"action/a.py": source})) == ["action/a.py:3"]


@pytest.mark.parametrize(
    "handler", ["except (KeyError, OSError):\n    pass", "except BaseException:\n    f()\n    raise"]
)
def test_a_narrow_or_cleaning_handler_is_no_catch_all(tmp_path: pathlib.Path, handler: str) -> None:
    assert catch_alls(grow(tmp_path, {"a.py": f"try:\n    pass\n{handler}\n"})) == []
