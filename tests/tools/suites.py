# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unit, sanity and integration tests as checks."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import shutil
import subprocess
import sys
import threading
import typing as t

from tests.tools import machine, second_look, venvs
from tests.tools.ground import (
    REPOSITORY,
    CommandFailed,
    Once,
    Refusal,
    base_environment,
    cache,
    locked,
    run,
    say,
    workspace,
)
from tests.tools.outcome import Check, Outcome, counted, failures
from tests.tools.trees import copy_collection

INTEGRATION = REPOSITORY / "tests" / "integration"
_PLUGIN_TESTS = "tests/unit/plugins"


class Lane:
    """One ansible-core with ansible-test, and the copy of the collection that it tests."""

    def __init__(self, recipe: venvs.Recipe) -> None:
        self._turn = threading.Lock()
        self.venv = venvs.ensure(recipe)
        self.collection = copy_collection(recipe.name)
        self.reports = self.collection / "tests" / "output" / "junit"
        # ansible-test keeps environments in the home by Python version alone; where both lanes run on one Python they would build
        # the same one at the same time.
        self._home = cache() / "homes" / self.venv.path.name
        machine.need_pip_bootstrap(self.venv.packages / "ansible_test", self._home)

    def _environment(self) -> dict[str, str]:
        """A home of its own; what pip keeps and is told stays the user's."""
        user = pathlib.Path.home()
        env = {"XDG_CACHE_HOME": str(user / ".cache"), "XDG_CONFIG_HOME": str(user / ".config")}
        return {**env, **self.venv.environment(), "HOME": str(self._home)}

    def ansible_test(self, command: str, *words: str) -> Outcome:
        """Run ``ansible-test COMMAND`` with this lane's own Python and count what it reported."""
        options = ("--local", "--python", self.venv.python_version, "--color", "no")
        line = [str(self.venv.bin / "ansible-test"), command, *options, *words]
        with self._turn:
            shutil.rmtree(self.reports, ignore_errors=True)
            outcome = counted(
                lambda: run(line, cwd=self.collection, env=self._environment()),
                lambda: sorted(self.reports.glob("*.xml")),
            )
            # What it prints is mostly about the environments that it installs.
            return dataclasses.replace(outcome, output=failures(sorted(self.reports.glob("*.xml"))) or outcome.output)


class Lanes:
    """Both lanes, each made at its first use; their copies stay locked until ``locks`` is closed."""

    def __init__(self, locks: contextlib.ExitStack) -> None:
        self._locks = locks
        self._lanes = {recipe.name: self._once(recipe) for recipe in (venvs.OLDEST, venvs.NEWEST)}

    def _once(self, recipe: venvs.Recipe) -> Once[Lane]:
        def make() -> Lane:
            self._locks.enter_context(locked(workspace() / f"copy-{recipe.name}"))
            return Lane(recipe)

        return Once(make)

    def checks(self, title: str, command: str, *words: str) -> list[Check]:
        """One check per lane."""

        def check(name: str, lane: Once[Lane]) -> Check:
            return Check(f"{title} ({name} ansible-core)", lambda: lane().ansible_test(command, *words))

        return [check(name, lane) for name, lane in self._lanes.items()]


def unit(words: t.Sequence[str], lanes: Lanes) -> list[Check]:
    """ansible-test over the tests of the plugins, on both ansible-cores, pytest over the others; with ``words`` pytest alone."""
    if words:
        return [Check("pytest", lambda: _pytest("unit", list(words)))]
    # ansible-test runs them by this same pytest: a third time would show nothing new.
    others = ["tests/unit", f"--ignore={_PLUGIN_TESTS}"]
    checks = lanes.checks("ansible-test units", "units", "--num-workers", "1", f"{_PLUGIN_TESTS}/")
    return [*checks, Check("pytest", lambda: _pytest("unit", others))]


def sanity(words: t.Sequence[str], lanes: Lanes) -> list[Check]:
    return lanes.checks("ansible-test sanity", "sanity", "--junit", *words)


def integration_targets() -> dict[str, pathlib.Path]:
    """The names that ``./run test integration`` takes."""
    files = {path.stem[len("test_") :]: path for path in sorted(INTEGRATION.glob("test_*.py"))}
    folders = {path.parent.name: path.parent for path in sorted(INTEGRATION.glob("*/test_*.py"))}
    return {**files, **folders}


def integration(words: t.Sequence[str]) -> list[Check]:
    """The tests in the lab, all or those of one target; further words are for pytest."""
    targets = integration_targets()
    if not words:
        # Most of a test is waiting for guests and links, so four labs at a time fit on two cores. How they are shared out is said
        # in tests/integration/conftest.py.
        shared_out = ["tests/integration", "--numprocesses=4", "--dist=loadscope"]
        run_it = Check("integration", lambda: _with_second_look(shared_out))
        return [run_it] if targets else []
    name = words[0][len("test_") :] if words[0].startswith("test_") else words[0]
    if name not in targets:
        raise Refusal(f"There is no integration target '{words[0]}'; there are: {', '.join(targets) or 'none yet'}.")
    path = str(targets[name].relative_to(REPOSITORY))
    return [Check(f"integration {name}", lambda: _pytest("integration", [path, *words[1:]], show=True))]


def ahead() -> Check:
    """What takes minutes to build and each lab waits for: built while other checks wait for downloads. It is no test."""

    def build() -> Outcome:
        try:
            run([sys.executable, "-m", "tests.lab.ahead"], env=base_environment())
        except CommandFailed as error:
            say(f"root file systems of the labs: {error}\nThe first lab tries again, and fails if it has to.")
        return Outcome()

    return Check("root file systems of the labs", build)


def _with_second_look(words: list[str]) -> Outcome:
    """All tests in the lab; the few that fail run once more, alone, where ``second_look`` allows it. Both runs are shown."""
    first = _pytest("integration", words, show=True)
    doubtful = second_look.doubtful(_report("integration"))
    if not doubtful:
        return first
    say(f"running again, alone: {', '.join(doubtful)}")
    second = _pytest("integration-again", doubtful, show=True)
    for name in second_look.passed(_report("integration-again")):
        say(f"FLAKY {name}: failed beside other tests, passed alone")
    return second_look.together(first, second)


def _report(part: str) -> pathlib.Path:
    """Where pytest writes what came of the tests of one part."""
    return workspace() / f"pytest-{part}.xml"


def _pytest(part: str, words: list[str], *, show: bool = False) -> Outcome:
    """Run pytest in the main environment on the checkout itself; with ``show`` its output appears as it comes."""
    venv = venvs.ensure(venvs.MAIN)
    report = _report(part)
    report.unlink(missing_ok=True)
    env = venv.environment()
    paths = f"pythonpath={REPOSITORY} {env['ANSIBLE_COLLECTIONS_PATH']}"
    options = ["-o", paths, "-o", f"cache_dir={workspace() / 'pytest'}", f"--junitxml={report}", "-ra"]
    command = [str(word) for word in (venv.python, "-m", "pytest", *options, *words)]

    def run_it() -> str:
        if not show:
            return run(command, env=env)
        say(f"running pytest {' '.join(words)}")
        status = subprocess.run(
            [*command, "--verbose", "--durations=10"], cwd=REPOSITORY, env=env, check=False
        ).returncode
        if status != 0:
            raise CommandFailed(f"pytest ended with status {status}; its output is above.")
        return ""

    return counted(run_it, lambda: [report] if report.exists() else [])
