# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checkout as an installed collection: a symbolic link for Ansible, copies for the tools that insist on one."""

from __future__ import annotations

import os
import pathlib
import shutil

from tests.tools.ground import REPOSITORY, Refusal, run, workspace

_KEPT = ("tests/output",)
"""What tools leave in a copy, and another tool reads afterwards."""


def link_collection() -> pathlib.Path:
    """A directory for ANSIBLE_COLLECTIONS_PATH in which the collection is a link to this checkout."""
    root = workspace() / "collections"
    link = root / "ansible_collections" / "virtops" / "kvm"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not (link.is_symlink() and pathlib.Path(os.readlink(link)) == REPOSITORY):
        draft = link.with_name(f".kvm-{os.getpid()}")
        draft.unlink(missing_ok=True)
        draft.symlink_to(REPOSITORY)
        draft.replace(link)
    return root


def tracked_files() -> list[str]:
    """The files that git tracks or would track, so neither caches nor what a tool left behind."""
    if not (REPOSITORY / ".git").exists():
        raise Refusal("The tests read from git which files belong to the project; run them in a git checkout.")
    # Root may test a checkout that belongs to someone else.
    git = ["git", "-c", "safe.directory=*"]
    names = run([*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]).split("\0")
    return sorted({name for name in names if name and os.path.lexists(REPOSITORY / name)})


def copy_collection(name: str) -> pathlib.Path:
    """Bring the copy ``name`` up to date; returns the collection's directory in it. Unchanged files keep their times."""
    target = workspace() / f"copy-{name}" / "ansible_collections" / "virtops" / "kvm"
    target.mkdir(parents=True, exist_ok=True)
    wanted = tracked_files()
    _remove_all_but(target, set(wanted))
    for file in wanted:
        _copy(REPOSITORY / file, target / file)
    return target


def _remove_all_but(target: pathlib.Path, wanted: set[str]) -> None:
    for folder, folders, files in os.walk(target, topdown=False):
        here = pathlib.Path(folder)
        relative = here.relative_to(target)
        if any(str(relative / "x").startswith(f"{kept}/") for kept in _KEPT):
            continue
        for name in files + [name for name in folders if (here / name).is_symlink()]:
            if str(relative / name) not in wanted:
                (here / name).unlink()
        if here != target and not any(here.iterdir()):
            here.rmdir()


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    try:
        before = source.lstat()
    except FileNotFoundError:
        return  # deleted since git listed it
    if target.exists() and not target.is_symlink() and not source.is_symlink():
        after = target.stat()
        if (before.st_size, before.st_mtime_ns, before.st_mode) == (after.st_size, after.st_mtime_ns, after.st_mode):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)
