# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the machine has and what it lacks: Debian packages, Python versions, the bootstrap file of ansible-test."""

from __future__ import annotations

import ctypes.util
import functools
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time
import typing as t

from tests.tools.ground import Refusal, cache, is_root, locked, run, say

_LISTS = pathlib.Path("/var/lib/apt/lists")
_LISTS_ARE_OLD_AFTER = 24 * 3600.0
_apt = threading.Lock()

PROBES: dict[str, t.Callable[[], bool]] = {
    "git": lambda: shutil.which("git") is not None,
    "libmagic1": lambda: ctypes.util.find_library("magic") is not None,
    "shellcheck": lambda: shutil.which("shellcheck") is not None,
}
"""How to see that the package that a tool of ours needs is there, whatever the distribution's release calls it."""


def need(*packages: str) -> None:
    """Install with apt what is missing of ``packages``."""
    with _apt:
        missing = [package for package in packages if not PROBES[package]()]
        if missing:
            install(missing)


def install(packages: t.Sequence[str]) -> None:
    """Install ``packages`` with apt, without a question, also after an earlier run was interrupted."""
    if not is_root():
        raise Refusal(
            f"Installing {', '.join(packages)} with apt needs root: run this once as root, for example with sudo."
        )
    if shutil.which("apt-get") is None:
        raise Refusal(f"{', '.join(packages)} must be installed, and this machine has no apt; install them by hand.")
    say(f"installing with apt: {' '.join(packages)}")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")
    options = ["-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3"]
    with locked(cache() / "apt"):
        run(["dpkg", "--configure", "-a"], env=env)
        if _lists_age() > _LISTS_ARE_OLD_AFTER:
            say("updating the lists of apt, which are missing or old")
            run(["apt-get", *options, "update"], env=env)
        run(["apt-get", *options, "install", "--yes", "--no-install-recommends", *packages], env=env)


def _lists_age() -> float:
    lists = [entry.stat().st_mtime for entry in _LISTS.glob("*_Packages*")] if _LISTS.is_dir() else []
    stamps = [_LISTS.stat().st_mtime, *lists] if lists else [0.0]
    return time.time() - max(stamps)


@functools.lru_cache(maxsize=1)
def pythons() -> dict[str, str]:
    """Version ("3.13") -> path of each Python on this machine that can make a virtual environment."""
    found = _usable_pythons()
    if not found:
        install(["python3-venv"])
        found = _usable_pythons()
    if not found:
        raise Refusal(
            "No Python of this machine can make a virtual environment; install Python 3.10 or newer with its venv module."
        )
    return found


def _usable_pythons() -> dict[str, str]:
    places = [
        *_path(),
        pathlib.Path("/usr/bin"),
        *sorted(pathlib.Path.home().glob(".pyenv/versions/*/bin"), reverse=True),
    ]
    named = re.compile(r"python3(\.1[0-9])?")
    found: dict[str, str] = {}
    for place in places:
        if place.is_dir():
            for program in sorted(entry for entry in place.iterdir() if named.fullmatch(entry.name)):
                probed = _probe(program)
                if probed is not None and probed[0] not in found:
                    found[probed[0]] = probed[1]
    return found


def _path() -> list[pathlib.Path]:
    """The search path without virtual environments, in which we are when a test asks: their Pythons are others' under another name."""
    places = [pathlib.Path(place) for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if place]
    return [place for place in places if not (place.parent / "pyvenv.cfg").exists()]


def _probe(program: pathlib.Path) -> tuple[str, str] | None:
    """Version and real path of ``program``; None for what does not start, cannot make environments, or is too old."""
    script = (
        "import ensurepip, ssl, sys, venv\n"
        "print('%d.%d' % sys.version_info[:2], getattr(sys, '_base_executable', sys.executable), sep='\\n')\n"
    )
    try:
        # What stands in for a Python looks for one on the search path.
        env = dict(os.environ, PATH=os.pathsep.join(map(str, _path())))
        done = subprocess.run(
            [program, "-c", script], capture_output=True, text=True, timeout=300, check=False, env=env
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.splitlines()
    if done.returncode != 0 or len(lines) != 2 or int(lines[0].split(".")[1]) < 10:
        return None
    return lines[0], lines[1]


_STAND_IN = '''\
"""Stands in for the get-pip script that ansible-test would download: bootstraps the pip that Python ships, then updates it."""

import subprocess
import sys

words = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.run([sys.executable, "-m", "ensurepip", "--upgrade"], check=True, stdout=subprocess.DEVNULL)
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *words], check=False).returncode)
'''


def need_pip_bootstrap(ansible_test: pathlib.Path, home: pathlib.Path) -> None:
    """Put the stand-in where this ansible-test (its package directory) looks for get-pip below ``home``, unless there is one."""
    source = (ansible_test / "_internal" / "python_requirements.py").read_text(encoding="utf-8")
    defaults = re.search(r"default_packages = dict\(\s*pip='([0-9.]+)'", source)
    if defaults is None:
        raise Refusal("This ansible-test names its pip in an unknown way; tests/tools/machine.py must learn it.")
    path = home / ".ansible" / "test" / "cache" / f"get_pip_{defaults.group(1).replace('.', '_')}.py"
    if path.exists():
        return
    say(f"writing {path}, a stand-in for the download with which ansible-test starts")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(_STAND_IN, encoding="utf-8")
    draft.replace(path)
