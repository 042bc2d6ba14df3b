# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The linters. Each is one test."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import shutil
import typing as t

from tests.tools import borrowed, skips, venvs
from tests.tools.ground import REPOSITORY, CommandFailed, Once, locked, run, workspace
from tests.tools.outcome import Check, single
from tests.tools.trees import copy_collection

SHELL_SCRIPTS = ("run", ".ci/run")


class Bench:
    """A copy of the checkout on which the linters work, so that none leaves anything in the checkout itself."""

    def __init__(self) -> None:
        self.venv = venvs.ensure(venvs.LINT)
        self.collection = copy_collection("lint")
        self.root = self.collection.parents[2]
        self.env = dict(
            self.venv.environment(),
            ANSIBLE_COLLECTIONS_PATH=str(self.root),
            ANSIBLE_HOME=str(workspace() / "ansible-home"),
            MYPY_CACHE_DIR=str(workspace() / f"mypy-{self._settings()}"),
            NO_COLOR="1",
            RUFF_CACHE_DIR=str(workspace() / "ruff"),
        )

    def _settings(self) -> str:
        """Names the settings: mypy's cache outlives a change of them."""
        return hashlib.sha256((self.collection / "pyproject.toml").read_bytes()).hexdigest()[:8]

    def tool(self, *words: str | pathlib.Path, cwd: pathlib.Path | None = None, **env: str) -> str:
        return run(words, cwd=cwd or self.collection, env={**self.env, **env})


def _mypy(bench: Bench) -> str:
    packages = ["ansible_collections.virtops.kvm.plugins"]
    packages += [f"tests.{name}" for name in ("guides", "lab", "tools") if (bench.collection / "tests" / name).is_dir()]
    config = f"--config-file={bench.collection / 'pyproject.toml'}"
    words = [word for package in packages for word in ("--package", package)]
    return bench.tool("mypy", config, *words, cwd=bench.root, MYPYPATH=f"{bench.root}:{bench.collection}")


def _antsibull_docs(bench: Bench) -> str:
    words = ("--plugin-docs", "--validate-collection-refs", "all", ".")
    return bench.tool("antsibull-docs", "lint-collection-docs", *words)


def _antsibull_changelog(bench: Bench) -> None:
    bench.tool("antsibull-changelog", "lint")
    bench.tool("antsibull-changelog", "lint-changelog-yaml", "changelogs/changelog.yaml")


def _galaxy_importer(bench: Bench) -> None:
    """Build the artifact and import it as Galaxy does on upload."""
    build = workspace() / "build"
    shutil.rmtree(build, ignore_errors=True)
    bench.tool("ansible-galaxy", "collection", "build", "--output-path", build)
    (artifact,) = build.glob("virtops-kvm-*.tar.gz")
    bench.tool(
        bench.venv.python,
        "-m",
        "galaxy_importer.main",
        "--print-result",
        artifact,
        cwd=build,
        GALAXY_IMPORTER_CHECK_REQUIRED_TAGS="true",
    )


def _ansible_lint(bench: Bench) -> str:
    """With awx.awx at hand, whose modules one playbook names."""
    paths = f"{bench.root}:{borrowed.awx()}"
    words = ("ansible-lint", "--offline", "--strict", "--profile", "production")
    return bench.tool(*words, ANSIBLE_COLLECTIONS_PATH=paths)


def _execution_environment(bench: Bench) -> None:
    """The definition makes a build context, and the collection says what an environment needs for it. Nothing is built."""
    builder = venvs.ensure(venvs.CONTROLLER).bin / "ansible-builder"
    context = workspace() / "ee-context"
    shutil.rmtree(context, ignore_errors=True)
    definition = bench.collection / "execution-environment" / "execution-environment.yml"
    bench.tool(builder, "create", "--file", definition, "--context", context, cwd=definition.parent)
    found = bench.tool(builder, "introspect", bench.root)
    missing = [name for name in ("jmespath", "iputils") if f"{name} " not in found]
    if missing:
        raise CommandFailed(f"ansible-builder introspect did not find {' and '.join(missing)}:\n{found}")


def _no_skips(bench: Bench) -> None:
    found = skips.find(bench.collection)
    if found:
        raise CommandFailed("\n".join(found))


CHECKS: dict[str, t.Callable[[Bench], object]] = {
    "ruff": lambda bench: bench.tool("ruff", "check", "--output-format", "concise", "."),
    "ruff-format": lambda bench: bench.tool("ruff", "format", "--diff", "--quiet", "."),
    "mypy": _mypy,
    "yamllint": lambda bench: bench.tool("yamllint", "--strict", "."),
    "shellcheck": lambda bench: bench.tool("shellcheck", *SHELL_SCRIPTS),
    "ansible-lint": _ansible_lint,
    "antsibull-docs": _antsibull_docs,
    "antsibull-changelog": _antsibull_changelog,
    "reuse": lambda bench: bench.tool("reuse", "lint", cwd=REPOSITORY),
    "galaxy-importer": _galaxy_importer,
    "execution-environment": _execution_environment,
    "no-skips": _no_skips,
}


def checks(names: t.Sequence[str], locks: contextlib.ExitStack) -> list[Check]:
    """All linters, or those called ``names``. The copy that they share stays locked until ``locks`` is closed."""

    def make() -> Bench:
        locks.enter_context(locked(workspace() / "copy-lint"))
        return Bench()

    bench = Once(make)

    def check(name: str) -> Check:
        return Check(name, single(lambda: CHECKS[name](bench())))

    return [check(name) for name in names or CHECKS]
