# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The virtual environments: one per purpose, in the cache, named after the hash of what is installed in it."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import shutil

from tests.tools import machine
from tests.tools.ground import REPOSITORY, base_environment, cache, locked, run, say
from tests.tools.trees import link_collection


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What an environment is made of: the Python versions it likes, best first, and its requirement files."""

    name: str
    pythons: tuple[str, ...]
    requirements: tuple[str, ...]


NEWEST_FIRST = ("3.13", "3.14", "3.12", "3.11", "3.10")

OLDEST = Recipe("oldest", ("3.11", "3.12", "3.10", "3.13", "3.14"), ("oldest", "tests"))
NEWEST = Recipe("newest", NEWEST_FIRST, ("newest", "tests"))
LINT = Recipe("lint", NEWEST_FIRST, ("newest", "lint"))
CONTROLLER = Recipe("controller", NEWEST_FIRST, ("newest", "controller"))
MAIN = NEWEST
"""What the demo, the benchmarks, pytest and the integration tests run in."""


@dataclasses.dataclass(frozen=True)
class Venv:
    path: pathlib.Path
    python_version: str

    @property
    def bin(self) -> pathlib.Path:
        return self.path / "bin"

    @property
    def python(self) -> pathlib.Path:
        return self.bin / "python"

    @property
    def packages(self) -> pathlib.Path:
        return self.path / "lib" / f"python{self.python_version}" / "site-packages"

    def environment(self) -> dict[str, str]:
        """The environment variables for what runs in here: this bin first, the checkout visible as the collection."""
        env = base_environment()
        env.update(
            VIRTUAL_ENV=str(self.path),
            PATH=f"{self.bin}:{env.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin",
            ANSIBLE_COLLECTIONS_PATH=str(link_collection()),
        )
        return env


def ensure(recipe: Recipe) -> Venv:
    """The environment of ``recipe``, built now if need be. One that was interrupted half-way is built anew."""
    available = machine.pythons()
    version = next((wanted for wanted in recipe.pythons if wanted in available), next(iter(available)))
    files = [REPOSITORY / "tests" / "tools" / f"requirements-{name}.txt" for name in recipe.requirements]
    digest = hashlib.sha256(available[version].encode())
    for file in files:
        digest.update(file.read_bytes())
    venv = Venv(cache() / "venvs" / f"{recipe.name}-{version}-{digest.hexdigest()[:12]}", version)
    complete = venv.path / "complete"
    with locked(venv.path):
        if not complete.exists():
            shutil.rmtree(venv.path, ignore_errors=True)
            say(f"installing with pip into {venv.path} (Python {version}): {', '.join(file.name for file in files)}")
            run([available[version], "-m", "venv", venv.path])
            options = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "5"]
            run(
                [venv.python, "-m", "pip", "install", *options, *(word for file in files for word in ("-r", str(file)))]
            )
            complete.touch()
    return venv
