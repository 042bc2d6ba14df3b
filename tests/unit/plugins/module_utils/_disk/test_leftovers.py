# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Only files whose names say that a move of ours was making them are taken for that, and only such are removed."""

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.statefile import FileLock
from ansible_collections.virtops.kvm.plugins.module_utils._disk.leftovers import read_files, remove_staged, staged_for

U = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("name", "uuid"),
    [
        ("web.qcow2.moving-11111111", "11111111"),
        ("web.qcow2.moving-11111111.partial-0a1b2c", "11111111"),
        ("web.qcow2.moving-1111111", ""),
        ("web.qcow2.moving-11111111.bak", ""),
        (".moving-11111111", ""),
        ("web.qcow2", ""),
    ],
)
def test_names(name: str, uuid: str) -> None:
    assert staged_for(f"/srv/{name}") == uuid


def test_a_folder_is_read(tmp_path: pathlib.Path) -> None:
    for name in ("used.raw", "free.raw", "web.moving-11111111", "kept.raw", "again.raw"):
        (tmp_path / name).write_bytes(b"x" * 5000)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("free.raw")
    for name, seconds in (("kept.raw", 0), ("again.raw", -9)):
        written = int((tmp_path / name).stat().st_mtime) + seconds
        (tmp_path / f"{name}.left-by-{U}-{written}").write_text("x")
    with open(tmp_path / "web.moving-11111111", "rb"):
        files = read_files([str(tmp_path), "/nowhere"], {str(tmp_path / "used.raw")})
    seen = {os.path.basename(file.path): (file.staged_for, file.left_by, file.opened) for file in files}
    assert seen == {
        "free.raw": ("", "", False),
        "web.moving-11111111": ("11111111", "", True),
        "kept.raw": ("", U, False),
        "again.raw": ("", "", False),
    }


def test_a_copy_is_removed_once(tmp_path: pathlib.Path) -> None:
    copy = tmp_path / "web.moving-11111111"
    copy.write_bytes(b"x")
    assert remove_staged(str(copy), U, pretend=True)
    assert copy.exists()
    assert remove_staged(str(copy), U, pretend=False)
    assert not copy.exists()
    assert not remove_staged(str(copy), U, pretend=False)


def test_nothing_else_is(tmp_path: pathlib.Path) -> None:
    disk = tmp_path / "web.qcow2"
    disk.write_bytes(b"x")
    link = tmp_path / "web.moving-11111111"
    link.symlink_to(disk)
    for path, kind in ((disk, InputError), (tmp_path / "web.moving-22222222", InputError), (link, KvmError)):
        with pytest.raises(kind):
            remove_staged(str(path), U, pretend=False)
    with pytest.raises(InputError):
        remove_staged(f"{tmp_path}/../web.moving-11111111", U, pretend=False)
    assert disk.exists()
    assert link.is_symlink()


def test_what_a_process_has_open_is_not(tmp_path: pathlib.Path) -> None:
    copy = tmp_path / "web.moving-11111111"
    with open(copy, "wb"), pytest.raises(KvmError) as caught:
        remove_staged(str(copy), U, pretend=False)
    assert caught.value.error_code == "IMAGE_IN_USE"
    assert copy.exists()


def test_a_lock_is_looked_at_and_not_taken(tmp_path: pathlib.Path) -> None:
    lock = FileLock(str(tmp_path / "a.lock"))
    assert not lock.held()
    assert not (tmp_path / "a.lock").exists()
    assert lock.try_acquire()
    assert FileLock(str(tmp_path / "a.lock")).held()
    lock.release()
    assert not FileLock(str(tmp_path / "a.lock")).held()
