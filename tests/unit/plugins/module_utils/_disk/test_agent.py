# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The receiving end's program is whole, and its verbs for files do what they say on real files."""

from __future__ import annotations

import ast
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import agentfiles, remote, shipped, transfer, wire
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_shipped

PREFIX = "ansible_collections."


@pytest.mark.parametrize("program", [shipped.SHIPPED, bare_shipped.SHIPPED], ids=["disks", "guests"])
def test_everything_that_is_shipped_finds_what_it_imports(program: tuple[t.Any, ...]) -> None:
    seen: set[str] = set()
    for module in program:
        for node in ast.walk(ast.parse(pathlib.Path(str(module.__file__)).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert all(alias.name.split(".", maxsplit=1)[0] in sys.stdlib_module_names for alias in node.names), (
                    module
                )
            if isinstance(node, ast.ImportFrom):
                base = str(node.module)
                names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
                known = base.split(".", maxsplit=1)[0] in sys.stdlib_module_names or any(name in seen for name in names)
                assert known, f"{module.__name__} imports {base}"
        seen.add(module.__name__)


@pytest.mark.parametrize("program", [shipped.SHIPPED, bare_shipped.SHIPPED], ids=["disks", "guests"])
def test_the_program_starts_where_nothing_is_installed(program: tuple[t.Any, ...]) -> None:
    text = remote.boot_text(program).replace(b"module.main()", b"")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", remote._BOOT.replace("exec(", "text = (") + "; " + _LOAD_ONLY],
        input=text,
        capture_output=True,
        check=False,
        cwd="/",
    )
    assert done.stdout.decode().split() == ["Agent", "main"], done.stderr.decode()


_LOAD_ONLY = (
    "text = text.decode().replace('module.main()', 'print(module.Agent.__name__, module.main.__name__)'); exec(text)"
)


def test_a_small_file_there_and_back(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "vars.fd"
    path.write_bytes(b"\0\xff" * 1000)
    path.chmod(0o640)
    found = agentfiles.get_file(str(path))
    copy = tmp_path / "büro" / "copy.fd"
    assert agentfiles.make_folder(str(copy.parent))["made"] == [str(copy.parent)]
    done = agentfiles.put_file(str(copy), found["data"], found["mode"], found["owner"])
    assert done["changed"] is True
    assert copy.read_bytes() == path.read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o640
    assert agentfiles.put_file(str(copy), found["data"])["changed"] is False
    with pytest.raises(KvmError) as caught:
        agentfiles.put_file(str(copy), wire.encode(b"other"))
    assert caught.value.error_code == "DESTINATION_EXISTS"
    assert agentfiles.put_file(str(copy), wire.encode(b"other"), replace=True)["changed"] is True
    assert os.listdir(copy.parent) == ["copy.fd"]


def test_a_tree_there_and_back(tmp_path: pathlib.Path) -> None:
    (tmp_path / "tpm" / "tpm2").mkdir(parents=True)
    (tmp_path / "tpm" / "tpm2" / "tpm2-00.permall").write_bytes(b"state")
    (tmp_path / "tpm" / "link").symlink_to("/etc/passwd")
    found = agentfiles.tree(str(tmp_path / "tpm"))
    done = agentfiles.put_tree(str(tmp_path / "new"), found["entries"])
    assert [path.removeprefix(str(tmp_path)) for path in done["made"]] == [
        "/new",
        "/new/tpm2",
        "/new/tpm2/tpm2-00.permall",
    ]
    assert (tmp_path / "new" / "tpm2" / "tpm2-00.permall").read_bytes() == b"state"
    assert not (tmp_path / "new" / "link").exists()
    assert agentfiles.put_tree(str(tmp_path / "new"), found["entries"])["made"] == []


def test_removal_is_careful(tmp_path: pathlib.Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KvmError, match="is a folder"):
        agentfiles.remove(str(tmp_path / "folder"))
    with pytest.raises(KvmError, match="is a folder"):
        agentfiles.remove("/tmp", folder=True)
    with pytest.raises(KvmError, match="no regular file"):
        agentfiles.remove("/dev/null")
    assert agentfiles.remove(str(tmp_path / "file"))["removed"] is True
    assert agentfiles.remove(str(tmp_path / "file"))["removed"] is False
    assert agentfiles.remove(str(tmp_path / "folder"), folder=True)["removed"] is True


def test_looking(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x" * 5000)
    found = agentfiles.look(str(path))
    assert (found["exists"], found["kind"], found["size"], found["in_use"]) == (True, "file", 5000, "")
    assert agentfiles.look(str(tmp_path / "nothing"))["exists"] is False
    assert agentfiles.look(str(path / "below"))["exists"] is False
    assert agentfiles.look(str(tmp_path))["kind"] == "folder"
    room = agentfiles.space(str(tmp_path / "not" / "yet" / "there"))
    assert (room["folder"], 0 < room["free"] <= room["total"]) == (str(tmp_path), True)


@pytest.mark.parametrize("verb", ["stat", "space", "make_folder", "get_file", "tree", "remove"])
def test_every_verb_checks_its_path(verb: str) -> None:
    with pytest.raises(InputError):
        agentfiles.VERBS[verb](path="relative/../x")


@pytest.mark.parametrize(
    ("numbers", "ranges"), [([], []), ([3], [[3, 1]]), ([5, 3, 4], [[3, 3]]), ([1, 3, 4], [[1, 1], [3, 2]])]
)
def test_ranges(numbers: list[int], ranges: list[list[int]]) -> None:
    assert transfer.ranges_of(numbers) == ranges
